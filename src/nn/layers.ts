// The layers that model definitions are written in. A definition is a function from an image to logits that calls these
// methods; the same definition gives the float network, its calibration pass and the quantised approximate network,
// because how a multiplying layer multiplies is a value (`Multiply`) that the caller hands in. Parameters carry
// PyTorch's names, so checkpoints cross over.

import type { Graph, Value } from '../engine/graph/graph.ts';
import type { ConvGeometry, Transposed } from '../engine/graph/ops.ts';
import { type PerAxis, pair, square, squareWindow } from '../engine/graph/window.ts';
import {
  gelu,
  hardSigmoid,
  hardSwish,
  leakyRelu,
  relu6,
  sigmoid,
  silu,
  tanh,
} from '../engine/operations/activations.ts';
import { sum } from '../engine/operations/arithmetic.ts';
import { batchNormOfAll, batchNormOfDevice } from '../engine/operations/batch-norm.ts';
import { concat, pad, permute, roll, slice, splitHeads } from '../engine/operations/movements.ts';
import { layerNorm, softmax } from '../engine/operations/normalizations.ts';
import { meanOver, product } from '../engine/operations/repetitions.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { type Shape, sameShape, sizeOf } from '../tensor/tensor.ts';
import {
  requireCount,
  requireExtent,
  requireGroups,
  requireImage,
  requireName,
  requireOptions,
  requireWindow,
} from './layer-options.ts';

/** How a trainable tensor starts: He initialisation by fan-out or fan-in, a constant. */
export type Initial =
  | { readonly kind: 'normal'; readonly deviation: number }
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'constant'; readonly value: number };

/** A tensor that belongs to the model: trained, or kept (running statistics). */
export interface Parameter {
  readonly name: string;
  readonly value: Value;
  readonly initial: Initial;
  readonly trainable: boolean;
}

/** A layer that multiplies weights by activations: a convolution, or a linear layer seen as a 1×1 convolution. */
export interface MultiplyingLayer {
  readonly name: string;
  readonly kind: 'convolution' | 'linear';
  readonly geometry: ConvGeometry;
  readonly weightShape: Shape;
  /** Multiplications per image, padded taps included, as the paper counts them. */
  readonly macs: number;
}

/** Builds the product of a layer: (layer, x [N,H,W,I], w [kh,kw,I/groups,O]) → [N,OH,OW,O]. */
export type Multiply = (layer: MultiplyingLayer, x: Value, weight: Value) => Value;

export interface ConvSpec {
  /** Output channels. */
  readonly out: number;
  /** Taps of the kernel: [height, width], or one number for both, as below. */
  readonly kernel: PerAxis;
  /** Pixels between two outputs; default 1. */
  readonly stride?: PerAxis;
  /** Rows and columns of zeros on each side of the image; default 0. */
  readonly padding?: PerAxis;
  /** Pixels between two taps; default 1, dense. */
  readonly dilation?: PerAxis;
  /** Groups of channels that are convolved apart; must divide the input and output channels; default 1. */
  readonly groups?: number;
  /** Default: none, as before batch norm. */
  readonly bias?: boolean;
}

export interface LinearSpec {
  /** Default: true. */
  readonly bias?: boolean;
  /**
   * The weights start normal with this deviation and the bias at zero, as in transformers; default: uniform by fan-in.
   */
  readonly deviation?: number;
}

/** Multiplication in float32. */
export const multiplyFloat: Multiply = ({ geometry }, x, weight) => x.graph.apply1('conv2d', [x, weight], geometry);

export interface BatchNormOptions {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
  /** What the running statistics take of each batch's; default 0.1. */
  readonly momentum?: number;
}

/** The input i32 [2] of a graph that draws: the key of a step, of which all that is drawn is a function. */
export const RANDOM_KEY = 'randomKey';

/** What each of them takes, for messages; the types below say more. */
const optionNames = {
  conv: ['out', 'kernel', 'stride', 'padding', 'dilation', 'groups', 'bias'],
  linear: ['bias', 'deviation'],
  batchNorm: ['epsilon', 'momentum'],
  maxPool: ['ceil'],
  averagePool: ['ceil', 'countPadding'],
} as const;

export interface PoolOptions {
  /** Whether a last window that reaches beyond the padded image counts, if it begins inside; default: it does not. */
  readonly ceil?: boolean;
}

export interface AveragePoolOptions extends PoolOptions {
  /** Whether padding counts as zeros; default: it does. */
  readonly countPadding?: boolean;
}

