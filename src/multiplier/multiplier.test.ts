import { expect, test } from 'vitest';
import { mapStructure } from '../netlist/mapping/map.ts';
import { emulationOf, expandTheta, removedPartialProducts, tableOfRemoval } from './multiplier.ts';
import { exactTable } from './table.ts';

test('θ expands to one share per partial product, zero beyond its columns, clamped', () => {
  expect(expandTheta([1, 0.5, 1.5], 2, 3)).toEqual({
    weightBits: 2,
    activationBits: 3,
    removed: Float64Array.from([1, 0.5, 1, 0.5, 1, 0]),
  });
});

test('a truncated multiplier is recognised as its removed partial products', () => {
  const { table } = mapStructure({ weightBits: 5, activationBits: 8, theta: [1, 1, 1, 1] });
  const removal = removedPartialProducts(table);
  expect(removal).toEqual(expandTheta([1, 1, 1, 1], 5, 8));
  expect(emulationOf({ kind: 'table', table })).toEqual({ strategy: 'planes', removal });
});

test('any subset of removed partial products is recognised, on all operand pairs', () => {
  const removed = Float64Array.from({ length: 12 }, (_, n) => Number([0, 3, 4, 7, 10].includes(n)));
  const removal = { weightBits: 3, activationBits: 4, removed };
  const table = { weightBits: 3, activationBits: 4, signed: false, data: Int32Array.from(tableOfRemoval(removal)) };
  expect(removedPartialProducts(table)).toEqual(removal);
});

test('one wrong product makes it a table', () => {
  const table = exactTable(4, 4);
  expect(emulationOf({ kind: 'table', table }).strategy).toBe('planes');
  for (const pair of [0, 17, 255]) {
    const data = table.data.slice();
    data[pair]!++;
    expect(removedPartialProducts({ ...table, data })).toBeNull();
    expect(emulationOf({ kind: 'table', table: { ...table, data } }).strategy).toBe('table');
  }
  expect(removedPartialProducts(exactTable(4, 4, true))).toBeNull();
});

test('exact and trained multipliers are planes', () => {
  const bits = { weightBits: 4, activationBits: 4 };
  expect(emulationOf({ kind: 'exact', ...bits })).toEqual({ strategy: 'planes', removal: expandTheta([], 4, 4) });
  const theta = [0.25, 0.5];
  expect(emulationOf({ kind: 'structure', ...bits, theta })).toEqual({
    strategy: 'planes',
    removal: expandTheta(theta, 4, 4),
  });
  expect(tableOfRemoval(expandTheta(theta, 4, 4))[3 * 16 + 1]).toBe(3 - 0.25 - 0.5 * 2);
});
