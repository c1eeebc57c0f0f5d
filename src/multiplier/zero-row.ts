// Products relative to those of a weight that is 0. A layer takes Σ z·x off its sums, z the code that weights of 0
// have: exactly, or as the multiplier itself makes it, by one more output channel whose weights are all z. Then a
// weight of 0 adds exactly 0, and what a multiplier does wrong for all weights alike (the low activation bits that it
// does not read, times an offset of half the weights' range) is in both sums and gone.
// For the network that is a multiplier with another error, E(w, x) − E(z, x): with the exact product of z taken off as
// ever. Invariant: the netlist, its table and its error measures stay those of the multiplier as it is.

import { invariant } from '../tensor/errors.ts';
import type { OperandWidths } from './widths.ts';

/** How the product of the weights' zero point is computed: exactly (as published), or by the multiplier. */
export const zeroProductNames = ['exact', 'own'] as const;
export type ZeroProduct = (typeof zeroProductNames)[number];

/** E(w, x) − E(zero, x) for every pair of codes, index w·2^activationBits + x. */
export function errorFromZero(
  error: Int32Array,
  { weightBits, activationBits }: OperandWidths,
  zero: number,
): Int32Array {
  invariant(Number.isInteger(zero) && zero >= 0 && zero < 2 ** weightBits, `a zero point of ${zero} is no weight code`);
  const codes = 2 ** activationBits;
  return error.map((one, pair) => one - error[zero * codes + (pair % codes)]!);
}
