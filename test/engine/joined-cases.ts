// Neighbouring operations that a backend may join into one kernel (src/engine/cuda/lower/fuse.ts), and work of the
// sizes at which kernels for matrix units are tiled differently.

import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import type { OpAttributes } from '../../src/engine/graph/ops.ts';
import { square } from '../../src/engine/graph/window.ts';
import type { ProductError } from '../../src/multiplier/error.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { type Case, constant, floats, floatsOf, make, operands } from './cases.ts';
import { approximateCase } from './path-cases.ts';

const plus = { alpha: 1, beta: 1 };

/**
 * Batch norm with an addition, a relu, or both behind it, and the range of that. Inputs: x, gamma, beta, what is added,
 * what moves.
 */
function normalizations(): Case[] {
  const norm = (graph: Graph, [x, gamma, beta]: readonly Value[]): Value =>
    graph.apply('batchNorm', [x!, gamma!, beta!], { epsilon: 1e-5 })[0]!;
  const relu = (graph: Graph, x: Value) => graph.apply1('relu', [x], {});
  const sum = (graph: Graph, a: Value, b: Value) => graph.apply1('add', [a, b], plus);
  const forms: [string, (graph: Graph, inputs: readonly Value[]) => Value][] = [
    ['a relu', (graph, inputs) => relu(graph, norm(graph, inputs))],
    ['an addition', (graph, inputs) => sum(graph, norm(graph, inputs), inputs[3]!)],
    ['an addition and a relu', (graph, inputs) => relu(graph, sum(graph, norm(graph, inputs), inputs[3]!))],
  ];
  const limited = (graph: Graph, inputs: readonly Value[]) =>
    graph.apply1('relu', [norm(graph, inputs)], { limit: 1.25 });
  const shapes: Shape[] = [
    [2, 3, 5, 20],
    [3000, 32],
    [40, 160],
    [2, 3, 5, 7],
    [3000, 33],
    [600, 2],
  ];
  const withShape = (shape: Shape, note: string, build: (typeof forms)[number][1], isRanged = false) => {
    const c = shape.at(-1)!;
    const inputs = [floats(shape, -1, 3), floats([c], 0.5, 1.5), floats([c]), floats(shape)];
    const adds = note.includes('addition');
    return make(
      'relu',
      `batch norm with ${note}${isRanged ? ' and a range' : ''} behind it, [${shape.join(', ')}]`,
      isRanged ? [...inputs, ...rangeBefore] : inputs,
      {},
      {
        differentiate: adds ? [0, 1, 2, 3] : [0, 1, 2],
        build: (graph, values) => {
          const y = build(graph, values);
          if (!isRanged) return [y];
          const range = movingRange(graph, [y, ...values.slice(4)]);
          // As a training step does, which updates beta, and has what is added for its own gradient.
          const read = [values[2]!, ...(adds ? [values[3]!] : [])];
          return [y, ...range, ...read.map((value) => graph.apply1('affine', [value], { scale: 2, offset: 0 }))];
        },
      },
    );
  };
  return shapes.flatMap((shape) => [
    ...forms.map(([note, build]) => withShape(shape, note, build)),
    ...[...forms, ['a limited relu', limited] as const].map(([note, build]) => withShape(shape, note, build, true)),
  ]);
}

/** What a quantiser in training forms of x: the range, its moving averages, and the scale that they give. */
function movingRange(graph: Graph, [x, low, high, upper, lower]: readonly Value[], holdsZero = false) {
  const [min, max] = graph.apply('minMax', [x!], { granularity: 'tensor', holdsZero }) as [Value, Value];
  const average = { alpha: 0.75, beta: 0.25 };
  const averages = [graph.apply1('add', [low!, min], average), graph.apply1('add', [high!, max], average)];
  return [...graph.apply('clipScale', [...averages, upper!, lower!], { bits: 8 }), ...averages];
}
const rangeBefore = [-1, 2, 4, 4].map((v) => constant([], v));

/** The range of a tensor, its moving averages, and the scale that they give. */
const ranges: readonly Case[] = [
  { count: 64, holdsZero: false },
  { count: 40_000, holdsZero: false },
  { count: 40_000, holdsZero: true },
].map(({ count, holdsZero }) =>
  make(
    'minMax',
    `moving range of ${count} elements${holdsZero ? ' and 0' : ''}`,
    [floats([count], holdsZero ? 1 : -1, 3), ...rangeBefore],
    { granularity: 'tensor', holdsZero },
    {
      build: (graph, [x, ...before]) => [
        ...movingRange(graph, [x!, ...before], holdsZero),
        graph.apply1('affine', [x!], { scale: 2, offset: 0 }),
      ],
    },
  ),
);

