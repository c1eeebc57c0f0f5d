// The operations of the engine: attributes and what each computes in one sentence; shapes are in inference.ts. This
// table is the contract that every backend implements and the conformance suite checks; `reference/` is its executable
// meaning.
// Layout: the channel axis is the last one everywhere: images NHWC, convolution weights [kh, kw, I/groups, O],
// per-channel vectors [C].
// The cotangent of a u8 code tensor is the gradient with respect to its dequantised value (q − zero)·scale: that is the
// straight-through estimator of docs/architecture.md, and it lets an integer tensor stand in the middle of a
// differentiable graph.

import type { ProductError } from '../../multiplier/error.ts';
import type { OperandWidths } from '../../multiplier/widths.ts';
import type { Shape } from '../../tensor/tensor.ts';
import type { Formula } from './formula.ts';
import type { Movement } from './movement.ts';

export type { OperandWidths } from '../../multiplier/widths.ts';

/** A number for each axis of an image. */
export type Pair = readonly [height: number, width: number];

export interface ConvGeometry {
  /** Pixels from one position of the window to the next. */
  readonly stride: Pair;
  /** Rows and columns of zeros on each side of the image. */
  readonly padding: Pair;
  /** Pixels from one tap of the window to the next; 1 is dense. */
  readonly dilation: Pair;
  /** Groups of channels that are convolved apart. */
  readonly groups: number;
}

export interface PoolGeometry {
  readonly size: Pair;
  readonly stride: Pair;
  /** Less than the window on each axis, so that every window holds a pixel. */
  readonly padding: Pair;
  /** Whether a last window that reaches beyond the padded image counts, if it begins inside the image or left of it. */
  readonly ceil?: boolean;
}

export interface AverageGeometry extends PoolGeometry {
  /**
   * Whether a mean counts padding as zeros (default), or is of the pixels alone. What lies beyond the padding never
   * counts.
   */
  readonly countPadding?: boolean;
}

/**
 * Where a scale, a zero point or a minimum applies: one for the whole tensor (shape []) or one per channel (shape [C],
 * the last axis).
 */
export type Granularity = 'tensor' | 'channel';

/** Which operand of a matrix product has its two last axes exchanged. */
export type Transposed = 'none' | 'first' | 'second';

export interface AxmConvAttributes extends ConvGeometry, OperandWidths {
  /** E(w, x) = AxM(w, x) − w·x per product of codes, and which input it is read from. */
  readonly error: ProductError;
}

type None = Readonly<Record<string, never>>;

/** What is formed of the values that each replica has at the same place. */
export type ReduceKind = 'sum' | 'mean' | 'min' | 'max';

