// A network in which layers and products do not go side by side: one layer multiplies nothing, one has two products.

import { expect, test } from 'vitest';
import { openDataset } from '../../data/registry.ts';
import type { Session } from '../../engine/backend.ts';
import type { Value } from '../../engine/graph/graph.ts';
import { square } from '../../engine/graph/window.ts';
import { referenceBackend } from '../../engine/reference/backend.ts';
import type { Multiplier } from '../../multiplier/multiplier.ts';
import type { Model } from '../../nn/models/registry.ts';
import { initialTensor } from '../../nn/parameters.ts';
import { stateName } from '../../quant/quantized.ts';
import { f32, sizeOf } from '../../tensor/tensor.ts';
import { imageTask } from '../../train/images.ts';
import { buildNetwork, type QuantizedArithmetic } from '../../train/task.ts';
import { measureOperands } from './operands.ts';
import { productsOf } from './products.ts';
import { describeActivity, proveActive } from './proof.ts';
import { proveTraining } from './training-proof.ts';

const digits = await openDataset('digits');

/** Multiplies the codes of the latest product once more, under the same label, and adds both. */
function again(x: Value, label: string): Value {
  const { graph } = x;
  const { op, inputs, attributes } = graph.nodes.findLast((node) => node.op === 'axmConv2d')!;
  return graph.labelled(label, () => {
    const second = graph.apply1(op, inputs, attributes);
    return graph.apply1('add', [x, second], { alpha: 1, beta: 1 });
  });
}

const model: Model = {
  name: 'toy',
  description: 'a layer without a product, one with two, and two with one each',
  minimumSize: 8,
  build: (layers, image, classes) => {
    const geometry = square();
    layers.multiplying.push({ name: 'none', kind: 'convolution', geometry, weightShape: [1, 1, 1, 1], macs: 0 });
    let x = layers.relu(layers.batchNorm('bn1', layers.conv('first', image, { out: 4, kernel: 3, stride: 2 })));
    x = again(layers.conv('twice', x, { out: 6, kernel: [3, 2], dilation: [1, 2] }), 'twice');
    return layers.linear('fc', layers.globalAveragePool(layers.relu(layers.batchNorm('bn2', x))), classes);
  },
};
const task = imageTask(model, digits);
const removed = (columns: number): Multiplier => ({
  kind: 'removal',
  removed: Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < columns ? 1 : 0)),
});
/** Another multiplier for each layer: pairing the wrong ones shows. */
const columns: Readonly<Record<string, number>> = { none: 2, first: 6, twice: 7, fc: 5 };
const arithmetic: QuantizedArithmetic = {
  kind: 'quantized',
  weightBits: 8,
  activationBits: 8,
  channelwise: true,
  multiplierOf: (layer) => removed(columns[layer]!),
};

async function session(): Promise<Session> {
  const opened = await referenceBackend().openSession();
  const { parameters } = buildNetwork(task, arithmetic, 'train', 1).layers;
  parameters.forEach((parameter, at) => {
    opened.write(parameter.name, initialTensor(parameter, 1, at));
  });
  for (const name of ['first', 'twice', 'fc']) {
    const outputs = parameters.find((parameter) => parameter.name === `${name}.weight`)!.value.shape[3]!;
    for (const [operand, shape, scale, zero] of [
      ['weight', [outputs], 0.005, 128],
      ['input', [], 0.01, 0],
    ] as const) {
      const states = { scale, zero_point: zero, min: -1, max: 2, clip_upper: 4, clip_lower: 4 };
      for (const [state, value] of Object.entries(states)) {
        opened.write(
          stateName(name, operand, state as 'scale'),
          f32(shape, new Float32Array(sizeOf(shape)).fill(value)),
        );
      }
    }
  }
  return opened;
}

test('belong to the layer whose label they have', () => {
  const { graph, layers } = buildNetwork(task, arithmetic, 'evaluate', 1);
  expect(productsOf(graph, layers.multiplying).map(({ layer }) => layer)).toEqual(['first', 'twice', 'twice', 'fc']);
  expect(() => productsOf(graph, [{ name: 'first' }, { name: 'fc' }])).toThrow(
    "internal: a product is labelled 'twice', which is no layer that multiplies",
  );
});

test('each is proved with the multiplier of its layer', async () => {
  const found = await proveActive(await session(), task, arithmetic, digits.test);
  expect(found.map(({ layer }) => layer)).toEqual(['first', 'twice', 'twice', 'fc']);
  expect(describeActivity('approximation', found)).toBe('approximation active in 3 layers');
});

test('a training step is proved product by product', async () => {
  const fit = { task, dataset: digits, arithmetic, batchSize: 100, seed: 1, firstEpoch: 0 };
  const found = await proveTraining(await session(), { ...fit, momentum: 0.9, weightDecay: 1e-4 });
  expect(found).toEqual({ batches: [100, digits.train.count % 100], layers: 3, gradients: 3 });
});

test('count their operands together, one layer as often as it multiplies', async () => {
  const images = 3;
  const measured = await measureOperands(await session(), task, arithmetic, digits.test, images);
  const total = (counts: ArrayLike<number>) => Array.from(counts).reduce((sum, count) => sum + count, 0);
  const { multiplying } = buildNetwork(task, arithmetic, 'evaluate', 1).layers;
  for (const { name, macs } of multiplying) {
    const products = { none: 0, twice: 2 }[name] ?? 1;
    const { weight, activation } = measured.get(name)!;
    expect(total(weight), name).toBe(products * macs * images);
    expect(total(activation), name).toBe(products * macs * images);
  }
});