/** A table that is a sum over `terms`, a function of each operand in each. */
function sumTable(
  terms: readonly { readonly u: (w: number) => number; readonly v: (x: number) => number }[],
): HostTensor {
  const entry = (w: number, x: number) => terms.reduce((sum, { u, v }) => sum + u(w) * v(x), 0);
  return tensor(
    'i32',
    [256, 256],
    Int32Array.from({ length: 65_536 }, (_, at) => entry(at >> 8, at & 255)),
  );
}

const random = new Random(17);
const list = (below: number) => Array.from({ length: 256 }, () => random.integer(below));
const pairsOfBits = Array.from({ length: 8 }, (_, i) =>
  Array.from({ length: i }, (_, j) => (1 << i) | (1 << j)),
).flat();

/**
 * Of products of two bits: so many that the weights fill the shared memory at the usual tiles, if not of every device.
 */
const productsOfBits = (count: number): HostTensor =>
  sumTable(
    pairsOfBits.slice(0, count).map((mask) => {
      const u = list(10);
      return { u: (w) => u[w]!, v: (x) => ((x & mask) === mask ? 1 : 0) };
    }),
  );

/** Of functions of the activation, each of codes of its own, whose weights have two or three digits. */
const functionsOf = (...digits: readonly (1 | 2 | 3)[]): HostTensor =>
  sumTable(
    digits.map((count, k) => {
      const [u, v] = [list([16, 8000, 11_900][count - 1]!), list(7)];
      return { u: (w) => u[w]!, v: (x) => (x > 0 && x % digits.length === k ? 1 + v[x]! : 0) };
    }),
  );

function factored(
  note: string,
  table: HostTensor,
  x: Shape,
  w: Shape,
  padding = 1,
  forced: { readonly emulation?: 'lowrank' } = { emulation: 'lowrank' },
): Case {
  return make(
    'axmConv2d',
    `factored table, ${note}`,
    [...operands(x, w, 8, 8), table],
    {
      ...square({ padding }),
      weightBits: 8,
      activationBits: 8,
      error: { kind: 'table', ...forced },
    },
    { constants: [6] },
  );
}

const sizes: readonly Case[] = [
  ...[7, 16].flatMap((batch) => [
    approximateCase(
      `${batch} images to 4 channels`,
      { x: [batch, 16, 16, 3], w: [3, 3, 3, 4] },
      [8, 8],
      'table with slopes',
    ),
  ]),
  approximateCase('an image to 256 channels', { x: [1, 8, 8, 16], w: [3, 3, 16, 256] }, [8, 8], 'truncation', true),
  approximateCase('17 images to 64 channels', { x: [17, 16, 16, 3], w: [3, 3, 3, 64] }, [8, 8], 'structure', true),
  factored('an image to 256 channels', functionsOf(1), [1, 8, 8, 16], [3, 3, 16, 256]),
  factored('to 7 channels', functionsOf(1), [2, 8, 8, 16], [3, 3, 16, 7]),
  // Whether these fit depends on the device: looked up where they do not.
  ...(
    [
      ['20 products of bits', productsOfBits(20)],
      ['28 products of bits', productsOfBits(28)],
      ['5 functions', functionsOf(2, 2, 2, 2, 2)],
      ['8 functions', functionsOf(3, 3, 3, 3, 2, 2, 2, 2)],
    ] as const
  ).flatMap(([note, table]) => [
    factored(`${note}, few pixels`, table, [1, 8, 8, 16], [1, 1, 16, 64], 0, {}),
    factored(`${note}, many pixels`, table, [5, 16, 16, 16], [1, 1, 16, 64], 0, {}),
  ]),
];

