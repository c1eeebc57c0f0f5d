// Shapes, starting values and multiplications of layers, worked out by hand.

import { expect, test } from 'vitest';
import { Graph, type Value } from '../engine/graph/graph.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { UserError } from '../tensor/errors.ts';
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

test('an image is flattened as PyTorch does it, channel by channel', async () => {
  const graph = new Graph();
  const layers = new Layers(graph, { training: false, multiply: multiplyFloat });
  graph.output('rows', layers.flatten(graph.input('x', [2, 1, 2, 3])));
  const session = await referenceBackend().openSession();
  const program = await session.compile(graph);
  // The numbers of an image [C, H, W] in order, as they lie in [H, W, C].
  program.write('x', Float32Array.of(0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11));
  await program.run();
  expect([...(await program.read('rows'))]).toEqual(Array.from({ length: 12 }, (_, at) => at));
  expect(graph.outputs.get('rows')?.shape).toEqual([2, 6]);
});

test('the stride of a max pool is its size, unless told', () => {
  const graph = new Graph();
  const layers = new Layers(graph, { training: false, multiply: multiplyFloat });
  expect(layers.maxPool(graph.input('x', [2, 6, 4, 5]), 2).shape).toEqual([2, 3, 2, 5]);
});

type Build = (nn: Layers, x: Value, more: (given: unknown) => never) => unknown;

test.each<[string, Build, RegExp]>([
  [
    'a misspelt option of a convolution',
    (nn, x, more) => nn.conv('c', x, more({ out: 4, kernel: 3, strides: 2 })),
    /^c: no option is called 'strides'; did you mean 'stride'\? \(out, kernel, stride/,
  ],
  [
    'no options',
    (nn, x, more) => nn.conv('c', x, more(undefined)),
    /^c: nothing for its options; expected an object of/,
  ],
  [
    'a number for options',
    (nn, x, more) => nn.batchNorm('b', x, more(1e-3)),
    /^b: number 0\.001 for its options; expected an object of epsilon, momentum/,
  ],
  [
    'an option of a pool',
    (nn, x, more) => nn.averagePool(x, 2, 2, 0, more({ ceilMode: true })),
    /^averagePool: no option/,
  ],
  [
    'no name',
    (nn, x, more) => nn.conv(more(x), more({ out: 4, kernel: 1 }), more(undefined)),
    /^conv: an object; expected/,
  ],
  ['an empty name', (nn, x) => nn.linear('', x, 3), /^linear: the name ""; expected first the layer's name/],
  ['a name with a blank', (nn, x) => nn.layerNorm('a b', x), /^layerNorm: the name "a b"/],
  ['a name as of the state of training', (nn, x) => nn.layerNorm('a#b', x), /^layerNorm: the name "a#b"/],
  [
    'negative channels',
    (nn, x) => nn.conv('c', x, { out: -4, kernel: 1 }),
    /^c: out: number -4; expected a whole number/,
  ],
  [
    'a kernel of nothing',
    (nn, x) => nn.conv('c', x, { out: 4, kernel: [1, 0] }),
    /^c: kernel: \[1, 0\]; expected a whole/,
  ],
  ['half a pixel', (nn, x) => nn.conv('c', x, { out: 4, kernel: 1, padding: 0.5 }), /^c: padding: number 0\.5/],
  [
    'groups that do not divide the inputs',
    (nn, x) => nn.conv('c', x, { out: 8, kernel: 1, groups: 4 }),
    /^c: 4 groups of 6 input and 8 output channels; they must divide both/,
  ],
  [
    'groups that do not divide the outputs',
    (nn, x) => nn.conv('c', x, { out: 4, kernel: 1, groups: 3 }),
    /divide both/,
  ],
  [
    'rows for an image',
    (nn, x) => nn.conv('c', nn.globalAveragePool(x), { out: 4, kernel: 1 }),
    /^c: a value of shape \[2, 6\]; expected an image \[N, height, width, channels\]/,
  ],
  [
    'rows to average',
    (nn, x) => nn.globalAveragePool(nn.globalAveragePool(x)),
    /^globalAveragePool: a value of shape \[2, 6\]/,
  ],
  ['nothing to pool', (nn, _, more) => nn.maxPool(more(undefined), 2), /^maxPool: nothing; expected an image/],
  ['no outputs', (nn, x, more) => nn.linear('l', x, more(undefined)), /^l: outputs: nothing; expected a whole number/],
])('%s is refused where it is handed over', (_, build, message) => {
  const graph = new Graph();
  const layers = new Layers(graph, { training: false, multiply: multiplyFloat });
  let told = '';
  try {
    build(layers, graph.input('x', [2, 8, 8, 6]), (given) => given as never);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    told = (error as Error).message;
  }
  expect(told).toMatch(message);
});
