import { expect, test } from 'vitest';
import { exactTable, firstDifference } from '../../multiplier/table.ts';
import { simulate } from '../simulate.ts';
import { arrayMultiplier } from './array.ts';

const widths = [2, 3, 4, 5, 6, 7, 8];
const allPairs = widths.flatMap((weightBits) => widths.map((activationBits) => [weightBits, activationBits] as const));

test('has 46 full and 18 half adders at 8×8', () => {
  const { adders, partialProducts } = arrayMultiplier(8, 8);
  expect(adders.filter((adder) => adder.kind === 'full')).toHaveLength(46);
  expect(adders.filter((adder) => adder.kind === 'half')).toHaveLength(18);
  expect(partialProducts).toHaveLength(64);
});

test.each(allPairs)('%i×%i gives the exact product for all operand pairs', (weightBits, activationBits) => {
  const table = simulate(arrayMultiplier(weightBits, activationBits));
  expect(firstDifference(table, exactTable(weightBits, activationBits))).toBeNull();
});

test('every adder takes bits of its own column, from partial products, sums of the column or carries of the one below', () => {
  const network = arrayMultiplier(7, 5);
  const column = new Map<number, number>();
  for (const { i, j, signal } of network.partialProducts) column.set(signal, i + j);
  for (const adder of network.adders) {
    expect(adder.inputs.map((input) => column.get(input))).toEqual(adder.inputs.map(() => adder.column));
    column.set(adder.sum!, adder.column);
    column.set(adder.carry!, adder.column + 1);
  }
});

test.each([
  [1, 8],
  [8, 27],
  [2.5, 4],
])('refuses %d×%d bits', (weightBits, activationBits) => {
  expect(() => arrayMultiplier(weightBits, activationBits)).toThrow(/bits: expected an integer from 2 to 26/);
});
