import { deflateSync } from 'fflate';
import { expect, test } from 'vitest';
import type { ExploredMultiplier } from '../../serve/api.ts';
import { differenceOf, distribution, errorPlane, pairAt } from './errors.ts';

/** A multiplier of 2×2 bits with these errors, by patterns. */
function packed(errors: readonly number[], signed: boolean) {
  const bytes = new DataView(new ArrayBuffer(4 * errors.length));
  errors.forEach((error, pair) => {
    bytes.setInt32(4 * pair, error, true);
  });
  const measures = { weightBits: 2, activationBits: 2, signed } as ExploredMultiplier['measures'];
  const text = Buffer.from(deflateSync(new Uint8Array(bytes.buffer))).toString('base64');
  return { measures, errors: text };
}

const byPattern = Array.from({ length: 16 }, (_, pair) => (pair === 0b1101 ? -7 : pair));

test('unsigned operands stand by their patterns', () => {
  const plane = errorPlane(packed(byPattern, false))!;
  expect(pairAt(plane, 3, 1)).toEqual({ w: 3, x: 1, exact: 3, error: -7 });
  expect(pairAt(plane, 2, 3)).toEqual({ w: 2, x: 3, exact: 6, error: 11 });
  expect(plane.extreme).toBe(15);
});

test('signed operands stand by their values: the pattern 3 of two bits is −1', () => {
  const plane = errorPlane(packed(byPattern, true))!;
  expect(pairAt(plane, 1, 3)).toEqual({ w: -1, x: 1, exact: -1, error: -7 });
  expect(pairAt(plane, 0, 0)).toEqual({ w: -2, x: -2, exact: 4, error: 10 });
});

test('a difference is that of the products, and only of the same operands', () => {
  const [a, b] = [errorPlane(packed(byPattern, false))!, errorPlane(packed(new Array(16).fill(2), false))!];
  expect(pairAt(differenceOf(a, b)!, 0, 1).error).toBe(-1);
  expect(differenceOf(a, errorPlane(packed(byPattern, true))!)).toBeUndefined();
});

test('every pair is in one part of the distribution, and 0 in the middle of one', () => {
  const plane = errorPlane(packed(byPattern, false))!;
  const parts = distribution(plane, 5);
  expect(parts.reduce((sum, { count }) => sum + count, 0)).toBe(16);
  expect(parts.some(({ centre }) => centre === 0)).toBe(true);
});
