// What the conformance suite's small cases do not reach: work that is cut into several parts and blocks, other thread counts, memory that
// grows under running workers, failures, and the end of the process.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Case, codes } from '../../../test/engine/cases.ts';
import { relativeError, runCase } from '../../../test/engine/run-case.ts';
import { Random } from '../../tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../tensor/tensor.ts';
import type { Session } from '../backend.ts';
import { Graph } from '../graph.ts';
import type { OpAttributes, OpName } from '../ops.ts';
import { referenceBackend } from '../reference/backend.ts';
import { wasmBackend } from './backend.ts';
import { LinearMemory } from './memory.ts';
import { Threads } from './threads.ts';

let stream = 0;

function floats(shape: Shape, low = -1, high = 1): HostTensor {
  const random = new Random(5, stream++);
  const data = Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * random.uniform());
  return f32(shape, data);
}

function large<K extends OpName>(
  op: K,
  note: string,
  inputs: readonly HostTensor[],
  attributes: OpAttributes[K],
  differentiate: readonly number[] = [],
): Case {
  return { name: `${op}: ${note}`, op, inputs, attributes, differentiate } as unknown as Case;
}

function axm(
  note: string,
  x: Shape,
  w: Shape,
  error: HostTensor,
  attributes: Pick<OpAttributes['axmConv2d'], 'error' | 'integer' | 'stride'>,
): Case {
  const outputs = w.at(-1)!;
  const inputs = [
    codes(x, 8),
    codes(w, 8),
    f32([], Float32Array.of(0.0625)),
    f32([], Float32Array.of(3)),
    floats([outputs], 0.01, 0.02),
    f32(
      [outputs],
      Float32Array.from({ length: outputs }, (_, o) => 120 + o),
    ),
    error,
  ];
  const geometry = { padding: 1, groups: 1, weightBits: 8, activationBits: 8 };
  const wanted = error.shape[0] === 8 && !attributes.integer ? [0, 1, 6] : [0, 1];
  return large('axmConv2d', note, inputs, { ...geometry, ...attributes }, wanted);
}

const removal = f32(
  [8, 8],
  Float32Array.from({ length: 64 }, (_, k) => (Math.floor(k / 8) + (k % 8) < 5 ? 1 : 0)),
);
const table = tensor(
  'i32',
  [256, 256],
  Int32Array.from(codes([256, 256], 8).data, (value) => 3 * value - 400),
);

const cases: readonly Case[] = [
  large(
    'conv2d',
    'many rows',
    [floats([3, 33, 31, 9]), floats([3, 3, 9, 24])],
    { stride: 1, padding: 1, groups: 1 },
    [0, 1],
  ),
  large(
    'conv2d',
    'stride 3',
    [floats([2, 32, 30, 6]), floats([4, 4, 6, 18])],
    { stride: 3, padding: 2, groups: 1 },
    [0, 1],
  ),
  large(
    'conv2d',
    'pointwise',
    [floats([4, 19, 17, 35]), floats([1, 1, 35, 20])],
    { stride: 1, padding: 0, groups: 1 },
    [0, 1],
  ),
  large(
    'conv2d',
    'depthwise with stride 2',
    [floats([2, 17, 16, 22]), floats([3, 3, 1, 22])],
    { stride: 2, padding: 1, groups: 22 },
    [0, 1],
  ),
  axm('trained structure, many positions', [3, 40, 40, 6], [3, 3, 6, 20], floats([8, 8], 0, 1), {
    error: 'planes',
    integer: false,
    stride: 1,
  }),
  axm('trained structure, stride 2', [6, 41, 40, 5], [3, 3, 5, 18], floats([8, 8], 0, 1), {
    error: 'planes',
    integer: false,
    stride: 2,
  }),
  axm('trained structure, small images and many outputs', [4, 3, 3, 64], [3, 3, 64, 180], floats([8, 8], 0, 1), {
    error: 'planes',
    integer: false,
    stride: 1,
  }),
  axm('trained structure, small images, stride 2', [4, 4, 3, 64], [3, 3, 64, 180], floats([8, 8], 0, 1), {
    error: 'planes',
    integer: false,
    stride: 2,
  }),
  axm('mapped truncation, many positions', [2, 40, 40, 17], [3, 3, 17, 33], removal, {
    error: 'planes',
    integer: true,
    stride: 1,
  }),
  axm('error table, many positions', [2, 40, 40, 9], [3, 3, 9, 20], table, {
    error: 'table',
    integer: true,
    stride: 1,
  }),
  large(
    'batchNorm',
    'many rows',
    [floats([9, 21, 20, 13], -1, 3), floats([13]), floats([13])],
    { epsilon: 1e-5 },
    [0, 1, 2],
  ),
  large('minMax', 'many elements', [floats([9, 21, 20, 13])], { granularity: 'tensor' }, [0]),
  large('minMax', 'many rows', [floats([9, 21, 20, 13])], { granularity: 'channel' }, [0]),
  large(
    'quantize',
    'many rows',
    [floats([9, 21, 20, 13], -2, 2), floats([13], 0.01, 0.02), floats([13], 99, 120)],
    { bits: 8, granularity: 'channel' },
    [0, 1],
  ),
  large('dot', 'an odd number of elements', [floats([40001]), floats([40001])], {}),
  large(
    'clipSearch',
    'many elements',
    [floats([40, 21, 20], -1, 3), f32([], Float32Array.of(-1.5)), f32([], Float32Array.of(4))],
    { bits: 4, granularity: 'tensor', steps: 80, shrink: 0.01, exponent: 2.4 },
  ),
  large(
    'softmaxCrossEntropy',
    'many rows',
    [floats([50, 7]), tensor('i32', [50], new Int32Array(50).fill(3))],
    {},
    [0],
  ),
];

describe('work in several parts and blocks', () => {
  for (const item of cases) {
    test(`${item.name}: as the reference, and the same bits for 1, 2 and 3 threads`, async () => {
      const expected = await runCase(referenceBackend(), item);
      const one = await runCase(wasmBackend({ threads: 1 }), item);
      for (const [name, data] of Object.entries(expected)) {
        if (data instanceof Float32Array) expect(relativeError(one[name]!, data), name).toBeLessThan(2e-6);
        else expect(one[name], name).toEqual(data);
      }
      expect(await runCase(wasmBackend({ threads: 2 }), item)).toEqual(one);
      expect(await runCase(wasmBackend({ threads: 3 }), item)).toEqual(one);
    });
  }

  test('a mapped multiplier is exact to the last bit', async () => {
    const item = cases.find(({ name }) => name.includes('mapped truncation'))!;
    const forward: Case = { ...item, differentiate: [] };
    expect(await runCase(wasmBackend({ threads: 2 }), forward)).toEqual(await runCase(referenceBackend(), forward));
  });

  test('an error table is exact to the last bit', async () => {
    const item = cases.find(({ name }) => name.includes('error table'))!;
    const forward: Case = { ...item, differentiate: [] };
    expect(await runCase(wasmBackend({ threads: 2 }), forward)).toEqual(await runCase(referenceBackend(), forward));
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
    import { Graph } from ${JSON.stringify(built.replace('wasm/backend.js', 'graph.js'))};
    const graph = new Graph();
    graph.output('y', graph.apply1('relu', [graph.input('x', [200000])], {}));
    const program = await (await wasmBackend({ threads: 3 }).openSession()).compile(graph);
    program.write('x', new Float32Array(200000).fill(2));
    await program.run();
    console.log((await program.read('y'))[199999]);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 30_000,
  });
  expect(stdout.trim()).toBe('2');
});
