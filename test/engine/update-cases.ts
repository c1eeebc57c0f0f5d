// Updates of variables, of one run of elements and of several, and images mixed within a batch.

import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { type Case, make } from './cases.ts';

// A stream of its own: the inputs of other cases do not depend on these.
const random = new Random(20261126);
const floats = (shape: Shape, low = -1, high = 1): HostTensor =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * random.uniform()),
  );
const scalar = (value: number) => f32([], Float32Array.of(value));

const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 } as const;

/** One run, several, several and a shorter one; vectors filled or not. */
const updates = [12, 33, 32768, 16384 + 6].flatMap((count): Case[] => {
  const x = () => floats([count]);
  const corrections = f32([2], Float32Array.of(1 - 0.9 ** 3, 1 - 0.999 ** 3));
  const state = () => [x(), x(), x(), floats([count], 1e-4, 2), scalar(0.01), corrections];
  return [
    make('sgd', `Nesterov, ${count} elements`, [x(), x(), x(), scalar(0.1)], {
      ...{ momentum: 0.9, weightDecay: 5e-4, nesterov: true },
    }),
    make('adam', `${count} elements`, state(), { ...adam, decoupled: false }),
    make('adam', `decoupled decay, ${count} elements`, state(), { ...adam, decoupled: true }),
    make('movingAverage', `${count} elements`, [x(), x(), scalar(0.95)], {}),
    make('movingAverage', `the first of ${count} elements`, [x(), x(), scalar(0)], {}),
  ];
});

const boxes = (...rows: readonly (readonly number[])[]) =>
  tensor('i32', [rows.length, 5], Int32Array.from(rows.flat()));

const mixtures = [
  make(
    'mixImages',
    'boxes of partners and of nothing, over every edge',
    [
      floats([5, 6, 7, 3]),
      boxes([1, 0, 0, 3, 4], [-1, 2, 3, 9, 9], [4, -1, -2, 3, 4], [0, 2, 2, 0, 5], [4, 1, 1, 2, 2]),
      scalar(1),
    ],
    {},
  ),
  make(
    'mixImages',
    'shares, and a box',
    [floats([3, 4, 5, 2]), boxes([1, 0, 0, 0, 0], [2, 1, 1, 2, 3], [-1, 0, 0, 0, 0]), scalar(0.7)],
    {},
  ),
];

export const updateCases: readonly Case[] = [...updates, ...mixtures];
