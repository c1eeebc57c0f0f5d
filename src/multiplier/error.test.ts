import { expect, test } from 'vitest';
import { errorByCodes, errorsOf, isInteger, productsOfError } from './error.ts';
import { exactTable, operandValue, productTable } from './table.ts';

test('errors lead back to the products, for every pair of codes', () => {
  const widths = { weightBits: 3, activationBits: 4 };
  const data = exactTable(3, 4).data.map((product, pair) => product - (pair % 5) + 2);
  expect(productsOfError(errorByCodes(productTable(3, 4, false, data)), widths)).toEqual(data);
  expect(productsOfError(new Float64Array(128), widths)).toEqual(Float64Array.from(exactTable(3, 4).data));
});

test('the exact product has no error, signed or not', () => {
  for (const signed of [false, true]) {
    expect(errorsOf(exactTable(3, 5, signed))).toEqual(new Int32Array(256));
    expect(errorByCodes(exactTable(3, 5, signed))).toEqual(new Int32Array(256));
  }
});

test('a signed multiplier of unequal widths is its error at operands less half their own range', () => {
  const value = (pattern: number, bits: number) => operandValue(pattern, bits, true);
  // The error tells the operands: 8w + x.
  const data = exactTable(2, 3, true).data.map(
    (product, pair) => product + 8 * value(pair >> 3, 2) + value(pair & 7, 3),
  );
  const error = errorByCodes(productTable(2, 3, true, data));
  expect(error).toEqual(Int32Array.from({ length: 32 }, (_, pair) => 8 * ((pair >> 3) - 2) + ((pair & 7) - 4)));
});

test('only shares of partial products make sums that are no integers', () => {
  expect(isInteger({ kind: 'none' })).toBe(true);
  expect(isInteger({ kind: 'table', emulation: 'lowrank' })).toBe(true);
  expect([true, false].map((integer) => isInteger({ kind: 'removal', integer }))).toEqual([true, false]);
});
