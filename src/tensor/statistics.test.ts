import { expect, test } from 'vitest';
import { meanOf, studentQuantile } from './statistics.ts';

test('three seeds have the interval of two degrees of freedom', () => {
  const { mean, spread, n } = meanOf([0.89, 0.9, 0.91]);
  expect(mean).toBeCloseTo(0.9, 12);
  expect(spread).toBeCloseTo((4.303 * 0.01) / Math.sqrt(3), 12);
  expect(n).toBe(3);
});

test('a single measurement has no interval, and equal ones have one without width', () => {
  expect(meanOf([0.5])).toEqual({ mean: 0.5, spread: 0, n: 1 });
  expect(meanOf([0.5, 0.5, 0.5]).spread).toBe(0);
});

test('the quantiles go on smoothly behind the table towards those of the normal distribution', () => {
  expect(studentQuantile(30)).toBe(2.042);
  expect(studentQuantile(31)).toBeCloseTo(2.0395, 3);
  expect(studentQuantile(60)).toBeCloseTo(2.0003, 3);
  expect(studentQuantile(1e6)).toBeCloseTo(1.96, 4);
});
