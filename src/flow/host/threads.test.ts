import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Histogram } from '../../quant/observers.ts';
import { UserError } from '../../tensor/errors.ts';
import { Random } from '../../tensor/random.ts';
import { countValues } from '../phases/calibrate-tasks.ts';
import { HostWork, threadsFor } from './threads.ts';

/** Batches whose extremes grow, shrink and are none. */
function batches(): Float32Array[] {
  const random = new Random(5, 0);
  return Array.from({ length: 25 }, (_, k) =>
    Float32Array.from({ length: 4000 }, (_, at) =>
      k === 3 || at % 3 === 0 ? 0 : random.normal() * 10 ** ((k % 5) - 2),
    ),
  );
}

async function merged(threads: number): Promise<Histogram> {
  const seen = new Histogram();
  const work = new HostWork(countValues, threads);
  for (const values of batches()) await work.give({ values, name: 'x' }, (part) => seen.merge(part), [values]);
  await work.end();
  return seen;
}

describe('on several threads', () => {
  test('results are those of the calling thread, in the order of the pieces', async () => {
    const seen = new Histogram();
    for (const values of batches()) seen.add(values, 'x');
    for (const threads of [1, 2, 5]) {
      const { bins, ...facts } = { ...(await merged(threads)), bins: 0 };
      expect(facts).toEqual({ ...seen });
      const other = await merged(threads);
      expect([other.bins(), other.bins({ most: 300, withZeros: false })]).toEqual([
        seen.bins(),
        seen.bins({ most: 300, withZeros: false }),
      ]);
    }
  });

  test('arrays are moved, and what is not stays', async () => {
    const work = new HostWork(countValues, 2);
    const [moved, kept] = [new Float32Array(10), new Float32Array(10)];
    await work.give({ values: moved, name: 'moved' }, () => {}, [moved]);
    await work.give({ values: kept, name: 'kept' }, ({ count }) => expect(count).toBe(10));
    await work.end();
    expect([moved.length, kept.length]).toEqual([0, 10]);
  });

  test.each([1, 3])('of %i the first piece that fails says so, as an error of its class', async (threads) => {
    const taken: number[] = [];
    const all = async () => {
      const work = new HostWork(countValues, threads);
      for (let k = 0; k < 20; k++) {
        // A long piece fails after a short one, and is the first all the same.
        const values = new Float32Array(k === 4 ? 2e6 : 10);
        if (k === 4 || k === 5) values[values.length - 1] = Number.NaN;
        await work.give({ values, name: `piece ${k}` }, () => taken.push(k), [values]);
      }
      await work.end();
    };
    const failure = await all().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as Error).message).toMatch(/^piece 4 holds NaN; finite values were expected/);
    expect(taken).toEqual([0, 1, 2, 3]);
  });
});

/** What a program says that counts values on four threads of a copy of the build; `how`: what it does before. */
function counted(place: string, how: string): string {
  const dist = join(place, 'dist');
  const program = `
    import { readdirSync } from 'node:fs';
    import { HostWork } from '${dist}/flow/host/threads.js';
    import { countValues } from '${dist}/flow/phases/calibrate-tasks.js';
    const running = () => readdirSync('/proc/self/task').length;
    const before = running();
    const work = new HostWork(countValues, 4);
    ${how}
    let count = 0;
    for (let k = 0; k < 8; k++) await work.give({ values: new Float32Array(1e6), name: 'x' }, (one) => { count += one.count; });
    const more = running() - before;
    await work.end();
    console.log(count, more >= 4 ? 'on four threads' : more >= 1 ? 'on fewer' : 'alone');`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }).trim();
}

describe.skipIf(!existsSync('/proc/self/task'))('a build', () => {
  const parent = mkdtempSync(join(tmpdir(), 'tram-host-'));
  afterAll(() => rmSync(parent, { recursive: true }));
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  // Its folder is named as sources are.
  const place = join(parent, 'src/flow/copy');
  cpSync(join(root, 'dist'), join(place, 'dist'), { recursive: true });
  for (const name of ['package.json', 'node_modules']) symlinkSync(join(root, name), join(place, name));

  test('finds its threads wherever it lies, all of them again after a pause', { timeout: 60_000 }, () => {
    expect(counted(place, '')).toBe('8000000 on four threads');
    expect(counted(place, 'await new Promise((go) => setTimeout(go, 5600));')).toBe('8000000 on four threads');
  });

  test('goes on behind what cannot be sent, and ends', () => {
    const how = `await work.give({ values: () => 1, name: 'x' }, () => {}); await work.end().catch((error) => console.log(error.name));`;
    expect(counted(place, how)).toBe('DataCloneError\n8000000 on four threads');
  });

  test('computes by itself where the entry of a thread is not there', () => {
    rmSync(join(place, 'dist/flow/host/worker.js'));
    expect(counted(place, '')).toBe('8000000 alone');
  });
});

test('little work stays in the calling thread, and a device that is this processor says how many there are', () => {
  expect(threadsFor(1e6)).toBe(1);
  expect(threadsFor(1e12, { threads: 1 })).toBe(1);
  expect(threadsFor(1e12)).toBe(Math.min(availableParallelism(), 8));
});
