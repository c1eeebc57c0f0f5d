// Cases that take the paths which the small ones of ./cases.ts do not: work that is cut into parts, blocks and slices,
// tiles and vectors that are not filled, each width of codes on each way. test/engine/paths.test.ts says which path has
// no case.

import type { OpAttributes, OpName } from '../../src/engine/graph/ops.ts';
import { type PerAxis, square } from '../../src/engine/graph/window.ts';
import type { ProductError } from '../../src/multiplier/error.ts';
import { columnStructure, productStructure, type Structure } from '../../src/multiplier/structure.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, tensor } from '../../src/tensor/tensor.ts';
import { type Case, codes, constant, floats, floatsOf, make, operands } from './cases.ts';

export type ErrorForm = 'exact' | 'structure' | 'truncation' | 'table' | 'table with slopes';

export interface ConvolutionShape {
  readonly x: Shape;
  readonly w: Shape;
  readonly stride?: PerAxis;
  readonly padding?: PerAxis;
  readonly dilation?: PerAxis;
  readonly groups?: number;
}

/** A convolution with an approximate multiplier and all its gradients; `forward`: without them. */
export function approximateCase(
  note: string,
  { x, w, padding = 1, ...window }: ConvolutionShape,
  [weightBits, activationBits]: readonly [number, number],
  form: ErrorForm,
  forward = false,
): Case {
  const pairs = [2 ** weightBits, 2 ** activationBits];
  const random = new Random(31, weightBits, activationBits);
  const among = (low: number, high: number) => low + random.integer(high - low + 1);
  const removed = () =>
    Float32Array.from({ length: weightBits * activationBits }, (_, at) => {
      const column = Math.floor(at / activationBits) + (at % activationBits);
      return column < activationBits - 1 ? random.integer(2) : 0;
    });
  // Errors such that every product stays between 0 and what the operands' widths hold.
  const errors = () =>
    Int32Array.from({ length: pairs[0]! * pairs[1]! }, (_, at) => {
      const exact = Math.floor(at / pairs[1]!) * (at % pairs[1]!);
      return among(-Math.min(exact, 300), 300);
    });
  const slope = 2 ** ((weightBits + activationBits) / 2 - 3);
  const kinds: Readonly<Record<ErrorForm, ProductError>> = {
    exact: { kind: 'none' },
    structure: { kind: 'removal', integer: false },
    truncation: { kind: 'removal', integer: true },
    table: { kind: 'table' },
    'table with slopes': { kind: 'table' },
  };
  const error: Readonly<Record<ErrorForm, () => HostTensor[]>> = {
    exact: () => [],
    structure: () => [floats([weightBits, activationBits], 0, 1)],
    truncation: () => [f32([weightBits, activationBits], removed())],
    table: () => [tensor('i32', pairs, errors())],
    'table with slopes': () => [
      tensor('i32', pairs, errors()),
      floats(pairs, -slope, slope),
      floats(pairs, -slope, slope),
    ],
  };
  const attributes = {
    ...square({ ...window, padding }),
    weightBits,
    activationBits,
    error: kinds[form],
  };
  const differentiate = form === 'structure' ? [0, 1, 2, 4, 6] : form === 'table with slopes' ? [0, 1, 4] : [0, 1];
  return make(
    'axmConv2d',
    `${form}, w${weightBits}a${activationBits}, ${note}`,
    [...operands(x, w, weightBits, activationBits), ...error[form]()],
    attributes,
    { differentiate: forward ? [] : differentiate },
  );
}

/**
 * A convolution with a structure whose parameters, the last operand, fill the matrix; the gradient goes on to them.
 */
export function structureCase(
  note: string,
  { x, w, padding = 1, ...window }: ConvolutionShape,
  { weightBits, activationBits, index }: Pick<Structure, 'weightBits' | 'activationBits' | 'index'>,
): Case {
  const error: ProductError = { kind: 'removal', integer: false };
  const attributes = { ...square({ ...window, padding }), weightBits, activationBits, error };
  return make(
    'axmConv2d',
    `parameters, w${weightBits}a${activationBits}, ${note}`,
    [...operands(x, w, weightBits, activationBits), floats([Math.max(...index) + 1], 0, 1)],
    attributes,
    {
      differentiate: [0, 1, 2, 4, 6],
      build: (graph, [...inputs]) => {
        const theta = inputs.pop()!;
        const m = graph.apply1('structureMatrix', [theta], { weightBits, activationBits, index });
        return graph.apply('axmConv2d', [...inputs, m], attributes);
      },
    },
  );
}

/** A parameter of each product of the seven lowest columns, and one of each column above. */
const lowProductsOrColumns = Array.from({ length: 64 }, (_, at) => {
  const [i, j] = [at >> 3, at & 7];
  const before = Array.from({ length: at }, (_, other) => other).filter((other) => (other >> 3) + (other & 7) < 7);
  return i + j < 7 ? before.length : 28 + i + j - 7;
});

