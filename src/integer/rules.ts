// What each operation of an evaluation graph becomes in integers. An operation without a rule, or one whose rule has no
// integers for its operands, is done in float32 (an island).

import type { Node, Value } from '../engine/graph/graph.ts';
import { covers, type Movement } from '../engine/graph/movement.ts';
import type { OpName, PoolGeometry } from '../engine/graph/ops.ts';
import { commonArea } from '../engine/graph/window.ts';
import { roundedCode } from '../engine/reference/quantization.ts';
import { invariant } from '../tensor/errors.ts';
import { type HostTensor, type Shape, sameShape } from '../tensor/tensor.ts';
import type { FrozenLayer, FrozenMultiplier } from './frozen.ts';
import type { CodeTarget, Maker } from './make.ts';
import type { PoolWindow } from './network.ts';
import {
  channelsOf,
  type Draft,
  isLimited,
  type Lowered,
  limited,
  type Pending,
  scaled,
  untouched,
} from './pending.ts';
import { codeShift, productIntegers } from './product.ts';

/** What rules ask of the one who walks the graph. */
export interface Walk {
  readonly maker: Maker;
  readonly streamBits: number;
  readersOf(value: Value): readonly Node[];
  layerOf(node: Node): { readonly layer: FrozenLayer; readonly multiplier: FrozenMultiplier };
  /** The value as fixed point, in a tensor of its own shape. */
  fixed(x: Pending, label: string): Draft;
  /** Values as fixed point of one step. */
  joined(inputs: readonly Pending[], label: string): readonly Draft[];
}

/** Undefined where it has no integers for these operands. */
type Rule<K extends OpName> = (walk: Walk, node: Node<K>, inputs: readonly Lowered[]) => Lowered | undefined;

/** The shape of one image's values. */
export const single = (shape: Shape): Shape => (shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape);

const constantAt = (inputs: readonly Lowered[], at: number): HostTensor | undefined => {
  const found = inputs[at];
  return found?.kind === 'constant' ? found.tensor : undefined;
};

const pendingAt = (inputs: readonly Lowered[], at: number): Pending | undefined => {
  const found = inputs[at];
  return found?.kind === 'pending' ? found : undefined;
};

/** Affine per channel; of a value with limits only after it is fixed point. */
function affine(
  walk: Walk,
  node: Node,
  x: Pending | undefined,
  by: (c: number) => number,
  plus: (c: number) => number,
): Lowered | undefined {
  if (!x) return undefined;
  const from = isLimited(x) ? untouched(walk.fixed(x, node.label)) : x;
  return scaled(from, by, plus);
}

const windowOf = ({ size, stride, padding, ceil = false }: PoolGeometry): PoolWindow => ({
  size,
  stride,
  padding,
  ceil,
});

/** The tensor of an image's values, [H, W, C]. */
const isImage = ({ shape }: Draft): boolean => shape.length === 3;

const one = () => 1;
const none = () => 0;