type Window = readonly [note: string, x: Shape, w: Shape, stride: number, padding: number];
/** Whole tiles of f16, with each number of vectors that a thread holds, and several tiles on both sides. */
const onF16: readonly Window[] = [
  ...[23, 31, 39].map((width) => [`64 channels, ${width} columns`, [1, 3, width, 64], [3, 3, 64, 64], 1, 1] as const),
  ['64 channels with stride 2, pointwise', [2, 6, 14, 64], [1, 1, 64, 64], 2, 0],
  ...[7, 15, 23, 31, 39].map(
    (width) => [`64 channels to ${width} columns, stride 2`, [1, 4, 2 * width, 64], [3, 3, 64, 64], 2, 1] as const,
  ),
  ['192 to 64 channels of small images, stride 2', [7, 4, 4, 192], [3, 3, 192, 64], 2, 1],
  ['128 to 192 channels', [1, 5, 7, 128], [3, 3, 128, 192], 1, 1],
  ['128 to 192 channels, stride 2', [1, 6, 10, 128], [3, 3, 128, 192], 2, 1],
  ['64 to 128 channels of many pixels, stride 2', [5, 18, 22, 64], [3, 3, 64, 128], 2, 1],
];

/** Products of a single tap: each size of a block, on a device of two multiprocessors, and sums in parts. */
const pointwise: readonly Window[] = [
  ['one pixel of 192 channels to 128, pointwise', [1, 1, 1, 192], [1, 1, 192, 128], 1, 0],
  ['192 to 64 channels, pointwise', [2, 6, 7, 192], [1, 1, 192, 64], 1, 0],
  ...[128, 192, 256].map((o) => [`64 to ${o} channels, pointwise`, [2, 9, 17, 64], [1, 1, 64, o], 1, 0] as const),
  ...[128, 192, 256].map((c) => [`${c} to 128 channels, pointwise`, [3, 9, 17, c], [1, 1, c, 128], 1, 0] as const),
  ['320 to 192 channels, pointwise', [3, 9, 17, 320], [1, 1, 320, 192], 1, 0],
  ['384 to 192 channels, pointwise', [3, 9, 17, 384], [1, 1, 384, 192], 1, 0],
  ['128 to 64 channels, pointwise', [1, 9, 17, 128], [1, 1, 128, 64], 1, 0],
  ['1024 channels on both sides of few pixels, pointwise', [5, 1, 1, 1024], [1, 1, 1024, 1024], 1, 0],
];

const ofMagnitudes = floatsOf(31);
/**
 * Chunks of 64 channels of both operands with magnitudes of their own: f16 has a power of two for each. Pixels of three
 * blocks, so that a device of two multiprocessors sums all chunks in one.
 */
const magnitudes = (window: 1 | 3): readonly Case[] =>
  (
    [
      ['that fall and rise', [1e-9, 0, 1e-3], [1e6, 1, 1e-2]],
      ['ever larger', [1e-20, 1, 1e10], [1e-5, 1e3, 1e6]],
      ['ever smaller', [1e12, 1, 1e-12], [1e3, 1, 1e-3]],
      ['of almost nothing', [1e-18, 1e-18, 0], [1e-17, 1e-18, 1]],
      ['near the largest', [1e18, 1e16, 1], [1e17, 1e18, 1e-30]],
    ] as const
  ).map(([note, ofX, ofW]) => {
    const chunkOf = (channel: number) => Math.floor((channel % 192) / 64);
    const scaled = (of: HostTensor, factorAt: (at: number) => number) =>
      tensor(
        'f32',
        of.shape,
        Float32Array.from(of.data, (value, at) => value * factorAt(at)),
      );
    const operands = [
      scaled(ofMagnitudes([6, 8, 8, 192]), (at) => ofX[chunkOf(at)]!),
      scaled(ofMagnitudes([window, window, 192, 64]), (at) => ofW[chunkOf(Math.floor(at / 64))]!),
    ];
    const name = `192 channels, ${window === 1 ? 'pointwise, ' : ''}magnitudes ${note}`;
    return make('conv2d', name, operands, square({ padding: (window - 1) / 2 }), { differentiate: [0, 1] });
  });

const convolutions: readonly Case[] = [
  ...magnitudes(3),
  ...magnitudes(1),
  ...(
    [
      ['64 channels, pointwise', [2, 6, 7, 64], [1, 1, 64, 64], 1, 0],
      ...onF16,
      ...pointwise,
      ['patches of 8×8×3 to 64 channels', [2, 16, 24, 3], [8, 8, 3, 64], 8, 0],
      ['5×5 to 128 channels, stride 2', [3, 12, 10, 64], [5, 5, 64, 128], 2, 2],
      ['128 channels with stride 2', [2, 32, 32, 128], [3, 3, 128, 16], 2, 1],
      ['3 to 640 channels', [2, 5, 5, 3], [3, 3, 3, 640], 1, 1],
    ] satisfies Window[]
  ).map(([note, x, w, stride, padding]) =>
    make('conv2d', note, [floats(x), floats(w)], square({ stride, padding }), { differentiate: [0, 1] }),
  ),
  // The gradient of the weights from codes in place of values.
  ...[...onF16, ...pointwise].map(([note, x, w, stride, padding]) =>
    approximateCase(`codes of ${note}`, { x, w, stride, padding }, [4, 5], 'truncation'),
  ),
];

