// What a movement of elements is called: concatenation, a part, zeros around, axes in another order, a cyclic shift,
// the heads of an attention. A movement's boxes are read for what they may be, then that is built anew and compared.
// Invariant: what is told gives these boxes exactly; a movement that is none of these is refused.

import { isDeepStrictEqual } from 'node:util';
import { Graph, type Value } from '../../engine/graph/graph.ts';
import { type Movement, stridesOf } from '../../engine/graph/movement.ts';
import { concat, pad, permute, roll, slice } from '../../engine/operations/movements.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Shape } from '../../tensor/tensor.ts';

export type Moved =
  | { readonly kind: 'concat'; readonly axis: number }
  | { readonly kind: 'slice'; readonly axis: number; readonly from: number; readonly to: number }
  | { readonly kind: 'pad'; readonly axis: number; readonly before: number; readonly behind: number }
  | { readonly kind: 'permute'; readonly order: readonly number[] }
  | { readonly kind: 'roll'; readonly shifts: readonly number[]; readonly axes: readonly number[] }
  /** x [batch, tokens, parts, heads, depth] → [batch, heads, tokens, depth] of one part. */
  | { readonly kind: 'part'; readonly part: number; readonly parts: number };

/** What a movement of inputs of these shapes is. Throws a UserError. */
export function movedAs(movement: Movement, inputs: readonly Shape[]): Moved {
  const found = guess(movement, inputs);
  if (found && isDeepStrictEqual(build(found, inputs), movement)) return found;
  throw new UserError(`${movement.name}: a movement of elements that is written for no other program`);
}

function guess({ name, shape, boxes }: Movement, inputs: readonly Shape[]): Moved | undefined {
  const [input] = inputs as [Shape];
  const [box] = boxes;
  if (!box) return undefined;
  const differing = shape.findIndex((extent, axis) => extent !== input[axis]);
  const axis = differing < 0 ? shape.length - 1 : differing;
  switch (name) {
    case 'concat':
      return { kind: 'concat', axis };
    case 'slice': {
      const from = box.from.first / stridesOf(input)[axis]!;
      return { kind: 'slice', axis, from, to: from + shape[axis]! };
    }
    case 'pad': {
      const before = box.to.first / stridesOf(shape)[axis]!;
      return { kind: 'pad', axis, before, behind: shape[axis]! - input[axis]! - before };
    }
    case 'permute': {
      const strides = stridesOf(input);
      const free = new Set(input.keys());
      const order = shape.map((extent, axis) => {
        const fits = (one: number) => free.has(one) && input[one] === extent && strides[one] === box.from.strides[axis];
        const from = fits(axis) ? axis : [...free].find(fits);
        free.delete(from ?? -1);
        return from ?? -1;
      });
      return order.includes(-1) ? undefined : { kind: 'permute', order };
    }
    case 'roll': {
      // The first box begins at the input's first element: where it goes is the shift.
      const places = stridesOf(shape).map((stride, axis) => Math.floor(box.to.first / stride) % shape[axis]!);
      const axes = [...places.keys()].filter((axis) => places[axis] !== 0);
      return { kind: 'roll', shifts: axes.map((axis) => places[axis]!), axes };
    }
    case 'splitHeads':
      return { kind: 'part', part: box.from.first / stridesOf(input)[2]!, parts: input[2]! };
    default:
      return undefined;
  }
}

function build(moved: Moved, shapes: readonly Shape[]): unknown {
  const graph = new Graph();
  const values = shapes.map((shape, at) => graph.input(String(at), shape));
  const made = apply(moved, values);
  return made.source.kind === 'node' ? made.source.node.attributes : undefined;
}

function apply(moved: Moved, values: readonly Value[]): Value {
  const [x] = values as [Value];
  switch (moved.kind) {
    case 'concat':
      return concat(values, moved.axis);
    case 'slice':
      return slice(x, moved.axis, moved.from, moved.to);
    case 'pad':
      return pad(x, moved.axis, moved.before, moved.behind);
    case 'permute':
      return permute(x, moved.order);
    case 'roll':
      return roll(x, moved.shifts, moved.axes);
    case 'part': {
      const [batch, tokens, , heads, depth] = x.shape as [number, number, number, number, number];
      const shape = [batch, heads, tokens, depth];
      const [perBatch, perToken, perPart, perHead, one] = stridesOf(x.shape);
      const from = { first: moved.part * perPart!, strides: [perBatch!, perHead!, perToken!, one!] };
      const boxes = [{ input: 0, extents: shape, from, to: { first: 0, strides: stridesOf(shape) } }];
      return x.graph.apply1('move', [x], { name: 'splitHeads', shape, boxes });
    }
  }
}
