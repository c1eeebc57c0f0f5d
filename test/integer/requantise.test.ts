// The one rounding of integer networks, against exact arithmetic; and the integers that stand for real factors.

import { expect, test } from 'vitest';
import { requantisation, requantised, roundedQuotient } from '../../src/integer/requantise.ts';
import { Random } from '../../src/tensor/random.ts';

/** round_half_even(value·multiplier / 2^shift) without any limit of width. */
function exactly(value: number, multiplier: number, shift: number): bigint {
  const [product, unit] = [BigInt(value) * BigInt(multiplier), 1n << BigInt(shift)];
  const floor = (product - (((product % unit) + unit) % unit)) / unit;
  const rest = product - floor * unit;
  if (2n * rest === unit) return floor % 2n === 0n ? floor : floor + 1n;
  return 2n * rest > unit ? floor + 1n : floor;
}

test('quotients are exact, halves to even, at all shifts and at the ends of 32 bits', () => {
  const random = new Random(7, 7);
  const ends = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31 - 1), 2 ** 30, -(2 ** 30), 65535, 65536, -65536, -65537];
  const draw = () => Math.floor((2 ** (32 * random.uniform()) - 1) * (random.uniform() - 0.5));
  for (let shift = 1; shift <= 62; shift++) {
    const pairs = [
      ...ends.flatMap((value) => ends.map((multiplier) => [value, multiplier] as const)),
      ...Array.from({ length: 60 }, () => [draw(), draw()] as const),
      // Halves, and one beside them: an odd number times the half.
      ...(shift <= 31 ? [1, 3, -1, -3, 5].map((odd) => [odd, 2 ** (shift - 1)] as const) : []),
      ...(shift > 31 && shift <= 61 ? [1, 3, -1, -5].map((odd) => [odd * 2 ** (shift - 31), 2 ** 30] as const) : []),
    ];
    for (const [value, multiplier] of pairs) {
      const wanted = exactly(value, multiplier, shift);
      if (wanted > 2n ** 37n || wanted < -(2n ** 37n)) continue;
      expect([value, multiplier, shift, roundedQuotient(value, multiplier, shift) + 0]).toEqual([
        ...[value, multiplier, shift],
        Number(wanted) + 0,
      ]);
    }
  }
});

test('integers stand for a factor and a constant to far less than a step, whatever their sizes', () => {
  const random = new Random(9, 1);
  for (let trial = 0; trial < 300; trial++) {
    const most = Math.floor(2 ** (1 + 26 * random.uniform()));
    const factor = (random.uniform() - 0.4) * (500 / most);
    const constant = 300 * (random.uniform() - 0.5);
    const steps = { factor: [factor], constant: [constant], low: [-most], high: [most] };
    const made = requantisation(steps, 7, [-1000, 1000]);
    for (const q of [-most, most, 0, Math.floor(most * random.uniform())]) {
      const exact = factor * q + constant + 7;
      expect(Math.abs(requantised(made, 0, q) - exact)).toBeLessThanOrEqual(0.5 + 1e-4 + Math.abs(factor) / 2);
    }
  }
  // A channel that is constant, and one whose constant has no room beside the value.
  const constantOnly = requantisation({ factor: [0], constant: [12.4], low: [-5], high: [5] }, 100, [0, 255]);
  expect([-5, 5].map((q) => requantised(constantOnly, 0, q))).toEqual([112, 112]);
  const far = requantisation({ factor: [1e-9], constant: [50], low: [-5], high: [5] }, 0, [0, 255]);
  expect(requantised(far, 0, 5)).toBe(50);
});