const everyForm: readonly ErrorForm[] = ['exact', 'structure', 'truncation', 'table with slopes'];
const inGroups = { x: [8, 16, 16, 8], w: [3, 3, 1, 8], groups: 8 };
/** Images so small that most taps lie outside of them, and many outputs. */
const tiny = (channels: number, outputs: number, groups: number, batch = 3): ConvolutionShape => ({
  x: [batch, 1, 1, channels],
  w: [3, 3, channels / groups, outputs],
  groups,
});

const approximate: readonly Case[] = [
  // As many positions as a training batch has: rows of products by code whatever the width.
  ...[5, 6, 7].map((bits) =>
    approximateCase('a training batch', { x: [256, 8, 8, 16], w: [3, 3, 16, 16] }, [8, bits], 'structure', true),
  ),
  ...[
    [8, 2],
    [3, 3],
    [7, 4],
    [2, 4],
    [6, 6],
    [5, 7],
  ].flatMap(([weightBits, activationBits]) =>
    everyForm.map((form) =>
      approximateCase('5 to 7 channels', { x: [2, 6, 5, 5], w: [3, 3, 5, 7] }, [weightBits!, activationBits!], form),
    ),
  ),
  ...everyForm.map((form) => approximateCase('whole tiles', { x: [2, 5, 5, 16], w: [3, 3, 16, 32] }, [8, 8], form)),
  // Counts of bits: whole and odd units of the last stage, tiles that are not filled, both blocks of channels.
  ...(['structure', 'truncation'] as const).flatMap((form) =>
    (
      [
        ['one unit, half of it empty', { x: [4, 8, 8, 64], w: [1, 1, 64, 64], padding: 0 }],
        ['two units', { x: [3, 7, 9, 64], w: [2, 2, 64, 65] }],
        ['three units, strided', { x: [3, 9, 11, 64], w: [1, 5, 64, 30], stride: 2 }],
        ['four units, dilated', { x: [2, 9, 9, 128], w: [2, 2, 128, 96], dilation: 2 }],
        ['five units', { x: [4, 8, 8, 64], w: [3, 3, 64, 65] }],
        ['nine units, halved', { x: [2, 8, 8, 128], w: [3, 3, 128, 129] }],
        ['ten units, halved', { x: [3, 7, 5, 256], w: [1, 5, 256, 64], padding: [0, 2] }],
      ] as [string, ConvolutionShape][]
    ).flatMap(([note, shape]) =>
      [
        [8, 8],
        [4, 5],
      ].map(([w, a]) => approximateCase(`bits: ${note}`, shape, [w!, a!], form)),
    ),
  ),
  // Many tiles of a stage each, with three stages: what copies is ahead of what stores by several tiles.
  ...(['structure', 'truncation'] as const).map((form) =>
    approximateCase('bits: one stage a tile', { x: [8, 16, 16, 64], w: [1, 1, 64, 130], padding: 0 }, [4, 5], form),
  ),
  // Parameters of eight columns, of all columns, of each product, of each of the low columns beside those of the high
  // ones, and of entries of several powers, some read by none.
  ...(
    [
      ['eight columns', columnStructure({ weightBits: 8, activationBits: 8 }, 8)],
      ['all columns', columnStructure({ weightBits: 8, activationBits: 8 }, 15)],
      ['each product', productStructure({ weightBits: 8, activationBits: 8 }, 15)],
      ['each product of seven columns', { weightBits: 8, activationBits: 8, index: lowProductsOrColumns }],
      ['any', { weightBits: 5, activationBits: 8, index: Array.from({ length: 40 }, (_, at) => ((at % 9) % 4) - 1) }],
    ] as const
  ).flatMap(([which, structure]) =>
    (
      [
        ['images of three rows', { x: [5, 3, 7, 64], w: [3, 3, 64, 64] }],
        ['128 to 67 channels with stride 2', { x: [4, 9, 11, 128], w: [3, 3, 128, 67], stride: 2 }],
        ['1×1 to 130 channels', { x: [3, 5, 9, 128], w: [1, 1, 128, 130], padding: 0 }],
        ['several tiles of a block', { x: [6, 16, 15, 64], w: [1, 1, 64, 128], padding: 0 }],
      ] as [string, ConvolutionShape][]
    ).map(([note, shape]) => structureCase(`${which}, ${note}`, shape, structure)),
  ),
  ...everyForm.map((form) => approximateCase('many positions in eight groups', inGroups, [8, 8], form)),
  ...everyForm.map((form) =>
    approximateCase('many positions, cut unevenly', { ...inGroups, x: [9, 16, 16, 8] }, [8, 8], form),
  ),
  ...[
    [8, 5],
    [3, 6],
    [5, 7],
  ].map(([weightBits, activationBits]) =>
    approximateCase('many positions in eight groups', inGroups, [weightBits!, activationBits!], 'structure'),
  ),
  approximateCase('few channels of many pixels', { x: [3, 16, 16, 4], w: [3, 3, 4, 5] }, [8, 8], 'table with slopes'),
  approximateCase('seven groups', { x: [10, 16, 16, 14], w: [3, 3, 2, 7], groups: 7 }, [8, 6], 'structure'),
  approximateCase('few outputs of many positions', { x: [4, 16, 16, 5], w: [3, 3, 5, 7] }, [8, 8], 'structure'),
  ...[
    [6, 6],
    [8, 8],
  ].map(([weightBits, activationBits]) =>
    approximateCase(
      'many positions and outputs',
      { x: [8, 16, 17, 8], w: [1, 1, 8, 128], padding: 0 },
      [weightBits!, activationBits!],
      'structure',
    ),
  ),
  // Gradients: blocks of images, and sorting per tap.
  ...[15, 28].map((batch) =>
    approximateCase(`${batch} images in blocks`, { x: [batch, 16, 16, 2], w: [3, 3, 2, 3] }, [8, 8], 'structure'),
  ),
  ...[100, 198].map((batch) =>
    approximateCase(`${batch} small images in blocks`, { x: [batch, 4, 4, 2], w: [3, 3, 2, 3] }, [8, 8], 'structure'),
  ),
  ...[3, 4, 6, 8].flatMap((bits) => [
    approximateCase('tiny images in groups', tiny(16, 1024, 16), [8, bits], 'structure'),
    approximateCase('tiny images', tiny(64, 64, 1), [8, bits], 'structure'),
    approximateCase('tiny images, outputs in slices', tiny(32, 126, 1), [8, bits], 'structure'),
  ]),
  ...[399, 796].flatMap((batch) =>
    [4, 8].map((bits) =>
      approximateCase(`${batch} tiny images in blocks`, tiny(16, 1024, 16, batch), [8, bits], 'structure'),
    ),
  ),
  ...[6, 8].map((bits) =>
    approximateCase(
      'sorted by code for each tap',
      { x: [700, 1, 3, 16], w: [1, 3, 1, 1280], padding: 0, groups: 16 },
      [8, bits],
      'structure',
    ),
  ),
];

