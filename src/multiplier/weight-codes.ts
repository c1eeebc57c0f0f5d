// Which code stands for a weight: a multiplier's row AxM(w, ·) need not be nearest to the multiples of its own code w.
// Where weight bits are truncated sixteen codes have one row, and a weight of 9 is nearer to that of 16 than to that of
// 0. Codes of weights are stored, so another one costs the hardware nothing.
// A constant of a row does not count: with the weights fixed, what it adds to an output is known, and the layer's bias
// takes it.
// Invariant: a code is only exchanged for one whose row is nearer; every row of an exact multiplier is its own.

import { productsOfError } from './error.ts';
import type { OperandWidths } from './widths.ts';

/** What a weight is stored as: the nearest code, or the one whose row of the multiplier is nearest. */
export const weightCodeChoices = ['nearest', 'best'] as const;
export type WeightCodeChoice = (typeof weightCodeChoices)[number];

/** A row must be nearer by so much of the error, so that rounding chooses nothing. */
const LEAST_GAIN = 1e-9;

/**
 * For each code c the code c' with the least Σ_x n(x)·(AxM(c', x) − c·x − k)², k free, over activation codes that occur
 * n(x) times (all alike where none does); of equal ones that nearest to c. `error` is E by pairs of codes.
 */
export function bestWeightCodes(
  error: Float64Array,
  widths: OperandWidths,
  occurrences: ArrayLike<number>,
): Uint8Array {
  const activations = 2 ** widths.activationBits;
  const codes = Array.from({ length: 2 ** widths.weightBits }, (_, code) => code);
  const total = Array.from(occurrences).reduce((sum, count) => sum + count, 0);
  const shares = Float64Array.from({ length: activations }, (_, x) =>
    total > 0 ? occurrences[x]! / total : 1 / activations,
  );
  const products = productsOfError(error, widths);
  const middle = shares.reduce((sum, share, x) => sum + share * x, 0);
  const spread = shares.reduce((sum, share, x) => sum + share * (x - middle) ** 2, 0);
  /** Of each row its variance and its covariance with x. */
  const rows = codes.map((code) => {
    const row = products.subarray(code * activations, (code + 1) * activations);
    const mean = row.reduce((sum, product, x) => sum + shares[x]! * product, 0);
    let [variance, covariance] = [0, 0];
    row.forEach((product, x) => {
      variance += shares[x]! * (product - mean) ** 2;
      covariance += shares[x]! * (product - mean) * (x - middle);
    });
    return { variance, covariance };
  });
  const errorOf = (code: number, of: number) =>
    rows[of]!.variance - 2 * code * rows[of]!.covariance + code ** 2 * spread;
  return Uint8Array.from(codes, (code) => {
    const margin = LEAST_GAIN * (rows[code]!.variance + code ** 2 * spread);
    const byDistance = codes.toSorted((a, b) => Math.abs(a - code) - Math.abs(b - code));
    return byDistance.reduce((best, of) => (errorOf(code, of) < errorOf(code, best) - margin ? of : best));
  });
}

/** What the multiplier does wrong at each pair of a code as quantised and an activation's, with `codes` stored. */
export function errorWithCodes(
  error: Float64Array,
  { activationBits }: OperandWidths,
  codes: ArrayLike<number>,
  zero: number,
): Float64Array {
  const activations = 2 ** activationBits;
  return error.map((_, pair) => {
    const [code, x] = [Math.floor(pair / activations), pair % activations];
    const stored = codes[code]!;
    return (stored - code) * (x - zero) + error[stored * activations + x]!;
  });
}
