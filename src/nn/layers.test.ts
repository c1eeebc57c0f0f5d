// Shapes, starting values and multiplications of layers, worked out by hand.

import { expect, test } from 'vitest';
import { Graph } from '../engine/graph/graph.ts';
import { Layers, multiplyFloat } from './layers.ts';

test('windows that differ along the axes, as in Inception', () => {
  const graph = new Graph();
  const layers = new Layers(graph, { training: false, multiply: multiplyFloat });
  const image = graph.input('x', [2, 17, 13, 8]);
  expect(layers.conv('1x7', image, { out: 4, kernel: [1, 7], padding: [0, 3] }).shape).toEqual([2, 17, 13, 4]);
  const spec = { out: 4, kernel: [3, 2], stride: [2, 1], padding: [2, 0], dilation: [2, 5] } as const;
  // (17 + 4 − 5) / 2 + 1 rows, 13 − 6 + 1 columns.
  expect(layers.conv('dilated', image, spec).shape).toEqual([2, 9, 8, 4]);
  expect(layers.maxPool(image, [3, 2], [2, 1], [1, 0]).shape).toEqual([2, 9, 12, 8]);
  expect(layers.multiplying.map(({ name, macs, geometry }) => [name, macs, geometry])).toEqual([
    ['1x7', 17 * 13 * 4 * 7 * 8, { stride: [1, 1], padding: [0, 3], dilation: [1, 1], groups: 1 }],
    ['dilated', 9 * 8 * 4 * 6 * 8, { stride: [2, 1], padding: [2, 0], dilation: [2, 5], groups: 1 }],
  ]);
  expect(layers.parameters.map(({ name, value, initial }) => [name, value.shape, initial])).toEqual([
    ['1x7.weight', [1, 7, 8, 4], { kind: 'normal', deviation: Math.sqrt(2 / 28) }],
    ['dilated.weight', [3, 2, 8, 4], { kind: 'normal', deviation: Math.sqrt(2 / 24) }],
  ]);
});

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

test('a layer norm has the tensors of PyTorch, and the others none', () => {
  const graph = new Graph();
  const layers = new Layers(graph, { training: true, multiply: multiplyFloat });
  const tokens = layers.layerNorm('norm1', graph.input('x', [2, 5, 12]), 1e-6);
  const heads = layers.permute(layers.slice(layers.gelu(tokens), -1, 4, 12), [0, 2, 1]);
  expect(layers.concat([layers.softmax(heads), layers.roll(heads, [2], [1])], 2).shape).toEqual([2, 8, 10]);
  expect([layers.silu(tokens), layers.sigmoid(tokens)].map(({ shape }) => shape)).toEqual([
    [2, 5, 12],
    [2, 5, 12],
  ]);
  expect(layers.parameters.map(({ name, value, initial }) => [name, value.shape, initial])).toEqual([
    ['norm1.weight', [12], { kind: 'constant', value: 1 }],
    ['norm1.bias', [12], { kind: 'constant', value: 0 }],
  ]);
});
