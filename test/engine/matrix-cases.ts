// Cases of products of matrices in batches and of rows picked by number: extents that fill tiles, vectors and stages
// and that do not, each operand transposed, few large matrices and many small ones.

import type { Transposed } from '../../src/engine/graph/ops.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { type Case, floats, make } from './cases.ts';

/** Finite differences of a sum over more elements are lost in its rounding. */
const MOST_FOR_DIFFERENCES = 400;

function product(outer: Shape, m: number, k: number, n: number, transposed: Transposed, scale: number): Case {
  const a = floats([...outer, ...(transposed === 'first' ? [k, m] : [m, k])]);
  const b = floats([...outer, ...(transposed === 'second' ? [n, k] : [k, n])]);
  const wanted = [0, 1];
  return make(
    'matrixProduct',
    `[${outer}] of ${m}×${k} by ${k}×${n}, ${transposed} transposed`,
    [a, b],
    { transposed, scale },
    { differentiate: wanted, smooth: a.data.length + b.data.length <= MOST_FOR_DIFFERENCES ? wanted : [] },
  );
}

const products: readonly Case[] = (
  [
    [[], 1, 1, 1],
    [[], 5, 7, 9],
    [[2, 3], 4, 3, 6],
    [[3], 16, 32, 64],
    [[2, 2], 33, 36, 35],
    [[3], 197, 64, 197],
    [[70], 49, 32, 49],
    [[1, 9], 64, 96, 24],
    [[], 128, 100, 40],
    [[], 130, 70, 260],
  ] as [Shape, number, number, number][]
).flatMap(([outer, m, k, n]) =>
  (['none', 'first', 'second'] as const).map((transposed) => product(outer, m, k, n, transposed, m === 5 ? 1 : 0.125)),
);

/** Every row of the source, the last ones not at all, the first ones many times, in no order. */
const indexOf = (length: number, count: number): number[] =>
  Array.from({ length }, (_, at) => Math.floor((((at * 37) % 101) / 101) ** 2 * (count - 1)));

const gathers: readonly Case[] = (
  [
    [1, 1, 1],
    [7, 3, 11],
    [169, 6, 2401],
    [16, 16, 64],
    [300, 130, 256],
    [9, 4096, 8],
    [70, 5000, 30],
  ] as [number, number, number][]
).map(([count, columns, length]) => {
  const x = floats([count, columns]);
  return make(
    'gatherRows',
    `${length} of ${count} rows of ${columns}`,
    [x],
    { index: indexOf(length, count) },
    { differentiate: [0], smooth: x.data.length <= MOST_FOR_DIFFERENCES ? [0] : [] },
  );
});

export const matrixCases: readonly Case[] = [...products, ...gathers];
