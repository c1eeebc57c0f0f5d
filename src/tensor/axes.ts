// Axes turned about in memory. Of a large tensor every element of a column lies in another line of the cache: it is
// read again for the next column, so tiles are no longer than what is still there then.

import type { TensorData } from './tensor.ts';

/** Rows of a tile: of kernels of 3×3 on 512 channels, 18 KiB apart, no more stay in the few sets that they share. */
const ROWS = 32;

/** [a, b, c] → [c, b, a], in memory of its own or in that which is given. */
export function reverseAxes(
  data: TensorData,
  [a, b, c]: readonly [number, number, number],
  reversed: Float32Array = new Float32Array(data.length),
): Float32Array {
  // Of two axes alone, neither is the middle one.
  if (a === 1 && b > 1) return reverseAxes(data, [b, 1, c], reversed);
  if (c === 1 && b > 1) return reverseAxes(data, [a, 1, b], reversed);
  const step = b * c;
  for (let first = 0; first < a; first += ROWS) {
    const end = Math.min(first + ROWS, a);
    for (let y = 0; y < b; y++) {
      for (let z = 0; z < c; z++) {
        const row = (z * b + y) * a;
        for (let x = first, from = first * step + y * c + z; x < end; x++, from += step)
          reversed[row + x] = data[from]!;
      }
    }
  }
  return reversed;
}
