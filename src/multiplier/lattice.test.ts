import { describe, expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { coordinates, reducedBasis } from './lattice.ts';

const vectors = (...rows: number[][]) => rows.map((row) => Float64Array.from(row));

test('a single row generates itself, and its multiples add nothing', () => {
  const [shortest, ...more] = reducedBasis(vectors([0, 0], [2, -3], [4, -6]), 3)!;
  expect(more).toEqual([]);
  expect(Array.from(shortest!, Math.abs)).toEqual([2, 3]);
});

test('multiples that share no factor leave their greatest common divisor', () => {
  const [shortest, ...more] = reducedBasis(vectors([12, -30], [20, -50]), 3)!;
  expect(more).toEqual([]);
  expect(Array.from(shortest!, Math.abs)).toEqual([4, 10]);
});

test('short vectors are found behind long ones', () => {
  const basis = reducedBasis(vectors([1000, 1001, 7], [1001, 1002, 7], [2001, 2003, 15]), 3)!;
  expect(Math.max(...basis.flatMap((vector) => Array.from(vector, Math.abs)))).toBeLessThan(8);
});

test('a rank above the limit gives up', () => {
  expect(reducedBasis(vectors([1, 0, 0], [0, 1, 0], [0, 0, 1]), 2)).toBeUndefined();
});

test('a row outside the lattice has no coordinates', () => {
  const basis = reducedBasis(vectors([2, 0], [0, 2]), 2)!;
  expect(coordinates(vectors([2, 4]), basis)).toHaveLength(1);
  expect(coordinates(vectors([1, 0]), basis)).toBeUndefined();
});

describe('random lattices', () => {
  test.each([1, 2, 3, 5, 8])('of rank %i: every row is a whole combination of as many basis vectors', (rank) => {
    for (let seed = 0; seed < 10; seed++) {
      const random = new Random(seed, rank);
      const integer = () => random.integer(41) - 20;
      const made = Array.from({ length: rank }, () => Array.from({ length: 30 }, integer));
      const rows = Array.from({ length: 60 }, () => {
        const factors = made.map(integer);
        return Float64Array.from({ length: 30 }, (_, x) =>
          made.reduce((sum, vector, r) => sum + factors[r]! * vector[x]!, 0),
        );
      });
      const basis = reducedBasis(rows, rank)!;
      expect(basis).toHaveLength(rank);
      const found = coordinates(rows, basis)!;
      rows.forEach((row, at) => {
        const sum = row.map((_, x) => basis.reduce((total, vector, r) => total + found[at]![r]! * vector[x]!, 0));
        expect(sum).toEqual(row);
      });
    }
  });
});
