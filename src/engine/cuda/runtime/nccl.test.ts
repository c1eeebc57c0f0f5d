import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type koffi from 'koffi';
import { expect, test } from 'vitest';
import { compileLibrary, describeC, folderOf } from '../../../../test/c-compiler.ts';
import { formatNcclVersion, Nccl, nonBlocking } from './nccl.ts';

const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
const MIXING = 'NCCL_GRAPH_MIXING_SUPPORT';
const source = readFileSync(join(import.meta.dirname, '../../../../test/cuda/fake-nccl.c'));

/** The stand-in, and what it was asked for since the last time. */
function fake(...options: string[]) {
  const path = compileLibrary(folderOf(new Map([['fake-nccl.c', source]])), 'fake-nccl.c', options);
  const library = ffi.load(path);
  return {
    path,
    open: () => new Nccl(ffi, path),
    written: library.func('const char *fake_written()') as () => string,
    state: library.func('void fake_state(int polls, int status)') as (polls: number, status: number) => void,
  };
}

describeC('calls of the library', () => {
  test('join, reduce and end with the arguments that its header has', async () => {
    const { open, written, state } = fake();
    const nccl = open();
    expect(nccl.version).toBe('2.28.9');
    const id = nccl.uniqueId();
    expect([...id]).toEqual(Array.from({ length: 128 }, (_, at) => (7 * at + 1) % 256));

    state(2, 0);
    const communicator = nccl.join({ rank: 3, ranks: 8, id });
    // What newer versions of the structure have behind it keeps its default.
    expect(written()).toBe(
      `init rank 3 of 8, 128 bytes of the id, blocking 0, size 24, version 21400, split 1, mixing ${process.env[MIXING] ?? 0}\n`,
    );
    expect([1, 2, 3].map(() => nccl.settled(communicator))).toEqual([false, false, true]);

    const parts = [
      { from: 0x7000_0000_0100n, to: 0x7000_0000_0200n, count: 2 ** 33 },
      { from: 0xff00n, to: 0xff00n, count: 5 },
    ];
    nccl.allReduce('mean', parts, communicator, 0xabcn);
    expect(written()).toBe(
      'start\nreduce 700000000100 to 700000000200, 8589934592, type 7, operation 4, stream abc\n' +
        'reduce ff00 to ff00, 5, type 7, operation 4, stream abc\nend\n',
    );
    for (const kind of ['sum', 'max', 'min'] as const) nccl.allReduce(kind, [parts[1]!], communicator, 0n);
    expect([...written().matchAll(/operation (\d)/g)].map(([, operation]) => operation)).toEqual(['0', '2', '3']);

    await nccl.abort(communicator);
    await nccl.destroy(communicator);
    expect(written()).toBe('abort\ndestroy\n');
  });

  test('graphs are said not to be mixed, from any thread, unless the environment says something', async () => {
    const c = ffi.load(null);
    const setenv = c.func('int setenv(const char *name, const char *value, int overwrite)');
    const { open, path, written } = fake();
    const asked = () => {
      const nccl = open();
      nccl.join({ rank: 0, ranks: 1, id: nccl.uniqueId() });
      return written().trim().split(', ').at(-1);
    };
    try {
      setenv(MIXING, '1', 1);
      expect(asked()).toBe('mixing 1');
      c.func('int unsetenv(const char *name)')(MIXING);
      const built = new URL('../../../../dist/engine/cuda/runtime/nccl.js', import.meta.url).href;
      const thread = `import('${built}').then(({ Nccl }) => new Nccl(require('koffi'), ${JSON.stringify(path)}));`;
      await once(new Worker(thread, { eval: true, execArgv: [] }), 'exit');
      expect(c.func('const char *getenv(const char *name)')(MIXING)).toBe('0');
      expect(asked()).toBe('mixing 0');
    } finally {
      setenv(MIXING, '0', 1);
    }
  });

  test('an error has the call, the library’s text and its last message', () => {
    const { open, written, state } = fake();
    const nccl = open();
    const communicator = nccl.join({ rank: 0, ranks: 1, id: nccl.uniqueId() });
    state(0, 6);
    expect(() => nccl.settled(communicator)).toThrow(
      'ncclCommGetAsyncError: remote process exited or there was a network error (Socket closed)',
    );
    // A group that was begun ends all the same.
    written();
    expect(() => nccl.allReduce('sum', [{ from: 1n, to: 1n, count: 13 }], communicator, 0n)).toThrow(
      'ncclAllReduce: other',
    );
    expect(written()).toMatch(/^start\nreduce .*\nend\n$/);
  });

  test('a version that cannot be asked to join without waiting is refused', () => {
    expect(() => fake('-DVERSION=21304').open()).toThrow(/is NCCL 2\.13\.4, and 2\.14\.0 or newer is needed/);
  });
});

test('the structure says its size, and that nobody waits', () => {
  const bytes = Buffer.from(nonBlocking());
  expect([bytes.length, bytes.readBigUInt64LE(0), bytes.readInt32LE(16)]).toEqual([24, 24n, 0]);
});

test('versions as their makers count them', () => {
  expect([2708, 21403, 22809].map(formatNcclVersion)).toEqual(['2.7.8', '2.14.3', '2.28.9']);
});
