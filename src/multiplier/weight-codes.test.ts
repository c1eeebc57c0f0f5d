// The choice against a search over all codes by its definition, and what the choice comes to where that can be said.

import { describe, expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { errorOfRemoval } from './removal.ts';
import { expandTheta } from './structure.ts';
import { bestWeightCodes, errorWithCodes } from './weight-codes.ts';

const widths = { weightBits: 4, activationBits: 3 };

/** Partial products of the lowest bits of the weight, and of the activation. */
function withoutBits(weights: number, activations: number, { weightBits, activationBits } = widths): Float64Array {
  const removed = Float64Array.from({ length: weightBits * activationBits }, (_, at) =>
    Math.floor(at / activationBits) < weights || at % activationBits < activations ? 1 : 0,
  );
  return errorOfRemoval({ weightBits, activationBits, removed });
}

/** Σ n·(AxM(c', x) − c·x − k)² for the best k, by its definition. */
function distance(error: Float64Array, occurrences: readonly number[], code: number, of: number): number {
  const differences = occurrences.map((_, x) => of * x + error[of * occurrences.length + x]! - code * x);
  const total = occurrences.reduce((sum, count) => sum + count, 0);
  const k = occurrences.reduce((sum, count, x) => sum + (count / total) * differences[x]!, 0);
  return occurrences.reduce((sum, count, x) => sum + count * (differences[x]! - k) ** 2, 0);
}

describe('a weight takes the code', () => {
  test('of its own where the multiplier is exact', () => {
    const exact = new Float64Array(128);
    expect([...bestWeightCodes(exact, widths, [5, 1, 1, 1, 1, 1, 1, 1])]).toEqual(
      Array.from({ length: 16 }, (_, c) => c),
    );
  });

  test('that the kept bits come nearest to, where the lowest bits are not read', () => {
    const codes = bestWeightCodes(withoutBits(2, 0), widths, [1, 1, 1, 1, 1, 1, 1, 1]);
    // Rows are those of 0, 4, 8 and 12. Of codes with one row the weight's own stays, or the nearest is taken; halves
    // stay where they are.
    expect([...codes]).toEqual([0, 1, 2, 4, 4, 5, 6, 8, 8, 9, 10, 12, 12, 13, 14, 15]);
  });

  test('that makes up for what activations lose where small ones are met', () => {
    // Of x = 0, 1 and 3 the multiplier sees 0, 0 and 2: for 2 it has to give 3 − 1/9 times the weight.
    const codes = bestWeightCodes(withoutBits(0, 1), widths, [8, 1, 0, 4, 0, 0, 0, 0]);
    const slope = (3 - 1 / 9) / 2;
    expect([...codes]).toEqual(Array.from({ length: 16 }, (_, c) => Math.min(15, Math.round(c * slope))));
  });

  const wide = { weightBits: 6, activationBits: 5 };
  const random = new Random(3, 0);
  test.each([
    ['truncation', errorOfRemoval({ ...wide, removed: expandTheta([1, 1, 1, 1, 1], 6, 5).removed })],
    ['anything', Float64Array.from({ length: 2048 }, () => random.integer(200) - 100)],
  ])('of the least distance, %s', (_, error) => {
    const occurrences = Array.from({ length: 32 }, () => random.integer(20));
    const codes = bestWeightCodes(error, wide, occurrences);
    let moved = 0;
    for (let code = 0; code < 64; code++) {
      const all = Array.from({ length: 64 }, (_, of) => distance(error, occurrences, code, of));
      expect(all[codes[code]!]).toBeLessThanOrEqual(Math.min(...all) + 1e-6 * (1 + all[code]!));
      if (codes[code] !== code) moved++;
    }
    expect(moved).toBeGreaterThan(0);
  });

  test('of its own where only one activation code is met: a constant is no distance', () => {
    const codes = bestWeightCodes(withoutBits(2, 0), widths, [0, 0, 0, 9, 0, 0, 0, 0]);
    expect([...codes]).toEqual(Array.from({ length: 16 }, (_, c) => c));
  });
});

test('the error with other codes is what the stored product has more than that of the quantised one', () => {
  const error = withoutBits(2, 1);
  const codes = bestWeightCodes(error, widths, new Array(8).fill(1));
  const found = errorWithCodes(error, widths, codes, 3);
  for (const [code, x] of [
    [7, 5],
    [3, 0],
    [11, 6],
  ] as const) {
    const stored = codes[code]!;
    // (AxM(c', x) − z_x c') − (c x − z_x c)
    const expected = stored * x + error[stored * 8 + x]! - 3 * stored - (code * x - 3 * code);
    expect(found[code * 8 + x]).toBe(expected);
  }
});
