// A trained network as integers: what an accelerator computes, with nothing left to be rounded by a float. Tensors hold
// integers that stand for real values by a scale and a zero point; operations between them are exact sums, look-ups,
// comparisons and one kind of rounding (`requantise`). What no integer operation expresses (softmax, attention, gates)
// is a float island: `dequantise`, engine operations in float32, `quantise`.
// Layouts are the engine's: the channel axis is last, images [H, W, C] (one image; there is no batch axis), weights
// [kh, kw, I/groups, O].
// Invariant: every tensor has proved bounds, whatever the image: all its integers lie in [low, high], and every partial
// sum of a product, in any order, lies in the bounds of its accumulators.
// This file is the format alone, plain data; lower.ts makes it of a graph, interpret.ts runs it, files.ts keeps it.

import type { Movement } from '../engine/graph/movement.ts';
import type { ConvGeometry, OpAttributes, OpName, Pair } from '../engine/graph/ops.ts';
import type { ProductTable } from '../multiplier/table.ts';
import type { Shape } from '../tensor/tensor.ts';

/**
 * What the integers of a tensor are. `pixels`: raw 8-bit image values. `codes`: operands of a product, in the
 * multiplier's own convention (two's complement where it is signed). `sums`: what a product accumulates. `fixed`: a
 * value between layers in fixed point. `float`: no integers, float32 on an island.
 */
export type TensorForm = 'pixels' | 'codes' | 'sums' | 'fixed' | 'float';

export interface IntegerTensor {
  /** Unique: the layer or block that makes it, with what it is: `layer1.0.conv1.sums`. */
  readonly name: string;
  readonly form: TensorForm;
  /**
   * Of one image: [H, W, C], or [features], or whatever stands between; the channel is last. Of `float` the engine's
   * shape, with its batch axis of 1.
   */
  readonly shape: Shape;
  /** The real value of q is (q − zero)·scale; one for all, or one per channel (the last axis). Of `float`: [1]. */
  readonly scale: readonly number[];
  readonly zero: number;
  /** Proved bounds of q, inclusive. Of `float`: −∞ and ∞. */
  readonly low: number;
  readonly high: number;
}

/** A multiplier of the network; the module or function of its name computes `table`. */
export interface IntegerMultiplier {
  /** Unique, and an identifier of Verilog and C: letters, digits, underscores, no keyword. */
  readonly name: string;
  /** The first operand is the weight, the second the activation; entries by bit patterns. */
  readonly table: ProductTable;
  readonly exact: boolean;
}

/** Integers with which a value becomes another of a coarser or finer step; per channel, or one for all. */
export interface Requantisation {
  /** The value is first shifted left by so many bits, so that the bias can be finer than its step: 0 … 30. */
  readonly fraction: number;
  /** Added to the shifted value; int32. */
  readonly bias: Int32Array;
  /** int32, of either sign; 0 where a channel is constant. */
  readonly multiplier: Int32Array;
  /**
   * 1 … 62: (in·2^fraction + bias)·multiplier is divided by 2^shift and rounded to nearest, halves to even. The first
   * factor is proved to lie within 32 bits for every input within its bounds, so the product has at most 63.
   */
  readonly shift: Uint8Array;
  /** Added after rounding: the zero point, or where the multiplier is 0 the channel's constant; int32. */
  readonly offset: Int32Array;
  /** The result is limited to [low, high]: the range of codes, a ReLU. */
  readonly low: number;
  readonly high: number;
}

export interface PoolWindow {
  readonly size: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
  readonly ceil: boolean;
}

interface Between {
  /** Numbers of the tensors that it reads, and of the one that it makes. */
  readonly inputs: readonly number[];
  readonly output: number;
  /** The layer or block that it belongs to. */
  readonly label: string;
}

/** Codes of raw pixels, per channel: normalisation and rounding at once. `tables`: [C][256]. */
export interface LookUpOperation extends Between {
  readonly kind: 'lookUp';
  readonly tables: Int32Array;
}

/**
 * sums[o] = Σ over valid taps of step·AxM(w, x) − row_o(x) − activationZero·(step·w − weightZero[o]); a padded tap
 * contributes nothing. row_o(x) is weightZero[o]·x, or `zeroRow` where what is taken off for the weights' zero point is
 * what the multiplier makes of it. With an exact multiplier that is step·Σ (w − weightZero/step)·(x − activationZero).
 */
