// A sample of a split: some of its examples, drawn without repetition by a seed, in the order in which they stand in
// the split. The same seed and count give the same examples.

import { Random, streams } from '../tensor/random.ts';
import type { Split } from './split.ts';

/** All of the split where `count` is not less than it has. */
export function sampleOf(split: Split, count: number, seed: number): Split {
  if (count >= split.count) return split;
  const chosen = new Random(seed, streams.sample).permutation(split.count).slice(0, count).sort();
  return {
    count,
    read: ({ numbers, augmentation }, rows, signal) =>
      split.read(
        { numbers: numbers.map((number) => chosen[number]!), ...(augmentation ? { augmentation } : {}) },
        rows,
        signal,
      ),
  };
}
