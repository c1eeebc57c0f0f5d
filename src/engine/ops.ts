// The operations of the engine: attributes, shape inference, and what each computes in one sentence. This table is the contract that
// every backend implements and the conformance suite checks; `reference/` is its executable meaning.
// Layout: the channel axis is the last one everywhere: images NHWC, convolution weights [kh, kw, I/groups, O], per-channel vectors [C].
// The cotangent of a u8 code tensor is the gradient with respect to its dequantised value (q − zero)·scale: that is the straight-through
// estimator of docs/architecture.md, and it lets an integer tensor stand in the middle of a differentiable graph.

import { UserError } from '../tensor/errors.ts';
import { type DType, formatShape, type Shape, sameShape, sizeOf } from '../tensor/tensor.ts';

export interface ConvGeometry {
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

export interface PoolGeometry {
  readonly size: readonly [height: number, width: number];
  readonly stride: number;
  readonly padding: number;
}

/** Where a scale, a zero point or a minimum applies: one for the whole tensor (shape []) or one per channel (shape [C], the last axis). */
export type Granularity = 'tensor' | 'channel';

/** Operand widths in bits, 2…8: of the weight operand w and the activation operand x. */
export interface OperandWidths {
  readonly weightBits: number;
  readonly activationBits: number;
}

/**
 * How an approximate convolution forms its error E(w, x) = AxM(w, x) − w·x per product of codes:
 * `exact`: E = 0, no further input. `planes`: E = −Σ_ij m[i,j] 2^(i+j) w[i] x[j], input m: f32 [weightBits, activationBits];
 * `integer` promises that every m[i,j] is 0 or 1, so sums are exact integers. `table`: E is an i32 table [2^weightBits, 2^activationBits].
 */
export type ErrorKind = 'exact' | 'planes' | 'table';

/** How a device forms products with an error table: by an exact factorisation into planes, or by look-ups. */
export type TableEmulation = 'lowrank' | 'table';

export interface AxmConvAttributes extends ConvGeometry, OperandWidths {
  readonly error: ErrorKind;
  readonly integer: boolean;
  /** For tables; results are the same to the last bit. By default the fastest that the device has; one that has no choice looks up. */
  readonly emulation?: TableEmulation;
}

type None = Readonly<Record<string, never>>;

/** The attributes of each operation. */
export interface OpAttributes {
  /** alpha·a + beta·b, same shapes. */
  add: { readonly alpha: number; readonly beta: number };
  /** scale·x + offset, constants. */
  affine: { readonly scale: number; readonly offset: number };
  /** x·s with a scalar tensor s. */
  scaleBy: None;
  /** Σ a·b over all elements → []. */
  dot: None;
  /** A scalar repeated to a vector [count]. */
  broadcast: { readonly count: number };
  /** Σ x over all elements → []. */
  sum: None;
  /** The same elements under another shape; never moves data. */
  reshape: { readonly shape: Shape };
  /** The same tensor, cut off from differentiation; never moves data. */
  stopGradient: None;
  relu: None;
  /** (g, y) → g where y > 0. */
  reluGradient: None;
  /** x limited to [low, high]; straight-through: gradient 1 everywhere. */
  clampStraightThrough: { readonly low: number; readonly high: number };
  /**
   * (images u8 [count,H,W,C], picks i32 [N,4]: number, dy, dx, mirrored) → u8 [N,H,W,C]: pixel (y, x) of the output is pixel
   * (y + dy, x + dx) of the image of that number, the row reversed where mirrored is 1; 0 outside, and where the number is negative.
   */
  gatherImages: None;
  /** u8 image [N,H,W,C] → f32 x·scale[c] + offset[c]. */
  imageToFloat: { readonly scale: readonly number[]; readonly offset: readonly number[] };
  /** (x, b) → x + b[c]. */
  bias: None;
  /** x [..., C] → Σ over all but the last axis, [C]. */
  channelSum: None;
  /** (a, b, c, d) [..., C], c and d of another length than a and b → Σ a·b − Σ c·d over all but the last axis in double precision, [C]. */
  channelDotDifference: None;
  /** a / b, same shapes. */
  divide: None;
  /** (x [N,H,W,I], w [kh,kw,I/groups,O]) → [N,OH,OW,O]; zero padding on all sides. */
  conv2d: ConvGeometry;
  /** (g [N,OH,OW,O], w) → gradient of the input of the given shape. */
  conv2dInputGradient: ConvGeometry & { readonly inputShape: Shape };
  /** (x, g) → gradient of the weight of the given shape. */
  conv2dWeightGradient: ConvGeometry & { readonly weightShape: Shape };
  /** Training mode: (x, gamma, beta) → y, batch mean [C], batch variance [C] (biased). */
  batchNorm: { readonly epsilon: number };
  /** (g, x, gamma, mean, variance) → dx, dgamma, dbeta; the statistics depend on x. */
  batchNormGradient: { readonly epsilon: number };
  /** (x, gamma, beta, mean, variance) → y with given statistics. */
  batchNormInference: { readonly epsilon: number };
  maxPool: PoolGeometry;
  /** (g, x) → dx: each window's gradient to its first maximum in row-major order. */
  maxPoolGradient: PoolGeometry;
  /** Mean over the window; padding counts as zeros in the mean. */
  averagePool: PoolGeometry;
  /** g → dx of the given shape. */
  averagePoolGradient: PoolGeometry & { readonly inputShape: Shape };
  /**
   * (logits [N,C], labels i32 [N]) → mean loss [] over the rows with label ≥ 0, probabilities [N,C], number of correct rows [] (first
   * maximum). Rows with a negative label are ignored.
   */
  softmaxCrossEntropy: None;
  /** (g [], probabilities, labels) → dlogits. */
  softmaxCrossEntropyGradient: None;
  /** x → minimum and maximum, [] or [C]. */
  minMax: { readonly granularity: Granularity };
  /** (gmin, gmax, x, min, max) → dx: shared evenly among the elements that attain the extreme. */
  minMaxGradient: { readonly granularity: Granularity };
  /**
   * (x, min, max) → [] the clip factor f = 1 − shrink·k, k = 0…steps−1, whose quantiser of the range [f·min, f·max] has the least mean
   * |x − x_fq|^exponent over the whole tensor; the first of equals.
   */
  clipSearch: {
    readonly bits: number;
    readonly granularity: Granularity;
    readonly steps: number;
    readonly shrink: number;
    readonly exponent: number;
  };
  /** (min, max, factor []) → scale = max(f·(max − min)/(2^bits − 1), ε), zero = round(−f·min/scale). */
  rangeToScale: { readonly bits: number };
  /** Learned clipping: (min, max, upper, lower) → scale = clamp((σ(u)max − σ(l)min)/(2^bits − 1)), zero = round(clamp(−σ(l)min/scale)). */
  clipScale: { readonly bits: number };
  /** (gscale, min, max, upper, lower) → dmin, dmax, dupper, dlower; the zero point has no gradient. */
  clipScaleGradient: { readonly bits: number };
  /** (x, scale, zero) → u8 codes clamp(round(x/scale) + zero, 0, 2^bits − 1), half to even. */
  quantize: { readonly bits: number; readonly granularity: Granularity };
  /** (g, x, scale, zero) → dx (inside the range only), dscale. */
  quantizeGradient: { readonly bits: number; readonly granularity: Granularity };
  /** (codes, scale, zero) → f32 (q − zero)·scale. */
  dequantize: { readonly granularity: Granularity };
  /**
   * (xq, wq, xScale [], xZero [], wScale [O], wZero [O], error?, weightSlopes?, activationSlopes?) → f32 [N,OH,OW,O]
   * = xScale·wScale[o]·Σ_valid taps ((wq − wZero[o])·(xq − xZero) + E(wq, xq)). A padded tap contributes nothing.
   * The slopes of the error, ∂E/∂w and ∂E/∂x per pair of codes (f32 [2^weightBits, 2^activationBits], both or neither), are for the
   * backward pass alone: with them the operands' gradients go through the error, without them they are those of the exact product.
   */
  axmConv2d: AxmConvAttributes;
  /**
   * (g, xq, wq, xScale, xZero, wScale) → dw: gradient of the dequantised weight = that of the exact product, [kh,kw,I/groups,O];
   * dm [weightBits, activationBits] = −2^(i+j) xScale Σ wScale[o]·w[i]·H_j, H_j = weight gradient of activation bit plane j.
   */
  axmConv2dGradients: ConvGeometry & OperandWidths;
  /** (g, xq, wq, xScale, weightSlopes) → xScale·Σ g·slope(wq, xq), of w's shape: the weight's gradient through the error. */
  axmErrorWeightGradient: ConvGeometry & OperandWidths;
  /** (g, xq, wq, wScale, activationSlopes) → Σ g·wScale[o]·slope(wq, xq), of x's shape: the activation's gradient through the error. */
  axmErrorInputGradient: ConvGeometry & OperandWidths;
  /** θ [P] → m [weightBits, activationBits] with m[i,j] = θ[index[i·activationBits + j]], 0 where the index is negative. */
  structureMatrix: OperandWidths & { readonly index: readonly number[] };
  /** dm → dθ [count]. */
  structureMatrixGradient: OperandWidths & { readonly index: readonly number[]; readonly count: number };
  /** (p, dp, velocity, learningRate []) → p, velocity: v ← momentum·v + dp + weightDecay·p; p ← p − learningRate·v. */
  sgd: { readonly momentum: number; readonly weightDecay: number };
}

export type OpName = keyof OpAttributes;

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

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

/** Output extent of a window that slides over one axis. */
export function slideExtent(extent: number, size: number, stride: number, padding: number): number {
  return Math.floor((extent + 2 * padding - size) / stride) + 1;
}

/** Shape of a convolution's output for x [N,H,W,I] and w [kh,kw,I/groups,O]. */
export function convOutputShape(x: Shape, w: Shape, geometry: ConvGeometry): Shape {
  const [n, h, width] = x as [number, number, number, number];
  const [kh, kw, , o] = w as [number, number, number, number];
  const { stride, padding } = geometry;
  return [n, slideExtent(h, kh, stride, padding), slideExtent(width, kw, stride, padding), o];
}

function inferConv(op: OpName, inputs: readonly TensorType[], geometry: ConvGeometry): TensorType[] {
  const x = inputs[0]!.shape;
  const w = inputs[1]!.shape;
  const fits =
    x.length === 4 &&
    w.length === 4 &&
    x[3] === w[2]! * geometry.groups &&
    w[3]! % geometry.groups === 0 &&
    slideExtent(x[1]!, w[0]!, geometry.stride, geometry.padding) > 0 &&
    slideExtent(x[2]!, w[1]!, geometry.stride, geometry.padding) > 0;
  expect(op, fits, inputs, `x [N,H,W,I] and w [kh,kw,I/${geometry.groups},O], kernel inside the padded image`);
  return [f32(convOutputShape(x, w, geometry))];
}

function inferPool(op: OpName, inputs: readonly TensorType[], { size, stride, padding }: PoolGeometry): TensorType[] {
  const [n, h, w, c] = inputs[0]!.shape as [number, number, number, number];
  const oh = slideExtent(h, size[0], stride, padding);
  const ow = slideExtent(w, size[1], stride, padding);
  expect(
    op,
    inputs[0]!.shape.length === 4 && oh > 0 && ow > 0,
    inputs,
    `an image of at least ${size[0]}×${size[1]} with padding ${padding}`,
  );
  return [f32([n, oh, ow, c])];
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

/** Shape inference of every operation; a mismatch throws a UserError that names the operation and the shapes. */
export const inference: { readonly [K in OpName]: Infer<K> } = {
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
  axmConv2d: (inputs, attributes) => {
    const [x, w, xScale, xZero, wScale, wZero, error, ...slopes] = inputs;
    const { weightBits, activationBits } = attributes;
    const perOutput = [last(w!.shape)];
    const pairs = pairsOf(attributes);
    const errorShape = attributes.error === 'planes' ? [weightBits, activationBits] : pairs;
    const fits =
      x!.dtype === 'u8' &&
      w!.dtype === 'u8' &&
      sameShape(xScale!.shape, []) &&
      sameShape(xZero!.shape, []) &&
      sameShape(wScale!.shape, perOutput) &&
      sameShape(wZero!.shape, perOutput) &&
      (attributes.error === 'exact'
        ? error === undefined
        : error !== undefined && sameShape(error.shape, errorShape)) &&
      (slopes.length === 0 || slopes.length === 2) &&
      slopes.every(({ shape }) => sameShape(shape, pairs));
    expect(
      'axmConv2d',
      fits,
      inputs,
      `u8 codes, scalars for x, [O] for w, the error (${attributes.error}) ${formatShape(errorShape)}, no or two tables of slopes`,
    );
    return inferConv('axmConv2d', inputs, attributes);
  },
  axmConv2dGradients: ([, , w], { weightBits, activationBits }) => [f32(w!.shape), f32([weightBits, activationBits])],
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
  sgd: ([p, , v]) => [f32(p!.shape), f32(v!.shape)],
};

/** Operations that only rename a tensor: no kernel runs for them. */
export const renames: ReadonlySet<OpName> = new Set<OpName>(['reshape', 'stopGradient']);

/**
 * Operations whose output may share storage with an input (output index → input index): each element of the output depends on the
 * elements of that input at the same position only.
 */
export const inPlace: { readonly [K in OpName]?: Readonly<Record<number, number>> } = {
  add: { 0: 0 },
  affine: { 0: 0 },
  scaleBy: { 0: 0 },
  relu: { 0: 0 },
  reluGradient: { 0: 0 },
  clampStraightThrough: { 0: 0 },
  bias: { 0: 0 },
  batchNormInference: { 0: 0 },
  sgd: { 0: 0, 1: 2 },
};
