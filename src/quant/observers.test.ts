import { describe, expect, test } from 'vitest';
import { scaleOfRange } from '../engine/reference/quantization.ts';
import { Random } from '../tensor/random.ts';
import { Histogram, observedRange, observerNames } from './observers.ts';

const random = new Random(3, 0);
const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const gelu = (x: number) => x / (1 + Math.exp(-1.702 * x));

function histogramOf(...batches: readonly ArrayLike<number>[]): Histogram {
  const histogram = new Histogram();
  for (const values of batches) histogram.add(values, 'x');
  return histogram;
}

const options = { bits: 8, percentile: 99, holdsZero: false };

/** Σ |x − x_fq|^2.4 over the values themselves. */
function errorOf(values: Float32Array, { min, max }: { min: number; max: number }, bits: number): number {
  const { scale, zero } = scaleOfRange(min, max, bits);
  return values.reduce((sum, x) => {
    const code = Math.min(Math.max(Math.round(x / scale) + zero, 0), 2 ** bits - 1);
    return sum + Math.abs(x - (code - zero) * scale) ** 2.4;
  }, 0);
}

describe('values are counted', () => {
  test('alike in one batch or many, small ones first or large ones', () => {
    const values = normal(3000).map((x, at) => x * 10 ** ((at % 7) - 3));
    const sorted = values.toSorted((a, b) => Math.abs(a) - Math.abs(b));
    const [one, many, falling] = [
      histogramOf(values),
      histogramOf(...Array.from({ length: 30 }, (_, k) => sorted.subarray(100 * k, 100 * (k + 1)))),
      histogramOf(sorted.toReversed()),
    ];
    expect(many.bins()).toEqual(one.bins());
    expect(falling.bins()).toEqual(one.bins());
    expect(one.bins().counts.reduce((sum, count) => sum + count)).toBe(3000);
    // Every value lies in the bin that it is counted in.
    const counts = new Map<number, number>();
    for (const x of values) counts.set(Math.floor(x / one.width), (counts.get(Math.floor(x / one.width)) ?? 0) + 1);
    const bins = [...counts].toSorted(([a], [b]) => a - b);
    expect(Array.from(one.bins().counts)).toEqual(bins.map(([, count]) => count));
  });

  // From 32 768 values on they are counted in two tables.
  test.each([1, 2, 577, 32_767, 32_768, 32_769])('%i of them as one by one', (count) => {
    const random = new Random(7, count);
    const edges = [0, -0, 2 ** -149, -(2 ** -149), -1, 1, 2 ** -12, -(2 ** -12), -3 * 2 ** -11, 1 - 2 ** -24];
    const kinds = {
      normal: () => random.normal(),
      'none below 0': () => Math.max(random.normal(), 0),
      'none above 0': () => -Math.abs(random.normal()),
      'far from 0': () => 5 + random.uniform() / 8,
      'on edges': (at: number) => edges[at % edges.length]!,
      zeros: () => 0,
    };
    for (const [kind, drawn] of Object.entries(kinds)) {
      const values = Float32Array.from({ length: count }, (_, at) => drawn(at));
      const histogram = histogramOf(values);
      const [min, max] = [values.reduce((a, b) => Math.min(a, b)) + 0, values.reduce((a, b) => Math.max(a, b)) + 0];
      expect([histogram.min + 0, histogram.max + 0, histogram.count], kind).toEqual([min, max, count]);
      for (const [most, withZeros] of [
        [8192, true],
        [8192, false],
        [100, false],
        [1, true],
      ] as const) {
        let wide = histogram.width;
        while ((max - min) / wide > most) wide *= 2;
        const counts = new Map<number, number>();
        for (const x of values) {
          if (x !== 0 || withZeros) counts.set(Math.floor(x / wide), (counts.get(Math.floor(x / wide)) ?? 0) + 1);
        }
        const bins = [...counts].toSorted(([a], [b]) => a - b);
        const found = histogram.bins({ most, withZeros });
        expect(Array.from(found.counts), kind).toEqual(bins.map(([, times]) => times));
        const middles = bins.map(([bin]) => Math.min(Math.max((bin + 0.5) * wide, min), max));
        expect(
          Array.from(found.middles, (x) => x + 0),
          kind,
        ).toEqual(middles.map((x) => x + 0));
      }
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('but none that is %d', (wrong) => {
    const message = `x holds ${wrong}; finite values were expected`;
    for (const values of [[wrong], [wrong, 1], [-1, 1, wrong, 0]]) {
      expect(() => histogramOf(values)).toThrow(message);
      expect(() => histogramOf([-2, 2], values)).toThrow(message);
    }
    for (let at = 0; at < 11; at++) {
      const values = [-1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
      values[at] = wrong;
      expect(() => histogramOf(values)).toThrow(message);
    }
  });

  test('those that are 0 by themselves, in wider bins, too', () => {
    const histogram = histogramOf([0, -0, 1e-30, -1e-30, 1, 1, 3.5, 0]);
    const counted = (options: { most?: number; withZeros?: boolean }) => Array.from(histogram.bins(options).counts);
    expect(counted({})).toEqual([1, 4, 2, 1]);
    expect(counted({ withZeros: false })).toEqual([1, 1, 2, 1]);
    expect(counted({ most: 4, withZeros: false })).toEqual([1, 1, 2, 1]);
    const { middles, counts } = histogram.bins({ most: 1, withZeros: false });
    expect([Array.from(middles), Array.from(counts)]).toEqual([
      [-1e-30, 2],
      [1, 4],
    ]);
  });
});

describe('the observer', () => {
  test('min-max takes the extremes, moving-average those of batches', () => {
    const histogram = histogramOf([-1, 2], [-3, 1], [0, 6]);
    expect(observedRange('min-max', histogram, options)).toEqual({ min: -3, max: 6 });
    const { min, max } = observedRange('moving-average', histogram, options);
    expect(min).toBeCloseTo(0.9 * (0.9 * -1 + 0.1 * -3), 12);
    expect(max).toBeCloseTo(0.9 * (0.9 * 2 + 0.1 * 1) + 0.1 * 6, 12);
  });

  test('percentile leaves out half of the rest at either end', () => {
    const values = normal(20_000);
    const histogram = histogramOf(values);
    const sorted = values.toSorted();
    const { min, max } = observedRange('percentile', histogram, options);
    expect(Math.abs(min - sorted[100]!)).toBeLessThanOrEqual(histogram.width);
    expect(Math.abs(max - sorted[20_000 - 101]!)).toBeLessThanOrEqual(histogram.width);
    expect(observedRange('percentile', histogram, { ...options, percentile: 100 })).toEqual(
      observedRange('min-max', histogram, options),
    );
  });

  test.each([3, 4, 8])('mse takes the factor with the least error of the values themselves, at %i bits', (bits) => {
    const values = normal(4000).map((x) => (x > 2.5 ? 3 * x : gelu(x)));
    const found = observedRange('mse', histogramOf(values), { ...options, bits });
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const errors = Array.from({ length: 80 }, (_, step) => {
      const factor = 1 - 0.01 * step;
      return errorOf(values, { min: factor * least, max: factor * most }, bits);
    });
    expect(errorOf(values, found, bits)).toBeLessThanOrEqual(1.01 * Math.min(...errors));
    if (bits < 8) expect(found.max).toBeLessThan(0.9 * most);
  });

  test('entropy cuts a long thin tail, and leaves a range that is filled', () => {
    const tailed = Float32Array.from([...normal(50_000).map(Math.abs), 60, 61, 62]);
    const cut = observedRange('entropy', histogramOf(tailed), options);
    expect(cut.max).toBeLessThan(20);
    expect(cut.max).toBeGreaterThan(3);
    const even = Float32Array.from({ length: 50_000 }, (_, k) => k / 50_000 - 0.25);
    const kept = observedRange('entropy', histogramOf(even), options);
    expect(kept.max).toBeGreaterThan(0.95 * 0.75);
    expect(kept.min).toBeLessThan(0.95 * -0.25);
  });

  test.each([
    ['relu', (x: number) => Math.max(0, x)],
    ['gelu', (x: number) => gelu(3 * x)],
    ['normal', (x: number) => x],
  ] as const)('entropy loses no more of values behind %s to clamping than finer steps gain, at 4 bits', (_, of) => {
    const values = normal(60_000).map(of);
    const errorWith = (name: 'entropy' | 'min-max') => {
      const range = observedRange(name, histogramOf(values), { ...options, bits: 4, holdsZero: true });
      return errorOf(values, range, 4);
    };
    expect(errorWith('entropy')).toBeLessThan(0.9 * errorWith('min-max'));
  });

  test('entropy does not count the zeros behind a ReLU, at 8 bits', () => {
    const values = normal(60_000).map((x) => Math.max(0, x));
    const range = observedRange('entropy', histogramOf(values), { ...options, holdsZero: true });
    expect(range).toEqual(
      observedRange('entropy', histogramOf(values.filter((x) => x > 0)), { ...options, holdsZero: true }),
    );
    expect(errorOf(values, range, 8)).toBeLessThan(1.5 * errorOf(values, { min: 0, max: Math.max(...values) }, 8));
  });

  test.each(observerNames)('%s gives lopsided values a zero point that is a code, and 0 is kept exactly', (name) => {
    const activations: readonly Float32Array[] = [
      normal(4000).map((x) => gelu(3 * x)),
      // A layer norm's output with a shift, values far above 0, values below 0.
      normal(4000).map((x) => 0.7 * x - 0.4),
      normal(4000).map((x) => 5 + 0.1 * x),
      normal(4000).map((x) => -Math.abs(x) - 1),
    ];
    for (const values of activations) {
      for (const bits of [4, 8]) {
        const range = observedRange(name, histogramOf(values), { bits, percentile: 99.9, holdsZero: true });
        const { scale, zero } = scaleOfRange(range.min, range.max, bits);
        expect(zero).toBeGreaterThanOrEqual(0);
        expect(zero).toBeLessThanOrEqual(2 ** bits - 1);
        // No more than a few values are clamped, and the others are at most half a step off.
        const clamped = values.filter((x) => x < range.min - scale / 2 || x > range.max + scale / 2);
        expect(clamped.length / values.length).toBeLessThan(bits === 4 ? 0.05 : 0.02);
      }
    }
    // The small negative side of GELU is not lost.
    const range = observedRange(name, histogramOf(activations[0]!), { bits: 8, percentile: 99.9, holdsZero: true });
    expect(range.min).toBeLessThan(-0.1);
  });
});
