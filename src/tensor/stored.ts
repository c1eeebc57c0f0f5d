// Tensors that lie in a file and are read when somebody asks: an element type, a shape, and a view onto a storage as
// PyTorch has it (offset and strides), of which rows one behind the other are the usual case. Invariant: a view that
// was made lies inside its storage, and what is read of it takes memory in proportion to the storage. Nothing is
// written.

import { type ElementType, elements } from './elements.ts';
import { formatShape, type HostTensor, type Shape, sizeOf } from './tensor.ts';

/** Elements one behind the other in a file, which several tensors may share. */
export interface Storage {
  readonly type: ElementType;
  /** Number of elements. */
  readonly count: number;
  /** Bytes of some elements, little-endian; only to be read. */
  read(from: number, count: number): Uint8Array;
}

export interface StoredTensor {
  readonly storage: Storage;
  readonly shape: Shape;
  /** Elements before the first one. */
  readonly offset: number;
  /** Elements between neighbours along each axis. */
  readonly strides: readonly number[];
}

const MOST_DIMENSIONS = 64;
/** A view may repeat elements (strides of 0) up to this many; beyond, it has no more than its storage. */
const MOST_REPEATED = 2 ** 20;

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What is wrong with a view onto a storage, or undefined: it must lie inside. */
export function faultOfView({ storage, shape, offset, strides }: StoredTensor): string | undefined {
  if (shape.length > MOST_DIMENSIONS) return `${shape.length} dimensions, at most ${MOST_DIMENSIONS} are read`;
  if (!shape.every(isIndex)) return `the shape ${formatShape(shape)}, whole extents were expected`;
  if (strides.length !== shape.length) return `${strides.length} strides for ${shape.length} dimensions`;
  if (!strides.every(isIndex)) return `the strides ${formatShape(strides)}, at least 0 was expected`;
  if (!isIndex(offset)) return `the offset ${offset}, at least 0 was expected`;
  const elementCount = sizeOf(shape);
  if (elementCount === 0) return offset > storage.count ? beyond(offset, storage) : undefined;
  const last = shape.reduce((place, extent, axis) => place + (extent - 1) * strides[axis]!, offset);
  if (!(last < storage.count)) return beyond(last, storage);
  if (elementCount > Math.max(storage.count, MOST_REPEATED)) {
    return `the shape ${formatShape(shape)}, ${elementCount} elements, over a storage of ${storage.count}`;
  }
  return undefined;
}

const beyond = (place: number, { count }: Storage) => `element ${place} of a storage that has ${count}`;

/** The strides of rows one behind the other. */
export function rowMajor(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Whether the elements lie one behind the other in their order; axes of one element have any stride. */
function isRowMajor({ shape, strides }: StoredTensor): boolean {
  const expected = rowMajor(shape);
  return shape.every((extent, axis) => extent <= 1 || strides[axis] === expected[axis]);
}

/** All elements in their order, little-endian, in a buffer of their own. */
export function bytesOf(tensor: StoredTensor): Uint8Array {
  const { storage, shape, offset, strides } = tensor;
  const width = elements[storage.type].bytes;
  const total = sizeOf(shape);
  if (total === 0) return new Uint8Array(0);
  if (isRowMajor(tensor)) return Uint8Array.from(storage.read(offset, total));
  const span = 1 + shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, 0);
  const source = storage.read(offset, span);
  const result = new Uint8Array(total * width);
  const index = new Array<number>(shape.length).fill(0);
  for (let k = 0, from = 0; k < total; k++) {
    for (let byte = 0; byte < width; byte++) result[k * width + byte] = source[from * width + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

/** The tensor on the host, or a text: what it holds that has no place there ("I64 with the value …"). */
export function readStored(tensor: StoredTensor): HostTensor | string {
  const { dtype, toHost } = elements[tensor.storage.type];
  const data = toHost(bytesOf(tensor));
  return typeof data === 'string' ? data : { dtype, shape: [...tensor.shape], data };
}

/** Elements that are looked at together. */
const PIECE = 2 ** 20;

/**
 * The values as numbers, some at a time, in their order where the tensor lies as rows, and otherwise all at once; for
 * statistics of tensors of any size.
 */
export function* valuesOf(tensor: StoredTensor): Generator<ArrayLike<number>> {
  const { storage, shape, offset } = tensor;
  const { toNumbers } = elements[storage.type];
  const total = sizeOf(shape);
  if (!isRowMajor(tensor)) return yield toNumbers(bytesOf(tensor));
  for (let from = 0; from < total; from += PIECE) {
    yield toNumbers(Uint8Array.from(storage.read(offset + from, Math.min(PIECE, total - from))));
  }
}