const convolutions: readonly Case[] = (
  [
    ['panels in uneven ranges', [4, 16, 16, 4], [3, 3, 2, 40], 1, 1, 2],
    ['panels of channels in uneven ranges', [4, 16, 16, 40], [3, 3, 20, 4], 1, 1, 2],
    ['depthwise with stride 2', [2, 9, 9, 16], [3, 3, 1, 16], 2, 1, 16],
    ['small images with stride 2', [17, 5, 6, 9], [3, 3, 9, 20], 2, 1, 1],
    ['small images in groups', [12, 4, 3, 8], [3, 2, 4, 12], 1, 1, 2],
    ['many rows', [3, 33, 31, 9], [3, 3, 9, 24], 1, 1, 1],
    ['stride 3', [2, 32, 30, 6], [4, 4, 6, 18], 3, 2, 1],
    ['pointwise', [4, 19, 17, 35], [1, 1, 35, 20], 1, 0, 1],
    ['depthwise with many channels', [2, 17, 16, 22], [3, 3, 1, 22], 2, 1, 22],
  ] as [string, Shape, Shape, number, number, number][]
).map(([note, x, w, stride, padding, groups]) =>
  make('conv2d', note, [floats(x), floats(w)], square({ stride, padding, groups }), { differentiate: [0, 1] }),
);

/** Squares of 2×2 outputs. */
const ofSquares = floatsOf(11);
const squares: readonly Case[] = (
  [
    ['of odd images in groups', [3, 21, 11, 40], [3, 3, 20, 36], 1, 2],
    ['with padding 2', [2, 10, 14, 18], [3, 3, 18, 16], 2, 1],
    ['without padding', [7, 22, 12, 16], [3, 3, 16, 24], 0, 1],
    ['with padding beyond the window', [1, 8, 9, 16], [3, 3, 16, 17], [3, 4], 1],
    ['in one row', [1, 2, 40, 16], [3, 3, 16, 16], 1, 1],
  ] as [string, Shape, Shape, PerAxis, number][]
).map(([note, x, w, padding, groups]) =>
  make('conv2d', `squares ${note}`, [ofSquares(x), ofSquares(w)], square({ stride: 1, padding, groups }), {
    differentiate: [0, 1],
  }),
);

const LONG = 2 * 16384;

