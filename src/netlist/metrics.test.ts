import { expect, test } from 'vitest';
import { errorMetrics } from './metrics.ts';
import { exactTable } from './table.ts';

/** A 2×2 table whose products are off by the given amounts at some pairs. */
function withErrors(errors: Record<number, number>, signed = false) {
  const table = exactTable(2, 2, signed);
  const data = table.data.map((product, pair) => product + (errors[pair] ?? 0));
  return { ...table, data };
}

test('an exact multiplier has no error', () => {
  for (const signed of [false, true]) {
    const metrics = errorMetrics(exactTable(5, 3, signed));
    expect({ ...metrics, worst: null }).toEqual({
      errorRate: 0,
      meanErrorDistance: 0,
      normalizedMeanErrorDistance: 0,
      meanSquareError: 0,
      maxErrorDistance: 0,
      meanRelativeErrorDistance: 0,
      meanError: 0,
      errorVariance: 0,
      worst: null,
    });
  }
});

test('the metrics of a small table are those worked out by hand', () => {
  // 3·3 = 9 is 6 (pair 15), 0·1 = 0 is 1 (pair 1): e = −3 and +1.
  const metrics = errorMetrics(withErrors({ 15: -3, 1: 1 }));
  expect(metrics).toEqual({
    errorRate: 2 / 16,
    meanErrorDistance: 4 / 16,
    normalizedMeanErrorDistance: 4 / 256,
    meanSquareError: 10 / 16,
    maxErrorDistance: 3,
    meanRelativeErrorDistance: (3 / 9 + 1 / 1) / 16,
    meanError: -2 / 16,
    errorVariance: 10 / 16 - (2 / 16) ** 2,
    worst: { w: 3, x: 3, product: 6, exact: 9 },
  });
});

test('signed operands are compared with the signed exact product', () => {
  // Patterns 3 and 2 are −1 and −2.
  const { worst, meanError } = errorMetrics(withErrors({ 14: 4 }, true));
  expect(worst).toEqual({ w: 3, x: 2, product: 6, exact: 2 });
  expect(meanError).toBe(4 / 16);
});

test('operand histograms weight each pair by the product of its counts', () => {
  const table = withErrors({ 15: -3, 1: 1 });
  const uniform = errorMetrics(table);
  expect(errorMetrics(table, { weight: [2, 2, 2, 2], activation: [1, 1, 1, 1] })).toEqual(uniform);
  const metrics = errorMetrics(table, { weight: [3, 0, 0, 1], activation: [0, 1, 0, 1] });
  // Pairs (0,1) with e = 1 counts 3, (3,3) with e = −3 counts 1, of 8 in all.
  expect(metrics.errorRate).toBe(4 / 8);
  expect(metrics.meanErrorDistance).toBe(6 / 8);
  expect(metrics.meanSquareError).toBe(12 / 8);
  expect(metrics.meanError).toBe(0);
});

test.each([
  [{ weight: [1, 1], activation: [1, 1, 1, 1] }, 'the weight histogram has 2 entries: expected one per pattern, 4'],
  [{ weight: [1, 1, 1, 1], activation: [1, -1, 1, 1] }, 'the activation histogram has -1 at pattern 1'],
  [{ weight: [0, 0, 0, 0], activation: [1, 1, 1, 1] }, 'the weight histogram is all zero'],
])('refuses a bad histogram (%#)', (histograms, message) => {
  expect(() => errorMetrics(exactTable(2, 2), histograms)).toThrow(message);
});
