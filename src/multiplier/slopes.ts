// The slopes of a multiplier's table by the difference-based estimator (Meng, Burleson, De Micheli: "Gradient
// Approximation of Approximate Multipliers for High-Accuracy Deep Neural Network Retraining", DATE 2025): with the
// other operand fixed, the table is smoothed by a moving average over 2h + 1 operands, and its slope is the central
// difference of the smoothed function,
//   f'(v) = (S(v + 1) − S(v − 1)) / 2 = (f(v + h + 1) + f(v + h) − f(v − h) − f(v − h − 1)) / (4h + 2).
// Towards the ends, where the two windows do not fit, it is the mean slope over the whole range. The authors' program
// takes (max f − min f) / 2^B there; here it is (f(last) − f(first)) / (2^B − 1), the same but for the divisor on
// unsigned monotonic tables.
// Theirs is never negative, wrong beside a negative operand of a signed table, and 1/2^B short on an exact product.
// Invariant: slopes are linear in the table and those of the exact product are the operands, exactly. So the slopes of
// the error E = AxM − w·x are ∂AxM/∂w − x and ∂AxM/∂x − w: zero for an exact multiplier, and the estimator is then the
// straight-through one.

import { invariant } from '../tensor/errors.ts';

/**
 * Half sizes h of the smoothing windows along each operand, 0 or more. 0: plain central differences; 2^(bits−1) − 1 or
 * more: mean slopes.
 */
export interface Smoothing {
  readonly weights: number;
  readonly activations: number;
}

/** ∂f/∂w and ∂f/∂x for every operand pair, in the order of the table. */
export interface Slopes {
  readonly weight: Float32Array;
  readonly activation: Float32Array;
}

/**
 * A sixteenth of an operand's codes: 16 of 8 bits, 4 of 6 bits, 1 of 4 bits, none below; the published tables use 16 or
 * 32 for 8 bits.
 */
export function defaultSmoothing(weightBits: number, activationBits: number): Smoothing {
  return { weights: Math.floor(2 ** weightBits / 16), activations: Math.floor(2 ** activationBits / 16) };
}

/**
 * Slopes of any function of two operands. Entry w·2^activationBits + x of the table belongs to the w-th and x-th
 * operand in ascending order: the codes of an unsigned multiplier; a signed one's operands from the most negative on.
 */
export function slopesOf(
  table: ArrayLike<number>,
  weightBits: number,
  activationBits: number,
  smoothing: Smoothing,
): Slopes {
  const weights = 2 ** weightBits;
  const activations = 2 ** activationBits;
  invariant(table.length === weights * activations, `${table.length} entries for ${weights}×${activations} operands`);
  const weight = new Float32Array(table.length);
  const activation = new Float32Array(table.length);
  for (let x = 0; x < activations; x++) slopesAlong(table, weight, x, activations, weights, smoothing.weights);
  for (let w = 0; w < weights; w++) {
    slopesAlong(table, activation, w * activations, 1, activations, smoothing.activations);
  }
  return { weight, activation };
}

/** Slopes of the `count` entries first, first + step, … of a table. */
function slopesAlong(
  table: ArrayLike<number>,
  slopes: Float32Array,
  first: number,
  step: number,
  count: number,
  half: number,
): void {
  const at = (v: number) => table[first + v * step]!;
  const mean = (at(count - 1) - at(0)) / (count - 1);
  for (let v = 0; v < count; v++) {
    const low = v - half - 1;
    const high = v + half + 1;
    const inside = low >= 0 && high < count;
    slopes[first + v * step] = inside ? (at(high) + at(high - 1) - at(low + 1) - at(low)) / (4 * half + 2) : mean;
  }
}

/**
 * One slope of a row and one of a column: ∂f/∂x for every weight and ∂f/∂w for every activation, in ascending order of
 * the operands.
 */
export interface RowSlopes {
  /** [2^weightBits]: of f(w, ·) along x. */
  readonly ofWeight: Float32Array;
  /** [2^activationBits]: of f(·, x) along w. */
  readonly ofActivation: Float32Array;
}

/**
 * Slopes of any function of two operands by rows: the straight line of least squares through each row and each column
 * of its table.
 */
export function rowSlopesOf(table: ArrayLike<number>, weightBits: number, activationBits: number): RowSlopes {
  const weights = 2 ** weightBits;
  const activations = 2 ** activationBits;
  invariant(table.length === weights * activations, `${table.length} entries for ${weights}×${activations} operands`);
  return {
    ofWeight: Float32Array.from({ length: weights }, (_, w) => lineThrough(table, w * activations, 1, activations)),
    ofActivation: Float32Array.from({ length: activations }, (_, x) => lineThrough(table, x, activations, weights)),
  };
}

/** The slope of the line of least squares through the `count` entries first, first + step, … of a table. */
function lineThrough(table: ArrayLike<number>, first: number, step: number, count: number): number {
  const middle = (count - 1) / 2;
  let sum = 0;
  for (let v = 0; v < count; v++) sum += (v - middle) * table[first + v * step]!;
  // Σ (v − middle)² over v = 0 … count − 1.
  return sum / ((count * (count ** 2 - 1)) / 12);
}

/** The same for every pair of operands. */
export function ofPairs({ ofWeight, ofActivation }: RowSlopes): Slopes {
  const activations = ofActivation.length;
  const pairs = ofWeight.length * activations;
  return {
    weight: Float32Array.from({ length: pairs }, (_, pair) => ofActivation[pair % activations]!),
    activation: Float32Array.from({ length: pairs }, (_, pair) => ofWeight[Math.floor(pair / activations)]!),
  };
}
