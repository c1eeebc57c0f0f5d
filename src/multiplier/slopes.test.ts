import { describe, expect, test } from 'vitest';
import { tableOfRemoval } from './removal.ts';
import { defaultSmoothing, rowSlopesOf, slopesOf } from './slopes.ts';
import { expandTheta } from './structure.ts';
import { exactTable } from './table.ts';

/** f(w, x) for every pair of operands, tabulated. */
function tabulate(weightBits: number, activationBits: number, f: (w: number, x: number) => number): Float64Array {
  return Float64Array.from({ length: 2 ** (weightBits + activationBits) }, (_, at) =>
    f(at >> activationBits, at & (2 ** activationBits - 1)),
  );
}

function largestGap(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = 0;
  for (let at = 0; at < a.length; at++) largest = Math.max(largest, Math.abs(a[at]! - b[at]!));
  return largest;
}

const windows = [0, 1, 3, 16, 126, 127, 1000];

describe('slopes', () => {
  test('follow the definition on one row by hand', () => {
    // Along x: 0 0 0 4 4 4 4 8, beside a weight that changes nothing.
    const row = [0, 0, 0, 4, 4, 4, 4, 8];
    const table = [...row, ...row, ...row, ...row];
    const sharp = slopesOf(table, 2, 3, { weights: 0, activations: 0 });
    expect([...sharp.activation.slice(0, 8)]).toEqual([8 / 7, 0, 2, 2, 0, 0, 2, 8 / 7].map(Math.fround));
    const smooth = slopesOf(table, 2, 3, { weights: 0, activations: 1 });
    // The moving averages of three at x = 1 … 6 are 0, 4/3, 8/3, 4, 4, 16/3.
    expect([...smooth.activation.slice(0, 8)]).toEqual(
      [8 / 7, 8 / 7, 4 / 3, 4 / 3, 4 / 6, 4 / 6, 8 / 7, 8 / 7].map(Math.fround),
    );
    expect(sharp.weight.every((slope) => slope === 0)).toBe(true);
  });

  test('of the exact product are the other operand, exactly, at every width, window and sign', () => {
    for (const [weightBits, activationBits] of [
      [8, 8],
      [4, 8],
      [3, 5],
      [2, 2],
    ] as const) {
      for (const half of windows) {
        for (const shift of [0, 1]) {
          const [w0, x0] = [shift * 2 ** (weightBits - 1), shift * 2 ** (activationBits - 1)];
          const table = tabulate(weightBits, activationBits, (w, x) => (w - w0) * (x - x0));
          const found = slopesOf(table, weightBits, activationBits, { weights: half, activations: half });
          expect(
            largestGap(
              found.weight,
              tabulate(weightBits, activationBits, (_, x) => x - x0),
            ),
          ).toBe(0);
          expect(
            largestGap(
              found.activation,
              tabulate(weightBits, activationBits, (w) => w - w0),
            ),
          ).toBe(0);
        }
      }
    }
  });

  test('of a constant are zero', () => {
    const { weight, activation } = slopesOf(new Int32Array(2 ** 9).fill(77), 4, 5, { weights: 1, activations: 2 });
    expect([...weight, ...activation].every((slope) => slope === 0)).toBe(true);
  });

  test('of a truncation are the exact ones less those of what was removed', () => {
    const removal = expandTheta([1, 1, 1, 1, 1, 1, 1, 1], 8, 8);
    const truncated = tableOfRemoval(removal);
    const exact = exactTable(8, 8).data;
    const smoothing = { weights: 16, activations: 8 };
    const whole = slopesOf(truncated, 8, 8, smoothing);
    const error = slopesOf(
      truncated.map((product, pair) => product - exact[pair]!),
      8,
      8,
      smoothing,
    );
    expect(
      largestGap(
        whole.weight,
        error.weight.map((slope, pair) => slope + (pair & 255)),
      ),
    ).toBeLessThan(1e-4);
    expect(
      largestGap(
        whole.activation,
        error.activation.map((slope, pair) => slope + (pair >> 8)),
      ),
    ).toBeLessThan(1e-4);
    // A table that is symmetric in its operands has symmetric slopes where the windows are the same.
    const { weight, activation } = slopesOf(truncated, 8, 8, { weights: 4, activations: 4 });
    expect(weight[200 * 256 + 31]).toBe(activation[31 * 256 + 200]);
  });

  test('are the mean slope everywhere once no window fits, and only at the ends before', () => {
    const steps = tabulate(3, 8, (w, x) => w * (x < 200 ? 0 : 255));
    const mean = slopesOf(steps, 3, 8, { weights: 0, activations: 127 }).activation;
    expect(mean).toEqual(Float32Array.from(tabulate(3, 8, (w) => w)));
    const nearly = slopesOf(steps, 3, 8, { weights: 0, activations: 126 }).activation;
    expect([...nearly.slice(256, 512).keys()].filter((x) => nearly[256 + x] !== mean[256 + x])).toEqual([127, 128]);
  });

  test('fall where the multiplier falls, beside a negative operand', () => {
    const saturating = tabulate(4, 4, (w, x) => Math.max(-20, (w - 8) * (x - 8)));
    const { activation } = slopesOf(saturating, 4, 4, { weights: 1, activations: 1 });
    expect(Math.min(...activation.slice(0, 16))).toBeLessThan(0);
    expect(Math.max(...activation.slice(0, 16))).toBe(0);
  });
});

