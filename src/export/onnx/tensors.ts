// Where a network's values lie in an ONNX graph. Images of the engine have their channels last, those of ONNX behind
// the batch; everything else keeps its order. A value that is both read as an image and otherwise is transposed once; a
// reshape of the network becomes a node only where somebody needs the other shape.
// Invariant: a place says which tensor holds a value, with which extents, and in which of the two orders.

import type { Value } from '../../engine/graph/graph.ts';
import { invariant } from '../../tensor/errors.ts';
import { type HostTensor, type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';
import type { OnnxGraph } from './graph.ts';
import type { Statics } from './statics.ts';

/** `images`: [N, C, H, W] for an engine's [N, H, W, C]; `rows`: as the engine has it. */
export type Order = 'images' | 'rows';

export interface Place {
  readonly name: string;
  /** Of the tensor; in the order `rows` perhaps others than the value's, with the same elements in the same order. */
  readonly extents: Shape;
  readonly order: Order;
}

/** Where an engine's axis of an image is in ONNX. */
export const IMAGE_AXES = [0, 2, 3, 1] as const;
/** Which of the engine's axes each of ONNX's is. */
export const FROM_ROWS = [0, 3, 1, 2] as const;

export const imageExtents = ([n, h, w, c]: Shape): Shape => [n!, c!, h!, w!];

/** Elements in the order of other axes: axis k of the result is axis order[k]. */
export function transposed({ shape, data }: Pick<HostTensor, 'shape' | 'data'>, order: readonly number[]) {
  const extents = order.map((axis) => shape[axis]!);
  const strides = order.map((axis) => sizeOf(shape.slice(axis + 1)));
  const at = new Array<number>(order.length).fill(0);
  const values = Float64Array.from({ length: data.length }, () => {
    const value = data[at.reduce((sum, index, axis) => sum + index * strides[axis]!, 0)]!;
    for (let axis = order.length - 1; axis >= 0 && ++at[axis]! === extents[axis]; axis--) at[axis] = 0;
    return value;
  });
  return { extents, values };
}

/** Whether an image has the same elements in the same order with its channels last or first. */
const isEitherWay = ([, h, w, c]: Shape): boolean => h! * w! === 1 || c === 1;

export class Tensors {
  readonly #graph: OnnxGraph;
  readonly #statics: Statics;
  readonly #places = new Map<number, Place>();
  readonly #moved = new Map<string, string>();
  /** Whether the first extent of all that an image changes is the number of images. */
  readonly anyBatch: boolean;

  constructor(graph: OnnxGraph, statics: Statics, anyBatch: boolean) {
    this.#graph = graph;
    this.#statics = statics;
    this.anyBatch = anyBatch;
  }

  put({ id }: Value, place: Place): void {
    this.#places.set(id, place);
  }

  /** Where a value lies that an image changes. */
  of({ id }: Value): Place {
    const place = this.#places.get(id);
    invariant(place, `value ${id} is read before it is made`);
    return place;
  }

  isStatic(value: Value): boolean {
    return this.#statics.find(value) !== undefined;
  }

  /** The tensor with a value as an image [N, C, H, W]. */
  image(value: Value): string {
    invariant(value.shape.length === 4, 'an image has four axes');
    const known = this.#statics.find(value);
    if (known) {
      const { extents, values } = transposed(known, FROM_ROWS);
      return this.#graph.constant('FLOAT', extents, values);
    }
    const place = this.of(value);
    if (place.order === 'images') return place.name;
    if (isEitherWay(value.shape)) return this.reshaped(place, imageExtents(value.shape));
    const rows = this.rows(value);
    return this.#once(`${rows} to image`, () => this.#graph.node('Transpose', [rows], perm(FROM_ROWS)));
  }

  /** The tensor with a value in the engine's order, and these extents. */
  rows(value: Value, extents: Shape = value.shape): string {
    const known = this.#statics.find(value);
    if (known) return this.#graph.constant(known.dtype === 'i32' ? 'INT32' : 'FLOAT', extents, known.data);
    return this.reshaped(this.rowsPlace(value), extents);
  }

  /** Where a value lies in the engine's order, with whatever extents. */
  rowsPlace(value: Value): Place {
    const { name, extents, order } = this.of(value);
    if (order === 'rows') return { name, extents, order };
    if (isEitherWay(value.shape)) return { name, extents, order: 'rows' };
    const made = this.#once(`${name} to rows`, () => this.#graph.node('Transpose', [name], perm(IMAGE_AXES)));
    return { name: made, extents: value.shape, order: 'rows' };
  }

  /** The tensor of a place under other extents. */
  reshaped({ name, extents }: Place, wanted: Shape): string {
    if (sameShape(extents, wanted)) return name;
    invariant(sizeOf(extents) === sizeOf(wanted), 'a reshape keeps all elements');
    const shape = this.anyBatch && wanted[0] === 1 ? [-1, ...wanted.slice(1)] : wanted;
    return this.#once(`${name} as ${wanted.join(' ')}`, () =>
      this.#graph.node('Reshape', [name, this.#graph.whole(shape)]),
    );
  }

  #once(key: string, make: () => string): string {
    const known = this.#moved.get(key) ?? make();
    this.#moved.set(key, known);
    return known;
  }
}

const perm = (order: readonly number[]) => ({ attributes: { perm: order } });
