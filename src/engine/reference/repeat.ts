// Sums over the places at which an operand is repeated.

import { repeatedAt, repetitionOf } from '../graph/repeat.ts';
import type { Kernels } from './kernel.ts';

export const repeat: Kernels<'repeatSum'> = {
  repeatSum: ([a, b], [y], { shape, scale }) => {
    const repetition = repetitionOf(shape, a!.shape)!;
    const sums = new Float64Array(y!.data.length);
    for (let i = 0; i < a!.data.length; i++) {
      sums[repeatedAt(repetition, i)]! += b ? a!.data[i]! * b.data[i]! : a!.data[i]!;
    }
    for (let i = 0; i < sums.length; i++) y!.data[i] = sums[i]! * scale;
  },
};