/**
 * Statistics of the rows of each device (as PyTorch's DistributedDataParallel), or of the whole batch (as its
 * SyncBatchNorm).
 */
export type BatchNormScope = 'device' | 'batch';

export interface LayersOptions {
  /** Batch statistics and running averages (true), or the stored statistics (false). */
  readonly training: boolean;
  /** Whether dropout and drop-path draw, as in a training step; default: they are not there. */
  readonly random?: boolean;
  readonly multiply: Multiply;
  /** Whose statistics batch norm takes in training, where a graph is for several devices; default: device. */
  readonly batchNorm?: BatchNormScope;
  /** Batch norms that are folded into a layer, by the layer: it has a bias, and they are not there. */
  readonly folded?: ReadonlyMap<string, { readonly name: string }>;
  /** What is added to the product of a layer that has a bias, [out], from that bias; default: the bias. */
  readonly biasOf?: (layer: string, bias: Value) => Value;
}

/**
 * What a model is made of. Images are f32 [N, H, W, C], the channel last; names are those of PyTorch's modules, so that
 * checkpoints cross over: the tensors of a layer are `<name>.weight`, `<name>.bias`, … The name is also the label of
 * the layer's nodes (see engine/graph/graph.ts).
 */
export class Layers {
  readonly graph: Graph;
  readonly parameters: Parameter[] = [];
  readonly multiplying: MultiplyingLayer[] = [];
  /** Names of the blocks. */
  readonly blocks: string[] = [];
  readonly #options: LayersOptions;
  readonly #folded: ReadonlySet<string>;
  /** Places that draw, so far: each has the stream of its number. */
  #drawing = 0;

  constructor(graph: Graph, options: LayersOptions) {
    this.graph = graph;
    this.#options = options;
    this.#folded = new Set([...(options.folded?.values() ?? [])].map(({ name }) => name));
  }

  /** Whether the network is built to learn: batch statistics, and whatever else training does otherwise. */
  get training(): boolean {
    return this.#options.training;
  }

  /**
   * A part of the model with a name, such as a residual block: what `build` adds and is no layer of its own belongs to
   * it.
   */
  block(name: string, build: () => Value): Value {
    this.blocks.push(name);
    return this.graph.labelled(name, build);
  }