export interface ProductOperation extends Between {
  readonly kind: 'product';
  readonly layer: string;
  readonly layerKind: 'convolution' | 'linear';
  readonly geometry: ConvGeometry;
  /** Stored weight codes, [kh, kw, I/groups, O], in the multiplier's convention. */
  readonly weights: Int16Array;
  readonly weightShape: Shape;
  /** 2 where weights have their zero between two codes: zero points and sums are then in halves. */
  readonly step: 1 | 2;
  /** Per output channel, in units of 1/step. */
  readonly weightZero: Int32Array;
  readonly activationZero: number;
  /** By the bit pattern of x: [2^activationBits]; the same for all outputs. */
  readonly zeroRow?: Int32Array;
  /** Number of the multiplier. */
  readonly multiplier: number;
  readonly accumulators: AccumulatorBounds;
}

/** Proved from the real weights: each tap by itself at its worst activation, or left out as padding. */
export interface AccumulatorBounds {
  /** Of every partial sum of the terms above, over all outputs; the tensor's own bounds lie within. */
  readonly terms: readonly [low: number, high: number];
  /** Of every partial sum of the bare products AxM(w, x). */
  readonly products: readonly [low: number, high: number];
}

/** out = limit(round_half_even((in·2^fraction + bias)·multiplier / 2^shift) + offset, low, high). */
export interface RequantiseOperation extends Between, Requantisation {
  readonly kind: 'requantise';
}

/** a + b of equal scales, limited to [low, high]. */
export interface AddOperation extends Between {
  readonly kind: 'add';
  readonly low: number;
  readonly high: number;
}

/** The value limited to [low, high]. */
export interface LimitOperation extends Between {
  readonly kind: 'limit';
  readonly low: number;
  readonly high: number;
}

/** The largest of each window; padding never wins. */
export interface MaxPoolOperation extends Between, PoolWindow {
  readonly kind: 'maxPool';
}

/** The sum of each window, padding counting as the zero point's real 0; the division stands in the output's scale. */
export interface SumPoolOperation extends Between, PoolWindow {
  readonly kind: 'sumPool';
}

/** Elements in other places, or under another shape; of several inputs: concatenation. Equal scales. */
export interface MoveOperation extends Between {
  readonly kind: 'move';
  /** By the boxes of the engine, without the batch axis. */
  readonly movement: Movement;
}

/** The same elements under the output's shape. */
export interface ReshapeOperation extends Between {
  readonly kind: 'reshape';
}

/** Integers to float32: (q − zero)·scale. */
export interface DequantiseOperation extends Between {
  readonly kind: 'dequantise';
}

/** Float32 to codes: limit(round_half_even(x / scale) + zero, low, high) of the output tensor. */
export interface QuantiseOperation extends Between {
  readonly kind: 'quantise';
}

/** An operation of the engine in float32 (engine/graph/ops.ts), on an island; shapes have a batch axis of 1 there. */
export interface FloatOperation<K extends OpName = OpName> extends Between {
  readonly kind: 'float';
  readonly op: K;
  readonly attributes: OpAttributes[K];
  /** Its operands in order: a tensor by number, or a constant. */
  readonly operands: readonly (number | { readonly shape: Shape; readonly data: Float32Array })[];
}

export type IntegerOperation =
  | LookUpOperation
  | ProductOperation
  | RequantiseOperation
  | AddOperation
  | LimitOperation
  | MaxPoolOperation
  | SumPoolOperation
  | MoveOperation
  | ReshapeOperation
  | DequantiseOperation
  | QuantiseOperation
  | FloatOperation;

export interface IntegerNetwork {
  /** The model's name. */
  readonly name: string;
  readonly classes: number;
  readonly multipliers: readonly IntegerMultiplier[];
  /** Tensor 0 is the image, u8 [H, W, C]. */
  readonly tensors: readonly IntegerTensor[];
  /** In an order in which they can be computed. */
  readonly operations: readonly IntegerOperation[];
  /** Number of the tensor of logits; the class is that of the largest, the first of equals. */
  readonly output: number;
}
