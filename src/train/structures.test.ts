// A network whose layers read structures of different kinds, one with a θ for each partial product and one with a θ for
// each bit of the weight: nothing in the training step knows of columns. The same shares said per column give the same
// loss, to the last bit, and the step of a column's θ is the sum of the steps of its partial products' θ.

import { expect, test } from 'vitest';
import { datasetOf } from '../data/memory.ts';
import type { Formula } from '../engine/graph/formula.ts';
import type { Graph } from '../engine/graph/graph.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { multiplierError } from '../multiplier/multiplier.ts';
import { columnCosts } from '../multiplier/power.ts';
import { modelledPower, type PowerModelName } from '../multiplier/power-model.ts';
import { columnStructure, productStructure, type Structure, structureOf } from '../multiplier/structure.ts';
import type { Model } from '../nn/models/model.ts';
import { initialTensor } from '../nn/parameters.ts';
import { type StateName, stateName } from '../quant/quantized.ts';
import { Random } from '../tensor/random.ts';
import { f32, sizeOf } from '../tensor/tensor.ts';
import { imageTask } from './images.ts';
import { atStart, type EpochRecord, trainEpochs } from './loop.ts';
import { readStructures, trainingStep } from './step.ts';
import { buildNetwork, type QuantizedArithmetic } from './task.ts';

const widths = { weightBits: 4, activationBits: 3 };
const byColumn = columnStructure(widths, 4);
const byProduct = productStructure(widths);
const byWeightBit = structureOf(
  widths,
  Array.from({ length: 12 }, (_, at) => Math.floor(at / 3)),
  ['w[0]', 'w[1]', 'w[2]', 'w[3]'],
);

const random = new Random(5);
const split = (count: number) => ({
  images: Uint8Array.from({ length: 36 * count }, () => random.integer(256)),
  labels: Array.from({ length: count }, (_, n) => n % 3),
});
const dataset = datasetOf({ name: 'noise', height: 6, width: 6, channels: 1, train: split(9), test: split(3) });
const model: Model = {
  name: 'two-layers',
  description: 'a convolution and a linear layer',
  minimumSize: 3,
  build: (layers, image, classes) => {
    const x = layers.relu(layers.conv('conv', image, { out: 4, kernel: 3 }));
    return layers.linear('fc', layers.globalAveragePool(x), classes);
  },
};
const task = imageTask(model, dataset);

const columnShares = [0.9, 0.75, 0.5, 0.25];
const bitShares = [0.8, 0.3, 0.1, 0.05];
const [ofConv, ofLinear] = [0.7, 0.3];
const LAMBDA = 0.6;
const RATE = 0.01;

/** One step at rate 0 of the weights, from shares of the convolution's structure. */
async function step(structure: Structure, shares: readonly number[], model: PowerModelName = 'analytic') {
  const session = await referenceBackend().openSession();
  const structures = [
    { theta: 'conv.theta', structure, share: ofConv },
    { theta: 'fc.theta', structure: byWeightBit, share: ofLinear },
  ];
  const arithmetic: QuantizedArithmetic = {
    ...{ kind: 'quantized', ...widths, channelwise: true },
    multiplierOf: (layer) => ({ kind: 'structure', ...structures[layer === 'conv' ? 0 : 1]! }),
  };
  const { parameters, multiplying } = buildNetwork(task, arithmetic, 'train', 1).layers;
  parameters.forEach((parameter, at) => {
    session.write(parameter.name, initialTensor(parameter, 1, at));
  });
  for (const { name, weightShape } of multiplying) {
    for (const [operand, shape] of [
      ['weight', [weightShape[3]!]],
      ['input', []],
    ] as const) {
      const states = { scale: 0.1, zero_point: 0, min: -1, max: 2, clip_upper: 4, clip_lower: 4 };
      for (const [state, value] of Object.entries(states)) {
        const values = new Float32Array(sizeOf(shape)).fill(value);
        session.write(stateName(name, operand, state as StateName), f32(shape, values));
      }
    }
  }
  session.write('conv.theta', f32([shares.length], shares));
  session.write('fc.theta', f32([4], bitShares));
  const power = { lambda: LAMBDA, structures, model };
  const before = await readStructures(session, power);
  let record: EpochRecord<'accuracy'> | undefined;
  await trainEpochs({
    ...{ session, task, dataset, arithmetic, epochs: 1, batchSize: 9, seed: 3, firstEpoch: 0, start: atStart },
    ...{ momentum: 0, weightDecay: 0, learningRate: 0, schedule: 'constant' },
    structure: { power, learningRate: RATE, weightDecay: 0 },
    onEpoch: async (one) => {
      record = one;
    },
  });
  const moved = async (name: string, from: readonly number[]) =>
    Array.from((await session.read(name)).data, (value, at) => value - Math.fround(from[at]!));
  const found = {
    record: record!,
    powerBefore: before.power,
    conv: await moved('conv.theta', shares),
    fc: await moved('fc.theta', bitShares),
    error: multiplierError(arithmetic.multiplierOf('conv'), widths, before.theta['conv.theta']),
  };
  await session.dispose();
  return found;
}

