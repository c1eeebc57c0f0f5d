// A multiplier as the exact one without shares of its partial products: w·x − Σ_ij removed_ij 2^(i+j) w[i] x[j]. That
// is what a structure means at some θ (shares between 0 and 1), and what a truncation is (0 or 1).
// Invariant: a table is only said to be such a removal after all operand pairs were compared.

import { productsOfError } from './error.ts';
import type { ProductTable } from './table.ts';
import type { OperandWidths } from './widths.ts';

/** removed[i * activationBits + j] is the share of w[i]·x[j] that the product lacks. */
export interface PartialProductRemoval extends OperandWidths {
  readonly removed: Float64Array;
}

/**
 * E(w, x) for every pair of codes: for one w the removed part is Σ_j x[j]·G_j with G_j = Σ_i removed_ij 2^(i+j) w[i].
 */
export function errorOfRemoval({
  weightBits,
  activationBits,
  removed,
}: OperandWidths & { readonly removed: ArrayLike<number> }): Float64Array {
  const activations = 2 ** activationBits;
  const errors = new Float64Array(2 ** weightBits * activations);
  const lost = new Float64Array(activationBits);
  for (let w = 0; w < 2 ** weightBits; w++) {
    for (let j = 0; j < activationBits; j++) {
      lost[j] = 0;
      for (let i = 0; i < weightBits; i++) {
        if ((w >> i) & 1) lost[j]! += removed[i * activationBits + j]! * 2 ** (i + j);
      }
    }
    const row = errors.subarray(w * activations, (w + 1) * activations);
    // Of a code with the highest bit j: that of the code without it, less what is lost of j.
    for (let j = 0; j < activationBits; j++) {
      const first = 2 ** j;
      for (let rest = 0; rest < first; rest++) row[first + rest] = row[rest]! - lost[j]!;
    }
  }
  return errors;
}

/** The products of every pair, in the order of a ProductTable; real-valued for shares between 0 and 1. */
export function tableOfRemoval(removal: PartialProductRemoval): Float64Array {
  return productsOfError(errorOfRemoval(removal), removal);
}

/**
 * The partial products that an unsigned table lacks (entries 0 or 1), if that is all that distinguishes it from the
 * exact product on every operand pair; else null. Signed tables are never such a sum here: their sign bits have
 * negative weights.
 */
export function removedPartialProducts(table: ProductTable): PartialProductRemoval | null {
  if (table.signed) return null;
  const { weightBits, activationBits, data } = table;
  const removed = new Float64Array(weightBits * activationBits);
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits; j++) {
      // Of the operands 2^i and 2^j only this one partial product is 1.
      const product = data[2 ** i * 2 ** activationBits + 2 ** j]!;
      if (product !== 0 && product !== 2 ** (i + j)) return null;
      removed[i * activationBits + j] = product === 0 ? 1 : 0;
    }
  }
  const removal = { weightBits, activationBits, removed };
  const expected = tableOfRemoval(removal);
  return expected.every((product, pair) => product === data[pair]) ? removal : null;
}
