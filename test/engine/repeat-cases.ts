// Cases of operands that are repeated over others, and of sums over their places: gates per image and channel, biases
// per position, masks per window, means over tokens; one block and many, short runs and runs that are cut.

import { exp, rowSum } from '../../src/engine/graph/expression.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { formula } from '../../src/engine/operations/formula.ts';
import { meanOver, product, repeated, total } from '../../src/engine/operations/repetitions.ts';
import { type Shape, sizeOf } from '../../src/tensor/tensor.ts';
import { type Case, floatsOf, make } from './cases.ts';

const floats = floatsOf(3);

/** An operand and the shape that it is repeated over. */
const pairs: readonly (readonly [Shape, Shape])[] = [
  [
    [3, 1, 1, 8],
    [3, 4, 5, 8],
  ],
  [
    [3, 1, 1, 5],
    [3, 2, 3, 5],
  ],
  [
    [4, 6],
    [3, 4, 6],
  ],
  [
    [2, 1, 3, 4],
    [2, 2, 2, 3, 4],
  ],
  [
    [1, 5, 1, 3, 3],
    [2, 5, 2, 3, 3],
  ],
  [
    [2, 1, 1],
    [2, 3, 1],
  ],
  [
    [2, 1, 40],
    [2, 600, 40],
  ],
  [
    [2, 1, 32],
    [2, 1024, 32],
  ],
  [
    [80, 64],
    [3, 80, 64],
  ],
  [
    [2, 1, 1, 33],
    [2, 70, 31, 33],
  ],
  [
    [1, 3, 1, 1, 700],
    [12, 3, 14, 1, 700],
  ],
];

/** Results of sums over more elements have no digits left for finite differences. */
const MOST_FOR_DIFFERENCES = 400;

/** Row sums of a product with what is repeated, beside the elements: kernels that go through rows. */
const attention = formula('attention', (x, bias) => {
  const wide = exp(x.plus(bias));
  return wide.over(rowSum(wide));
});

function caseOf(name: string, shapes: readonly Shape[], build: (...values: Value[]) => Value): Case {
  const inputs = shapes.map((shape) => floats(shape));
  const all = [...inputs.keys()];
  const few = inputs.reduce((sum, { data }) => sum + data.length, 0) <= MOST_FOR_DIFFERENCES;
  const more = {
    differentiate: all,
    smooth: few ? all : [],
    build: (_: unknown, values: readonly Value[]) => [build(...values)],
  };
  return make('formula', `${name}: ${shapes.map((shape) => shape.join('×')).join(' and ')}`, inputs, {} as never, more);
}

const squared = (x: Value) => product(x, x);

export const repeatCases: readonly Case[] = [
  ...pairs.flatMap(([small, large]) => [
    caseOf('product', [large, small], product),
    caseOf('sum', [small, large], total),
    caseOf('softmax with a bias', [large, small], attention),
    caseOf('repeated, squared', [small], (x) => squared(repeated(x, large, 0.5))),
    make('repeatSum', `to ${small.join('×')} of ${large.join('×')}`, [floats(large)], { shape: small, scale: 0.25 }),
    make(
      'repeatSum',
      `of products to ${small.join('×')} of ${large.join('×')}`,
      [floats(large), floats(large)],
      {
        ...{ shape: small, scale: 1 },
      },
      { differentiate: [0, 1], smooth: sizeOf(large) <= MOST_FOR_DIFFERENCES / 2 ? [0, 1] : [] },
    ),
    make('repeatSum', `of a square to ${small.join('×')} of ${large.join('×')}`, [floats(large)], {} as never, {
      differentiate: [0],
      build: (graph, [x]) => [graph.apply1('repeatSum', [x!, x!], { shape: small, scale: 1 })],
    }),
  ]),
  caseOf('mean over tokens', [[2, 7, 12]], (x) => meanOver(x, 1)),
  caseOf('mean over the first of three axes', [[5, 3, 9]], (x) => meanOver(x, 0)),
];
