// The mean error of a grouped layer, added up by hand.

import { expect, test } from 'vitest';
import { type LayerOperands, meanErrors } from './mean-error.ts';

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
