// Cases of the operations that are made from a definition: formulas in each place of their operands and each form of a
// row, movements in each form of a box. Odd extents, one element, one row, many rows, channels that do not fill a
// vector.

import { exp, log, rowMean, rowSum, squareRoot } from '../../src/engine/graph/expression.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import {
  gelu,
  hardSigmoid,
  hardSwish,
  leakyRelu,
  relu6,
  sigmoid,
  silu,
  tanh,
} from '../../src/engine/operations/activations.ts';
import { divergence } from '../../src/engine/operations/divergence.ts';
import { formula } from '../../src/engine/operations/formula.ts';
import { concat, pad, permute, roll, slice, splitHeads } from '../../src/engine/operations/movements.ts';
import { layerNorm, softmax } from '../../src/engine/operations/normalizations.ts';
import { type HostTensor, type Shape, sizeOf } from '../../src/tensor/tensor.ts';
import { type Case, floats, floatsOf, make } from './cases.ts';

/** Finite differences of a sum over more elements are lost in its rounding. */
const MOST_FOR_DIFFERENCES = 400;

/** A case of one result, differentiated by all operands. */
function defined(
  op: 'formula' | 'move',
  name: string,
  inputs: readonly HostTensor[],
  build: (...values: Value[]) => Value,
): Case {
  const all = [...inputs.keys()];
  const elements = inputs.reduce((sum, { data }) => sum + data.length, 0);
  return {
    name,
    op,
    inputs,
    attributes: {} as never,
    differentiate: all,
    smooth: elements <= MOST_FOR_DIFFERENCES ? all : [],
    exact: op === 'move',
    build: (_, values) => [build(...values)],
  };
}

const named = (shape: Shape) => shape.join('×') || 'a scalar';

function activations(): Case[] {
  const shapes: Shape[] = [[], [1], [3], [5, 7], [2, 3, 5, 16], [3, 10923], [4, 8192]];
  return Object.entries({ gelu, sigmoid, silu }).flatMap(([name, operation]) =>
    shapes.map((shape) =>
      defined('formula', `${name}: ${named(shape)}`, [floats(shape, ...rangeOf(shape))], operation),
    ),
  );
}

function moreActivations(): Case[] {
  const floats = floatsOf(2);
  const leaky = (x: Value) => leakyRelu(x, 0.1);
  return Object.entries({ relu6, hardSigmoid, hardSwish, leaky, tanh }).map(([name, operation]) =>
    defined('formula', `${name}: both ends`, [floats([5, 7], -4.5, 4.5)], operation),
  );
}

/** Large tensors reach the flat ends, where a difference of small steps has no digits left. */
const rangeOf = (shape: Shape): [number, number] => (sizeOf(shape) > MOST_FOR_DIFFERENCES ? [-8, 8] : [-2, 2]);

function normalizations(): Case[] {
  const shapes: Shape[] = [
    [1],
    [7],
    [1, 5],
    [9, 1],
    [6, 3],
    [5, 17],
    [3, 4, 64],
    [3, 256],
    [257, 70],
    [2, 1031],
    [40, 500],
    [3, 2048],
    [2, 1500],
    [2, 20000],
    [1, 20001],
  ];
  return shapes.flatMap((shape) => {
    const channels = [shape.at(-1)!];
    const norm = (epsilon: number) => (x: Value, weight: Value, bias: Value) => layerNorm(x, weight, bias, epsilon);
    // A row of one element has no variance: what is left is ε, and the result the bias.
    const epsilon = channels[0] === 1 ? 1e-2 : 1e-5;
    return [
      defined('formula', `softmax: ${named(shape)}`, [floats(shape, -4, 4)], softmax),
      defined(
        'formula',
        `layerNorm: ${named(shape)}`,
        [floats(shape, -1, 3), floats(channels, 0.5, 1.5), floats(channels)],
        norm(epsilon),
      ),
    ];
  });
}