const reductions: readonly Case[] = [
  make(
    'quantize',
    '40001 elements',
    [floats([40_001], -2, 2), constant([], 0.011), constant([], 100)],
    {
      bits: 8,
      granularity: 'tensor',
    },
    { differentiate: [0, 1] },
  ),
  ...(
    [
      [3000, 33],
      [600, 2],
    ] as Shape[]
  ).map((shape) => {
    const c = shape.at(-1)!;
    return make(
      'batchNorm',
      `[${shape.join(', ')}]`,
      [floats(shape, -1, 3), floats([c], 0.5, 1.5), floats([c])],
      {
        epsilon: 1e-5,
      },
      { differentiate: [0, 1, 2] },
    );
  }),
];

const ofDots = floatsOf(7);
/** Products of few and many rows less those of others, by fours of channels and one by one. */
const dotDifferences: readonly Case[] = (
  [
    [300, 32],
    [1000, 12],
    [3000, 33],
    [600, 2],
    [40, 160],
  ] as const
).map(([rows, channels]) =>
  make(
    'channelDotDifference',
    `[${rows}, ${channels}]`,
    [rows, rows, 70, 70].map((of) => ofDots([of, channels], -1, 3)),
    {},
  ),
);

/** How running averages of mean and variance move. */
const shares = [
  { alpha: 0.9, beta: 0.1 },
  { alpha: 0.75, beta: 0.3 },
] as const;

const ofAverages = floatsOf(9);
/** Batch norm with a relu behind it, and running averages of its statistics. */
const averages: readonly Case[] = (
  [
    [2, 3, 5, 20],
    [3000, 32],
    [2, 3, 5, 7],
    [3000, 33],
  ] as readonly Shape[]
).map((shape) => {
  const c = [shape.at(-1)!];
  const scales = [ofAverages(c, 0.5, 1.5), ofAverages(c)];
  return make(
    'batchNorm',
    `a relu and running averages, [${shape.join(', ')}]`,
    [ofAverages(shape, -1, 3), ...scales, ofAverages(c), ofAverages(c, 0.5, 2)],
    { epsilon: 1e-5 },
    {
      build: (graph, [x, gamma, beta, ...running]) => {
        const [y, ...moments] = graph.apply('batchNorm', [x!, gamma!, beta!], { epsilon: 1e-5 });
        const moved = moments.map((moment, at) => graph.apply1('add', [running[at]!, moment], shares[at]!));
        const end = graph.apply1('relu', [y!], {});
        return [end, ...moments, ...moved, graph.apply1('affine', [x!], { scale: 2, offset: 0 })];
      },
    },
  );
});

const ofMeasured = floatsOf(13);

interface Measured {
  readonly stride?: number;
  /** Running averages of the statistics. */
  readonly isAveraged?: boolean;
  /** What stands behind the batch norm. */
  readonly behind?: 'a relu' | 'nothing';
  readonly differentiate?: readonly number[];
}

/** A convolution and its batch norm; inputs: x, w, gamma, beta, and what averages move. */
function measured(note: string, x: HostTensor, w: HostTensor, form: Measured = {}): Case {
  const { stride = 1, isAveraged = true, behind = 'a relu', differentiate = [] } = form;
  const c = [w.shape.at(-1)!];
  const scales = [ofMeasured(c, 0.5, 1.5), ofMeasured(c)];
  const running = isAveraged ? [ofMeasured(c), ofMeasured(c, 0.5, 2)] : [];
  const window = square({ stride, padding: (w.shape[0]! - 1) / 2 });
  return make(
    'conv2d',
    `a batch norm with ${behind}${isAveraged ? ' and running averages' : ''} behind, ${note}`,
    [x, w, ...scales, ...running],
    window,
    {
      differentiate,
      build: (graph, [x, w, gamma, beta, ...running]) => {
        const y = graph.apply1('conv2d', [x!, w!], window);
        const [normalized, ...moments] = graph.apply('batchNorm', [y, gamma!, beta!], { epsilon: 1e-5 });
        const moved = running.map((before, at) => graph.apply1('add', [before, moments[at]!], shares[at]!));
        const end = behind === 'nothing' ? normalized! : graph.apply1('relu', [normalized!], {});
        return [end, ...moments, ...moved, twice(graph, y)];
      },
    },
  );
}

