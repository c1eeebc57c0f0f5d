// The conformance suite's cases: one operation each, with inputs that reach its corners (odd shapes, padding, groups,
// short rows, ties).
// Every backend must agree with the reference on the outputs and on the gradients of the inputs listed under
// `differentiate`.

import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import type { OpAttributes, OpName } from '../../src/engine/graph/ops.ts';
import { square, squareWindow } from '../../src/engine/graph/window.ts';
import type { ProductError } from '../../src/multiplier/error.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../src/tensor/tensor.ts';

export interface Case<K extends OpName = OpName> {
  readonly name: string;
  readonly op: K;
  readonly inputs: readonly HostTensor[];
  readonly attributes: OpAttributes[K];
  /** Inputs with a gradient. */
  readonly differentiate: readonly number[];
  /** The rule is the derivative itself, to be checked by finite differences (not a straight-through surrogate). */
  readonly smooth?: readonly number[];
  /** Outputs and gradients that must be equal to the last bit. */
  readonly exact?: boolean;
  /** Inputs that are constants of the graph instead of inputs of the program; they have no gradients. */
  readonly constants?: readonly number[];
  /** What is applied in place of the operation alone, where a backend joins several; returns the outputs. */
  readonly build?: (graph: Graph, inputs: readonly Value[]) => readonly Value[];
}

let stream = 0;

const uniform = (random: Random, shape: Shape, low: number, high: number): HostTensor =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * random.uniform()),
  );

/** Values that depend on what was drawn before them: a case that comes between changes those behind it. */
export function floats(shape: Shape, low = -1, high = 1): HostTensor {
  return uniform(new Random(20261122, stream++), shape, low, high);
}

/** Values of a family of cases, which others do not change. */
export function floatsOf(family: number): typeof floats {
  let own = 0;
  return (shape, low = -1, high = 1) => uniform(new Random(20261122, family, own++), shape, low, high);
}

export function codes(shape: Shape, bits: number): HostTensor {
  const random = new Random(20261122, stream++);
  return tensor(
    'u8',
    shape,
    Uint8Array.from({ length: sizeOf(shape) }, () => random.integer(2 ** bits)),
  );
}

export const constant = (shape: Shape, value: number) => f32(shape, new Float32Array(sizeOf(shape)).fill(value));
const labels = (...values: number[]) => tensor('i32', [values.length], Int32Array.from(values));

/** Picks that reach every edge of a 5×7 image, one that leaves it, and one of no image. */
function picks(): HostTensor {
  const rows = [
    [0, 0, 0, 0],
    [1, -2, 3, 0],
    [2, 2, -3, 1],
    [0, 0, 0, 1],
    [1, 4, 6, 1],
    [2, -5, 0, 0],
    [0, 1, 7, 1],
    [-1, 0, 0, 0],
  ];
  return tensor('i32', [rows.length, 4], Int32Array.from(rows.flat()));
}

export function make<K extends OpName>(
  op: K,
  note: string,
  inputs: readonly HostTensor[],
  attributes: OpAttributes[K],
  more: Partial<Case<K>> = {},
): Case {
  return { name: note ? `${op}: ${note}` : op, op, inputs, attributes, differentiate: [], ...more } as unknown as Case;
}

const differentiable = (...inputs: number[]) => ({ differentiate: inputs, smooth: inputs });

/** Operands of axmConv2d, the error left out. */
export function operands(x: Shape, w: Shape, weightBits: number, activationBits: number): HostTensor[] {
  const outputs = w.at(-1)!;
  return [
    codes(x, activationBits),
    codes(w, weightBits),
    constant([], 0.0625),
    constant([], Math.round(2 ** activationBits * 0.4)),
    floats([outputs], 0.01, 0.02),
    f32(
      [outputs],
      Float32Array.from({ length: outputs }, (_, c) => 2 ** (weightBits - 1) - 3 + (c % 7)),
    ),
  ];
}