/** Rows of all widths, temperatures that sharpen and flatten, logits that would overflow. */
function divergences(): Case[] {
  const floats = floatsOf(4);
  const cases: [Shape, number, number][] = [
    [[1], 4, 4],
    [[1, 5], 1, 4],
    [[9, 1], 4, 4],
    [[5, 17], 4, 3],
    [[6, 10], 20, 40],
    [[2, 3, 27], 0.5, 2],
    [[257, 70], 4, 6],
    [[40, 500], 2, 6],
    [[3, 2048], 4, 6],
    [[2, 20000], 4, 6],
    [[4, 100], 1, 300],
  ];
  return cases.map(([shape, temperature, most]) => ({
    ...defined(
      'formula',
      `divergence: ${named(shape)} at ${temperature}, logits up to ${most}`,
      [floats(shape, -most, most), floats(shape, -most, most)],
      (student, teacher) => divergence(student!, teacher!, temperature),
    ),
    // The teacher is given. At high temperatures differences drown in the rounding of T² times what nearly cancels.
    ...{
      differentiate: [0],
      smooth: sizeOf(shape) <= MOST_FOR_DIFFERENCES && most < 10 && temperature < 20 ? [0] : [],
    },
  }));
}

/** Means of rows and of all: in their gradients the number of elements of a row alone says that there are rows. */
function means(): Case[] {
  const shapes: Shape[] = [[1], [7], [256], [1030], [3, 8], [5, 9], [2, 1500]];
  return shapes.map((shape) => defined('formula', `mean: ${named(shape)}`, [floatsOf(3)(shape, -1, 2)], mean));
}
const mean = formula('mean', (x) => rowMean(x));

/** Over the magnitudes that a logarithm tells apart. */
function logarithms(): Case[] {
  const logarithm = formula('log', (x) => log(x));
  return [[], [7], [5, 16], [3, 10923]].map((shape) =>
    defined('formula', `log: ${named(shape)}`, [floats(shape, 0.05, 9)], logarithm),
  );
}

function movements(): Case[] {
  const orders: [Shape, number[]][] = [
    [[6], [0]],
    [
      [5, 7],
      [1, 0],
    ],
    [
      [1, 1],
      [1, 0],
    ],
    [
      [64, 48],
      [1, 0],
    ],
    [
      [150, 300],
      [1, 0],
    ],
    [
      [64, 512],
      [1, 0],
    ],
    [
      [3, 5, 6],
      [2, 0, 1],
    ],
    [
      [2, 9, 4, 33],
      [0, 2, 1, 3],
    ],
    [
      [2, 9, 4, 5],
      [0, 2, 1, 3],
    ],
    [
      [2, 7, 3, 20],
      [0, 2, 3, 1],
    ],
    [
      [2, 3, 4, 5, 6],
      [4, 2, 0, 3, 1],
    ],
    [
      [16, 90, 4, 8],
      [2, 0, 1, 3],
    ],
  ];
  return [
    ...orders.map(([shape, order]) =>
      defined('move', `permute: ${named(shape)} to ${order.join(', ')}`, [floats(shape)], (x) => permute(x, order)),
    ),
    ...[0, 1, -1].map((axis) =>
      defined('move', `concat: along ${axis}`, [floats([3, 4, 5]), floats([3, 4, 5])], (a, b) =>
        concat([a!, b!], axis),
      ),
    ),
    defined(
      'move',
      'concat: three, of other extents',
      [floats([2, 1, 3]), floats([2, 9, 3]), floats([2, 2, 3])],
      (...x) => concat(x, 1),
    ),
    defined('move', 'concat: long runs', [floats([2, 40000]), floats([2, 7])], (...x) => concat(x, 1)),
    defined('move', 'concat: many short runs', [floats([9000, 2]), floats([9000, 1])], (...x) => concat(x, 1)),
    defined('move', 'slice: rows', [floats([7, 3, 5])], (x) => slice(x, 0, 2, 5)),
    defined('move', 'slice: channels', [floats([4, 3, 50])], (x) => slice(x, -1, 7, 49)),
    defined('move', 'slice: one element', [floats([4, 3, 5])], (x) =>
      slice(slice(slice(x, 0, 3, 4), 1, 0, 1), 2, 4, 5),
    ),
    ...(
      [
        [[2, 5, 24], 3, 4],
        [[2, 3, 9, 96], 3, 2],
        [[7, 6], 3, 2],
        [[1, 1, 15], 3, 1],
      ] as [Shape, number, number][]
    ).map(([shape, parts, heads]) =>
      // Their gradients go to different places of one tensor, and the last is read twice.
      defined('move', `splitHeads: ${named(shape)}`, [floats(shape)], (x) => {
        const values = splitHeads(x, parts, heads);
        return concat([...values, values.at(-1)!], 0);
      }),
    ),
    defined('move', 'slices: that meet, leave something and overlap', [floats([7, 10])], (x) => {
      const [a, b, c] = [slice(x, 1, 0, 3), slice(x, 1, 3, 5), slice(x, 1, 8, 10)];
      return concat([a, b, c, slice(x, 1, 2, 4)], 1);
    }),
    defined('move', 'slices: of an axis of one element', [floats([4, 1, 6])], (x) =>
      concat(
        [slice(x, 1, 0, 1), slice(x, 2, 0, 2), slice(x, 0, 1, 2)].map((part) => pad(part, 0, 4 - part.shape[0]!, 0)),
        -1,
      ),
    ),
    defined('move', 'pad', [floats([3, 4])], (x) => pad(pad(x, 0, 1, 2), 1, 3, 0)),
    defined('move', 'roll: both axes of a window', [floats([2, 6, 7, 3])], (x) => roll(x, [-2, 3], [1, 2])),
    defined('move', 'roll: by a whole turn and more', [floats([5, 4])], (x) => roll(x, [5, -9], [0, 1])),
    defined('move', 'roll: one element', [floats([1])], (x) => roll(x, [3], [0])),
  ];
}