/**
 * Neighbouring channels are added, 128 and a fraction, all of which every device sums without an error: what is
 * wrong comes of the statistics. Sums of squares in single precision are off by a hundredth of the variance; the mean
 * itself, in single precision, by less than what is allowed.
 */
function ofLargeMean(x: Shape, w: Shape): readonly [HostTensor, HostTensor] {
  const [kh, kw, inputs, outputs] = w as [number, number, number, number];
  const middle = ((kh * kw - 1) / 2) * inputs * outputs;
  const weights = new Float32Array(sizeOf(w));
  for (let at = 0; at < inputs; at++) {
    for (const to of [at, at + 1]) weights[middle + at * outputs + (to % outputs)] = 1;
  }
  const values = ofMeasured(x, 0, 256).data;
  const data = Float32Array.from(values, (value, at) => (at % 2 === 0 ? 128 : Math.floor(value) / 128));
  return [f32(x, data), f32(w, weights)];
}

/** Convolutions whose kernels form the statistics of a batch norm behind them. */
const measuredProducts: readonly Case[] = [
  ...(
    [
      ['192 to 64 channels of small images', [7, 4, 4, 192], [3, 3, 192, 64], { differentiate: [0, 1, 2, 3] }],
      ['192 to 192 channels, stride 2', [3, 8, 8, 192], [3, 3, 192, 192], { stride: 2 }],
      ['320 to 64 channels of small images', [2, 3, 5, 320], [3, 3, 320, 64], { isAveraged: false }],
      ['192 to 64 channels of small images', [7, 4, 4, 192], [3, 3, 192, 64], { behind: 'nothing' }],
      ['1024 channels, pointwise', [1, 3, 5, 1024], [1, 1, 1024, 64], {}],
      ['64 to 7 channels', [2, 5, 5, 64], [3, 3, 64, 7], {}],
      // A whole tile of pixels, and tiles of which some are not filled.
      ['64 to 64 channels, whole tiles', [2, 8, 8, 64], [3, 3, 64, 64], { isAveraged: false }],
      // A relu lets other gradients through where a value is 0 but for rounding.
      ['64 to 192 channels', [3, 9, 11, 64], [3, 3, 64, 192], { behind: 'nothing', differentiate: [0, 1, 2, 3] }],
      ['64 to 128 channels, stride 2', [2, 18, 22, 64], [3, 3, 64, 128], { stride: 2, behind: 'nothing' }],
      ['64 to 64 channels of many pixels', [9, 33, 31, 64], [3, 3, 64, 64], {}],
      ...[64, 128, 192, 256, 512].map(
        (o) => [`64 to ${o} channels, pointwise`, [2, 9, 17, 64], [1, 1, 64, o], {}] as const,
      ),
    ] as const
  ).map(([note, x, w, form]) => measured(note, ofMeasured(x), ofMeasured(w), form)),
  ...(
    [
      ['192 to 64 channels', [7, 12, 12, 192], [3, 3, 192, 64]],
      ['64 to 64 channels', [7, 12, 12, 64], [3, 3, 64, 64]],
      ['16 to 16 channels', [7, 12, 12, 16], [3, 3, 16, 16]],
    ] as const
  ).map(([note, x, w]) => measured(`${note}, of a large mean`, ...ofLargeMean(x, w))),
];

const ofRanges = floatsOf(10);
/** The gradient of a range and what it is added to, as that of a quantiser's weight is. */
const rangeGradients: readonly Case[] = (
  [
    ['tensor', [12]],
    ['tensor', [40_001]],
    ['channel', [7, 20]],
    ['channel', [40, 64]],
    ['channel', [3000, 33]],
  ] as const
).map(([granularity, shape]) => {
  const of = granularity === 'tensor' ? [] : [shape.at(-1)!];
  return make(
    'minMaxGradient',
    `and a sum, [${shape.join(', ')}] per ${granularity}`,
    [ofRanges(shape, -1, 3), ofRanges(of), ofRanges(of), ofRanges(shape)],
    { granularity },
    {
      build: (graph, [x, gMin, gMax, other]) => {
        const range = graph.apply('minMax', [x!], { granularity });
        const slope = graph.apply1('minMaxGradient', [gMin!, gMax!, x!, ...range], { granularity });
        return [graph.apply1('add', [other!, slope], plus)];
      },
    },
  );
});