function convolutions(): Case[] {
  const geometries: [note: string, x: Shape, w: Shape, stride: number, padding: number, groups: number][] = [
    ['3×3 with padding', [2, 7, 6, 5], [3, 3, 5, 7], 1, 1, 1],
    ['3×3 to 16 channels', [2, 9, 9, 16], [3, 3, 16, 16], 1, 1, 1],
    ['stride 2 on an odd image', [3, 7, 5, 4], [3, 3, 4, 20], 2, 1, 1],
    ['1×1 with stride 2', [2, 6, 6, 8], [1, 1, 8, 12], 2, 0, 1],
    ['one channel', [5, 8, 8, 1], [3, 3, 1, 16], 1, 1, 1],
    ['two groups', [2, 5, 5, 6], [3, 3, 3, 8], 1, 1, 2],
    ['depthwise', [2, 6, 5, 8], [3, 3, 1, 8], 1, 1, 8],
    ['7×7 with stride 2 and padding 3', [1, 11, 11, 3], [7, 7, 3, 10], 2, 3, 1],
    ['linear layer', [9, 1, 1, 33], [1, 1, 33, 10], 1, 0, 1],
    ['rectangular kernel', [1, 5, 8, 2], [1, 5, 2, 3], 1, 2, 1],
  ];
  return geometries.flatMap(([note, x, w, stride, padding, groups]) => {
    const geometry = square({ stride, padding, groups });
    const quantised = (weightBits: number, activationBits: number) => operands(x, w, weightBits, activationBits);
    // As behind a ReLU: kernels leave out what the zero point would add.
    const fromZero = (...bits: [number, number]) => quantised(...bits).with(3, constant([], 0));
    const axm = (weightBits: number, activationBits: number) => ({ ...geometry, weightBits, activationBits });
    const zeroOne = f32(
      [8, 8],
      Float32Array.from({ length: 64 }, (_, at) => (Math.floor(at / 8) + (at % 8) < 6 ? 1 : 0)),
    );
    const table = tensor(
      'i32',
      [256, 256],
      Int32Array.from(codes([256, 256], 8).data, (v) => v - 128),
    );
    const rectangular = tensor(
      'i32',
      [16, 32],
      Int32Array.from(codes([16, 32], 5).data, (v) => 2 * v - 31),
    );
    const sloped = (weightBits: number, activationBits: number) => {
      const pairs = [2 ** weightBits, 2 ** activationBits];
      const bits = weightBits + activationBits;
      const error = tensor(
        'i32',
        pairs,
        Int32Array.from(codes(pairs, 8).data, (v) => Math.round(((v - 128) * 2 ** bits) / 2 ** 10)),
      );
      const slopes = () => floats(pairs, -(2 ** (bits / 2 - 3)), 2 ** (bits / 2 - 3));
      return make(
        'axmConv2d',
        `error table with slopes, w${weightBits}a${activationBits}, ${note}`,
        [...quantised(weightBits, activationBits), error, slopes(), slopes()],
        { ...axm(weightBits, activationBits), error: { kind: 'table' } },
        { differentiate: [0, 1, 4] },
      );
    };
    const slopedByRows = (weightBits: number, activationBits: number, error: ProductError, values: HostTensor) =>
      make(
        'axmConv2d',
        `${error.kind} with slopes of rows, w${weightBits}a${activationBits}, ${note}`,
        [
          ...[...quantised(weightBits, activationBits), values],
          ...[activationBits, weightBits].map((bits) => floats([2 ** bits], -(2 ** (bits - 3)), 2 ** (bits - 3))),
        ],
        { ...axm(weightBits, activationBits), error },
        { differentiate: [0, 1, 4] },
      );
    return [
      make('conv2d', note, [floats(x), floats(w)], geometry, differentiable(0, 1)),
      make(
        'axmConv2d',
        `exact, ${note}`,
        quantised(8, 8),
        { ...axm(8, 8), error: { kind: 'none' } },
        { differentiate: [0, 1] },
      ),
      make(
        'axmConv2d',
        `trained structure, ${note}`,
        [...quantised(8, 8), floats([8, 8], 0, 1)],
        { ...axm(8, 8), error: { kind: 'removal', integer: false } },
        { differentiate: [0, 1, 2, 4, 6], smooth: [6] },
      ),
      make(
        'axmConv2d',
        `trained structure, w4a5, ${note}`,
        [...fromZero(4, 5), floats([4, 5], 0, 1)],
        { ...axm(4, 5), error: { kind: 'removal', integer: false } },
        { differentiate: [0, 1, 2, 4, 6], smooth: [6] },
      ),
      make(
        'axmConv2d',
        `mapped truncation, ${note}`,
        [...fromZero(8, 8), zeroOne],
        { ...axm(8, 8), error: { kind: 'removal', integer: true } },
        { differentiate: [0, 1] },
      ),
      make(
        'axmConv2d',
        `error table, ${note}`,
        [...quantised(8, 8), table],
        { ...axm(8, 8), error: { kind: 'table' } },
        { differentiate: [0, 1] },
      ),
      make(
        'axmConv2d',
        `error table, w4a5, ${note}`,
        [...fromZero(4, 5), rectangular],
        { ...axm(4, 5), error: { kind: 'table' } },
        { differentiate: [0, 1] },
      ),
      sloped(8, 8),
      sloped(4, 8),
      sloped(3, 5),
      slopedByRows(8, 8, { kind: 'table' }, table),
      slopedByRows(4, 5, { kind: 'table' }, rectangular),
      slopedByRows(8, 8, { kind: 'removal', integer: true }, zeroOne),
      make(
        'axmConv2d',
        `mapped truncation with slopes, ${note}`,
        [...quantised(8, 8), zeroOne, floats([256, 256], -32, 32), floats([256, 256], -32, 32)],
        { ...axm(8, 8), error: { kind: 'removal', integer: true } },
        { differentiate: [0, 1, 4] },
      ),
    ];
  });
}

