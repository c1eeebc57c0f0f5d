// The approximate multiplier as the network sees it: exact, a trained structure θ, or a table. The value also says how it can be
// emulated: as bit planes (the product minus shares of partial products) or, when it is no such sum, by its table.
// Invariant: 'planes' is only claimed for a table after all operand pairs were checked. How planes or tables are computed is the engine's business.

import { exactTable, type ProductTable } from './table.ts';
import { checkThetaShape } from './theta.ts';

export type Multiplier =
  | { readonly kind: 'exact'; readonly weightBits: number; readonly activationBits: number }
  | {
      readonly kind: 'structure';
      readonly weightBits: number;
      readonly activationBits: number;
      /** One value per approximable column, from the lowest; used clamped to [0, 1]. */
      readonly theta: readonly number[];
    }
  | { readonly kind: 'table'; readonly table: ProductTable };

/** removed[i * activationBits + j] is the share of w[i]·x[j] that the product lacks: w·x − Σ removed_ij 2^(i+j) w[i] x[j]. */
export interface PartialProductRemoval {
  readonly weightBits: number;
  readonly activationBits: number;
  readonly removed: Float64Array;
}

export type Emulation =
  | { readonly strategy: 'planes'; readonly removal: PartialProductRemoval }
  | { readonly strategy: 'table'; readonly table: ProductTable };

/** The cheapest exact emulation: planes for everything that is a sum of partial products, else the table. */
export function emulationOf(multiplier: Multiplier): Emulation {
  if (multiplier.kind === 'table') {
    const removal = removedPartialProducts(multiplier.table);
    return removal ? { strategy: 'planes', removal } : { strategy: 'table', table: multiplier.table };
  }
  const { weightBits, activationBits } = multiplier;
  const theta = multiplier.kind === 'structure' ? multiplier.theta : [];
  return { strategy: 'planes', removal: expandTheta(theta, weightBits, activationBits) };
}

/** Every partial product of column c loses the share θ_c, clamped to [0, 1]; columns beyond θ lose nothing. */
export function expandTheta(
  theta: ArrayLike<number>,
  weightBits: number,
  activationBits: number,
): PartialProductRemoval {
  checkThetaShape(theta, weightBits, activationBits);
  const removed = new Float64Array(weightBits * activationBits);
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits && i + j < theta.length; j++) {
      removed[i * activationBits + j] = Math.min(1, Math.max(0, theta[i + j]!));
    }
  }
  return { weightBits, activationBits, removed };
}

/**
 * The partial products that an unsigned table lacks (entries 0 or 1), if that is all that distinguishes it from the exact product on
 * every operand pair; else null. Signed tables are never such a sum here: their sign bits have negative weights.
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

/** w·x − Σ removed_ij 2^(i+j) w[i] x[j] for every pair, in the order of a ProductTable; real-valued for shares between 0 and 1. */
export function tableOfRemoval({ weightBits, activationBits, removed }: PartialProductRemoval): Float64Array {
  const products = Float64Array.from(exactTable(weightBits, activationBits).data);
  const activations = 2 ** activationBits;
  const lost = new Float64Array(activationBits);
  for (let w = 0; w < 2 ** weightBits; w++) {
    for (let j = 0; j < activationBits; j++) {
      lost[j] = 0;
      for (let i = 0; i < weightBits; i++) {
        if ((w >> i) & 1) lost[j]! += removed[i * activationBits + j]! * 2 ** (i + j);
      }
    }
    for (let x = 0; x < activations; x++) {
      for (let j = 0; j < activationBits; j++) if ((x >> j) & 1) products[w * activations + x]! -= lost[j]!;
    }
  }
  return products;
}
