// The mean error of a grouped layer, added up by hand.

import { expect, test } from 'vitest';
import { referenceBackend } from '../../engine/reference/backend.ts';
import { errorOfRemoval } from '../../multiplier/removal.ts';
import { Random } from '../../tensor/random.ts';
import { f32 } from '../../tensor/tensor.ts';
import { foldMeanErrors, type LayerOperands, meanErrors, partialMeans } from './mean-error.ts';

test('each output of a grouped layer has the error of its own group’s channels, weights and scale', () => {
  // A 1×1 convolution of two groups: channels 0 and 1 with output 0, channels 2 and 3 with output 1; codes of 2 bits.
  const occurrences = Float64Array.from([
    ...[4, 0, 0, 1], // channel 0: code 0 four times, code 3 once
    ...[0, 5, 0, 0],
    ...[0, 0, 2, 3],
    ...[1, 1, 3, 0],
  ]);
  const layer: LayerOperands = {
    ...{ layer: 'conv', activationBits: 2, groups: 2, weightShape: [1, 1, 2, 2], positions: 5, sink: undefined },
    weights: Uint8Array.from([1, 2, 3, 0]), // first channel of the group: 1 | 2; second: 3 | 0
    occurrences,
    units: Float64Array.of(0.5, 0.1),
  };
  // E(w, x) = 10 w + x, so that operands that were taken for others show.
  const error = Float64Array.from({ length: 16 }, (_, pair) => 10 * (pair >> 2) + (pair & 3));
  const [first, second] = meanErrors(layer, error);
  // Output 0: weights 1 and 3: (4·10 + 13) + 5·31 = 208. Output 1: weights 2 and 0: (2·22 + 3·23) + (0 + 1 + 3·2) =
  // 120.
  expect(first).toBeCloseTo((0.5 * 208) / 5, 12);
  expect(second).toBeCloseTo((0.1 * 120) / 5, 12);
});

test('a layer that neither a bias nor a batch norm follows is named, and nothing is written for it', async () => {
  const session = await referenceBackend().openSession();
  session.write('conv.bias', f32([1], [2]));
  const layer: LayerOperands = {
    ...{ layer: 'alone', activationBits: 2, groups: 1, weightShape: [1, 1, 1, 1], positions: 4, sink: undefined },
    ...{ weights: Uint8Array.of(1), occurrences: Float64Array.of(0, 4, 0, 0), units: Float64Array.of(0.5) },
  };
  const biased: LayerOperands = { ...layer, layer: 'conv', sink: { variable: 'conv.bias', sign: -1 } };
  const error = Float64Array.from({ length: 16 }, () => 3);
  expect(await foldMeanErrors(session, [layer, biased], () => error)).toEqual(['alone']);
  expect([...(await session.read('conv.bias')).data]).toEqual([0.5]);
  expect(session.variableNames()).toEqual(['conv.bias']);
  await session.dispose();
});

test('the means of partial products are together the mean error of whatever is removed of them', () => {
  const random = new Random(3);
  const drawn = (count: number, below: number) => Array.from({ length: count }, () => random.integer(below));
  // A 2×1 convolution of two groups, each of two channels to three outputs; weights of 3 bits, activations of 2.
  const layer: LayerOperands = {
    ...{ layer: 'conv', activationBits: 2, groups: 2, weightShape: [2, 1, 2, 6], positions: 7, sink: undefined },
    weights: Uint8Array.from(drawn(24, 8)),
    occurrences: Float64Array.from(drawn(2 * 4 * 4, 5)),
    units: Float64Array.of(0.5, 0.1, 2, 1, 0.3, 0.7),
  };
  const means = partialMeans(layer, 3);
  const removed = Float64Array.from({ length: 6 }, () => random.uniform());
  const errors = meanErrors(layer, errorOfRemoval({ weightBits: 3, activationBits: 2, removed }));
  expect(errors.every((error) => error < -1)).toBe(true);
  errors.forEach((error, o) => {
    expect(removed.reduce((sum, share, at) => sum + share * means[o * 6 + at]!, 0)).toBeCloseTo(-error, 4);
  });
});
