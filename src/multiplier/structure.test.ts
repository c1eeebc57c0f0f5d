// Structures of θ per column, per partial product and of other groups: what the values mean, what they cost, what is
// refused.

import { expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { columnCosts } from './power.ts';
import {
  approximableColumns,
  checkTheta,
  columnStructure,
  expandTheta,
  powerPerMultiplication,
  powerShares,
  productStructure,
  removalOf,
  removedColumns,
  structureOf,
  structurePower,
} from './structure.ts';

const rectangular = { weightBits: 2, activationBits: 3 };

test('of columns, partial product (i, j) reads θ of the column i + j; it is named after it and costs what its gates cost', () => {
  // w[0] with x[0], x[1], x[2], then w[1].
  expect(columnStructure(rectangular, 3)).toEqual({
    ...rectangular,
    count: 3,
    index: [0, 1, 2, 1, 2, -1],
    names: ['column 0', 'column 1', 'column 2'],
    costs: [...columnCosts(2, 3).slice(0, 3)],
  });
});

test('the costs of columns are those of the power model to the last bit, at every width', () => {
  for (let weightBits = 2; weightBits <= 8; weightBits++) {
    for (let activationBits = 2; activationBits <= 8; activationBits++) {
      const { costs } = columnStructure({ weightBits, activationBits }, weightBits + activationBits - 1);
      expect(costs).toEqual([...columnCosts(weightBits, activationBits)]);
    }
  }
});

test('however partial products are grouped, all θ together cost the whole multiplier', () => {
  const groups = structureOf(rectangular, [0, 0, 0, 1, 1, 1], ['w[0]', 'w[1]']);
  for (const structure of [productStructure(rectangular), groups, columnStructure(rectangular, 4)]) {
    expect(powerShares(structure).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    const all = new Array(structure.count).fill(1);
    expect(structurePower(structure, all)).toBeCloseTo(0, 12);
  }
  // Half of what is in a column of two.
  expect(productStructure(rectangular).costs[1]).toBe(columnCosts(2, 3)[1]! / 2);
  expect(productStructure(rectangular).names[5]).toBe('w[1]·x[2]');
});

test('the same shares, said per column or per partial product, are the same removal and the same power', () => {
  const theta = [1, 0.25, 0.5];
  const columns = columnStructure(rectangular, 3);
  const products = productStructure(rectangular);
  const each = columns.index.map((from) => (from < 0 ? 0 : theta[from]!));
  expect(removalOf(products, each)).toEqual(removalOf(columns, theta));
  expect(structurePower(products, each)).toBeCloseTo(structurePower(columns, theta), 12);
  expect(approximableColumns(columns)).toBe(3);
  expect(approximableColumns(products)).toBe(4);
  expect(approximableColumns(columnStructure(rectangular, 0))).toBe(0);
});

test('a column is gone when all of its partial products are', () => {
  expect(removedColumns(columnStructure(rectangular, 3), [1, 0.999, 1])).toEqual([0, 2]);
  expect(removedColumns(productStructure(rectangular), [0, 1, 1, 1, 0.5, 1])).toEqual([1, 3]);
});

test('θ expands to one share per partial product, zero beyond its columns, clamped', () => {
  expect(expandTheta([1, 0.5, 1.5], 2, 3)).toEqual({
    weightBits: 2,
    activationBits: 3,
    removed: Float64Array.from([1, 0.5, 1, 0.5, 1, 0]),
  });
});

test('the demo’s final θ has the published power, which is a float32', () => {
  const theta = [1, 1, 1, 1, 0.174248, 0.199563, 0.194773, 0.147112];
  expect(Math.fround(powerPerMultiplication(theta, 8, 8))).toBe(0.8328676819801331);
});

test('θ is clamped, and only the columns that it names are saved', () => {
  expect(powerPerMultiplication([], 4, 4)).toBe(1);
  expect(powerPerMultiplication([-3, 0], 4, 4)).toBe(1);
  expect(powerPerMultiplication([2], 4, 4)).toBe(powerPerMultiplication([1], 4, 4));
  expect(powerPerMultiplication(Array(7).fill(1), 4, 4)).toBeCloseTo(0, 12);
  expect(() => powerPerMultiplication(Array(8).fill(1), 4, 4)).toThrow('θ has 8 values');
});

test.each([
  [[0.5, 1.2, 0], 'θ[1] is 1.2: expected a value in [0, 1]'],
  [[Number.NaN, 0, 0], 'θ[0] is NaN: expected a finite number'],
  [[0, 0], 'θ has 2 values: its structure has 3, expected one for each'],
])('θ = %j is refused', (theta, message) => {
  expect(() => checkTheta(columnStructure(rectangular, 3), theta)).toThrow(message);
});

test.each([
  [[0, 0, 0, 1, 2, -1], ['a', 'b'], 'the index of partial product 4 is 2: expected the number of one of 2 θ, or -1'],
  [[0, 0.5, 0, 0, 0, 0], ['a'], 'the index of partial product 1 is 0.5: expected'],
  [[0, 0], ['a'], 'the index has 2 entries: a 2×3 multiplier has 6 partial products, expected one for each'],
])('an index %j to the θ %j is refused as the mistake of its writer', (index, names, message) => {
  expect(() => structureOf(rectangular, index, names)).toThrow(UserError);
  expect(() => structureOf(rectangular, index, names)).toThrow(message);
});

test.each([-1, 2.5, Number.NaN])('a structure of %d columns is refused', (count) => {
  expect(() => columnStructure(rectangular, count)).toThrow(UserError);
});