/** The attributes of each operation. */
export interface OpAttributes {
  /**
   * Each output an expression of the inputs at the same place and of sums over its row: formula.ts; those with names,
   * ../operations/.
   */
  formula: Formula;
  /**
   * Boxes of the inputs to boxes of the output, zero where there is none: movement.ts; those with names,
   * ../operations/.
   */
  move: Movement;
  /**
   * (x…) → of each the sum, mean, least or largest over all replicas of the graph, element by element, the same bits on
   * each of them; where the graph is for one, the same tensors. All replicas do these operations in the same order. A
   * mean divides the sum, or, as NCCL does, sums x·(1/n): a last bit apart where n is no power of two.
   */
  allReduce: { readonly kind: ReduceKind };
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
  /** max(x, 0), and of that and the limit the smaller. */
  relu: { readonly limit?: number };
  /**
   * (x, key i32 [2]) → x/(1 − rate) or 0, by what is drawn for each `group` of neighbouring elements: dropping.ts.
   * 0 < rate < 1; `stream` tells nodes apart, the key steps.
   */
  dropout: { readonly rate: number; readonly stream: number; readonly group: number };
  /** (g, y) → g where y > 0 and below the limit. */
  reluGradient: { readonly limit?: number };
  /** x limited to [low, high]; straight-through: gradient 1 everywhere. */
  clampStraightThrough: { readonly low: number; readonly high: number };
  /**
   * (images u8 [count,H,W,C], picks i32 [N,4]: number, dy, dx, mirrored) → u8 [N,H,W,C]: pixel (y, x) of the output is
   * pixel (y + dy, x + dx) of the image of that number, the row reversed where mirrored is 1; 0 outside, and where the
   * number is negative.
   */
  gatherImages: None;
  /**
   * (x [N,H,W,C], boxes i32 [N,5]: partner, top, left, height, width; share []) → y [N,H,W,C]: inside the box of an
   * image the pixels of its partner, another image of the batch; outside share·x + (1 − share)·partner. A negative
   * partner is an image of zeros.
   */
  mixImages: None;
  /** u8 image [N,H,W,C] → f32 x·scale[c] + offset[c]. */
  imageToFloat: { readonly scale: readonly number[]; readonly offset: readonly number[] };
  /** (x, b) → x + b[c]. */
  bias: None;
  /** x [..., C] → Σ over all but the last axis, [C]. */
  channelSum: None;
  /**
   * scale·Σ x, or scale·Σ a·b of two operands of one shape, over the places at which an operand of the given shape is
   * repeated over them: repeat.ts.
   */
  repeatSum: { readonly shape: Shape; readonly scale: number };
  /**
   * (a, b, c, d) [..., C], c and d of another length than a and b → Σ a·b − Σ c·d over all but the last axis in double
   * precision, [C].
   */
  channelDotDifference: None;
  /** a / b, same shapes. */
  divide: None;
  /** (x [N,H,W,I], w [kh,kw,I/groups,O]) → [N,OH,OW,O]; zero padding on all sides. */
  conv2d: ConvGeometry;
  /** (g [N,OH,OW,O], w) → gradient of the input of the given shape. */
  conv2dInputGradient: ConvGeometry & { readonly inputShape: Shape };
  /** (x, g) → gradient of the weight of the given shape. */
  conv2dWeightGradient: ConvGeometry & { readonly weightShape: Shape };
  /**
   * (a [..., M, K], b [..., K, N]) → scale·a·b [..., M, N], a product for each of the leading axes, which agree; the
   * operand that is transposed is given as [..., K, M] or [..., N, K].
   */
  matrixProduct: { readonly transposed: Transposed; readonly scale: number };
  /** x [R, C] → [index.length, C]: row i is row index[i] of x. */
  gatherRows: { readonly index: readonly number[] };
  /** g [index.length, C] → [count, C]: row r is the sum of the rows i with index[i] = r, in their order. */
  gatherRowsGradient: { readonly index: readonly number[]; readonly count: number };
  /** Training mode: (x, gamma, beta) → y, batch mean [C], batch variance [C] (biased). */
  batchNorm: { readonly epsilon: number };
  /** (g, x, gamma, mean, variance) → dx, dgamma, dbeta; the statistics depend on x. */
  batchNormGradient: { readonly epsilon: number };
  /** (x, gamma, beta, mean, variance) → y with given statistics. */
  batchNormInference: { readonly epsilon: number };
  /** The largest value of each window; a NaN in it is the largest. Padding never wins. */
  maxPool: PoolGeometry;
  /** (g, x) → dx: each window's gradient to its first maximum in row-major order. */
  maxPoolGradient: PoolGeometry;
  /** Mean over the window. */
  averagePool: AverageGeometry;
  /** g → dx of the given shape. */
  averagePoolGradient: AverageGeometry & { readonly inputShape: Shape };
  /**
   * (logits [N,C], labels i32 [N]) → mean loss [] over the rows with label ≥ 0, probabilities [N,C], number of correct
   * rows [] (first maximum). Rows with a negative label are ignored. The cross-entropy is against a target of
   * 1 − smoothing for the label and smoothing/C more for every class.
   */
  softmaxCrossEntropy: Smoothing;
  /** (g [], probabilities, labels) → dlogits. */
  softmaxCrossEntropyGradient: Smoothing;
  /** x → minimum and maximum, [] or [C]; of x and 0 where the range is to hold it. */
  minMax: { readonly granularity: Granularity; readonly holdsZero?: boolean };
  /** (gmin, gmax, x, min, max) → dx: shared evenly among the elements that attain the extreme, lost where none does. */
  minMaxGradient: { readonly granularity: Granularity };
  /**
   * (x, min, max) → [] the clip factor f = 1 − shrink·k, k = 0…steps−1, whose quantiser of the range [f·min, f·max] has
   * the least mean
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
  /**
   * Learned clipping: (min, max, upper, lower) → scale = clamp((σ(u)max − σ(l)min)/(2^bits − 1)), zero =
   * round(clamp(−σ(l)min/scale)).
   */
  clipScale: { readonly bits: number };
  /** (gscale, min, max, upper, lower) → dmin, dmax, dupper, dlower; the zero point has no gradient. */
  clipScaleGradient: { readonly bits: number };
  /**
   * (x, scale, zero) → u8 codes clamp(round(x/scale) + zero, 0, 2^bits − 1), half to even; of a zero point between two
   * codes, k + f, clamp(round(x/scale + f) + k, …).
   */
  quantize: { readonly bits: number; readonly granularity: Granularity };
  /** (g, x, scale, zero) → dx (inside the range only), dscale. */
  quantizeGradient: { readonly bits: number; readonly granularity: Granularity };
  /** (codes, scale, zero) → f32 (q − zero)·scale. */
  dequantize: { readonly granularity: Granularity };
  /** (codes u8, table f32 [n]) → f32 table[code]; codes are below n, which is at most 256. */
  lookUp: None;
  /**
   * (xq, wq, xScale [], xZero [], wScale [O], wZero [O], error?, weightSlopes?, activationSlopes?) → f32 [N,OH,OW,O]
   * = xScale·wScale[o]·Σ_valid taps ((wq − wZero[o])·(xq − xZero) + E(wq, xq)). A padded tap contributes nothing.
   * The slopes of the error, ∂E/∂w and ∂E/∂x, both or neither, per pair of codes (f32 [2^weightBits,
   * 2^activationBits]) or per code of the other operand (∂E/∂w: [2^activationBits], ∂E/∂x: [2^weightBits]), are for the
   * backward pass alone: with them the operands' gradients go through the error, without them they are those of the
   * exact product.
   */
  axmConv2d: AxmConvAttributes;
  /**
   * (g, xq, wq, xScale, xZero, wScale) → dw: gradient of the dequantised weight = that of the exact product,
   * [kh,kw,I/groups,O]; dm [weightBits, activationBits] = −2^(i+j) xScale Σ wScale[o]·w[i]·H_j, H_j = weight gradient
   * of activation bit plane j. `index`, of the structure that m was read by: of dm only the sums over the entries that
   * read one parameter are defined; where they stand among those, and what the entries that read none hold (finite), is
   * the device's choice.
   */
  axmConv2dGradients: ConvGeometry & OperandWidths & { readonly index?: readonly number[] };
  /**
   * (g, xq, wq, xScale, weightSlopes) → xScale·Σ g·slope(wq, xq), of w's shape: the weight's gradient through the
   * error.
   */
  axmErrorWeightGradient: ConvGeometry & OperandWidths;
  /**
   * (g, xq, wq, wScale, activationSlopes) → Σ g·wScale[o]·slope(wq, xq), of x's shape: the activation's gradient
   * through the error.
   */
  axmErrorInputGradient: ConvGeometry & OperandWidths;
  /**
   * θ [P] → m [weightBits, activationBits] with m[i,j] = θ[index[i·activationBits + j]], 0 where the index is negative.
   */
  structureMatrix: OperandWidths & { readonly index: readonly number[] };
  /** dm → dθ [count]. */
  structureMatrixGradient: OperandWidths & { readonly index: readonly number[]; readonly count: number };
  /**
   * (p, dp, velocity, learningRate []) → p, velocity: d = dp + weightDecay·p; v ← momentum·v + d;
   * p ← p − learningRate·v, or with Nesterov's momentum p − learningRate·(d + momentum·v).
   */
  sgd: { readonly momentum: number; readonly weightDecay: number; readonly nesterov?: boolean };
  /**
   * (p, dp, mean, square, learningRate [], corrections [2]) → p, mean, square: d = dp + weightDecay·p, or dp where the
   * decay is decoupled, with p ← p·(1 − learningRate·weightDecay) first; mean ← beta1·mean + (1 − beta1)·d; square ←
   * beta2·square + (1 − beta2)·d²; p ← p − learningRate·(mean/c₀) / (√(square/c₁) + epsilon). The corrections of step t
   * = 1, 2, … are 1 − beta1ᵗ and 1 − beta2ᵗ.
   */
  adam: AdamAttributes;
  /** (average, x, keep []) → keep·average + (1 − keep)·x. */
  movingAverage: None;
}

export interface Smoothing {
  /** Label smoothing ε: 0 … below 1; default 0. */
  readonly smoothing?: number;
}

export interface AdamAttributes {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** AdamW: weights decay by themselves and not through the moments. */
  readonly decoupled: boolean;
}

export type OpName = keyof OpAttributes;

/** Operations that only rename a tensor: no kernel runs for them. */
export const renames: ReadonlySet<OpName> = new Set<OpName>(['reshape', 'stopGradient']);

/**
 * Operations whose output may share storage with an input (output index → input index): each element of the output
 * depends on the elements of that input at the same position only.
 */
export const inPlace: { readonly [K in OpName]?: Readonly<Record<number, number>> } = {
  add: { 0: 0 },
  affine: { 0: 0 },
  scaleBy: { 0: 0 },
  dropout: { 0: 0 },
  relu: { 0: 0 },
  reluGradient: { 0: 0 },
  clampStraightThrough: { 0: 0 },
  bias: { 0: 0 },
  batchNormInference: { 0: 0 },
  sgd: { 0: 0, 1: 2 },
  adam: { 0: 0, 1: 2, 2: 3 },
  movingAverage: { 0: 0 },
};
