import { expect, test } from 'vitest';
import { exactTable, exchangeOperands, isSymmetric, productTable } from './table.ts';

test('exchanged operands of unequal widths: entry (a, b) is entry (b, a)', () => {
  const data = Int32Array.from({ length: 32 }, (_, pair) => 100 * (pair >> 3) + (pair & 7));
  const exchanged = exchangeOperands(productTable(2, 3, false, data));
  expect(exchanged).toMatchObject({ weightBits: 3, activationBits: 2 });
  for (let a = 0; a < 8; a++) {
    for (let b = 0; b < 4; b++) expect(exchanged.data[a * 4 + b], `${a}, ${b}`).toBe(100 * b + a);
  }
});

test('a table is symmetric when no pair at all changes', () => {
  const { data } = exactTable(3, 3);
  expect(isSymmetric(productTable(3, 3, false, data))).toBe(true);
  for (const pair of [1, 8, 55, 62]) {
    const off = productTable(3, 3, false, data.with(pair, data[pair]! + 1));
    expect(isSymmetric(off), `${pair}`).toBe(false);
  }
  expect(isSymmetric(exactTable(2, 3))).toBe(false);
});
