// A network measured with batch norm's statistics of the examples themselves: whatever is stored, and without the
// padding behind the last example.

import { expect, test } from 'vitest';
import { datasetOf } from '../data/memory.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { productStructure } from '../multiplier/structure.ts';
import type { Model } from '../nn/models/model.ts';
import { initialTensor } from '../nn/parameters.ts';
import { stateName } from '../quant/quantized.ts';
import { Random } from '../tensor/random.ts';
import { f32 } from '../tensor/tensor.ts';
import { evaluateOnce, evaluator } from './evaluation.ts';
import { withHardTheta } from './hard-choice.ts';
import { imageTask } from './images.ts';
import { buildNetwork, type QuantizedArithmetic } from './task.ts';

const random = new Random(5);
const split = (count: number) => ({
  images: Uint8Array.from({ length: 16 * count }, () => random.integer(256)),
  labels: Array.from({ length: count }, (_, n) => n % 3),
});
const dataset = datasetOf({ name: 'noise', height: 4, width: 4, channels: 1, train: split(201), test: split(3) });
const model: Model = {
  name: 'normalised',
  description: 'a convolution with batch norm and a linear layer',
  minimumSize: 3,
  build: (layers, image, classes) => {
    const x = layers.relu(layers.batchNorm('norm', layers.conv('conv', image, { out: 4, kernel: 3 })));
    return layers.linear('fc', layers.globalAveragePool(x), classes);
  },
};
const task = imageTask(model, dataset);
const widths = { weightBits: 3, activationBits: 3 };
const structure = { theta: 'theta', structure: productStructure(widths), share: 1 };
const arithmetic: QuantizedArithmetic = {
  ...{ kind: 'quantized', ...widths, channelwise: false, quantizer: 'steps' },
  multiplierOf: () => ({ kind: 'structure', ...structure }),
};

/** A network whose stored statistics are far from what it computes. */
async function openSession(backend = referenceBackend()) {
  const session = await backend.openSession();
  const { parameters, multiplying } = buildNetwork(task, arithmetic, 'train', 1).layers;
  parameters.forEach((parameter, at) => {
    session.write(parameter.name, initialTensor(parameter, 1, at));
  });
  for (const { name } of multiplying) {
    for (const operand of ['weight', 'input'] as const) {
      session.write(stateName(name, operand, 'scale'), f32([], [0.3]));
      session.write(stateName(name, operand, 'zero_point'), f32([], [3]));
    }
  }
  session.write('norm.running_mean', f32([4], [5, -5, 5, -5]));
  session.write('theta', f32([9], new Float32Array(9)));
  return session;
}

test('statistics of the examples are of whole batches, and leave the stored ones unread and as they are', async () => {
  const session = await openSession();
  const measure = async (count: number, mode: 'evaluate' | 'statistics', first = 0) => {
    const examples = dataset.train;
    const part: typeof examples = {
      ...examples,
      count,
      read: ({ numbers }, ...rest) => examples.read({ numbers: numbers.map((number) => first + number) }, ...rest),
    };
    const evaluate = await evaluator(session, task, arithmetic, part, undefined, mode);
    const batches: number[] = [];
    const found = await evaluate((images) => void batches.push(images));
    await evaluate.dispose();
    return { ...found, batches };
  };
  const all = await measure(201, 'statistics');
  expect(all).toMatchObject({ examples: 200, batches: [100, 100] });
  const [one, other] = [await measure(100, 'statistics'), await measure(100, 'statistics', 100)];
  expect(all.loss).toBeCloseTo((one.loss + other.loss) / 2, 6);
  expect(all.metrics.accuracy).toBeCloseTo((one.metrics.accuracy + other.metrics.accuracy) / 2, 12);
  const stored = await measure(201, 'evaluate');
  expect(stored).toMatchObject({ examples: 201, batches: [128, 73] });
  expect(Math.abs(stored.loss - all.loss)).toBeGreaterThan(0.01);
  expect(Array.from((await session.read('norm.running_mean')).data)).toEqual([5, -5, 5, -5]);
  session.write('norm.running_mean', f32([4], [0, 0, 0, 0]));
  expect(await measure(201, 'statistics')).toEqual(all);
  await session.dispose();
});

test('hard θ lose as much by sums of integers as by those of real shares, and other than no θ', async () => {
  const session = await openSession(wasmBackend({ threads: 1 }));
  const lossWith = async (how: QuantizedArithmetic, theta: readonly number[]) => {
    session.write('theta', f32([9], theta));
    return (await evaluateOnce(session, task, how, dataset.train, undefined, 'statistics')).loss;
  };
  const hard = withHardTheta(arithmetic) as QuantizedArithmetic;
  expect(hard.multiplierOf('conv')).toMatchObject({ kind: 'structure', isHard: true });
  const theta = [1, 0, 1, 1, 0, 0, 0, 1, 0];
  expect(await lossWith(hard, theta)).toBeCloseTo(await lossWith(arithmetic, theta), 6);
  expect(Math.abs((await lossWith(hard, theta)) - (await lossWith(hard, theta.fill(0))))).toBeGreaterThan(1e-3);
  await session.dispose();
});
