// Shape inference: the types of an operation's outputs from those of its inputs, and the refusal of inputs that do not
// fit, with the operation and the shapes. What the operations mean is in ops.ts.

import { UserError } from '../../tensor/errors.ts';
import type { TensorType } from '../../tensor/tensor.ts';
import { formatShape, type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';
import { inferFormula } from './formula.ts';
import { inferMovement } from './movement.ts';
import type {
  ConvGeometry,
  Granularity,
  OpAttributes,
  OperandWidths,
  OpName,
  PoolGeometry,
  Transposed,
} from './ops.ts';
import { repetitionOf } from './repeat.ts';
import { axesOf, outputsOf } from './window.ts';

type Infer<K extends OpName> = (inputs: readonly TensorType[], attributes: OpAttributes[K]) => TensorType[];

const f32 = (shape: Shape): TensorType => ({ dtype: 'f32', shape });
const last = (shape: Shape): number => shape[shape.length - 1] as number;

function expect(op: OpName, condition: boolean, found: readonly TensorType[], expected: string): void {
  if (condition) return;
  const shapes = found.map((type) => `${type.dtype}${formatShape(type.shape)}`).join(', ');
  throw new UserError(`${op}: inputs ${shapes}; expected ${expected}`);
}

const alike =
  <K extends OpName>(op: K, count: number): Infer<K> =>
  (inputs) => {
    const first = inputs[0]!;
    expect(
      op,
      inputs.length === count && inputs.every((t) => sameShape(t.shape, first.shape)),
      inputs,
      `${count} of one shape`,
    );
    return [f32(first.shape)];
  };

/** Shape of a convolution's output for x [N,H,W,I] and w [kh,kw,I/groups,O]. */
export function convOutputShape(x: Shape, w: Shape, geometry: ConvGeometry): Shape {
  const [kh, kw, , o] = w as [number, number, number, number];
  return [x[0]!, ...axesOf(x, [kh, kw], geometry).map(outputsOf), o];
}

function inferConv(op: OpName, inputs: readonly TensorType[], geometry: ConvGeometry): TensorType[] {
  const x = inputs[0]!.shape;
  const w = inputs[1]!.shape;
  const fits =
    x.length === 4 &&
    w.length === 4 &&
    x[3] === w[2]! * geometry.groups &&
    w[3]! % geometry.groups === 0 &&
    axesOf(x, [w[0]!, w[1]!], geometry).every((axis) => outputsOf(axis) > 0);
  expect(op, fits, inputs, `x [N,H,W,I] and w [kh,kw,I/${geometry.groups},O], kernel inside the padded image`);
  return [f32(convOutputShape(x, w, geometry))];
}

/** The extents of a matrix product, `batches` of them: a [M, K] by b [K, N]. */
export function productExtents(a: Shape, b: Shape, transposed: Transposed) {
  const [m, k] = transposed === 'first' ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
  const [inner, n] = transposed === 'second' ? [b.at(-1)!, b.at(-2)!] : [b.at(-2)!, b.at(-1)!];
  return { batches: sizeOf(a.slice(0, -2)), m, k, inner, n };
}

function inferProduct(inputs: readonly TensorType[], { transposed }: OpAttributes['matrixProduct']): TensorType[] {
  const [a, b] = inputs.map(({ shape }) => shape) as [Shape, Shape];
  const { m, k, inner, n } = productExtents(a, b, transposed);
  const outer = a.slice(0, -2);
  const fits = inputs.length === 2 && a.length >= 2 && b.length >= 2 && k === inner && sameShape(outer, b.slice(0, -2));
  const forms = { none: '[…,M,K] and […,K,N]', first: '[…,K,M] and […,K,N]', second: '[…,M,K] and […,N,K]' };
  expect('matrixProduct', fits, inputs, `${forms[transposed]} with the same leading axes`);
  return [f32([...outer, m, n])];
}

function inferPool(op: OpName, inputs: readonly TensorType[], geometry: PoolGeometry): TensorType[] {
  const { size, padding } = geometry;
  const x = inputs[0]!.shape;
  const axes = axesOf(x, size, geometry);
  const extents = axes.map(outputsOf);
  const filled = axes.every((axis) => axis.padding < axis.size);
  expect(op, filled, inputs, `less padding than the window (${size[0]}×${size[1]}), not ${padding[0]}×${padding[1]}`);
  expect(
    op,
    x.length === 4 && extents.every((extent) => extent > 0),
    inputs,
    `an image of at least ${size[0]}×${size[1]} with padding ${padding[0]}×${padding[1]}`,
  );
  return [f32([x[0]!, ...extents, x[3]!])];
}

const perGranularity = (x: Shape, granularity: Granularity): Shape => (granularity === 'tensor' ? [] : [last(x)]);

function expectScale(
  op: OpName,
  inputs: readonly TensorType[],
  x: TensorType,
  granularity: Granularity,
  at: number,
): void {
  const shape = perGranularity(x.shape, granularity);
  const fits = inputs.slice(at, at + 2).every((t) => sameShape(t.shape, shape));
  expect(op, fits, inputs, `scale and zero point of shape ${formatShape(shape)}`);
}

/** Shape of a table with an entry for each pair of codes. */
const pairsOf = ({ weightBits, activationBits }: OperandWidths): Shape => [2 ** weightBits, 2 ** activationBits];

function expectSlopes(op: OpName, inputs: readonly TensorType[], widths: OperandWidths): void {
  const pairs = pairsOf(widths);
  expect(op, sameShape(inputs[4]!.shape, pairs), inputs, `a table of slopes ${formatShape(pairs)}`);
}

/** An update of a variable: so many tensors of its shape, then what holds for all. */
function expectUpdate(op: OpName, inputs: readonly TensorType[], tensors: number, common: readonly Shape[]): void {
  const shapes = [...Array.from({ length: tensors }, () => inputs[0]!.shape), ...common];
  const fits = inputs.length === shapes.length && shapes.every((shape, at) => sameShape(inputs[at]!.shape, shape));
  const text = common.map(formatShape).join(' and ');
  expect(op, fits, inputs, `${tensors} tensors of one shape and ${text}`);
}

/** Operations that read other types than f32; each says itself which. */
const ofOtherTypes: ReadonlySet<OpName> = new Set<OpName>([
  ...([
    'formula',
    'move',
    'reshape',
    'stopGradient',
    'gatherImages',
    'mixImages',
    'imageToFloat',
    'dequantize',
    'lookUp',
  ] as const),
  ...(['softmaxCrossEntropy', 'softmaxCrossEntropyGradient', 'dropout'] as const),
  ...(['axmConv2d', 'axmConv2dGradients', 'axmErrorWeightGradient', 'axmErrorInputGradient'] as const),
]);

/** The types of an operation's outputs; a UserError where inputs do not fit. */
export function infer<K extends OpName>(op: K, inputs: readonly TensorType[], attributes: OpAttributes[K]) {
  const floats = inputs.every(({ dtype }) => dtype === 'f32');
  expect(op, floats || ofOtherTypes.has(op), inputs, 'f32');
  return inference[op](inputs, attributes);
}

/** Shape inference of every operation; a mismatch throws a UserError that names the operation and the shapes. */
const inference: { readonly [K in OpName]: Infer<K> } = {
  formula: inferFormula,
  move: inferMovement,
  allReduce: (inputs) => {
    expect('allReduce', inputs.length > 0, inputs, 'at least one');
    return inputs.map(({ shape }) => f32(shape));
  },
  add: alike('add', 2),
  affine: alike('affine', 1),
  scaleBy: ([x]) => [f32(x!.shape)],
  dot: (inputs) => {
    alike('dot', 2)(inputs, {});
    return [f32([])];
  },
  broadcast: (_, { count }) => [f32([count])],
  sum: () => [f32([])],
  reshape: (inputs, { shape }) => {
    expect('reshape', sizeOf(inputs[0]!.shape) === sizeOf(shape), inputs, `as many elements as ${formatShape(shape)}`);
    return [{ dtype: inputs[0]!.dtype, shape }];
  },
  stopGradient: ([x]) => [x!],
  dropout: (inputs, { rate, group }) => {
    const [x, key] = inputs as [TensorType, TensorType];
    const fits = x.dtype === 'f32' && key.dtype === 'i32' && sameShape(key.shape, [2]) && sizeOf(x.shape) % group === 0;
    expect(
      'dropout',
      fits && rate > 0 && rate < 1,
      inputs,
      `f32 in groups of ${group}, an i32 key [2], a rate in (0, 1)`,
    );
    return [f32(x.shape)];
  },
  relu: alike('relu', 1),
  reluGradient: alike('reluGradient', 2),
  clampStraightThrough: alike('clampStraightThrough', 1),
  gatherImages: (inputs) => {
    const [images, picks] = inputs as [TensorType, TensorType];
    const fits =
      images.dtype === 'u8' &&
      images.shape.length === 4 &&
      picks.dtype === 'i32' &&
      sameShape(picks.shape, [picks.shape[0]!, 4]);
    expect('gatherImages', fits, inputs, 'u8 images [count,H,W,C] and i32 picks [N,4]');
    return [{ dtype: 'u8', shape: [picks.shape[0]!, ...images.shape.slice(1)] }];
  },
  mixImages: (inputs) => {
    const [x, boxes, share] = inputs as [TensorType, TensorType, TensorType];
    const fits =
      x.dtype === 'f32' &&
      x.shape.length === 4 &&
      boxes.dtype === 'i32' &&
      sameShape(boxes.shape, [x.shape[0]!, 5]) &&
      share.dtype === 'f32' &&
      sameShape(share.shape, []);
    expect('mixImages', fits, inputs, 'images [N,H,W,C], i32 boxes [N,5] and a share []');
    return [f32(x.shape)];
  },
  imageToFloat: (inputs, { scale }) => {
    const x = inputs[0]!;
    expect(
      'imageToFloat',
      x.dtype === 'u8' && last(x.shape) === scale.length,
      inputs,
      `a u8 image with ${scale.length} channels`,
    );
    return [f32(x.shape)];
  },
  bias: (inputs) => {
    expect('bias', sameShape(inputs[1]!.shape, [last(inputs[0]!.shape)]), inputs, 'one bias per channel');
    return [f32(inputs[0]!.shape)];
  },
  channelSum: ([x]) => [f32([last(x!.shape)])],
  repeatSum: (inputs, { shape }) => {
    const [a, b = a] = inputs as [TensorType, TensorType?];
    const fits = inputs.length <= 2 && sameShape(a.shape, b.shape) && repetitionOf(shape, a.shape) !== undefined;
    expect('repeatSum', fits, inputs, `one or two of a shape over which ${formatShape(shape)} is repeated`);
    return [f32(shape)];
  },
  channelDotDifference: (inputs) => {
    const [a, b, c, d] = inputs as [TensorType, TensorType, TensorType, TensorType];
    const fits = sameShape(a.shape, b.shape) && sameShape(c.shape, d.shape) && last(a.shape) === last(c.shape);
    expect('channelDotDifference', fits, inputs, 'two pairs of equal shapes with the same channels');
    return [f32([last(a.shape)])];
  },
  divide: alike('divide', 2),
  conv2d: (inputs, attributes) => inferConv('conv2d', inputs, attributes),
  conv2dInputGradient: (_, { inputShape }) => [f32(inputShape)],
  conv2dWeightGradient: (_, { weightShape }) => [f32(weightShape)],
  matrixProduct: inferProduct,
  gatherRows: (inputs, { index }) => {
    const [rows = 0, columns = 0] = inputs[0]!.shape;
    const fits = inputs[0]!.shape.length === 2 && index.every((row) => Number.isInteger(row) && row >= 0 && row < rows);
    expect('gatherRows', fits && index.length > 0, inputs, 'a matrix that has all rows of the index');
    return [f32([index.length, columns])];
  },
  gatherRowsGradient: (inputs, { index, count }) => {
    const [rows, columns = 0] = inputs[0]!.shape;
    expect('gatherRowsGradient', rows === index.length, inputs, 'a row for each entry of the index');
    return [f32([count, columns])];
  },
  batchNorm: (inputs) => {
    const c = [last(inputs[0]!.shape)];
    expect(
      'batchNorm',
      inputs.slice(1).every((t) => sameShape(t.shape, c)),
      inputs,
      'gamma and beta per channel',
    );
    return [f32(inputs[0]!.shape), f32(c), f32(c)];
  },
  batchNormGradient: ([g, , gamma]) => [f32(g!.shape), f32(gamma!.shape), f32(gamma!.shape)],
  batchNormInference: (inputs) => {
    const c = [last(inputs[0]!.shape)];
    expect(
      'batchNormInference',
      inputs.slice(1).every((t) => sameShape(t.shape, c)),
      inputs,
      'four vectors per channel',
    );
    return [f32(inputs[0]!.shape)];
  },
  maxPool: (inputs, attributes) => inferPool('maxPool', inputs, attributes),
  maxPoolGradient: ([, x]) => [f32(x!.shape)],
  averagePool: (inputs, attributes) => inferPool('averagePool', inputs, attributes),
  averagePoolGradient: (_, { inputShape }) => [f32(inputShape)],
  softmaxCrossEntropy: (inputs) => {
    const [logits, labels] = inputs as [TensorType, TensorType];
    const fits = logits.shape.length === 2 && labels.dtype === 'i32' && sameShape(labels.shape, [logits.shape[0]!]);
    expect('softmaxCrossEntropy', fits, inputs, 'logits [N,C] and i32 labels [N]');
    return [f32([]), f32(logits.shape), f32([])];
  },
  softmaxCrossEntropyGradient: ([, probabilities]) => [f32(probabilities!.shape)],
  minMax: ([x], { granularity }) => {
    const shape = perGranularity(x!.shape, granularity);
    return [f32(shape), f32(shape)];
  },
  minMaxGradient: ([, , x]) => [f32(x!.shape)],
  clipSearch: () => [f32([])],
  rangeToScale: ([min]) => [f32(min!.shape), f32(min!.shape)],
  clipScale: (inputs) => {
    alike('clipScale', 4)(inputs, {} as never);
    return [f32(inputs[0]!.shape), f32(inputs[0]!.shape)];
  },
  clipScaleGradient: ([, min]) => [f32(min!.shape), f32(min!.shape), f32(min!.shape), f32(min!.shape)],
  quantize: (inputs, { granularity, bits }) => {
    expect('quantize', bits >= 2 && bits <= 8, inputs, `2 to 8 bits, not ${bits}`);
    expectScale('quantize', inputs, inputs[0]!, granularity, 1);
    return [{ dtype: 'u8', shape: inputs[0]!.shape }];
  },
  quantizeGradient: (inputs, { granularity }) => {
    expectScale('quantizeGradient', inputs, inputs[1]!, granularity, 2);
    return [f32(inputs[1]!.shape), f32(inputs[2]!.shape)];
  },
  dequantize: (inputs, { granularity }) => {
    expect('dequantize', inputs[0]!.dtype === 'u8', inputs, 'u8 codes');
    expectScale('dequantize', inputs, inputs[0]!, granularity, 1);
    return [f32(inputs[0]!.shape)];
  },
  lookUp: (inputs) => {
    const [codes, table] = inputs;
    const fits = codes!.dtype === 'u8' && table!.dtype === 'f32' && table!.shape.length === 1;
    expect('lookUp', fits && table!.shape[0]! <= 256, inputs, 'u8 codes and a table f32 [n] of at most 256 values');
    return [f32(codes!.shape)];
  },
  axmConv2d: (inputs, attributes) => {
    const [x, w, xScale, xZero, wScale, wZero, error, ...slopes] = inputs;
    const { weightBits, activationBits } = attributes;
    const perOutput = [last(w!.shape)];
    const pairs = pairsOf(attributes);
    const errorShape = attributes.error.kind === 'removal' ? [weightBits, activationBits] : pairs;
    const fits =
      x!.dtype === 'u8' &&
      w!.dtype === 'u8' &&
      sameShape(xScale!.shape, []) &&
      sameShape(xZero!.shape, []) &&
      sameShape(wScale!.shape, perOutput) &&
      sameShape(wZero!.shape, perOutput) &&
      (attributes.error.kind === 'none'
        ? error === undefined
        : error !== undefined && sameShape(error.shape, errorShape)) &&
      (slopes.length === 0 || slopes.length === 2) &&
      (slopes.every(({ shape }) => sameShape(shape, pairs)) ||
        slopes.every(({ shape }, at) => sameShape(shape, [2 ** (at === 0 ? activationBits : weightBits)])));
    expect(
      'axmConv2d',
      fits,
      inputs,
      `u8 codes, scalars for x, [O] for w, the error (${attributes.error.kind}) ${formatShape(errorShape)}, no or two tables of slopes, by pairs or by codes`,
    );
    return inferConv('axmConv2d', inputs, attributes);
  },
  axmConv2dGradients: (inputs, { weightBits, activationBits, index }) => {
    const fits = index === undefined || index.length === weightBits * activationBits;
    expect('axmConv2dGradients', fits, inputs, `an index of ${weightBits}×${activationBits} entries`);
    return [f32(inputs[2]!.shape), f32([weightBits, activationBits])];
  },
  axmErrorWeightGradient: (inputs, attributes) => {
    expectSlopes('axmErrorWeightGradient', inputs, attributes);
    return [f32(inputs[2]!.shape)];
  },
  axmErrorInputGradient: (inputs, attributes) => {
    expectSlopes('axmErrorInputGradient', inputs, attributes);
    return [f32(inputs[1]!.shape)];
  },
  structureMatrix: (inputs, { weightBits, activationBits, index }) => {
    const fits = index.length === weightBits * activationBits && index.every((c) => c < inputs[0]!.shape[0]!);
    expect(
      'structureMatrix',
      fits,
      inputs,
      `an index of ${weightBits}×${activationBits} entries below the length of θ`,
    );
    return [f32([weightBits, activationBits])];
  },
  structureMatrixGradient: (_, { count }) => [f32([count])],
  sgd: (inputs) => {
    expectUpdate('sgd', inputs, 3, [[]]);
    return inputs.slice(1, 3).map(({ shape }) => f32(shape));
  },
  adam: (inputs) => {
    expectUpdate('adam', inputs, 4, [[], [2]]);
    return inputs.slice(1, 4).map(({ shape }) => f32(shape));
  },
  movingAverage: (inputs) => {
    expectUpdate('movingAverage', inputs, 2, [[]]);
    return [f32(inputs[0]!.shape)];
  },
};