const ofSums = floatsOf(8);
/** Sums that are joined (engine/graph/join.ts): of a quotient and 20 terms, and under the gradient of a relu. */
const sums: readonly Case[] = [
  make(
    'add',
    'a quotient and 20 terms',
    Array.from({ length: 22 }, () => ofSums([8, 8], 1, 2)),
    plus,
    {
      build: (graph, [a, b, ...terms]) => {
        const quotient = graph.apply1('divide', [a!, b!], {});
        return [terms.reduce((sum, term) => graph.apply1('add', [sum, term], plus), quotient)];
      },
    },
  ),
  ...[1020, 1023].map((count) =>
    make(
      'reluGradient',
      `of a sum, 5×${count}`,
      Array.from({ length: 3 }, () => ofSums([5, count])),
      {},
      {
        build: (graph, [a, b, y]) => {
          const dx = graph.apply1('reluGradient', [graph.apply1('add', [a!, b!], plus), y!], {});
          return [dx, graph.apply1('affine', [dx], { scale: 2, offset: 0 }), graph.apply1('sum', [dx], {})];
        },
      },
    ),
  ),
];

const ofBiases = floatsOf(12);
const codesOf = (shape: Shape, bits: number): HostTensor =>
  tensor('u8', shape, Uint8Array.from(ofBiases(shape, 0, 2 ** bits - 0.01).data));

/** How a bias, the last input, stands behind a product and what reads both; in the first form alone it is joined. */
const biasForms = {
  'a bias': (graph: Graph, y: Value, bias: Value) => [twice(graph, graph.apply1('bias', [y, bias], {}))],
  'a bias that is an output': (graph: Graph, y: Value, bias: Value) => [graph.apply1('bias', [y, bias], {})],
  'a bias of what is read twice': (graph: Graph, y: Value, bias: Value) => {
    // Before the bias, which is then in place.
    const other = twice(graph, y);
    return [twice(graph, graph.apply1('bias', [y, bias], {})), other];
  },
  'a bias formed behind it': (graph: Graph, y: Value, bias: Value) => [
    twice(graph, graph.apply1('bias', [y, twice(graph, bias)], {})),
  ],
} as const;
const twice = (graph: Graph, x: Value): Value => graph.apply1('affine', [x], { scale: 2, offset: 0 });

function biasedCase<K extends 'conv2d' | 'axmConv2d'>(
  op: K,
  note: string,
  inputs: readonly HostTensor[],
  attributes: OpAttributes[K],
  { form = 'a bias', ...more }: Partial<Case<K>> & { readonly form?: keyof typeof biasForms } = {},
): Case {
  const outputs = inputs[1]!.shape.at(-1)!;
  return make(op, `${form}, ${note}`, [...inputs, ofBiases([outputs])], attributes, {
    ...more,
    build: (graph, [...values]) => {
      const bias = values.pop()!;
      return biasForms[form](graph, graph.apply1(op, values, attributes), bias);
    },
  });
}

const biasedErrors = {
  exact: [{ kind: 'none' }, []],
  structure: [{ kind: 'removal', integer: false }, [ofBiases([4, 5], 0, 1)]],
  truncation: [
    { kind: 'removal', integer: true },
    [
      f32(
        [4, 5],
        Float32Array.from({ length: 20 }, (_, at) => (Math.floor(at / 5) + (at % 5) < 3 ? 1 : 0)),
      ),
    ],
  ],
  table: [{ kind: 'table', emulation: 'lowrank' }, [functionsOf(1)]],
} as const satisfies Readonly<Record<string, readonly [ProductError, readonly HostTensor[]]>>;

function biasedApproximate(
  error: keyof typeof biasedErrors,
  note: string,
  x: Shape,
  w: Shape,
  { groups = 1, form = 'a bias' }: { readonly groups?: number; readonly form?: keyof typeof biasForms } = {},
): Case {
  const [kind, values] = biasedErrors[error];
  const widths = error === 'table' ? { weightBits: 8, activationBits: 8 } : { weightBits: 4, activationBits: 5 };
  const o = w.at(-1)!;
  const scales = [constant([], 0.0625), constant([], 7), ofBiases([o], 0.01, 0.02), constant([o], 6)];
  return biasedCase(
    'axmConv2d',
    `${error}, ${note}`,
    [codesOf(x, widths.activationBits), codesOf(w, widths.weightBits), ...scales, ...values],
    { ...square({ padding: (w[0]! - 1) / 2, groups }), ...widths, error: kind },
    { form, ...(error === 'table' && { constants: [6] }) },
  );
}

