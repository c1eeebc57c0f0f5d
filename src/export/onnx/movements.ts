// Movements as ONNX. A movement is a list of boxes; what it becomes follows from where they lie: parts of the inputs
// beside each other are slices and concatenations, one whole input among zeros is padding, axes in another order are a
// transposition. Whatever else it is, a gather by an index for each element says it.

import type { Value } from '../../engine/graph/graph.ts';
import { type Box, boxSize, covers, type Movement, stridesOf } from '../../engine/graph/movement.ts';
import { type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';
import type { OnnxGraph } from './graph.ts';
import { IMAGE_AXES, imageExtents, type Place, type Tensors } from './tensors.ts';

/** A part of a tensor along its axes. */
interface Part {
  readonly from: Shape;
  readonly extents: Shape;
}

/** A box as a part of its input and one of the output, and which axis of the input each of the output's is. */
interface Moved {
  readonly input: number;
  readonly source: Part;
  readonly target: Part;
  readonly axes: readonly number[];
}

/** Where an element of a tensor is, along its axes. */
const placeAt = (shape: Shape, at: number): number[] => {
  const strides = stridesOf(shape);
  return shape.map((extent, axis) => Math.floor(at / strides[axis]!) % extent);
};

/** The axis of a tensor that a stride goes along. */
function axisAlong(shape: Shape, stride: number, extent: number): number {
  const strides = stridesOf(shape);
  return shape.findIndex((own, axis) => strides[axis] === stride && own > 1 && own >= extent);
}

/** A box as parts; undefined where it runs along no axes, or along one twice. */
function movedOf({ input, extents, from, to }: Box, source: Shape, target: Shape): Moved | undefined {
  if (source.length !== target.length) return undefined;
  const begin = placeAt(source, from.first);
  const place = placeAt(target, to.first);
  const sourceExtents = source.map(() => 1);
  const targetExtents = target.map(() => 1);
  const axes = target.map(() => -1);
  for (const [k, extent] of extents.entries()) {
    if (extent === 1) continue;
    const a = axisAlong(source, from.strides[k]!, extent);
    const b = axisAlong(target, to.strides[k]!, extent);
    if (a < 0 || b < 0 || sourceExtents[a] !== 1 || targetExtents[b] !== 1) return undefined;
    if (begin[a]! + extent > source[a]! || place[b]! + extent > target[b]!) return undefined;
    sourceExtents[a] = extent;
    targetExtents[b] = extent;
    axes[b] = a;
  }
  // Axes of one element: in place where that is free, else in order.
  const free = new Set(source.keys());
  for (const axis of axes) free.delete(axis);
  for (const [axis, own] of axes.entries()) if (own < 0 && free.delete(axis)) axes[axis] = axis;
  for (const [axis, own] of axes.entries()) {
    if (own >= 0) continue;
    const [next] = free;
    free.delete(next!);
    axes[axis] = next!;
  }
  return {
    ...{ input, axes },
    source: { from: begin, extents: sourceExtents },
    target: { from: place, extents: targetExtents },
  };
}

const inOrder = (axes: readonly number[]): boolean => axes.every((axis, at) => axis === at);

export function lowerMove(
  { shape, boxes }: Movement,
  inputs: readonly Value[],
  graph: OnnxGraph,
  tensors: Tensors,
): Place {
  const all = boxes.map((box) => movedOf(box, inputs[box.input]!.shape, shape));
  const parts = all.filter((one) => one !== undefined);
  if (parts.length === boxes.length) {
    const place = byParts(parts);
    if (place) return place;
  }
  const name = (boxes.length === 1 && reranked(boxes[0]!)) || gathered();
  return { name, extents: shape, order: 'rows' };

  function byParts(moved: readonly Moved[]): Place | undefined {
    const straight = moved.every(({ axes }) => inOrder(axes));
    if (!straight) {
      const [only] = moved;
      return moved.length === 1 && only && sameShape(only.target.extents, shape) ? turned(only) : undefined;
    }
    const dynamic = inputs.filter((value) => !tensors.isStatic(value));
    const isImage = shape.length === 4 && dynamic.some((value) => tensors.of(value).order === 'images');
    const context = { isImage, axis: (axis: number) => (isImage ? IMAGE_AXES[axis]! : axis) };
    const extents = isImage ? imageExtents(shape) : shape;
    const name = assembled(moved, { from: shape.map(() => 0), extents: shape }, context);
    return name === undefined ? undefined : { name, extents, order: isImage ? 'images' : 'rows' };
  }

  /** Axes in another order, from the order in which the input lies. */
  function turned({ input, source, axes }: Moved): Place {
    const value = inputs[input]!;
    const place = tensors.isStatic(value) ? undefined : tensors.of(value);
    const isImage = place?.order === 'images';
    const axis = (own: number) => (isImage ? IMAGE_AXES[own]! : own);
    const part = sliced(isImage ? place.name : tensors.rows(value), value.shape, source, axis);
    const perm = axes.map(axis);
    return {
      name: inOrder(perm) ? part : graph.node('Transpose', [part], { attributes: { perm } }),
      ...{ extents: shape, order: 'rows' },
    };
  }

  /** A part of the input that is the whole output under another number of axes; undefined where it is not. */
  function reranked({ input, extents, from, to }: Box): string | undefined {
    if (sizeOf(extents) !== sizeOf(shape)) return undefined;
    const value = inputs[input]!;
    const whole = value.shape;
    const part = { from: placeAt(whole, from.first), extents: whole.map(() => 1) };
    const moved = [...extents.keys()].filter((k) => extents[k]! > 1);
    const axes = moved.map((k) => axisAlong(whole, from.strides[k]!, extents[k]!));
    if (axes.some((axis) => axis < 0) || new Set(axes).size < axes.length) return undefined;
    for (const [k, axis] of axes.entries()) part.extents[axis] = extents[moved[k]!]!;
    if (part.extents.some((extent, axis) => part.from[axis]! + extent > whole[axis]!)) return undefined;
    // One image, then what has more than one element: in the order of the input, and of the output.
    const images = whole[0] === 1 ? [0] : [];
    const source = [...images, ...[...axes].sort((a, b) => a - b)];
    const byTarget = [...moved.keys()].sort((a, b) => to.strides[moved[b]!]! - to.strides[moved[a]!]!);
    const target = [...images, ...byTarget.map((k) => axes[k]!)];
    const cut = sliced(tensors.rows(value), whole, part, (axis) => axis);
    const packed = tensors.reshaped(
      { name: cut, extents: part.extents, order: 'rows' },
      source.map((axis) => part.extents[axis]!),
    );
    const perm = target.map((axis) => source.indexOf(axis));
    const turned = inOrder(perm) ? packed : graph.node('Transpose', [packed], { attributes: { perm } });
    const made = target.map((axis) => part.extents[axis]!);
    return tensors.reshaped({ name: turned, extents: made, order: 'rows' }, shape);
  }

  interface Orientation {
    readonly isImage: boolean;
    readonly axis: (own: number) => number;
  }

  /** A part of the output from the boxes in it; undefined where they do not tell it. */
  function assembled(moved: readonly Moved[], part: Part, orientation: Orientation): string | undefined {
    const [only] = moved;
    if (!only) return undefined;
    const { axis, isImage } = orientation;
    if (moved.length === 1) {
      const value = inputs[only.input]!;
      const whole = isImage ? tensors.image(value) : tensors.rows(value);
      const own = forEachImage(value, sliced(whole, value.shape, only.source, axis), part.extents.length);
      if (sameShape(only.target.extents, part.extents)) return own;
      const before = only.target.from.map((at, k) => at - part.from[k]!);
      const behind = part.extents.map((extent, k) => extent - before[k]! - only.target.extents[k]!);
      const order = [...part.extents.keys()].sort((a, b) => axis(a) - axis(b));
      const pads = [before, behind].flatMap((side) => order.map((k) => side[k]!));
      return graph.node('Pad', [own, graph.whole(pads)], { attributes: { mode: 'constant' } });
    }
    for (const [along, extent] of part.extents.entries()) {
      const end = part.from[along]! + extent;
      const cuts = [...new Set(moved.map(({ target }) => target.from[along]!))].sort((a, b) => a - b);
      const isCut = moved.every(({ target }) => {
        const stop = target.from[along]! + target.extents[along]!;
        return cuts.every((cut) => cut <= target.from[along]! || cut >= stop);
      });
      if (cuts.length < 2 || !isCut || cuts[0] !== part.from[along]) continue;
      const names = cuts.map((cut, at) => {
        const inside = moved.filter(({ target }) => target.from[along] === cut);
        const next = cuts[at + 1] ?? end;
        return assembled(
          inside,
          { from: part.from.with(along, cut), extents: part.extents.with(along, next - cut) },
          orientation,
        );
      });
      if (!names.every((name) => name !== undefined)) return undefined;
      return graph.node('Concat', names, { attributes: { axis: axis(along) } });
    }
    return undefined;
  }

  /** What no image changes, once for each of the images beside it; others as they are. */
  function forEachImage(value: Value, name: string, rank: number): string {
    const beside = inputs.find((one) => !tensors.isStatic(one));
    if (!tensors.anyBatch || !tensors.isStatic(value) || !beside) return name;
    const lengths = graph.node('Shape', [tensors.of(beside).name]);
    const images = graph.node('Slice', [lengths, graph.whole([0]), graph.whole([1])]);
    const others = graph.whole(new Array<number>(rank - 1).fill(1));
    return graph.node('Expand', [name, graph.node('Concat', [images, others], { attributes: { axis: 0 } })]);
  }

  /** A part of a tensor of a value's shape. */
  function sliced(name: string, whole: Shape, { from, extents }: Part, axis: (own: number) => number): string {
    const cut = [...whole.keys()].filter((k) => extents[k] !== whole[k]);
    if (cut.length === 0) return name;
    const starts = cut.map((k) => from[k]!);
    const ends = cut.map((k) => from[k]! + extents[k]!);
    return graph.node('Slice', [name, graph.whole(starts), graph.whole(ends), graph.whole(cut.map(axis))]);
  }

  /** Element by element. */
  function gathered(): string {
    const size = sizeOf(shape);
    const starts = inputs.map((_, at) => inputs.slice(0, at).reduce((sum, value) => sum + sizeOf(value.shape), 0));
    const total = inputs.reduce((sum, value) => sum + sizeOf(value.shape), 0);
    // A zero behind all elements, for what no box covers.
    const index = new Float64Array(size).fill(total);
    for (const { input, extents, from, to } of boxes) {
      const steps = stridesOf(extents);
      for (let k = 0; k < boxSize({ extents }); k++) {
        const at = extents.map((extent, axis) => Math.floor(k / steps[axis]!) % extent);
        const along = (side: Box['from']) => at.reduce((sum, i, axis) => sum + i * side.strides[axis]!, side.first);
        index[along(to)] = starts[input]! + along(from);
      }
    }
    const flat = inputs.map((value) => forEachImage(value, tensors.rows(value, [1, sizeOf(value.shape)]), 2));
    if (!covers({ name: '', shape, boxes })) {
      const joined = flat.length === 1 ? flat[0]! : graph.node('Concat', flat, { attributes: { axis: 1 } });
      flat.splice(
        0,
        flat.length,
        graph.node('Pad', [joined, graph.whole([0, 0, 0, 1])], { attributes: { mode: 'constant' } }),
      );
    }
    const joined = flat.length === 1 ? flat[0]! : graph.node('Concat', flat, { attributes: { axis: 1 } });
    const found = graph.node('Gather', [joined, graph.constant('INT64', [size], index)], { attributes: { axis: 1 } });
    return tensors.reshaped({ name: found, extents: [1, size], order: 'rows' }, shape);
  }
}
