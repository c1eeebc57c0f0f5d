// What a kernel of the reference backend is: a plain function over typed arrays, one per operation. Written to be read
// and trusted: obvious loops, float64 accumulation, no blocking. It is the specification that other backends are
// checked against, not a fast path.

import type { Shape } from '../../tensor/tensor.ts';
import type { Granularity, OpAttributes, OpName } from '../graph/ops.ts';

/**
 * Storage of a tensor; f32 tensors are held in float64 when the backend was opened with double precision (for finite
 * differences).
 */
export type Data = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface Operand {
  readonly shape: Shape;
  readonly data: Data;
}

export type Kernel<K extends OpName> = (
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  attributes: OpAttributes[K],
) => void;

export type Kernels<K extends OpName = OpName> = { readonly [Op in K]: Kernel<Op> };

/** Extent of the channel axis, the last one; 1 for a scalar. */
export function channels({ shape }: Operand): number {
  return shape.at(-1) ?? 1;
}

/** How many values a per-granularity vector of x has; element i of x belongs to entry i mod that. */
export function groups(x: Operand, granularity: Granularity): number {
  return granularity === 'tensor' ? 1 : channels(x);
}

/** Round half to even, as IEEE 754 and every framework's `round` do. */
export function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

export function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}
