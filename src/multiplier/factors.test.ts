import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { factorsOf } from './factors.ts';

const random = new Random(11);
const vector = (length: number) => Float64Array.from({ length }, () => random.uniform() - 0.5);

test('a sum of three products is found again, in a rectangular table, to float32’s rounding', () => {
  const [rows, columns] = [16, 256];
  const terms = [1, 100, 0.01].map((size) => ({ u: vector(rows).map((value) => size * value), v: vector(columns) }));
  const table = Float32Array.from({ length: rows * columns }, (_, at) =>
    terms.reduce((sum, { u, v }) => sum + u[Math.floor(at / columns)]! * v[at % columns]!, 0),
  );
  const { rank, left, right } = factorsOf(table, rows, columns, 8)!;
  expect(rank).toBe(3);
  const largest = table.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  table.forEach((value, at) => {
    let sum = 0;
    for (let k = 0; k < rank; k++)
      sum += left[Math.floor(at / columns) * rank + k]! * right[(at % columns) * rank + k]!;
    expect(Math.abs(sum - value)).toBeLessThan(4e-6 * largest);
  });
});

test('a table of more terms than asked for is refused, and zeros are one term', () => {
  const table = vector(8 * 8);
  expect(factorsOf(table, 8, 8, 7)).toBeUndefined();
  expect(factorsOf(table, 8, 8, 8)?.rank).toBe(8);
  expect(factorsOf(new Float32Array(12), 3, 4, 1)).toEqual({
    rank: 1,
    left: new Float32Array(3),
    right: new Float32Array(4),
  });
});
