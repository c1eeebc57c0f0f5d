import { expect, test } from 'vitest';
import { errorMetrics, metricsReport, NMED_TITLE, operandShares, worstPairs } from './metrics.ts';
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
      meanRelativeErrorOfNonzero: 0,
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
    meanRelativeErrorOfNonzero: 3 / 9 / 9, // nine pairs have a product other than 0
    meanError: -2 / 16,
    errorVariance: 10 / 16 - (2 / 16) ** 2,
    worst: { w: 3, x: 3, product: 6, exact: 9 },
  });
});

test('NMED is what is said of it: not the largest product divides, which of 5×3 bits is 217', () => {
  const table = exactTable(5, 3, false);
  const metrics = errorMetrics({ ...table, data: table.data.map((product) => product + 1) });
  expect(metrics.meanErrorDistance / metrics.normalizedMeanErrorDistance).toBe(2 ** 8);
  expect(NMED_TITLE).toBe('MED over 2^(bits of both operands)');
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

test('the relative error without products of 0 counts pairs as their histograms do', () => {
  const table = withErrors({ 15: -3, 1: 1 });
  const { meanRelativeErrorOfNonzero, meanRelativeErrorDistance } = errorMetrics(table, {
    weight: [3, 0, 0, 1],
    activation: [0, 1, 0, 1],
  });
  // (0, 1) and (0, 3) count 3 each and have the product 0; (3, 1) and (3, 3) count 1 each.
  expect(meanRelativeErrorOfNonzero).toBeCloseTo(3 / 9 / 2, 15);
  expect(meanRelativeErrorDistance).toBeCloseTo((3 * 1 + 3 / 9) / 8, 15);
  expect(errorMetrics(table, { weight: [1, 0, 0, 0], activation: [1, 1, 1, 1] }).meanRelativeErrorOfNonzero).toBe(0);
});

test.each([1e-320, 5e-324, 1e-200, 1e200, 1e308])('counts of %d give the metrics of counts of 1', (count) => {
  const table = withErrors({ 15: -3, 1: 1 });
  const scaled = [count, count, count, count];
  const { errorRate, ...metrics } = errorMetrics(table, { weight: scaled, activation: scaled });
  const plain = errorMetrics(table);
  expect(errorRate).toBeCloseTo(plain.errorRate, 12);
  expect(metrics.meanSquareError).toBeCloseTo(plain.meanSquareError, 12);
  expect(operandShares({ weight: scaled, activation: scaled }, 2, 2)[3]).toBeCloseTo(1 / 16, 12);
});

test('the report of every command has the same names', () => {
  expect(metricsReport(errorMetrics(withErrors({ 15: -3, 1: 1 })))).toEqual({
    errorRate: 2 / 16,
    med: 4 / 16,
    nmed: 4 / 256,
    mse: 10 / 16,
    maxEd: 3,
    mred: (3 / 9 + 1) / 16,
    mredNonzero: 3 / 9 / 9,
    mean: -2 / 16,
    variance: 10 / 16 - (2 / 16) ** 2,
  });
});

test('the largest error is one of a pair that occurs, and the first such pair', () => {
  const table = withErrors({ 5: 2, 6: -9, 13: 2, 15: -3 });
  // The weights 1 and 3, the activations 1 and 3: of the wrong pairs (1, 1), (3, 1) and (3, 3) occur, (1, 2) does not.
  const metrics = errorMetrics(table, { weight: [0, 1, 0, 1], activation: [0, 1, 0, 1] });
  expect(metrics.maxErrorDistance).toBe(3);
  expect(metrics.worst).toEqual({ w: 3, x: 3, product: 6, exact: 9 });
});

test('the worst pairs come largest first, those of one distance in the order of the patterns', () => {
  const pairs = worstPairs(withErrors({ 1: 2, 6: -9, 13: -2, 14: 2, 15: 1 }), 3);
  expect(pairs.map(({ w, x, product }) => [w, x, product])).toEqual([
    [1, 2, -7],
    [0, 1, 2],
    [3, 1, 1],
  ]);
});

test('the share of a pair is its weight’s times its activation’s', () => {
  const shares = operandShares({ weight: [1, 0, 0, 3], activation: [1, 1, 0, 0, 0, 0, 0, 2] }, 2, 3);
  expect(shares).toHaveLength(32);
  expect([shares[0], shares[1], shares[7], shares[24], shares[31]]).toEqual([1, 1, 2, 3, 6].map((n) => n / 16));
});
