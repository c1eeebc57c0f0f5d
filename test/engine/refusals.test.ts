// What operations refuse when a graph is built: types, and places outside of a tensor, that a kernel would take for
// others.

import { expect, test } from 'vitest';
import { Graph } from '../../src/engine/graph/graph.ts';
import { roll } from '../../src/engine/operations/movements.ts';
import type { DType } from '../../src/tensor/tensor.ts';

test.each(['u8', 'i32'] as const)('floats are not read from %s', (dtype: DType) => {
  const graph = new Graph();
  const [x, y] = [graph.input('x', [8], dtype), graph.input('y', [8])];
  expect(() => graph.apply('relu', [x], {})).toThrow(`relu: inputs ${dtype}[8]; expected f32`);
  expect(() => graph.apply('add', [y, x], { alpha: 1, beta: 1 })).toThrow(
    `add: inputs f32[8], ${dtype}[8]; expected f32`,
  );
  expect(() =>
    graph.apply('quantize', [x, graph.scalar(1), graph.scalar(0)], { bits: 8, granularity: 'tensor' }),
  ).toThrow('expected f32');
});

test('a box stays within its tensors in either direction', () => {
  const graph = new Graph();
  const x = graph.input('x', [2, 5]);
  const backwards = (first: number, stride = -1) =>
    graph.apply('move', [x], {
      name: 'flip',
      shape: [2, 5],
      boxes: [{ input: 0, extents: [2, 5], from: { first, strides: [5, stride] }, to: { first: 0, strides: [5, 1] } }],
    });
  expect(() => backwards(4)).not.toThrow();
  expect(() => backwards(3)).toThrow('flip: inputs f32[2, 5]');
  expect(() => backwards(5)).toThrow('flip: inputs f32[2, 5]');
  expect(() => backwards(4, -0.5)).toThrow('flip: inputs f32[2, 5]');
});

test('a cyclic shift is a whole number for each axis', () => {
  const x = new Graph().input('x', [2, 5]);
  expect(() => roll(x, [0.5], [1])).toThrow('roll: by 0.5 along 1; expected a whole number for each axis');
  expect(() => roll(x, [1], [0, 1])).toThrow('roll: by 1 along 0, 1; expected a whole number for each axis');
});
