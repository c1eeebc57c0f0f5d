// What the conformance suite's cases do not reach: the limit of integer sums, memory that grows under running workers,
// failures, and the end of the process.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cases } from '../../../../test/engine/all-cases.ts';
import type { Case } from '../../../../test/engine/cases.ts';
import { runCase } from '../../../../test/engine/run-case.ts';
import { f32, tensor } from '../../../tensor/tensor.ts';
import type { Session } from '../../backend.ts';
import { Graph } from '../../graph/graph.ts';
import { referenceBackend } from '../../reference/backend.ts';
import { wasmBackend } from './backend.ts';
import { LinearMemory } from './memory.ts';
import { Threads } from './threads.ts';

describe('sums of integers', () => {
  const named = (name: string): Case => ({ ...cases.find((item) => item.name === name)!, differentiate: [] });

  test.each(['truncation', 'exact', 'table with slopes'])('%s: exact to the last bit', async (form) => {
    const item = named(`axmConv2d: ${form}, w8a8, many positions in eight groups`);
    expect(await runCase(wasmBackend({ threads: 2 }), item)).toEqual(await runCase(referenceBackend(), item));
  });

  test('that may need more than 32 bits are refused with what to do; as large as they may be they are exact', async () => {
    const [, , ...rest] = named('axmConv2d: exact, linear layer').inputs;
    const largest = (channels: number): Case => ({
      ...named('axmConv2d: exact, linear layer'),
      inputs: [
        tensor('u8', [1, 1, 1, channels], new Uint8Array(channels).fill(255)),
        tensor('u8', [1, 1, channels, 10], new Uint8Array(10 * channels).fill(255)),
        ...rest,
      ],
    });
    const most = Math.floor((2 ** 31 - 1) / 255 ** 2);
    const [found, expected] = [wasmBackend({ threads: 1 }), referenceBackend()].map((on) => runCase(on, largest(most)));
    expect(await found).toEqual(await expected);
    await expect(runCase(wasmBackend({ threads: 1 }), largest(most + 1))).rejects.toThrow(
      `an output element sums ${most + 1} products of 8×8 bits; the wasm device sums up to ${most}, use the reference device`,
    );
  });
});

describe('a session', () => {
  let session: Session;
  beforeAll(async () => {
    session = await wasmBackend({ threads: 2 }).openSession();
  });
  afterAll(async () => {
    await session.dispose();
  });

  /** y = 2·v and v ← v + x over `count` elements. */
  async function accumulator(count: number) {
    const graph = new Graph();
    const v = graph.variable('v', [count]);
    const x = graph.input('x', [count]);
    graph.output('y', graph.apply1('affine', [v], { scale: 2, offset: 0 }));
    graph.assign(v, graph.apply1('add', [x, v], { alpha: 1, beta: 1 }));
    return session.compile(graph);
  }

  test('shares variables between programs, reads them before and assigns them after a run', async () => {
    const program = await accumulator(100_000);
    program.write('x', new Float32Array(100_000).fill(1.5));
    await program.run();
    await program.run();
    expect((await program.read('y'))[99_999]).toBe(3);
    expect((await session.read('v')).data[50_000]).toBe(3);
    session.write('v', f32([100_000], new Float32Array(100_000).fill(7)));
    await program.run();
    expect((await program.read('y'))[0]).toBe(14);
    expect(session.variableNames()).toEqual(['v']);
  });

  test('keeps running programs when memory grows under its workers', async () => {
    const before = session.bytes;
    const graph = new Graph();
    const big = graph.variable('big', [12_000_000]);
    graph.output('sum', graph.apply1('sum', [graph.apply1('affine', [big], { scale: 1, offset: 1 })], {}));
    const program = await session.compile(graph);
    expect(session.bytes - before).toBeGreaterThan(90_000_000);
    await program.run();
    expect((await program.read('sum'))[0]).toBe(12_000_000);
    const small = await accumulator(100_000);
    await small.run();
    expect((await small.read('y'))[0]).toBeGreaterThan(0);
  });

  test('says how much memory it would need when a model is too large', async () => {
    const graph = new Graph();
    graph.output('y', graph.apply1('relu', [graph.variable('huge', [2 ** 31])], {}));
    await expect(session.compile(graph)).rejects.toThrow(/needs \d+ MiB .* use a smaller batch or model/);
  });
});

test('a kernel that fails in some thread rejects the run and does not hang', async () => {
  const memory = new LinearMemory();
  const threads = await Threads.start(memory, 3);
  const outside = memory.place(Int32Array.of(-65536, 0, 1 << 24, 1 << 16));
  const run = threads.register([{ kernel: 'copy', parts: 256, record: outside }], 0);
  expect(run).toThrow(/out of bounds|worker thread failed/);
  await threads.dispose();
});

test('the number of threads is checked', () => {
  for (const threads of [0, 1.5, 65]) expect(() => wasmBackend({ threads })).toThrow(/threads .* from 1 to 64/);
});

test('a session that is not disposed does not keep the process alive', async () => {
  const built = import.meta.resolve('./backend.ts').replace('/src/', '/dist/').replace(/\.ts$/, '.js');
  const script = `
    import { wasmBackend } from ${JSON.stringify(built)};
    import { Graph } from ${JSON.stringify(new URL('../../graph/graph.js', built))};
    const graph = new Graph();
    graph.output('y', graph.apply1('relu', [graph.input('x', [200000])], {}));
    const program = await (await wasmBackend({ threads: 3 }).openSession()).compile(graph);
    program.write('x', new Float32Array(200000).fill(2));
    await program.run();
    console.log((await program.read('y'))[199999]);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  expect(stdout.trim()).toBe('2');
});