test('a θ for each partial product trains like the columns that it splits', async () => {
  const each = byColumn.index.map((column) => (column < 0 ? 0 : columnShares[column]!));
  const [columns, products] = [await step(byColumn, columnShares), await step(byProduct, each)];
  expect(products.conv).toHaveLength(12);
  expect(products.error).toEqual(columns.error);
  expect(products.record.training.loss).toBe(columns.record.training.loss);
  expect(products.fc).toEqual(columns.fc);

  // The power, by hand: columns of the convolution, bits of the linear layer's weight.
  const costs = columnCosts(4, 3);
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const inColumn = [1, 2, 3, 3, 2, 1];
  const saved = (at: number) => (ofConv * costs[at]!) / total;
  const ofBit = (i: number) => [0, 1, 2].reduce((sum, j) => sum + costs[i + j]! / inColumn[i + j]!, 0);
  const power =
    1 -
    columnShares.reduce((sum, share, c) => sum + share * saved(c), 0) -
    bitShares.reduce((sum, share, i) => sum + (ofLinear * share * ofBit(i)) / total, 0);
  expect(columns.powerBefore).toBeCloseTo(power, 6);
  expect(products.powerBefore).toBeCloseTo(power, 6);

  // The chain rule: what a column's θ is moved by is what its partial products' are, together.
  columns.conv.forEach((moved, column) => {
    const own = products.conv.filter((_, at) => byColumn.index[at] === column);
    expect(own).toHaveLength(inColumn[column]!);
    expect(own.reduce((sum, value) => sum + value, 0)).toBeCloseTo(moved, 6);
    // Not by the power alone, which is the same for all of a column.
    expect(Math.abs(moved - RATE * LAMBDA * saved(column))).toBeGreaterThan(1e-6);
  });
  expect(new Set(products.conv.map((value) => value.toFixed(6))).size).toBeGreaterThan(9);
});

test('a fitted model moves each θ by what its product saves, given the others, and by the loss as before', async () => {
  const shares = byProduct.names.map((_, at) => (at % 4) / 4);
  const [analytic, fitted] = [await step(byProduct, shares), await step(byProduct, shares, 'fitted')];
  expect(fitted.record.training.loss).toBe(analytic.record.training.loss);
  const powerOf = (theta: readonly number[], model: PowerModelName = 'fitted') =>
    modelledPower(model, byProduct, theta) /
    modelledPower(
      model,
      byProduct,
      byProduct.names.map(() => 0),
    );
  shares.forEach((_, at) => {
    const saved = (['fitted', 'analytic'] as const).map(
      (model) => powerOf(shares.with(at, 0), model) - powerOf(shares.with(at, 1), model),
    );
    const expected = RATE * LAMBDA * ofConv * (saved[0]! - saved[1]!);
    expect(fitted.conv[at]! - analytic.conv[at]!).toBeCloseTo(expected, 6);
    expect(Math.abs(saved[0]! - saved[1]!)).toBeGreaterThan(1e-4);
  });
  // What a step tells is the tangent at θ, which is the model itself there.
  const linear = modelledPower('fitted', byWeightBit, bitShares) / modelledPower('fitted', byWeightBit, [0, 0, 0, 0]);
  expect(fitted.powerBefore).toBeCloseTo(ofConv * powerOf(shares) + ofLinear * linear, 7);
  expect(fitted.record.objective - fitted.record.training.loss).toBeCloseTo(LAMBDA * fitted.powerBefore, 5);
});

test('a θ moves by what its gradient is up to 1 where a target finds λ, and as published where λ is said', () => {
  const graphOf = (lambda: number | undefined, optimizer: 'sgd' | 'nesterov' | 'adam') => {
    const structures = ['conv', 'fc'].map((layer) => ({ theta: `${layer}.theta`, structure: byProduct, share: 0.5 }));
    const arithmetic: QuantizedArithmetic = {
      ...{ kind: 'quantized', ...widths, channelwise: true },
      multiplierOf: (layer) => ({ kind: 'structure', ...structures[layer === 'conv' ? 0 : 1]! }),
    };
    const structure = { power: { ...(lambda === undefined ? {} : { lambda }), structures }, weightDecay: 0 };
    const rule = { optimizer, momentum: 0.9, weightDecay: 0 };
    return trainingStep({ task, arithmetic, structure, ...rule }, { ...task, read: dataset.train.read }, 9).graph;
  };
  const bounded = (graph: Graph) =>
    graph.nodes.filter(({ op, attributes }) => op === 'formula' && (attributes as Formula).name === 'bounded gradient')
      .length;
  expect(bounded(graphOf(undefined, 'nesterov'))).toBe(2);
  expect(bounded(graphOf(undefined, 'sgd'))).toBe(2);
  expect(bounded(graphOf(undefined, 'adam'))).toBe(0);
  expect(bounded(graphOf(0.3, 'sgd'))).toBe(0);
});