describe('slopes of rows', () => {
  test('are those of the lines of least squares, by hand', () => {
    // Along x: 0 0 6 6 beside the first weight, nothing beside the others: Σ (x − 1.5)·f / 5 = (0.5 + 1.5)·6 / 5.
    const table = [0, 0, 6, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const { per, weight, activation } = rowSlopesOf(table, 2, 2);
    expect(per).toBe('row');
    expect([...activation]).toEqual([2.4, 0, 0, 0].map(Math.fround));
    // Along w: 6 at the first of four: −1.5·6 / 5.
    expect([...weight]).toEqual([0, 0, -1.8, -1.8].map(Math.fround));
  });

  test('leave the least squares of what no line explains, at every width', () => {
    const random = tabulate(3, 5, (w, x) => Math.sin(91 * w + 17 * x) * 50);
    const { weight, activation } = rowSlopesOf(random, 3, 5);
    const residual = (slope: number, values: readonly number[]) => {
      const line = values.map((value, v) => value - slope * v);
      const mean = line.reduce((sum, value) => sum + value, 0) / line.length;
      return line.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    };
    const check = (slope: number, values: readonly number[]) => {
      for (const by of [-0.01, 0.01]) expect(residual(slope, values)).toBeLessThan(residual(slope + by, values));
    };
    activation.forEach((slope, w) => void check(slope, [...random.slice(32 * w, 32 * w + 32)]));
    weight.forEach((slope, x) => {
      check(
        slope,
        Array.from({ length: 8 }, (_, w) => random[32 * w + x]!),
      );
    });
  });

  test('go through the operands as often as they are met, and those within an eighth of the codes', () => {
    // Of 8 codes one either way is within reach: from 2 and 7, met alike, there are thirds of 1 … 3 and halves of 6 and
    // 7. In twelfths of what is met: 2 2 2 at 1 … 3 and 3 3 at 6 and 7, whose mean is 4.25.
    const row = [90, 1, 5, 2, -70, 40, 8, 3];
    const table = [...row, ...row];
    const { activation, weight } = rowSlopesOf(table, 1, 3, { weight: [1, 1], activation: [0, 0, 9, 0, 0, 0, 0, 9] });
    const counts = [0, 2, 2, 2, 0, 0, 3, 3];
    const sum = (of: (v: number) => number) => counts.reduce((total, n, v) => total + n * of(v), 0);
    const slope = sum((v) => (v - 4.25) * row[v]!) / sum((v) => (v - 4.25) ** 2);
    expect(sum((v) => v - 4.25)).toBe(0);
    expect(activation[0]).toBeCloseTo(slope, 6);
    expect([...weight]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    // The same of the weights, the table turned about.
    const turned = Array.from({ length: 16 }, (_, pair) => row[pair >> 1]!);
    const { weight: ofWeights } = rowSlopesOf(turned, 3, 1, { weight: [0, 0, 9, 0, 0, 0, 0, 9], activation: [1, 1] });
    expect(ofWeights[0]).toBeCloseTo(slope, 6);
  });

  test('of operands that all occur as often are those of all operands, and so are those of an operand of one value', () => {
    const random = tabulate(2, 2, (w, x) => Math.sin(91 * w + 17 * x) * 50);
    const all = rowSlopesOf(random, 2, 2);
    expect(rowSlopesOf(random, 2, 2, { weight: [7, 7, 7, 7], activation: [3, 3, 3, 3] })).toEqual(all);
    expect(rowSlopesOf(random, 2, 2, { weight: [0, 5, 0, 0], activation: [0, 0, 0, 0] })).toEqual(all);
    expect(rowSlopesOf(random, 2, 2, { weight: [0, 0, 0, 0.1], activation: [0.1, 0, 0, 0] })).toEqual(all);
    expect(() => rowSlopesOf(random, 2, 2, { weight: [1], activation: [1, 1, 1, 1] })).toThrow('1 counts for 4');
  });

  test('do not follow what is never met', () => {
    // Right where a network is, and far from right where it never is.
    const error = tabulate(8, 8, (w, x) => (x < 128 ? 0 : -w * x));
    const met = {
      weight: new Float64Array(256).fill(1),
      activation: Float64Array.from({ length: 256 }, (_, x) => +(x < 90)),
    };
    expect([...rowSlopesOf(error, 8, 8, met).activation].every((slope) => slope === 0)).toBe(true);
    expect(rowSlopesOf(error, 8, 8).activation[200]).toBeLessThan(-100);
  });

  test('of the exact product are the other operand, signed or not', () => {
    for (const [w0, x0] of [
      [0, 0],
      [8, 16],
    ] as const) {
      const { weight, activation } = rowSlopesOf(
        tabulate(4, 5, (w, x) => (w - w0) * (x - x0)),
        4,
        5,
      );
      expect([...weight]).toEqual(Array.from({ length: 32 }, (_, x) => x - x0));
      expect([...activation]).toEqual(Array.from({ length: 16 }, (_, w) => w - w0));
    }
  });
});

test('the default window is a sixteenth of the codes of each operand', () => {
  expect(defaultSmoothing(8, 4)).toEqual({ weights: 16, activations: 1 });
  expect(defaultSmoothing(3, 7)).toEqual({ weights: 0, activations: 8 });
});