/** Products and the biases behind them: of each kernel that adds them, whole and odd numbers of columns. */
const biases: readonly Case[] = [
  ...[128, 192, 256, 512].map((o) =>
    biasedCase('conv2d', `64 to ${o} channels`, [ofBiases([2, 9, 17, 64]), ofBiases([1, 1, 64, o])], square(), {
      differentiate: [0, 1, 2],
    }),
  ),
  ...(Object.keys(biasForms) as (keyof typeof biasForms)[]).flatMap((form) => [
    biasedCase('conv2d', '64 channels', [ofBiases([1, 3, 5, 64]), ofBiases([1, 1, 64, 64])], square(), { form }),
    biasedApproximate('structure', '64 channels', [1, 3, 5, 64], [1, 1, 64, 64], { form }),
  ]),
  // Summed in parts, which takes no bias.
  biasedCase('conv2d', '1024 channels in parts', [ofBiases([1, 3, 5, 1024]), ofBiases([1, 1, 1024, 64])], square()),
  ...[64, 67].flatMap((o) => [
    biasedApproximate('exact', `to ${o} channels`, [2, 5, 7, 48], [3, 3, 48, o]),
    ...(['structure', 'truncation'] as const).map((error) =>
      biasedApproximate(error, `128 to ${o} channels`, [2, 5, 7, 128], [3, 3, 128, o]),
    ),
    biasedApproximate('table', `to ${o} channels`, [2, 5, 7, 16], [3, 3, 16, o]),
  ]),
  ...[12, 10].map((o) =>
    biasedApproximate('structure', `two groups to ${o} channels`, [2, 5, 7, 32], [3, 3, 16, o], { groups: 2 }),
  ),
];

/**
 * Batch norm with given statistics, as a network is evaluated, and what comes behind it; what is normalised is read by
 * nothing else.
 */
function evaluations(): Case[] {
  const norm = (graph: Graph, [x, ...given]: readonly Value[]): Value =>
    graph.apply1('batchNormInference', [graph.apply1('affine', [x!], { scale: 2, offset: 0.5 }), ...given], {
      epsilon: 1e-5,
    });
  const relu = (graph: Graph, x: Value, bound = {}) => graph.apply1('relu', [x], bound);
  const sum = (graph: Graph, a: Value, b: Value) => graph.apply1('add', [a, b], plus);
  const forms: [string, (graph: Graph, inputs: readonly Value[], other: Value) => Value][] = [
    ['a relu', (graph, inputs) => relu(graph, norm(graph, inputs))],
    ['a limited relu', (graph, inputs) => relu(graph, norm(graph, inputs), { limit: 1.25 })],
    ['an addition', (graph, inputs, other) => sum(graph, norm(graph, inputs), other)],
    ['an addition and a relu', (graph, inputs, other) => relu(graph, sum(graph, norm(graph, inputs), other))],
    ['another and a relu', (graph, inputs) => relu(graph, sum(graph, norm(graph, inputs), norm(graph, inputs)))],
  ];
  const shapes: Shape[] = [
    [2, 3, 5, 20],
    [3000, 33],
  ];
  return shapes.flatMap((shape) =>
    forms.map(([note, build]) => {
      const c = shape.at(-1)!;
      const given = [floats([c], 0.5, 1.5), floats([c]), floats([c]), floats([c], 0.1, 1)];
      return make(
        'relu',
        `batch norm of given statistics with ${note} behind it, [${shape.join(', ')}]`,
        [floats(shape, -1, 3), ...given, floats(shape)],
        {},
        { build: (graph, values) => [build(graph, values.slice(0, 5), values[5]!)] },
      );
    }),
  );
}

export const joinedCases: readonly Case[] = [
  ...normalizations(),
  ...ranges,
  ...sizes,
  ...convolutions,
  ...reductions,
  ...dotDifferences,
  ...sums,
  ...averages,
  ...measuredProducts,
  ...rangeGradients,
  ...biases,
  ...evaluations(),
];
