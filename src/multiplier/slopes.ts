// The slopes of a multiplier's table by two estimators. By differences (Meng, Burleson, Qian, De Micheli: "Gradient
// Approximation of Approximate Multipliers for High-Accuracy Deep Neural Network Retraining", DATE 2025): with the
// other operand fixed, the table is smoothed by a moving average over 2h + 1 operands, and its slope is the central
// difference of the smoothed function,
//   f'(v) = (S(v + 1) − S(v − 1)) / 2 = (f(v + h + 1) + f(v + h) − f(v − h) − f(v − h − 1)) / (4h + 2).
// Towards the ends, where the two windows do not fit, it is the mean slope over the whole range. The authors' program
// takes (max f − min f) / 2^B there; here it is (f(last) − f(first)) / (2^B − 1), the same but for the divisor on
// unsigned monotonic tables.
// Theirs is never negative, wrong beside a negative operand of a signed table, and 1/2^B short on an exact product.
// By rows (LUT-1D in the same authors' "Gradient Estimation Methods of Approximate Multipliers for High-Accuracy
// Retraining of Deep Learning Models", arXiv 2509.10519, 2025): one-dimensional tables of slopes. Here ∂f/∂x is one
// slope for each weight and ∂f/∂w one for each activation, those of the lines of least squares: what a gradient sums is
// then an exact product with another operand (engine/graph/gradients.ts), and costs no look-up of pairs. Every operand
// counts as often as it is met: a line through operands that a network hardly has leads its gradients astray, layer by
// layer by a factor (measured: docs/gradients.md).
// Invariant: slopes are linear in the table and those of the exact product are the operands, exactly. So the slopes of
// the error E = AxM − w·x are ∂AxM/∂w − x and ∂AxM/∂x − w: zero for an exact multiplier, and the estimator is then the
// straight-through one.

import { invariant } from '../tensor/errors.ts';
import type { OperandHistograms } from './metrics.ts';

/**
 * Half sizes h of the smoothing windows along each operand, 0 or more. 0: plain central differences; 2^(bits−1) − 1 or
 * more: mean slopes.
 */
export interface Smoothing {
  readonly weights: number;
  readonly activations: number;
}

/**
 * ∂f/∂w and ∂f/∂x, operands ascending: for every pair, in the order of the table; or by rows, `weight` for every
 * activation and `activation` for every weight.
 */
export interface Slopes {
  readonly per: 'pair' | 'row';
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
  return { per: 'pair', weight, activation };
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

/** How far training may move an operand, as a share of its codes: what lies so near to those that are met counts. */
const REACH = 1 / 8;

/**
 * Slopes of any function of two operands by rows: of the straight line of least squares through each row of its table
 * (f(w, ·) along x, a slope for every weight) and each column. `met`: how often each operand occurs, in their order;
 * what is within REACH of it counts alike. Default: all operands alike, also of one that has a single value.
 */
export function rowSlopesOf(
  table: ArrayLike<number>,
  weightBits: number,
  activationBits: number,
  met?: OperandHistograms,
): Slopes {
  const weights = 2 ** weightBits;
  const activations = 2 ** activationBits;
  invariant(table.length === weights * activations, `${table.length} entries for ${weights}×${activations} operands`);
  const alongWeights = leverage(weights, met && spreadOut(met.weight));
  const alongActivations = leverage(activations, met && spreadOut(met.activation));
  return {
    per: 'row',
    weight: Float32Array.from({ length: activations }, (_, x) => lineThrough(table, x, activations, alongWeights)),
    activation: Float32Array.from({ length: weights }, (_, w) =>
      lineThrough(table, w * activations, 1, alongActivations),
    ),
  };
}

/** Every count in equal parts on the operands within REACH. */
function spreadOut(counts: ArrayLike<number>): Float64Array {
  const reach = Math.floor(counts.length * REACH);
  const spread = new Float64Array(counts.length);
  for (let v = 0; v < counts.length; v++) {
    const [low, high] = [Math.max(0, v - reach), Math.min(counts.length - 1, v + reach)];
    for (let near = low; near <= high; near++) spread[near]! += counts[v]! / (high - low + 1);
  }
  return spread;
}

/** What each of `count` values adds to the slope of a line: n·(v − mean) / Σ n·(v − mean)², n: how often it is met. */
function leverage(count: number, met?: ArrayLike<number>): Float64Array {
  const counts = Float64Array.from(met ?? new Float64Array(count).fill(1));
  invariant(counts.length === count, `${counts.length} counts for ${count} operands`);
  if (counts.filter((n) => n > 0).length < 2) return leverage(count);
  const sum = (of: (v: number) => number) => counts.reduce((total, n, v) => total + n * of(v), 0);
  const mean = sum((v) => v) / sum(() => 1);
  const spread = sum((v) => (v - mean) ** 2);
  return counts.map((n, v) => (n * (v - mean)) / spread);
}

/** The slope of the line of least squares through the entries first, first + step, … of a table; 0 of a constant. */
function lineThrough(table: ArrayLike<number>, first: number, step: number, leverages: Float64Array): number {
  let sum = 0;
  for (let v = 1; v < leverages.length; v++) sum += leverages[v]! * (table[first + v * step]! - table[first]!);
  return sum;
}
