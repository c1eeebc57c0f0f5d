import { expect, test } from 'vitest';
import { columnCosts, networkPower } from './power.ts';

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