/** A sum of two softmaxes: two values of each element are kept between the passes. */
const twoSoftmaxes = formula('twoSoftmaxes', (x) => {
  const [wide, narrow] = [exp(x), exp(x.times(0.5))];
  return wide.over(rowSum(wide)).plus(narrow.over(rowSum(narrow)));
});

/** What a second differentiation meets: an output of elements that are all one value of their row. */
const ofGradient = (x: Value): Value => {
  const cube = formula('cube', (x) => rowSum(x).times(rowSum(x)).times(rowSum(x)));
  const y = cube(x);
  return gradients(x.graph.apply1('dot', [y, y], {}), [x])[0]!;
};

/** Operands in every place, and an output of one value per row. */
const places = (x: Value, channel: Value, row: Value, one: Value): Value => {
  const all = formula('places', (x, c, r, s) =>
    x
      .times(c)
      .plus(r.times(s))
      .over(squareRoot(s.plus(3))),
  );
  const length = formula('length', (x, r, s) => squareRoot(rowSum(x.times(x)).plus(r.times(r)).plus(s.times(s))));
  return concat([all(x, channel, row, one), length(x, row, one)], -1);
};

/** Operations of the contract with a formula for meaning, in sizes that fill vectors and blocks and that do not. */
function contract(): Case[] {
  const ops = [
    ['scaleBy', 1, {}],
    ['relu', 0, {}],
    ['reluGradient', 1, {}],
    ['clampStraightThrough', 0, { low: -0.5, high: 0.5 }],
    ['divide', 1, {}],
  ] as const;
  return [[65536], [3, 1366], [4, 16385], [8193]].flatMap((shape) => [
    ...ops.map(([op, more, attributes]) => {
      const second = op === 'scaleBy' ? floats([]) : floats(shape, 0.5, 2);
      return make(op, named(shape), [floats(shape), ...(more ? [second] : [])], attributes as never);
    }),
    make('broadcast', named(shape), [floats([])], { count: sizeOf(shape) }),
  ]);
}

function composed(): Case[] {
  const inPlaces = (shape: Shape) => [floats(shape), floats([shape.at(-1)!]), floats(shape.with(-1, 1)), floats([])];
  const [tall, wide] = [
    { input: 0, extents: [40, 20], from: { first: 0, strides: [1, 40] }, to: { first: 0, strides: [50, 1] } },
    { input: 1, extents: [48, 20], from: { first: 0, strides: [1, 48] }, to: { first: 22, strides: [50, 1] } },
  ];
  const movement = { name: 'two matrices', shape: [48, 50], boxes: [tall!, wide!] };
  return [
    ...[
      [5, 12],
      [3, 30],
    ].map((shape) => defined('formula', `two softmaxes: ${named(shape)}`, [floats(shape, -2, 2)], twoSoftmaxes)),
    ...[
      [2, 3, 8],
      [4, 5],
      [700, 30],
    ].map((shape) => defined('formula', `operands in every place: ${named(shape)}`, inPlaces(shape), places as never)),
    defined('formula', 'the gradient of a gradient', [floats([3, 5])], ofGradient),
    defined('move', 'two transposed matrices with zeros around', [floats([20, 40]), floats([20, 48])], (x, y) =>
      x!.graph.apply1('move', [x!, y!], movement),
    ),
  ];
}

export const formulaCases: readonly Case[] = [
  ...activations(),
  ...normalizations(),
  ...divergences(),
  ...means(),
  ...logarithms(),
  ...movements(),
  ...composed(),
  ...contract(),
  ...moreActivations(),
];
