// Shapes, starting values and multiplications of layers, worked out by hand.

import { expect, test } from 'vitest';
import { Graph } from '../engine/graph/graph.ts';
import { Layers, multiplyFloat } from './layers.ts';

test('a grouped, strided convolution and a linear layer', () => {
  const graph = new Graph();
  const layers = new Layers(graph, { training: false, multiply: multiplyFloat });
  const spec = { out: 6, kernel: 3, stride: 2, padding: 1, groups: 2, bias: true };
  const y = layers.conv('conv', graph.input('x', [5, 8, 8, 4]), spec);
  expect(y.shape).toEqual([5, 4, 4, 6]);
  expect(layers.linear('fc', layers.globalAveragePool(y), 10).shape).toEqual([5, 10]);

  const initial = new Map(layers.parameters.map(({ name, value, initial: start }) => [name, [value.shape, start]]));
  // Each input reaches 9 taps of the 3 outputs of its group; each output reads 9 taps of 2 channels.
  expect(Object.fromEntries(initial)).toEqual({
    'conv.weight': [[3, 3, 2, 6], { kind: 'normal', deviation: Math.sqrt(2 / 27) }],
    'conv.bias': [[6], { kind: 'uniform', bound: 1 / Math.sqrt(18) }],
    'fc.weight': [[1, 1, 6, 10], { kind: 'uniform', bound: 1 / Math.sqrt(6) }],
    'fc.bias': [[10], { kind: 'uniform', bound: 1 / Math.sqrt(6) }],
  });
  // 4×4 positions of 6 outputs with 18 products each; 6 features by 10 classes.
  expect(layers.multiplying.map(({ name, kind, macs }) => [name, kind, macs])).toEqual([
    ['conv', 'convolution', 16 * 6 * 18],
    ['fc', 'linear', 60],
  ]);
});
