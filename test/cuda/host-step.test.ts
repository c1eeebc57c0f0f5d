// Whole training steps on the host: what a plan joins, prepares, hands on and overwrites goes through the kernels as on
// a device, from poisoned memory, and must be what the reference backend makes of the step.

import { afterAll, describe, expect, test } from 'vitest';
import { memorySplit } from '../../src/data/image-split.ts';
import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { operandsGraph } from '../../src/flow/multipliers/operands.ts';
import { withSlopes } from '../../src/multiplier/multiplier.ts';
import type { Layers } from '../../src/nn/layers.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, sizeOf, type TensorData, tensor } from '../../src/tensor/tensor.ts';
import { imageTask } from '../../src/train/images.ts';
import { RATE, type StepOptions, trainingStep } from '../../src/train/step.ts';
import type { QuantizedArithmetic } from '../../src/train/task.ts';
import { cudaTargets } from '../engine/devices.ts';
import { findHostCompiler, HostDevice } from './host-device.ts';

const [IMAGES, SIZE, CLASSES] = [2, 8, 10];
const random = new Random(1);
const among = (low: number, high: number) => low + (high - low) * random.uniform();

/** The parts of a residual network: a stem with a max pool, blocks with and without a projection, a linear layer. */
function build(nn: Layers, image: Value, classes: number): Value {
  const convolved = (name: string, x: Value, out: number, kernel: number, stride = 1) =>
    nn.batchNorm(`${name}.bn`, nn.conv(name, x, { out, kernel, stride, padding: (kernel - 1) / 2 }));
  const block = (name: string, x: Value, out: number, stride: number) =>
    nn.block(name, () => {
      const inner = nn.relu(convolved(`${name}.conv1`, x, out, 3, stride));
      const y = convolved(`${name}.conv2`, inner, out, 3);
      return nn.relu(nn.add(y, stride === 1 ? x : convolved(`${name}.down`, x, out, 1, stride)));
    });
  const stem = nn.maxPool(nn.relu(convolved('conv1', image, 64, 3)), 3, 2, 1);
  return nn.linear('fc', nn.globalAveragePool(block('block2', block('block1', stem, 64, 1), 128, 2)), classes);
}

const task = imageTask(
  { name: 'parts', description: '', minimumSize: SIZE, build },
  {
    ...{ height: SIZE, width: SIZE, channels: 3, classes: CLASSES, scale: 255 },
    ...{ mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25] },
  },
);

const widths = { weightBits: 8, activationBits: 8 };
/** Not a rectangle: its slopes are many. */
const removed = Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 6 && at % 5 > 0 ? 1 : 0));
const recovered: QuantizedArithmetic = {
  ...{ kind: 'quantized', ...widths, channelwise: true, quantizer: 'steps' },
  multiplierOf: () => withSlopes({ kind: 'removal', removed }, widths, 'rows'),
};
const learning = { task, momentum: 0.9, weightDecay: 5e-4, optimizer: 'nesterov' } as const;
const steps: Record<string, Omit<StepOptions<'accuracy'>, 'session'>> = {
  'float training': { ...learning, arithmetic: { kind: 'float' } },
  'recovery with a teacher': {
    ...{ ...learning, arithmetic: recovered },
    teacher: { arithmetic: { kind: 'float' }, weight: 0.9, temperature: 2 },
  },
};

const distance = (a: TensorData, b: TensorData): number => {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at]! - b[at]!) ** 2;
  return Math.sqrt(sum);
};

/** What a variable begins with: codes never lie between two, so that rounding decides none of them. */
function beginning(name: string, shape: readonly number[]): HostTensor {
  const fill = (value: () => number) => f32(shape, Array.from({ length: sizeOf(shape) }, value));
  const isImage = name.startsWith('conv1.');
  if (name.endsWith('weight_scale')) return fill(() => 0.003);
  if (name.endsWith('weight_zero_point')) return fill(() => 128);
  if (name.endsWith('input_scale')) return fill(() => (isImage ? 0.0163 : 0.02));
  if (name.endsWith('input_zero_point')) return fill(() => (isImage ? 128 : 0));
  if (name.endsWith('running_var') || name.endsWith('bn.weight')) return fill(() => among(0.5, 1.5));
  const inner = shape.length > 1 ? sizeOf(shape) / shape.at(-1)! : 30;
  return fill(() => among(-1, 1) / Math.sqrt(inner));
}