function elementwise(): Case[] {
  const one = <K extends OpName>(
    op: K,
    inputs: readonly HostTensor[],
    attributes: OpAttributes[K],
    wanted: number[] = [],
  ) =>
    make(op, `${Math.max(...inputs.map(({ data }) => data.length))} elements`, inputs, attributes, {
      differentiate: wanted,
    });
  return [12, 16384 + 8, LONG].flatMap((count) => {
    const x = () => floats([count], 0.5, 2);
    return [
      one('add', [floats([count]), floats([count])], { alpha: 0.5, beta: -2 }, [0, 1]),
      one('affine', [floats([count])], { scale: -1.5, offset: 0.25 }, [0]),
      one('lookUp', [codes([count], 8), floats([256])], {}, []),
      one('scaleBy', [floats([count]), floats([])], {}, [0, 1]),
      one('relu', [floats([count])], {}, [0]),
      one('clampStraightThrough', [floats([count])], { low: 0, high: 0.5 }, [0]),
      one('divide', [x(), x()], {}),
      one('sgd', [x(), x(), x(), constant([], 0.1)], { momentum: 0.9, weightDecay: 5e-4 }),
      make('broadcast', `to ${count} elements`, [floats([])], { count }, { differentiate: [0] }),
    ];
  });
}

/** Matrices [rows, channels] by channel: one run, several, several and a shorter one; channels in fours or not. */
const matrices: readonly Shape[] = [
  [7, 20],
  [8, 4096],
  [5, 4097],
];
/** Tensors as a whole: one run, several, several and a shorter one; of each width that may divide them. */
const wholes: readonly Shape[] = [[48], [LONG], [16400], [24], [12], [6], [5]];

function reductions(): Case[] {
  const quantisers = (shape: Shape, granularity: 'tensor' | 'channel') => {
    const per = granularity === 'tensor' ? [] : [shape.at(-1)!];
    const note = `[${shape.join(', ')}] per ${granularity}`;
    const scale = floats(per, 0.01, 0.012);
    return [
      make('minMax', note, [floats(shape)], { granularity }, { differentiate: [0] }),
      make(
        'quantize',
        note,
        [floats(shape, -2, 2), scale, constant(per, 100)],
        { bits: 8, granularity },
        {
          differentiate: [0, 1],
        },
      ),
      make('dequantize', note, [codes(shape, 8), scale, constant(per, 100)], { granularity }),
      make('clipSearch', note, [floats(shape, -1, 3), constant(per, -1.5), constant(per, 4)], {
        ...{ bits: 4, granularity, steps: 20, shrink: 0.04, exponent: 2.4 },
      }),
    ];
  };
  return [
    ...wholes.flatMap((shape) => [
      make('sum', `${shape}`, [floats(shape)], {}),
      make('dot', `${shape}`, [floats(shape), floats(shape)], {}),
      ...quantisers(shape, 'tensor'),
    ]),
    ...matrices.flatMap(([rows, channels]) => {
      const shape = [rows!, channels!];
      const note = `[${shape.join(', ')}]`;
      const x = () => floats(shape, -1, 3);
      const c = (low: number, high: number) => floats([channels!], low, high);
      return [
        ...quantisers(shape, 'channel'),
        make('channelSum', note, [x()], {}),
        make('channelDotDifference', note, [x(), x(), floats([3, channels!]), floats([3, channels!])], {}),
        make('bias', note, [x(), c(-1, 1)], {}, { differentiate: [0, 1] }),
        make('batchNorm', note, [x(), c(0.5, 1.5), c(-1, 1)], { epsilon: 1e-5 }, { differentiate: [0, 1, 2] }),
        make('batchNormInference', note, [x(), c(0.5, 1.5), c(-1, 1), c(0, 1), c(0.1, 1)], { epsilon: 1e-5 }),
        make('imageToFloat', note, [codes([1, 1, rows!, channels!], 8)], {
          scale: Array.from({ length: channels! }, (_, at) => 0.1 + at / 1e4),
          offset: Array.from({ length: channels! }, (_, at) => at / 1e3),
        }),
      ];
    }),
  ];
}

const losses: readonly Case[] = [32, 50].map((rows) =>
  make(
    'softmaxCrossEntropy',
    `${rows} rows`,
    [
      floats([rows, 7], -3, 3),
      tensor(
        'i32',
        [rows],
        Int32Array.from({ length: rows }, (_, at) => at % 7),
      ),
    ],
    {},
    { differentiate: [0] },
  ),
);

export const pathCases: readonly Case[] = [
  ...approximate,
  ...convolutions,
  ...squares,
  ...elementwise(),
  ...reductions(),
  ...losses,
  // Windows of a single tap of which some meet nothing of the image. Last: the others keep the values that they have.
  approximateCase(
    'bits: one tap beyond the image',
    { x: [2, 9, 9, 64], w: [1, 1, 64, 68], padding: 1 },
    [8, 8],
    'truncation',
  ),
];