function quantisers(): Case[] {
  const between = floatsOf(6);
  return (['tensor', 'channel'] as const).flatMap((granularity) => {
    const per = granularity === 'tensor' ? [] : [6];
    const scale = floats(per, 0.01, 0.012);
    const zero = constant(per, 100);
    // Zero points of channels have no gradient.
    const quantized = granularity === 'tensor' ? [0, 1, 2] : [0, 1];
    return [
      make(
        'quantize',
        `per ${granularity}`,
        [floats([3, 5, 6], -2, 2), scale, zero],
        { bits: 8, granularity },
        { differentiate: quantized },
      ),
      make(
        'quantize',
        `3 bits per ${granularity}`,
        [floats([3, 5, 6], -2, 2), constant(per, 0.3), constant(per, -1)],
        { bits: 3, granularity },
        { differentiate: quantized },
      ),
      make(
        'quantize',
        `2 bits between codes per ${granularity}`,
        [between([3, 5, 6], -2, 2), between(per, 0.5, 0.8), constant(per, 1.5)],
        { bits: 2, granularity },
        { differentiate: quantized },
      ),
      make('dequantize', `per ${granularity}`, [codes([2, 7, 6], 8), scale, zero], { granularity }),
      make('minMax', `per ${granularity}`, [floats([4, 3, 6])], { granularity }, differentiable(0)),
      ...[
        [0.5, 2],
        [-2, -0.5],
        [-1, 1],
      ].map(([low, high]) =>
        make(
          'minMax',
          `per ${granularity}, of ${low} to ${high} and 0`,
          [floats([4, 3, 6], low, high)],
          { granularity, holdsZero: true },
          differentiable(0),
        ),
      ),
      make('clipSearch', `per ${granularity}`, [floats([7, 9, 6], -1, 3), constant(per, -1.5), constant(per, 4)], {
        bits: 3,
        granularity,
        steps: 80,
        shrink: 0.01,
        exponent: 2.4,
      }),
    ];
  });
}