  /**
   * Convolution, [N, H, W, I] → [N, H', W', out]; He initialisation by fan-out. `spec`: { out, kernel, stride = 1,
   * padding = 0, dilation = 1, groups = 1, bias = false }, kernel to dilation a number or [height, width].
   */
  conv(name: string, x: Value, spec: ConvSpec): Value {
    requireName('conv', name);
    requireOptions(name, spec, optionNames.conv);
    requireImage(name, x);
    const { out, kernel, stride = 1, padding = 0, dilation = 1, groups = 1 } = spec;
    requireCount(`${name}: out`, out);
    requireExtent(`${name}: kernel`, kernel, 1);
    requireExtent(`${name}: stride`, stride, 1);
    requireExtent(`${name}: padding`, padding, 0);
    requireExtent(`${name}: dilation`, dilation, 1);
    requireGroups(name, groups, x.shape[3]!, out);
    return this.graph.labelled(name, () => this.#conv(name, x, spec));
  }

  /**
   * Linear layer over the last axis, [N, features] → [N, out] or [N, …, features] → [N, …, out] for every token.
   * `spec`: { bias = true, deviation }, the one of the weights at the start.
   */
  linear(name: string, x: Value, out: number, spec: LinearSpec = {}): Value {
    requireName('linear', name);
    requireOptions(name, spec, optionNames.linear);
    requireCount(`${name}: outputs`, out);
    return this.graph.labelled(name, () => this.#linear(name, x, out, spec));
  }

  /** A trained tensor that is no layer's: a token, a table. Starts normal with this deviation. */
  parameter(name: string, shape: Shape, deviation = 0.02): Value {
    requireName('parameter', name);
    return this.#parameter(name, shape, { kind: 'normal', deviation });
  }

  /** scale·a·b of matrices in the last two axes, the leading ones alike; see `matrixProduct` of the engine. */
  matrixProduct(a: Value, b: Value, transposed: Transposed = 'none', scale = 1): Value {
    return this.graph.apply1('matrixProduct', [a, b], { transposed, scale });
  }

  /** Rows of a matrix by number, [R, C] → [index.length, C]. */
  gatherRows(x: Value, index: readonly number[]): Value {
    return this.graph.apply1('gatherRows', [x], { index });
  }

  /**
   * The same elements under another shape, the last axis the fastest; an image as rows for a linear layer: `flatten`.
   */
  reshape(x: Value, shape: Shape): Value {
    return this.graph.apply1('reshape', [x], { shape });
  }

  /**
   * An image as a row in the order of PyTorch's flatten, channel by channel, so that the weights of a linear layer
   * behind it load: [N, H, W, C] → [N, C·H·W].
   */
  flatten(x: Value): Value {
    requireImage('flatten', x);
    const [n, ...extents] = x.shape as [number, number, number, number];
    return this.reshape(this.permute(x, [0, 3, 1, 2]), [n, sizeOf(extents)]);
  }

  /**
   * Batch normalisation over all axes but the last, with a learned scale and shift; any shape. `options`:
   * { epsilon = 1e-5, momentum = 0.1 }.
   */
  batchNorm(name: string, x: Value, options: BatchNormOptions = {}): Value {
    requireName('batchNorm', name);
    requireOptions(name, options, optionNames.batchNorm);
    if (this.#folded.has(name)) return x;
    return this.graph.labelled(name, () => this.#batchNorm(name, x, options));
  }

  /**
   * Normalisation of each row (the last axis), with a learned scale and shift; any shape. PyTorch's LayerNorm takes
   * epsilon 1e-5, most vision transformers 1e-6.
   */
  layerNorm(name: string, x: Value, epsilon = 1e-5): Value {
    requireName('layerNorm', name);
    if (!(epsilon > 0)) throw new UserError(`${name}: an epsilon of ${String(epsilon)}; expected a number above 0`);
    return this.graph.labelled(name, () => {
      const channels = [x.shape.at(-1)!];
      const weight = this.#parameter(`${name}.weight`, channels, { kind: 'constant', value: 1 });
      const bias = this.#parameter(`${name}.bias`, channels, { kind: 'constant', value: 0 });
      return layerNorm(x, weight, bias, epsilon);
    });
  }

  /** x·Φ(x), the exact form. */
  gelu(x: Value): Value {
    return gelu(x);
  }

  /** x·sigmoid(x). */
  silu(x: Value): Value {
    return silu(x);
  }

  /** In training each element is 0 with the probability `rate`, else x/(1 − rate); 0 ≤ rate < 1. */
  dropout(x: Value, rate: number): Value {
    return this.#drop(x, rate, 1);
  }

  /** Stochastic depth: as dropout, but all elements of an example (the first axis) are dropped together. */
  dropPath(x: Value, rate: number): Value {
    return this.#drop(x, rate, sizeOf(x.shape.slice(1)));
  }

  /** min(max(x, 0), 6). */
  relu6(x: Value): Value {
    return relu6(x);
  }

  /** min(max(x + 3, 0), 6) / 6. */
  hardSigmoid(x: Value): Value {
    return hardSigmoid(x);
  }

  /** x·hardSigmoid(x). */
  hardSwish(x: Value): Value {
    return hardSwish(x);
  }

  /** x where positive, else slope·x. */
  leakyRelu(x: Value, slope = 0.01): Value {
    return leakyRelu(x, slope);
  }

  /** The hyperbolic tangent. */
  tanh(x: Value): Value {
    return tanh(x);
  }

  /** 1 / (1 + exp(−x)). */
  sigmoid(x: Value): Value {
    return sigmoid(x);
  }

  /** Over the last axis. */
  softmax(x: Value): Value {
    return softmax(x);
  }

  /** Tensors one behind the other along an axis; −1 is the last. */
  concat(values: readonly Value[], axis: number): Value {
    return concat(values, axis);
  }

  /** Elements `from` to `to` − 1 along an axis; −1 is the last. */
  slice(x: Value, axis: number, from: number, to: number): Value {
    return slice(x, axis, from, to);
  }

  /** Axis k of the result is axis order[k] of x. */
  permute(x: Value, order: readonly number[]): Value {
    return permute(x, order);
  }

  /** Zeros before and behind the elements of an axis. */
  pad(x: Value, axis: number, before: number, behind: number): Value {
    return pad(x, axis, before, behind);
  }

  /** x [..., T, parts·heads·d] → parts of [..., heads, T, d]: queries, keys and values of one linear layer. */
  splitHeads(x: Value, parts: number, heads: number): Value[] {
    return splitHeads(x, parts, heads);
  }

  /** A cyclic shift: what was at i along axes[k] is at i + shifts[k]. */
  roll(x: Value, shifts: readonly number[], axes: readonly number[]): Value {
    return roll(x, shifts, axes);
  }

  /** max(x, 0). */
  relu(x: Value): Value {
    return this.graph.apply1('relu', [x], {});
  }

  /**
   * Sum of two values of one shape: a residual connection; or of a value and one that is repeated over it: [T, C] over
   * [N, T, C].
   */
  add(a: Value, b: Value): Value {
    return sameShape(a.shape, b.shape) ? this.graph.apply1('add', [a, b], { alpha: 1, beta: 1 }) : sum(a, b);
  }

  /**
   * a·b of one shape; or an operand has the extent 1 on axes (not the last) over which it is then repeated: [T, C] or
   * [N, 1, C] over [N, T, C].
   */
  multiply(a: Value, b: Value): Value {
    return product(a, b);
  }

  /** Each channel of an image times its gate, [N, H, W, C] by [N, C] or [N, 1, 1, C]: squeeze and excitation. */
  gate(x: Value, gate: Value): Value {
    const shape = [x.shape[0]!, ...x.shape.slice(1, -1).fill(1), x.shape.at(-1)!];
    return product(x, gate.shape.length === shape.length ? gate : this.graph.apply1('reshape', [gate], { shape }));
  }

  /** Mean over an axis that is not the last: over tokens (axis 1) [N, T, C] → [N, C]. */
  mean(x: Value, axis: number): Value {
    const shape = x.shape.toSpliced(axis, 1);
    return this.graph.apply1('reshape', [meanOver(x, axis)], { shape });
  }

  /**
   * Largest value of each window, [N, H, W, C] → [N, H', W', C]; padding never wins. A number goes for height and
   * width; the stride is the window's size unless told. `ceil`: PyTorch's ceil_mode, a last window may reach beyond the
   * padded image.
   */
  maxPool(x: Value, size: PerAxis, stride: PerAxis = size, padding: PerAxis = 0, options: PoolOptions = {}): Value {
    requireWindow('maxPool', x, [size, stride, padding]);
    requireOptions('maxPool', options, optionNames.maxPool);
    return this.graph.apply1('maxPool', [x], squareWindow(size, stride, padding, options.ceil));
  }

  /**
   * Mean of each window, [N, H, W, C] → [N, H', W', C]. `countPadding`: PyTorch's count_include_pad, padding counts as
   * zeros (default), or the mean is of the pixels alone; `ceil` as for maxPool.
   */
  averagePool(
    x: Value,
    size: PerAxis,
    stride: PerAxis = size,
    padding: PerAxis = 0,
    options: AveragePoolOptions = {},
  ): Value {
    requireWindow('averagePool', x, [size, stride, padding]);
    requireOptions('averagePool', options, optionNames.averagePool);
    const { countPadding = true, ceil = false } = options;
    const window = squareWindow(size, stride, padding, ceil);
    return this.graph.apply1('averagePool', [x], { ...window, ...(!countPadding && { countPadding }) });
  }

  /** Means over equal parts of an image, [N, H, W, C] → [N, height, width, C]: both must divide its extents. */
  adaptiveAveragePool(x: Value, size: PerAxis): Value {
    requireImage('adaptiveAveragePool', x);
    requireExtent('adaptiveAveragePool: size', size, 1);
    const [height, width] = pair(size);
    const [, h, w] = x.shape as [number, number, number, number];
    if (h % height !== 0 || w % width !== 0) {
      throw new UserError(
        `adaptiveAveragePool: an image of ${h}×${w} into ${height}×${width} parts; expected extents that divide it`,
      );
    }
    if (h === height && w === width) return x;
    return this.averagePool(x, [h / height, w / width]);
  }

  /** Mean over the image, [N, H, W, C] → [N, C]. */
  globalAveragePool(x: Value): Value {
    requireImage('globalAveragePool', x);
    const [n, h, w, c] = x.shape as [number, number, number, number];
    const pooled = this.graph.apply1('averagePool', [x], squareWindow([h, w], 1));
    return this.graph.apply1('reshape', [pooled], { shape: [n, c] });
  }

  #drop(x: Value, rate: number, group: number): Value {
    if (!(rate >= 0 && rate < 1)) throw new UserError(`a rate of dropout of ${rate}: expected 0 to less than 1`);
    if (rate === 0 || !this.#options.random) return x;
    const key = this.graph.inputs.get(RANDOM_KEY) ?? this.graph.input(RANDOM_KEY, [2], 'i32');
    return this.graph.apply1('dropout', [x, key], { rate, stream: this.#drawing++, group });
  }

  #conv(name: string, x: Value, spec: ConvSpec): Value {
    const { out, kernel, groups = 1, bias = false } = spec;
    const [height, width] = pair(kernel);
    const shape = [height, width, x.shape[3]! / groups, out];
    const deviation = Math.sqrt(2 / (height * width * (out / groups)));
    const weight = this.#parameter(`${name}.weight`, shape, { kind: 'normal', deviation });
    const y = this.#multiply(name, 'convolution', x, weight, square(spec));
    return bias || this.#options.folded?.has(name) ? this.#bias(name, y, 1 / Math.sqrt(sizeOf(shape) / out)) : y;
  }

  #linear(name: string, x: Value, out: number, { bias = true, deviation }: LinearSpec): Value {
    const [n, ...rest] = x.shape as [number, ...number[]];
    const features = rest.pop()!;
    const bound = 1 / Math.sqrt(features);
    const initial: Initial = deviation === undefined ? { kind: 'uniform', bound } : { kind: 'normal', deviation };
    const weight = this.#parameter(`${name}.weight`, [1, 1, features, out], initial);
    const pixels = this.graph.apply1('reshape', [x], { shape: [n, sizeOf(rest), 1, features] });
    const y = this.#multiply(name, 'linear', pixels, weight, square());
    const shifted =
      bias || this.#options.folded?.has(name) ? this.#bias(name, y, deviation === undefined ? bound : 0) : y;
    return this.graph.apply1('reshape', [shifted], { shape: [n, ...rest, out] });
  }

  #batchNorm(name: string, x: Value, { epsilon = 1e-5, momentum = 0.1 }: BatchNormOptions): Value {
    const channels = [x.shape.at(-1)!];
    const gamma = this.#parameter(`${name}.weight`, channels, { kind: 'constant', value: 1 });
    const beta = this.#parameter(`${name}.bias`, channels, { kind: 'constant', value: 0 });
    const runningMean = this.#parameter(`${name}.running_mean`, channels, { kind: 'constant', value: 0 }, false);
    const runningVariance = this.#parameter(`${name}.running_var`, channels, { kind: 'constant', value: 1 }, false);
    if (!this.#options.training) {
      return this.graph.apply1('batchNormInference', [x, gamma, beta, runningMean, runningVariance], { epsilon });
    }
    const isWhole = this.#options.batchNorm === 'batch' && this.graph.replicas > 1;
    const normalise = isWhole ? batchNormOfAll : batchNormOfDevice;
    const [y, mean, variance] = normalise(x, gamma, beta, epsilon);
    const count = (sizeOf(x.shape) / channels[0]!) * (isWhole ? this.graph.replicas : 1);
    const unbiased = count / Math.max(1, count - 1);
    this.#track(runningMean, mean, 1 - momentum, momentum);
    this.#track(runningVariance, variance, 1 - momentum, momentum * unbiased);
    return y;
  }

  #multiply(name: string, kind: MultiplyingLayer['kind'], x: Value, weight: Value, geometry: ConvGeometry): Value {
    const layer: MultiplyingLayer = { name, kind, geometry, weightShape: weight.shape, macs: 0 };
    const y = this.#options.multiply(layer, x, weight);
    const [n, oh, ow] = y.shape as [number, number, number];
    invariant(n === x.shape[0], `${name}: the batch changed`);
    this.multiplying.push({ ...layer, macs: oh * ow * sizeOf(weight.shape) });
    return y;
  }

  #bias(name: string, x: Value, bound: number): Value {
    const bias = this.#parameter(`${name}.bias`, [x.shape.at(-1)!], { kind: 'uniform', bound });
    const { biasOf = (_, own) => own } = this.#options;
    return this.graph.apply1('bias', [x, biasOf(name, bias)], {});
  }

  #track(running: Value, observed: Value, keep: number, take: number): void {
    this.graph.assign(running, this.graph.apply1('add', [running, observed], { alpha: keep, beta: take }));
  }

  #parameter(name: string, shape: Shape, initial: Initial, trainable = true): Value {
    const value = this.graph.variable(name, shape);
    this.parameters.push({ name, value, initial, trainable });
    return value;
  }
}
