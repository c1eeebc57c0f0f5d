// Host tensors: a dtype, a shape and a typed array in row-major order. The host side of everything that crosses a
// backend's boundary or a file's; no arithmetic happens here. The channel axis of images and weights is always the last
// one (NHWC, HWIO).

import { invariant } from './errors.ts';

export type DType = 'f32' | 'i32' | 'u8';
export type Shape = readonly number[];
export type TensorData = Float32Array | Int32Array | Uint8Array;

export const bytesPerElement: Record<DType, number> = { f32: 4, i32: 4, u8: 1 };

/** What a tensor is apart from its values. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export interface HostTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: TensorData;
}

/** Number of elements of a shape; 1 for a scalar (empty shape). */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Bytes of a tensor's elements. */
export function byteSize({ dtype, shape }: Pick<HostTensor, 'dtype' | 'shape'>): number {
  return sizeOf(shape) * bytesPerElement[dtype];
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** A zero-filled typed array for `count` elements. */
export function allocate(dtype: DType, count: number): TensorData {
  if (dtype === 'f32') return new Float32Array(count);
  if (dtype === 'i32') return new Int32Array(count);
  return new Uint8Array(count);
}

/** Wraps data without copying it; the length must be that of the shape. */
export function tensor(dtype: DType, shape: Shape, data: TensorData): HostTensor {
  invariant(data.length === sizeOf(shape), `${data.length} elements for the shape ${formatShape(shape)}`);
  return { dtype, shape, data };
}

export function f32(shape: Shape, values: ArrayLike<number>): HostTensor {
  return tensor('f32', shape, values instanceof Float32Array ? values : Float32Array.from(values));
}
