// Operations that move elements. Each is its list of boxes (graph/movement.ts); gradient and the kernels of all
// backends follow.

import { invariant, UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';
import type { Value } from '../graph/graph.ts';
import { type Box, stridesOf } from '../graph/movement.ts';

/** Boxes of the same axes in both tensors: an extent, and where it begins in the input and in the output. */
function box(input: number, extents: Shape, inputShape: Shape, begin: Shape, outputShape: Shape, place: Shape): Box {
  const side = (shape: Shape, at: Shape) => {
    const strides = stridesOf(shape);
    return { first: strides.reduce((sum, stride, axis) => sum + stride * at[axis]!, 0), strides };
  };
  return { input, extents, from: side(inputShape, begin), to: side(outputShape, place) };
}

/** The number of an axis that may be counted from the end, −1 for the last. */
function axisOf({ shape }: Value, axis: number, name: string): number {
  const found = axis < 0 ? axis + shape.length : axis;
  if (Number.isInteger(found) && found >= 0 && found < shape.length) return found;
  throw new UserError(
    `${name}: axis ${axis} of ${formatShape(shape)}; expected −${shape.length} to ${shape.length - 1}`,
  );
}

const nowhere = (shape: Shape): number[] => shape.map(() => 0);

/** Tensors one behind the other along an axis, in which alone they may differ. */
export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values;
  invariant(first, 'concat of nothing');
  const along = axisOf(first, axis, 'concat');
  const shape = [...first.shape];
  shape[along] = values.reduce((sum, value) => sum + value.shape[along]!, 0);
  if (!values.every((value) => sameShape(value.shape.with(along, 1), shape.with(along, 1)))) {
    const found = values.map((value) => formatShape(value.shape)).join(', ');
    throw new UserError(`concat: ${found}; expected the same extents but along axis ${along}`);
  }
  let at = 0;
  const boxes = values.map((value, index) => {
    const place = nowhere(shape).with(along, at);
    at += value.shape[along]!;
    return box(index, value.shape, value.shape, nowhere(shape), shape, place);
  });
  return first.graph.apply1('move', values, { name: 'concat', shape, boxes });
}

/** Elements `from` to `to` − 1 along an axis. */
export function slice(x: Value, axis: number, from: number, to: number): Value {
  const along = axisOf(x, axis, 'slice');
  const extent = x.shape[along]!;
  if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= extent)) {
    throw new UserError(`slice: ${from} to ${to} of ${extent} elements; expected a part of 0 to ${extent}`);
  }
  const shape = x.shape.with(along, to - from);
  const begin = nowhere(shape).with(along, from);
  const boxes = [box(0, shape, x.shape, begin, shape, nowhere(shape))];
  return x.graph.apply1('move', [x], { name: 'slice', shape, boxes });
}

/** Zeros before and behind the elements of an axis. */
export function pad(x: Value, axis: number, before: number, behind: number): Value {
  const along = axisOf(x, axis, 'pad');
  const shape = x.shape.with(along, before + x.shape[along]! + behind);
  const boxes = [box(0, x.shape, x.shape, nowhere(shape), shape, nowhere(shape).with(along, before))];
  return x.graph.apply1('move', [x], { name: 'pad', shape, boxes });
}

/** Axis k of the result is axis order[k] of x. */
export function permute(x: Value, order: readonly number[]): Value {
  const sorted = [...order].sort((a, b) => a - b);
  if (!sameShape(sorted, [...x.shape.keys()])) {
    throw new UserError(`permute: order ${formatShape(order)} of ${formatShape(x.shape)}; expected each axis once`);
  }
  const shape = order.map((axis) => x.shape[axis]!);
  const strides = stridesOf(x.shape);
  const from = { first: 0, strides: order.map((axis) => strides[axis]!) };
  const boxes = [{ input: 0, extents: shape, from, to: { first: 0, strides: stridesOf(shape) } }];
  return x.graph.apply1('move', [x], { name: 'permute', shape, boxes });
}

/**
 * The parts of the last axis, each with heads before tokens: x [..., T, parts·heads·d] → `parts` values [..., heads, T,
 * d].
 */
export function splitHeads(x: Value, parts: number, heads: number): Value[] {
  const channels = x.shape.at(-1)!;
  if (channels % (parts * heads) !== 0) {
    throw new UserError(`splitHeads: ${channels} channels in ${parts} × ${heads} heads; expected a multiple`);
  }
  const [tokens, depth] = [x.shape.at(-2)!, channels / (parts * heads)];
  const outer = x.shape.slice(0, -2);
  const batch = sizeOf(outer);
  const split = x.graph.apply1('reshape', [x], { shape: [batch, tokens, parts, heads, depth] });
  const shape = [batch, heads, tokens, depth];
  const [perBatch, perToken, perPart, perHead, one] = stridesOf(split.shape) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const strides = [perBatch, perHead, perToken, one];
  return Array.from({ length: parts }, (_, part) => {
    const from = { first: part * perPart, strides };
    const boxes = [{ input: 0, extents: shape, from, to: { first: 0, strides: stridesOf(shape) } }];
    const moved = x.graph.apply1('move', [split], { name: 'splitHeads', shape, boxes });
    return x.graph.apply1('reshape', [moved], { shape: [...outer, heads, tokens, depth] });
  });
}

/** Each axis of `axes` shifted by so many elements, cyclically: what was at i is at (i + shift) mod extent. */
export function roll(x: Value, shifts: readonly number[], axes: readonly number[]): Value {
  const { shape } = x;
  if (shifts.length !== axes.length || !shifts.every(Number.isInteger)) {
    throw new UserError(
      `roll: by ${shifts.join(', ')} along ${axes.join(', ')}; expected a whole number for each axis`,
    );
  }
  let boxes = [{ extents: shape, begin: nowhere(shape), place: nowhere(shape) }];
  for (const [k, axis] of axes.entries()) {
    const along = axisOf(x, axis, 'roll');
    const extent = shape[along]!;
    const shift = ((shifts[k]! % extent) + extent) % extent;
    if (shift === 0) continue;
    boxes = boxes.flatMap(({ extents, begin, place }) => [
      { extents: extents.with(along, extent - shift), begin, place: place.with(along, shift) },
      { extents: extents.with(along, shift), begin: begin.with(along, extent - shift), place },
    ]);
  }
  const moved = boxes.map(({ extents, begin, place }) => box(0, extents, shape, begin, shape, place));
  return x.graph.apply1('move', [x], { name: 'roll', shape, boxes: moved });
}