/** Random values of everything that a graph is given. */
const randomInputs = (graph: Graph) =>
  new Map(
    [...graph.inputs].map(([name, { dtype, shape }]) => {
      const value = () => (name === RATE ? 0.1 : random.integer(name === 'labels' ? CLASSES : 256));
      const values = Array.from({ length: sizeOf(shape) }, value);
      const types = { f32: Float32Array, i32: Int32Array, u8: Uint8Array } as const;
      return [name, tensor(dtype, shape, new types[dtype](values))] as const;
    }),
  );

describe.skipIf(!findHostCompiler())('a training step on the host', () => {
  const device = findHostCompiler() ? new HostDevice() : undefined;
  afterAll(() => device?.dispose());

  test.each(Object.entries(steps))('of %s is that of the reference backend', async (_, options) => {
    const { graph } = trainingStep(options, { inputs: task.inputs, read: () => Promise.reject(new Error()) }, IMAGES);
    const inputs = randomInputs(graph);
    const before = new Map([...graph.variables].map(([name, { shape }]) => [name, beginning(name, shape)]));
    const found = device!.run(graph, inputs, cudaTargets['tf32, 2 multiprocessors']!, false, before);

    const session = await referenceBackend().openSession();
    for (const [name, value] of before) session.write(name, value);
    const program = await session.compile(graph);
    for (const [name, { data }] of inputs) program.write(name, data);
    await program.run();
    const wrong: string[] = [];
    for (const [name, { data: then }] of before) {
      const [now, is] = [(await session.read(name)).data, found[name]!];
      const moved = distance(now, then);
      // Operands of products are rounded to 11 bits, which a batch norm of few pixels makes larger.
      const bound = 0.08 * moved + 1e-6 * distance(now, new Float32Array(now.length));
      // A NaN is within no bound.
      if (!(distance(is, now) <= bound)) wrong.push(`${name}: ${distance(is, now)} of ${moved}`);
    }
    expect(wrong).toEqual([]);
    await session.dispose();
  });

  test('the codes by which slopes are taken are those of the reference backend, with the statistics of the batch', async () => {
    const session = await referenceBackend().openSession();
    const images = { count: IMAGES, images: new Uint8Array(IMAGES * SIZE * SIZE * 3), labels: new Int32Array(IMAGES) };
    const split = memorySplit(images, { height: SIZE, width: SIZE, channels: 3 });
    const { graph } = operandsGraph(session, task, recovered, split, IMAGES, 'statistics');
    const inputs = randomInputs(graph);
    const before = new Map([...graph.variables].map(([name, { shape }]) => [name, beginning(name, shape)]));
    const found = device!.run(graph, inputs, cudaTargets['tf32, 2 multiprocessors']!, false, before);
    for (const [name, value] of before) session.write(name, value);
    const program = await session.compile(graph);
    for (const [name, { data }] of inputs) program.write(name, data);
    await program.run();
    // A code that lies between two may fall either way, and what follows goes by it.
    const codes = [...graph.outputs.keys()].filter((name) => /^\d+\.[01]$/.test(name));
    expect(codes.length).toBeGreaterThan(12);
    for (const name of codes) {
      const expected = await program.read(name);
      expect(new Set(expected).size, name).toBeGreaterThan(8);
      const others = expected.filter((code, at) => Math.abs(code - found[name]![at]!) > 1).length;
      expect(others / expected.length, name).toBeLessThan(0.01);
    }
    for (const [name, { data }] of before) expect(found[name], name).toEqual(data);
    await session.dispose();
  });
});
