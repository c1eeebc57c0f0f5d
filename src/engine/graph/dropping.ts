// What dropout draws: element i belongs to unit ⌊i / group⌋ (itself, or its example), and unit u is dropped where word
// u mod 4 of Philox at (⌊u / 4⌋, 0, stream, 0) under the step's key is below rate·2³². A pure function of key, stream
// and unit: the backward pass, activations that are computed again and a resumed run draw the same.

import type { OpAttributes } from './ops.ts';

/** Words below are dropped; at most 2³² − 1. */
export const thresholdOf = ({ rate }: OpAttributes['dropout']): number =>
  Math.min(2 ** 32 - 1, Math.round(rate * 2 ** 32));

/** What is kept is multiplied by this, so that the mean stays. */
export const scaleOf = ({ rate }: OpAttributes['dropout']): number => 1 / (1 - rate);
