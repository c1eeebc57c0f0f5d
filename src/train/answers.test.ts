// How far answers are apart: of figures by hand, and of a network with one layer, with the other, and with both at few
// bits, where a sum of distances foretells what both do.

import { expect, test } from 'vitest';
import { openDataset } from '../data/registry.ts';
import { sampleOf } from '../data/sample.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { exactMultiplier } from '../multiplier/multiplier.ts';
import { findModel } from '../nn/models/registry.ts';
import { initialTensor } from '../nn/parameters.ts';
import { f32 } from '../tensor/tensor.ts';
import { askOnce, distance } from './answers.ts';
import { imageTask } from './images.ts';
import { buildNetwork, type QuantizedArithmetic } from './task.ts';

test('distances of figures by hand', () => {
  const answers = (...values: number[]) => ({ classes: 2, values: Float64Array.from(values) });
  const from = answers(1, -1, 2, -2);
  expect(distance(from, from)).toBe(0);
  expect(distance(answers(1, -1, 3, -3), from)).toBeCloseTo(2 / 10, 12);
  expect(distance(answers(0, 0, 0, 0), from)).toBe(1);
  expect(distance(answers(Number.NaN, 0, 0, 0), from)).toBe(Number.POSITIVE_INFINITY);
  expect(() => distance(answers(1, -1), from)).toThrow(/other examples/);
});

test('answers are those of the network, centred; distances of layers add up', async () => {
  const digits = await openDataset('digits');
  const task = imageTask(findModel('resnet8'), digits);
  const session = await wasmBackend({ threads: 1 }).openSession();
  const { layers } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1);
  layers.parameters.forEach((parameter, position) => {
    session.write(parameter.name, initialTensor(parameter, 1, position));
  });
  const all = layers.multiplying.map(({ name }) => name);
  for (const name of all) {
    session.write(`${name}.weight_scale`, f32([], [0.1]));
    session.write(`${name}.weight_zero_point`, f32([], [4]));
    session.write(`${name}.input_scale`, f32([], [1 / 8]));
    session.write(`${name}.input_zero_point`, f32([], [8]));
  }
  const sample = sampleOf(digits.train, 150, 1);
  const float = await askOnce(session, task, { kind: 'float' }, sample);
  expect(float.classes).toBe(10);
  // Two batches of 75.
  expect(float.values).toHaveLength(1500);
  for (let row = 0; row < float.values.length; row += 10) {
    expect(Math.abs(float.values.subarray(row, row + 10).reduce((sum, value) => sum + value, 0))).toBeLessThan(1e-5);
  }
  const quantizedIn = async (...quantized: string[]) => {
    const arithmetic: QuantizedArithmetic = {
      ...{ kind: 'quantized', weightBits: 3, activationBits: 4, channelwise: false, quantizer: 'steps' },
      ...{ multiplierOf: exactMultiplier, isFloat: (layer) => !quantized.includes(layer) },
    };
    return distance(await askOnce(session, task, arithmetic, sample), float);
  };
  expect(await quantizedIn()).toBe(0);
  const [one, other] = ['layer1.0.conv2', 'layer3.0.conv2'];
  const [a, b, both] = [await quantizedIn(one!), await quantizedIn(other!), await quantizedIn(one!, other!)];
  expect(Math.min(a, b)).toBeGreaterThan(0.001);
  expect(both).toBeGreaterThan(0.6 * (a + b));
  expect(both).toBeLessThan(1.5 * (a + b));
  await session.dispose();
});
