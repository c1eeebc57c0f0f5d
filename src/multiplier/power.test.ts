import { expect, test } from 'vitest';
import { columnCosts, exactPower, networkPower } from './power.ts';

/** As published for 8×8, to their three decimals. */
const publishedCosts = [
  1.0, 3.822, 9.292, 14.762, 20.232, 25.702, 31.172, 36.642, 35.642, 32.82, 27.35, 21.88, 16.41, 10.94, 5.47,
];

test('the column costs of the 8×8 multiplier are the published ones', () => {
  expect([...columnCosts(8, 8)].map((cost) => Number(cost.toFixed(3)))).toEqual(publishedCosts);
});

test('costs of every width are positive, symmetric in the operands, and count n half and nm − n − m full adders', () => {
  for (let n = 2; n <= 8; n++) {
    for (let m = n; m <= 8; m++) {
      const costs = columnCosts(n, m);
      expect(costs).toHaveLength(n + m - 1);
      expect(costs).toEqual(columnCosts(m, n));
      expect(Math.min(...costs)).toBeGreaterThan(0);
      const total = n * m + n * 1.822 + (n * m - n - m) * 4.47;
      expect(costs.reduce((sum, cost) => sum + cost, 0)).toBeCloseTo(total, 9);
    }
  }
});

test('the power of a network is the mean of its layers by multiplications', () => {
  expect(
    networkPower([
      { power: 0.5, macs: 300 },
      { power: 1, macs: 100 },
    ]),
  ).toBe(0.625);
});

test('the analytic power of an exact multiplier is that of its array relative to the 8×8 array', () => {
  // 4×4: 16 AND gates, 4 half adders, 8 full adders; 8×8: 64, 8 and 48.
  const total = (ands: number, half: number, full: number) => ands + 1.822 * half + 4.47 * full;
  expect(exactPower(4, 4)).toBeCloseTo(total(16, 4, 8) / total(64, 8, 48), 12);
  expect(exactPower(8, 8)).toBe(1);
  expect(exactPower(4, 8)).toBe(exactPower(8, 4));
  expect(columnCosts(8, 8).reduce((sum, cost) => sum + cost, 0)).toBeCloseTo(total(64, 8, 48), 9);
});
