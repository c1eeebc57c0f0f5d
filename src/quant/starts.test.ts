// Steps begin where the mean squared error is least, against a search over all candidates with the values themselves.

import { describe, expect, test } from 'vitest';
import { roundedCode, SMALLEST_SCALE } from '../engine/reference/quantization.ts';
import { Random } from '../tensor/random.ts';
import { Histogram, observerNames } from './observers.ts';
import { inputStart, type Start, weightStart } from './starts.ts';

const random = new Random(11, 0);
const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const gelu = (x: number) => x / (1 + Math.exp(-1.702 * x));
const options = { percentile: 99, holdsZero: true };

function counted(values: ArrayLike<number>): Histogram {
  const histogram = new Histogram();
  histogram.add(values, 'x');
  return histogram;
}

function errorOf(values: Float32Array, { scale, zero }: Start, bits: number): number {
  return values.reduce((sum, x) => {
    const part = zero - Math.floor(zero);
    const code = Math.min(Math.max(Math.round(x / scale + part) + Math.floor(zero), 0), 2 ** bits - 1);
    return sum + (x - (code - zero) * scale) ** 2;
  }, 0);
}

/** The least error over fine steps and the given zero points. */
function least(values: Float32Array, zeros: readonly number[], bits: number): number {
  let best = Number.POSITIVE_INFINITY;
  const most = Math.max(...values.map(Math.abs));
  for (const zero of zeros) {
    for (let scale = most / 2 ** (bits - 2); scale > most / 2 ** (bits + 3); scale *= 0.985) {
      best = Math.min(best, errorOf(values, { scale, zero }, bits));
    }
  }
  return best;
}

describe.each([2, 3, 4, 8])('with %i bits', (bits) => {
  const middle = 2 ** (bits - 1);

  test('weights are symmetric, and their error nearly the least', () => {
    // A few values can all lie near fine steps of a lucky size, which is nothing to look for.
    for (const [values, over] of [
      [normal(800), 1.05],
      [normal(72), bits < 5 ? 1.05 : 1.6],
      [normal(300).map((x) => x ** 3), bits < 5 ? 1.05 : 1.6],
    ] as const) {
      const found = weightStart('mse', counted(values), { ...options, bits });
      expect([middle, middle - 1]).toContain(found.zero);
      const zeros = bits < 5 ? [middle, middle - 1] : [middle];
      expect(errorOf(values, found, bits)).toBeLessThan(over * least(values, zeros, bits));
    }
  });

  test('weights between two codes have as many numbers on either side, and nearly the least error that these allow', () => {
    for (const values of [normal(800), normal(300).map((x) => x ** 3)]) {
      const found = weightStart('mse', counted(values), { ...options, bits }, 'between');
      expect(found.zero).toBe(middle - 0.5);
      expect(errorOf(values, found, bits)).toBeLessThan((bits < 5 ? 1.05 : 1.6) * least(values, [middle - 0.5], bits));
    }
    // Of two bits that is better for weights of either sign alike.
    const many = normal(4000);
    const [between, code] = (['between', 'code'] as const).map((zero) =>
      errorOf(many, weightStart('mse', counted(many), { ...options, bits }, zero), bits),
    );
    if (bits === 2) expect(between!).toBeLessThan(0.85 * code!);
  });

  test('the one code more is on the side of the larger weights', () => {
    const values = normal(400).map((x) => (x > 0 ? 2 * x : x));
    const [positive, negative] = [values, values.map((x) => -x)].map((all) =>
      weightStart('mse', counted(all), { ...options, bits }),
    );
    if (bits < 4) expect([positive!.zero, negative!.zero]).toEqual([middle - 1, middle]);
  });

  test('activations of one sign have their zero point at the end, others inside', () => {
    const relu = normal(1000).map((x) => Math.max(x, 0));
    const one = inputStart('mse', counted(relu), { ...options, bits });
    expect(one.zero).toBeCloseTo(0, 12);
    expect(errorOf(relu, one, bits)).toBeLessThan(1.05 * least(relu, [0], bits));
    const lopsided = normal(1000).map(gelu);
    const two = inputStart('mse', counted(lopsided), { ...options, bits });
    expect(two.zero).toBeLessThan(middle);
    const zeros = Array.from({ length: Math.min(middle, 12) }, (_, zero) => zero);
    if (bits > 4) return;
    expect(errorOf(lopsided, two, bits)).toBeLessThan(1.1 * least(lopsided, zeros, bits));
  });
});

test.each(observerNames)('%s gives a step above 0 and a zero point that is a code, for whatever is seen', (name) => {
  for (const values of [[0, 0, 0], [1e-30], [-3, -3.5], [2], [-1e-3, 5e4], normal(50)]) {
    for (const bits of [2, 5, 8]) {
      for (const startOf of [weightStart, inputStart]) {
        const { scale, zero } = startOf(name, counted(Float32Array.from(values)), { ...options, bits });
        expect(scale).toBeGreaterThanOrEqual(SMALLEST_SCALE);
        expect(Number.isFinite(scale)).toBe(true);
        expect(Number.isInteger(zero) && zero >= 0 && zero < 2 ** bits).toBe(true);
      }
    }
  }
});

test('a search that leaves an error once it is too large finds what the whole errors say', () => {
  const bits = 4;
  for (const values of [normal(500), normal(500).map(gelu), normal(60).map((x) => x ** 3), new Float32Array(9)]) {
    const histogram = counted(values);
    const { middles, counts } = histogram.bins({ most: 64 * 2 ** bits });
    const errorBy = ({ scale, zero }: Start): number =>
      middles.reduce((sum, x, at) => {
        const code = Math.min(Math.max(roundedCode(x / scale, zero), 0), 2 ** bits - 1);
        return sum + counts[at]! * (x - (code - zero) * scale) ** 2;
      }, 0);
    const zero = 2 ** (bits - 1);
    const whole = Math.max(Math.max(-histogram.min / zero, histogram.max / (2 ** bits - 1 - zero)), Number.MIN_VALUE);
    let best = { scale: whole, error: errorBy({ scale: whole, zero }) };
    for (let factor = 0.97, worse = 0; worse < 12; factor *= 0.97, worse++) {
      const error = errorBy({ scale: whole * factor, zero });
      if (error < best.error) [best, worse] = [{ scale: whole * factor, error }, -1];
    }
    const found = weightStart('mse', histogram, { ...options, bits }, 'middle');
    expect(found).toEqual({ scale: Math.max(best.scale, SMALLEST_SCALE), zero });
  }
});
