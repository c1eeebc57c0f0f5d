// What a value of the graph is while it is being lowered: a tensor of integers with what still has to be done to it.
// Affine operations of a channel and limits cost nothing until something reads the value as integers: then all of them
// are one requantisation.
// Invariant: the real value is limit(factor[c]·r + offset[c], low, high), r the real value of the tensor's element.

import type { HostTensor, Shape } from '../tensor/tensor.ts';
import type { TensorForm } from './network.ts';
import type { ScaleGroup } from './scales.ts';

/** A tensor of the network in the making. */
export interface Draft {
  readonly number: number;
  readonly name: string;
  readonly form: TensorForm;
  /** Without a batch axis; of a float tensor as the engine has it. */
  readonly shape: Shape;
  readonly zero: number;
  /** Known at once, or a group's with what it is divided by. */
  readonly scale: readonly number[] | { readonly group: ScaleGroup; readonly divisor: number };
  /** Proved bounds of real values, per channel. */
  readonly least: Float64Array;
  readonly most: Float64Array;
  /** Proved bounds of integers, per channel; set when the operations are made. */
  low: Float64Array;
  high: Float64Array;
  /** Whether more than one operation may read it. */
  isShared: boolean;
  /** Where what makes the tensor can limit it besides: real limits, set by who reads it. */
  readonly limits?: { low: number; high: number };
}

export interface Pending {
  readonly kind: 'pending';
  readonly tensor: Draft;
  /** The shape of the value, without a batch axis; it may be another one of the same elements and channels. */
  readonly shape: Shape;
  readonly factor: Float64Array;
  readonly offset: Float64Array;
  readonly low: number;
  readonly high: number;
}

export type Lowered =
  | Pending
  | { readonly kind: 'constant'; readonly tensor: HostTensor }
  | { readonly kind: 'float'; readonly tensor: Draft };

export const channelsOf = (shape: Shape): number => shape.at(-1) ?? 1;

/** The value of a tensor as it is. */
export function untouched(tensor: Draft, shape: Shape = tensor.shape): Pending {
  const channels = channelsOf(tensor.shape);
  return {
    ...{ kind: 'pending', tensor, shape },
    ...{ factor: new Float64Array(channels).fill(1), offset: new Float64Array(channels) },
    ...{ low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY },
  };
}

export const isLimited = ({ low, high }: Pending): boolean => low !== -Infinity || high !== Infinity;

export const isIdentity = ({ factor, offset }: Pending): boolean =>
  factor.every((one) => one === 1) && offset.every((one) => one === 0);

/** By a factor and a constant per channel, of a value without limits. */
export function scaled(pending: Pending, by: (c: number) => number, plus: (c: number) => number): Pending {
  return {
    ...pending,
    factor: pending.factor.map((factor, c) => factor * by(c)),
    offset: pending.offset.map((offset, c) => offset * by(c) + plus(c)),
  };
}

export function limited(pending: Pending, low: number, high: number): Pending {
  const within = (value: number) => Math.min(Math.max(value, low), high);
  return { ...pending, low: within(pending.low), high: within(pending.high) };
}

/** What the value can be, per channel. */
export function rangeOf({ tensor, factor, offset, low, high }: Pending): { least: Float64Array; most: Float64Array } {
  const within = (value: number) => Math.min(Math.max(value, low), high);
  const ends = factor.map((one, c) => one * tensor.least[c]! + offset[c]!);
  const others = factor.map((one, c) => one * tensor.most[c]! + offset[c]!);
  return {
    least: ends.map((end, c) => within(Math.min(end, others[c]!))),
    most: ends.map((end, c) => within(Math.max(end, others[c]!))),
  };
}
