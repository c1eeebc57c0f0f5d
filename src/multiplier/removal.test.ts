import { expect, test } from 'vitest';
import { errorOfRemoval, removedPartialProducts, tableOfRemoval } from './removal.ts';
import { expandTheta } from './structure.ts';
import { exactTable } from './table.ts';

test('a product lacks the shares of its partial products, and the error is what it lacks', () => {
  const removal = expandTheta([0.25, 0.5], 4, 4);
  expect(tableOfRemoval(removal)[3 * 16 + 1]).toBe(3 - 0.25 - 0.5 * 2);
  expect(errorOfRemoval(removal)[3 * 16 + 1]).toBe(-0.25 - 0.5 * 2);
  expect(errorOfRemoval(expandTheta([], 3, 2))).toEqual(new Float64Array(32));
});

test('any subset of removed partial products is recognised, on all operand pairs', () => {
  const removed = Float64Array.from({ length: 12 }, (_, n) => Number([0, 3, 4, 7, 10].includes(n)));
  const removal = { weightBits: 3, activationBits: 4, removed };
  const table = { weightBits: 3, activationBits: 4, signed: false, data: Int32Array.from(tableOfRemoval(removal)) };
  expect(removedPartialProducts(table)).toEqual(removal);
});

test('one wrong product makes it none, and so does a sign', () => {
  const table = exactTable(4, 4);
  expect(removedPartialProducts(table)).toEqual(expandTheta([], 4, 4));
  for (const pair of [0, 17, 255]) {
    const data = table.data.slice();
    data[pair]!++;
    expect(removedPartialProducts({ ...table, data })).toBeNull();
  }
  expect(removedPartialProducts(exactTable(4, 4, true))).toBeNull();
});
