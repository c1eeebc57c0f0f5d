// Tensors of an ONNX graph in the engine. ONNX counts axes as PyTorch does, channels second; the engine has channels
// last. So each value goes with the order in which its axes lie in memory: a Transpose only changes that order, a
// Reshape keeps it where the axes that it joins or splits lie one behind the other, and elements move only where an
// operation needs another order.
// Invariant: axis order[k] of the tensor, counted as ONNX does, is axis k of the value.
//
// A graph that was exported for a fixed number of images has that number in its shapes; the network is built for
// others. Where images are counted is therefore followed too: `batch`.

import type { Value } from '../../engine/graph/graph.ts';
import { permute } from '../../engine/operations/movements.ts';
import { UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';

/** Where a tensor counts images: an axis, and how many elements of it are slower than the count. */
export interface BatchAxis {
  readonly axis: number;
  /** 1 where the axis is that of the images alone, or what it is joined with lies behind them. */
  readonly slower: number;
}

export interface Tensor {
  readonly kind: 'tensor';
  readonly value: Value;
  readonly order: readonly number[];
  /** Undefined where it does not depend on images, or nothing is known. */
  readonly batch: BatchAxis | undefined;
}

export function tensorOf(
  value: Value,
  batch: BatchAxis | undefined,
  order: readonly number[] = [...value.shape.keys()],
): Tensor {
  return { kind: 'tensor', value, order, batch };
}

/** The extents as ONNX counts axes. */
export function shapeOf({ value, order }: Pick<Tensor, 'value' | 'order'>): number[] {
  const shape: number[] = [];
  for (const [k, axis] of order.entries()) shape[axis] = value.shape[k]!;
  return shape;
}

/** The number of an axis that may be counted from the end. */
export function axisIn(rank: number, axis: number): number {
  const found = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(found) && found >= 0 && found < rank) return found;
  throw new UserError(`axis ${axis} of ${rank}; expected ${-rank} to ${rank - 1}`);
}

const reshapeValue = (value: Value, shape: Shape): Value =>
  sameShape(value.shape, shape) ? value : value.graph.apply1('reshape', [value], { shape });

/** The value with its axes in this order; nothing moves where only axes of one element change places. */
export function arranged(tensor: Tensor, order: readonly number[]): Value {
  const shape = shapeOf(tensor);
  const long = (axes: readonly number[]) => axes.filter((axis) => shape[axis]! > 1);
  const wanted = order.map((axis) => shape[axis]!);
  if (sameShape(long(tensor.order), long(order))) return reshapeValue(tensor.value, wanted);
  return permute(
    tensor.value,
    order.map((axis) => tensor.order.indexOf(axis)),
  );
}

/** The same tensor with its axes in memory in another order. */
export const rearranged = (tensor: Tensor, order: readonly number[]): Tensor => ({
  ...tensor,
  value: arranged(tensor, order),
  order,
});

/** The order with some axes moved to its end. */
export const withLast = (order: readonly number[], ...last: readonly number[]): number[] => [
  ...order.filter((axis) => !last.includes(axis)),
  ...last,
];

/** Axis k of the result is axis axes[k]: nothing moves. */
export function transposed(tensor: Tensor, axes: readonly number[]): Tensor {
  const { value, order, batch } = tensor;
  if (
    !sameShape(
      [...axes].sort((a, b) => a - b),
      [...order.keys()],
    )
  ) {
    throw new UserError(`the axes ${formatShape(axes)} of ${formatShape(shapeOf(tensor))}; expected each axis once`);
  }
  return {
    ...tensor,
    value,
    order: order.map((axis) => axes.indexOf(axis)),
    batch: batch && { ...batch, axis: axes.indexOf(batch.axis) },
  };
}

/** Axes of two shapes of one size that hold the same elements, as few at a time as can be. */
function groupsOf(from: Shape, to: Shape): { readonly from: number[]; readonly to: number[] }[] {
  const groups: { readonly from: number[]; readonly to: number[] }[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const group = { from: [] as number[], to: [] as number[] };
    let [a, b] = [1, 1];
    const left = () => {
      a *= from[i]!;
      group.from.push(i++);
    };
    const right = () => {
      b *= to[j]!;
      group.to.push(j++);
    };
    if (i < from.length) left();
    if (j < to.length) right();
    while (a !== b) {
      if (a < b) left();
      else right();
    }
    groups.push(group);
  }
  return groups;
}

/** An axis that has moved by some places. */
export const shifted = (batch: BatchAxis | undefined, by: number): BatchAxis | undefined =>
  batch && { ...batch, axis: batch.axis + by };

/**
 * Where images are counted under another shape. With one image several axes may be it: then it is an axis of its own,
 * where there is one; else, with fewer axes than before, it has been joined with what lies before it (tokens and images
 * in a row for a linear layer), and otherwise with what lies behind (images and heads, images and windows).
 */
export function batchBehind(
  from: Shape,
  batch: BatchAxis | undefined,
  to: Shape,
  images: number,
): BatchAxis | undefined {
  if (batch === undefined) return undefined;
  const slower = sizeOf(from.slice(0, batch.axis)) * batch.slower;
  const found: BatchAxis[] = [];
  let before = 1;
  for (const [axis, extent] of to.entries()) {
    const within = slower / before;
    if (Number.isInteger(within) && extent % (within * images) === 0) found.push({ axis, slower: within });
    before *= extent;
  }
  const own = found.find((one) => one.slower === 1 && to[one.axis] === images);
  return own ?? (to.length < from.length ? found[0] : (found.find((one) => one.slower === 1) ?? found[0]));
}

/** The same elements, in ONNX's order, under another shape, of which `batch` says where it counts images. */
export function reshaped(tensor: Tensor, shape: Shape, batch: BatchAxis | undefined): Tensor {
  const before = shapeOf(tensor);
  if (sizeOf(before) !== sizeOf(shape)) {
    throw new UserError(`${formatShape(before)} as ${formatShape(shape)}; expected as many elements`);
  }
  const groups = groupsOf(before, shape);
  const long = tensor.order.filter((axis) => before[axis]! > 1);
  /** Of each axis of more than one element, as they lie in memory, its group. */
  const groupOf = long.map((axis) => groups.findIndex(({ from }) => from.includes(axis)));
  // Axes of a group must lie one behind the other in memory, in their order.
  const stay = groupOf.every(
    (group, at) => groupOf.indexOf(group) === at || (groupOf[at - 1] === group && long[at - 1]! < long[at]!),
  );
  if (!stay) return tensorOf(reshapeValue(arranged(tensor, [...before.keys()]), shape), batch);
  // Groups of one element may stand anywhere.
  const short = [...groups.keys()].filter((group) => !groupOf.includes(group));
  const order = [...new Set([...groupOf, ...short])].flatMap((group) => groups[group]!.to);
  const images = batch?.axis;
  const first =
    images === undefined || shape[images]! > 1 ? order : [images, ...order.filter((axis) => axis !== images)];
  return tensorOf(
    reshapeValue(
      tensor.value,
      first.map((axis) => shape[axis]!),
    ),
    batch,
    first,
  );
}
