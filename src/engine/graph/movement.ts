// Operations that move elements and compute nothing: boxes of the inputs to boxes of the output, each axis of a box
// with its stride in both. Concatenation, slices, padding with zeros, permutations of the axes and cyclic shifts are
// lists of such boxes, and so is the gradient of each: the boxes the other way round. What no box covers is zero.
// Invariant: no element of the output is written twice, and none of an input is read twice by one operation.

import { UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sizeOf, type TensorType } from '../../tensor/tensor.ts';

/** Where the first element of a box is, and how far the next one is along each axis, in elements. */
export interface Side {
  readonly first: number;
  readonly strides: readonly number[];
}

export interface Box {
  /** The number of the input that it comes from. */
  readonly input: number;
  readonly extents: readonly number[];
  readonly from: Side;
  readonly to: Side;
}

export interface Movement {
  /** For people: `concat`, `roll gradient`. */
  readonly name: string;
  readonly shape: Shape;
  readonly boxes: readonly Box[];
}

/** Distances of neighbours along each axis of a tensor in row-major order. */
export function stridesOf(shape: Shape): number[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}

export const boxSize = ({ extents }: Pick<Box, 'extents'>): number => sizeOf(extents);

/** Whether every element of the output comes from an input. */
export const covers = ({ shape, boxes }: Movement): boolean =>
  boxes.reduce((sum, box) => sum + boxSize(box), 0) === sizeOf(shape);

export function inferMovement(inputs: readonly TensorType[], { name, shape, boxes }: Movement): TensorType[] {
  const { dtype } = inputs[0]!;
  const fits =
    dtype !== 'u8' &&
    inputs.every((type) => type.dtype === dtype) &&
    boxes.every(
      ({ input, extents, from, to }) =>
        within(extents, from, sizeOf(inputs[input]!.shape)) && within(extents, to, sizeOf(shape)),
    );
  if (!fits) {
    const found = inputs.map((type) => `${type.dtype}${formatShape(type.shape)}`).join(', ');
    throw new UserError(
      `${name}: inputs ${found}; expected f32 or i32 alike, with room for the result ${formatShape(shape)}`,
    );
  }
  return [{ dtype, shape }];
}

/** Where a side of a box lies in a tensor of a shape, from and to along each axis, if it is cut along the axes. */
function slabOf(extents: readonly number[], { first, strides }: Side, shape: Shape) {
  const steps = stridesOf(shape);
  const slab = shape.map((extent, axis) => {
    const at = Math.floor(first / steps[axis]!) % extent;
    return { from: at, to: at + 1 };
  });
  for (const [axis, extent] of extents.entries()) {
    if (extent === 1) continue;
    const along = steps.findIndex((step, at) => step === strides[axis] && shape[at]! > 1);
    const range = slab[along];
    if (!range || range.to - range.from !== 1 || range.from + extent > shape[along]!) return undefined;
    range.to = range.from + extent;
  }
  return slab;
}

/** Whether boxes surely go to different elements of the output. */
export function apart(shape: Shape, boxes: readonly Box[]): boolean {
  const slabs = boxes.map(({ extents, to }) => slabOf(extents, to, shape));
  return slabs.every(
    (a, at) =>
      a && slabs.slice(0, at).every((b) => b?.some(({ from, to }, axis) => to <= a[axis]!.from || a[axis]!.to <= from)),
  );
}

function within(extents: readonly number[], { first, strides }: Side, size: number): boolean {
  const reaches = extents.map((extent, axis) => (extent - 1) * strides[axis]!);
  const lowest = reaches.reduce((at, reach) => at + Math.min(reach, 0), first);
  const highest = reaches.reduce((at, reach) => at + Math.max(reach, 0), first);
  const whole = [first, ...extents, ...strides].every(Number.isInteger);
  return whole && lowest >= 0 && highest < size && extents.every((extent) => extent > 0);
}

/**
 * The same elements moved by as few axes as say it, those of the output in the order of memory: axes of one element are
 * dropped, and two that are one run in both tensors become one. At least one axis is left.
 */
export function simplified({ input, extents, from, to }: Box): Box {
  const axes = extents
    .map((extent, axis) => ({ extent, from: from.strides[axis]!, to: to.strides[axis]! }))
    .filter(({ extent }) => extent > 1)
    .sort((a, b) => b.to - a.to);
  const merged: typeof axes = [];
  for (const axis of axes) {
    const outer = merged.at(-1);
    const oneRun = outer && outer.from === axis.from * axis.extent && outer.to === axis.to * axis.extent;
    if (oneRun) merged[merged.length - 1] = { ...axis, extent: outer.extent * axis.extent };
    else merged.push(axis);
  }
  if (merged.length === 0) merged.push({ extent: 1, from: 1, to: 1 });
  return {
    input,
    extents: merged.map(({ extent }) => extent),
    from: { first: from.first, strides: merged.map((axis) => axis.from) },
    to: { first: to.first, strides: merged.map((axis) => axis.to) },
  };
}
