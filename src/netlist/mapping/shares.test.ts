import { expect, test } from 'vitest';
import { operandShares } from '../../multiplier/metrics.ts';
import { Random } from '../../tensor/random.ts';
import { PairShares } from './shares.ts';

test.each([
  [3, 2],
  [2, 5],
  [3, 6],
])('the share of %i×%i-bit pairs on which two bits are 1 is the sum over these pairs', (weightBits, activationBits) => {
  const random = new Random(2);
  const counts = (bits: number) => Array.from({ length: 2 ** bits }, () => random.integer(5));
  const histograms = { weight: counts(weightBits), activation: counts(activationBits) };
  const shares = operandShares(histograms, weightBits, activationBits);
  const words = () => Int32Array.from({ length: shares.length / 32 }, () => random.bits());
  const [a, b] = [words(), words()];
  const both = shares.reduce(
    (sum, share, pair) => sum + (((a[pair >> 5]! & b[pair >> 5]!) >>> (pair & 31)) & 1) * share,
    0,
  );
  expect(new PairShares(shares, activationBits).ofBoth(a, b)).toBeCloseTo(both, 12);
});