export const rules: { readonly [K in OpName]?: Rule<K> } = {
  imageToFloat: (_, { attributes: { scale, offset } }, inputs) => {
    const x = pendingAt(inputs, 0);
    return (
      x &&
      scaled(
        x,
        (c) => Math.fround(scale[c]!),
        (c) => Math.fround(offset[c]!),
      )
    );
  },

  bias: (walk, node, inputs) => {
    const bias = constantAt(inputs, 1)?.data;
    return bias && affine(walk, node, pendingAt(inputs, 0), one, (c) => bias[c]!);
  },

  affine: (walk, node, inputs) =>
    affine(
      walk,
      node,
      pendingAt(inputs, 0),
      () => node.attributes.scale,
      () => node.attributes.offset,
    ),

  scaleBy: (walk, node, inputs) => {
    const factor = constantAt(inputs, 1)?.data[0];
    return factor === undefined ? undefined : affine(walk, node, pendingAt(inputs, 0), () => factor, none);
  },

  batchNormInference: (walk, node, inputs) => {
    const parts = [1, 2, 3, 4].map((at) => constantAt(inputs, at)?.data);
    if (!parts.every((part) => part !== undefined)) return undefined;
    const [gamma, beta, mean, variance] = parts as [Float32Array, Float32Array, Float32Array, Float32Array];
    const factor = (c: number) => gamma[c]! / Math.sqrt(variance[c]! + node.attributes.epsilon);
    return affine(walk, node, pendingAt(inputs, 0), factor, (c) => beta[c]! - mean[c]! * factor(c));
  },

  relu: (_, { attributes: { limit = Number.POSITIVE_INFINITY } }, inputs) => {
    const x = pendingAt(inputs, 0);
    return x && limited(x, 0, limit);
  },

  clampStraightThrough: (_, { attributes: { low, high } }, inputs) => {
    const x = pendingAt(inputs, 0);
    return x && limited(x, low, high);
  },

  stopGradient: (_walk, _node, inputs) => inputs[0],

  reshape: (walk, { attributes, label }, inputs) => {
    const x = pendingAt(inputs, 0);
    if (!x) return undefined;
    const shape = single(attributes.shape);
    if (channelsOf(shape) === channelsOf(x.shape)) return { ...x, shape };
    if (x.tensor.form === 'codes') return untouched(walk.maker.reshape(x.tensor, shape, label));
    return untouched(walk.maker.reshape(walk.fixed(x, label), shape, label));
  },

  add: (walk, { attributes: { alpha, beta }, label }, inputs) => {
    const terms = [0, 1].map((at) => pendingAt(inputs, at));
    if (!terms.every((term) => term !== undefined)) return undefined;
    const [a, b] = terms.map((term, at) => {
      const factor = at === 0 ? alpha : beta;
      if (factor === 1) return term!;
      const from = isLimited(term!) ? untouched(walk.fixed(term!, label)) : term!;
      return scaled(from, () => factor, none);
    });
    const [first, second] = walk.joined([a!, b!], label);
    return untouched(walk.maker.add(first!, second!, label, walk.streamBits));
  },

  maxPool: (walk, { attributes, label }, inputs) => {
    const x = pendingAt(inputs, 0);
    if (!x) return undefined;
    const tensor = walk.fixed(x, label);
    return isImage(tensor) ? untouched(walk.maker.maxPool(tensor, windowOf(attributes), label)) : undefined;
  },

  averagePool: (walk, { attributes, label, inputs: [value] }, inputs) => {
    const x = pendingAt(inputs, 0);
    const area = commonArea(value!.shape, attributes);
    // Where windows are divided by different numbers there is no one step.
    if (!x || area === 0) return undefined;
    const tensor = walk.fixed(x, label);
    return isImage(tensor) ? untouched(walk.maker.sumPool(tensor, windowOf(attributes), area, label)) : undefined;
  },

  move: (walk, { attributes, label }, inputs) => {
    const values = inputs.map((_, at) => pendingAt(inputs, at));
    if (!values.every((value) => value !== undefined)) return undefined;
    const tensors = walk.joined(values as Pending[], label);
    return untouched(walk.maker.move(tensors, withoutBatch(attributes), covers(attributes), label));
  },

  quantize: (walk, node, inputs) => {
    const [x, scale, zero] = [pendingAt(inputs, 0), constantAt(inputs, 1), constantAt(inputs, 2)];
    if (!x || !scale || !zero || node.attributes.granularity !== 'tensor') return undefined;
    const target = codeTarget(walk, node, scale, zero);
    if (x.tensor.form === 'pixels' && sameShape(x.shape, x.tensor.shape)) {
      return untouched(walk.maker.lookUp(x.tensor, node.label, target, pixelCodes(x, node, target)));
    }
    const codes = walk.maker.codes(x, node.label, target);
    return untouched(codes, x.shape);
  },

  dequantize: (_walk, _node, inputs) => pendingAt(inputs, 0),

  axmConv2d: (walk, node, inputs) => {
    const x = pendingAt(inputs, 0);
    const [weights, xScale, xZero, wScale, weightZero, error] = [1, 2, 3, 4, 5, 6].map((at) => constantAt(inputs, at));
    invariant(
      x?.tensor.form === 'codes' && weights && xScale && xZero && wScale && weightZero,
      'a product of no codes',
    );
    const { layer, multiplier } = walk.layerOf(node);
    const { attributes } = node;
    const integers = productIntegers(layer, multiplier.table, {
      ...{ attributes, weights, weightZero, error, activationZero: xZero.data[0]! },
    });
    const shape = imageOf(node.inputs[0]!.shape);
    const input = sameShape(x.tensor.shape, shape) ? x.tensor : walk.maker.reshape(x.tensor, shape, node.label);
    const scale = Array.from(wScale.data, (one) => (xScale.data[0]! * one) / integers.step);
    const { shape: outShape } = node.outputs[0]!;
    const sums = walk.maker.product(layer, input, imageOf(outShape), scale, integers);
    return untouched(sums, single(outShape));
  },
};

/** As a product has it, [H, W, C]: what stands for images of their own is rows of one. */
function imageOf(shape: Shape): Shape {
  const [n, h, w, c] = shape as [number, number, number, number];
  return [n * h, w, c];
}

/** The codes of a quantiser in the convention of the multiplier that reads them. */
export function codeTarget(walk: Walk, node: Node<'quantize'>, scale: HostTensor, zero: HostTensor): CodeTarget {
  const { bits } = node.attributes;
  const shifts = walk
    .readersOf(node.outputs[0]!)
    .filter(({ op }) => op === 'axmConv2d')
    .map((reader) => codeShift(walk.layerOf(reader).multiplier.table, bits));
  invariant(new Set(shifts).size <= 1, `${node.label}: codes for multipliers of two conventions`);
  return { bits, scale: scale.data[0]!, zero: zero.data[0]!, shift: shifts[0] ?? 0 };
}

/** The codes of all pixel values, per channel, [C][256], in float32 as the engine rounds them. */
function pixelCodes(x: Pending, node: Node<'quantize'>, { bits, scale, zero, shift }: CodeTarget): Int32Array {
  const channels = x.factor.length;
  const { source } = node.inputs[0]!;
  const isDirect = source.kind === 'node' && source.node.op === 'imageToFloat';
  return Int32Array.from({ length: channels * 256 }, (_, at) => {
    const [c, raw] = [Math.floor(at / 256), at % 256];
    const product = raw * x.factor[c]!;
    const value = Math.fround((isDirect ? Math.fround(product) : product) + x.offset[c]!);
    const code = roundedCode(Math.min(Math.max(value, x.low), x.high) / scale, zero);
    return Math.min(Math.max(code, 0), 2 ** bits - 1) - shift;
  });
}

/** The same boxes in a shape without a batch axis. */
function withoutBatch(movement: Movement): Movement {
  const { shape, boxes } = movement;
  const isBatch = shape.length > 1 && shape[0] === 1 && boxes.every(({ extents }) => extents[0] === 1);
  if (!isBatch) return movement;
  return {
    ...movement,
    shape: shape.slice(1),
    boxes: boxes.map((box) => ({
      ...box,
      extents: box.extents.slice(1),
      from: { ...box.from, strides: box.from.strides.slice(1) },
      to: { ...box.to, strides: box.to.strides.slice(1) },
    })),
  };
}