export const cases: readonly Case[] = [
  make('add', '', [floats([3, 7]), floats([3, 7])], { alpha: 0.5, beta: -2 }, differentiable(0, 1)),
  make('lookUp', 'of 3 bits', [codes([5, 7], 3), floats([8])], {}),
  make('affine', '', [floats([3, 7])], { scale: -1.5, offset: 0.25 }, differentiable(0)),
  make('scaleBy', '', [floats([3, 7]), floats([])], {}, differentiable(0, 1)),
  make('dot', '', [floats([37]), floats([37])], {}, differentiable(0, 1)),
  make('broadcast', '', [floats([])], { count: 11 }, differentiable(0)),
  make('sum', '', [floats([5, 13])], {}),
  make('reshape', '', [floats([4, 6])], { shape: [2, 12] }, differentiable(0)),
  make('stopGradient', '', [floats([4, 6])], {}),
  make('relu', '', [floats([5, 7, 3])], {}, differentiable(0)),
  make('clampStraightThrough', '', [floats([23], -1, 2)], { low: 0, high: 1 }, { differentiate: [0] }),
  make('gatherImages', 'moved, mirrored, outside and empty', [codes([3, 5, 7, 3], 8), picks()], {}, { exact: true }),
  make('imageToFloat', '', [codes([2, 3, 3, 3], 8)], { scale: [0.1, 0.2, 0.3], offset: [-1, 0, 1] }),
  make('bias', '', [floats([4, 3, 10]), floats([10])], {}, differentiable(0, 1)),
  make('channelDotDifference', '', [floats([9, 5, 19]), floats([9, 5, 19]), floats([3, 19]), floats([3, 19])], {}),
  make('divide', '', [floats([17]), floats([17], 0.5, 2)], {}),
  make('channelSum', '', [floats([9, 5, 19])], {}),
  ...[3, 16, 20].map((c) =>
    make(
      'batchNorm',
      `${c} channels`,
      [floats([4, 5, 3, c], -1, 3), floats([c], 0.5, 1.5), floats([c])],
      { epsilon: 1e-5 },
      differentiable(0, 1, 2),
    ),
  ),
  make(
    'batchNormInference',
    '',
    [floats([4, 5, 3, 10]), floats([10]), floats([10]), floats([10]), floats([10], 0.1, 1)],
    { epsilon: 1e-5 },
    differentiable(0, 1, 2, 3, 4),
  ),
  make('maxPool', '2×2', [floats([2, 6, 6, 5])], squareWindow(2, 2), differentiable(0)),
  make('maxPool', '3×3 with padding', [floats([2, 7, 5, 18])], squareWindow(3, 2, 1), differentiable(0)),
  make('maxPool', 'ties', [constant([1, 4, 4, 4], 1)], squareWindow(2, 2), { differentiate: [0] }),
  make('averagePool', 'global', [floats([3, 4, 4, 9])], squareWindow(4, 1), differentiable(0)),
  make('averagePool', '3×3 with padding', [floats([2, 5, 5, 16])], squareWindow(3, 2, 1), differentiable(0)),
  make('softmaxCrossEntropy', '', [floats([5, 10], -3, 3), labels(1, 9, 0, 4, 4)], {}, { differentiate: [0] }),
  make(
    'softmaxCrossEntropy',
    'ignored rows and large logits',
    [floats([4, 7], -80, 80), labels(1, -1, 6, -1)],
    {},
    { differentiate: [0] },
  ),
  make('rangeToScale', '', [floats([5], -3, -1), floats([5], 1, 2), constant([], 0.7)], { bits: 8 }),
  make('rangeToScale', 'an empty range', [constant([], 0), constant([], 0), constant([], 1)], { bits: 8 }),
  make(
    'clipScale',
    '',
    [floats([6], -3, 0), floats([6], 1, 2), floats([6], 1, 8), floats([6], 1, 8)],
    { bits: 8 },
    { differentiate: [0, 1, 2, 3] },
  ),
  make(
    'structureMatrix',
    '',
    [floats([5])],
    { weightBits: 3, activationBits: 4, index: [0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, -1] },
    differentiable(0),
  ),
  make('sgd', '', [floats([3, 11]), floats([3, 11]), floats([3, 11]), constant([], 0.1)], {
    momentum: 0.9,
    weightDecay: 5e-4,
  }),
  ...quantisers(),
  ...convolutions(),
];
