import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { errorOfRemoval, removedPartialProducts, tableOfRemoval } from './removal.ts';
import { expandTheta } from './structure.ts';
import { exactTable } from './table.ts';

test('a product lacks the shares of its partial products, and the error is what it lacks', () => {
  const removal = expandTheta([0.25, 0.5], 4, 4);
  expect(tableOfRemoval(removal)[3 * 16 + 1]).toBe(3 - 0.25 - 0.5 * 2);
  expect(errorOfRemoval(removal)[3 * 16 + 1]).toBe(-0.25 - 0.5 * 2);
  expect(errorOfRemoval(expandTheta([], 3, 2))).toEqual(new Float64Array(32));
});

test.each([
  [8, 8],
  [3, 6],
  [6, 1],
])(
  'the error of %i×%i bits is, to the last bit, the shares of a code one after the other',
  (weightBits, activationBits) => {
    const random = new Random(4, weightBits);
    const removed = Float64Array.from({ length: weightBits * activationBits }, () => random.uniform() - 0.1);
    const shareOf = (w: number, j: number) => {
      let lost = 0;
      for (let i = 0; i < weightBits; i++) if ((w >> i) & 1) lost += removed[i * activationBits + j]! * 2 ** (i + j);
      return lost;
    };
    const expected = Float64Array.from({ length: 2 ** (weightBits + activationBits) }, (_, pair) => {
      let error = 0;
      for (let j = 0; j < activationBits; j++) if ((pair >> j) & 1) error -= shareOf(pair >> activationBits, j);
      return error;
    });
    expect(errorOfRemoval({ weightBits, activationBits, removed })).toEqual(expected);
  },
);

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
