// What one layer multiplies with, free of any graph: the exact multiplier, a structure whose θ is learned, or a fixed
// one. A fixed one is a removal of partial products where it is nothing else, since that is cheaper to emulate, and
// otherwise the table of its errors.
// One of two unions in which the choice is spelt. The other, `ProductError` (error.ts), is what is left of it in a node
// of a graph, where the values have become inputs: there a structure and a truncation are one kind, and here slopes
// belong to what is fixed alone.
// Invariant: 'removal' is only claimed for a table after all operand pairs were compared. How any of them is computed
// is the engine's business.

import { invariant, UserError } from '../tensor/errors.ts';
import { type EmulationName, errorByCodes, type TableEmulation } from './error.ts';
import type { OperandHistograms } from './metrics.ts';
import { errorOfRemoval, removedPartialProducts } from './removal.ts';
import { rowSlopesOf, type Slopes, type Smoothing, slopesOf } from './slopes.ts';
import { removalOf, type Structure } from './structure.ts';
import type { ProductTable } from './table.ts';
import type { OperandWidths } from './widths.ts';
import { errorFromZero } from './zero-row.ts';

export type Multiplier =
  | { readonly kind: 'exact' }
  /**
   * A structure that learns: the variable that holds its θ, used clamped to [0, 1]. Layers with one name share the
   * values. `isHard` promises that every θ is 0 or 1 whenever it is used: sums of products are integers then.
   */
  | { readonly kind: 'structure'; readonly theta: string; readonly structure: Structure; readonly isHard?: true }
  /** Partial products removed for good: 0 or 1 for each (i, j), at i·activationBits + j. */
  | { readonly kind: 'removal'; readonly removed: Float32Array; readonly slopes?: Slopes }
  /** Any multiplier: error of each pair of codes, index w·2^activationBits + x. */
  | {
      readonly kind: 'table';
      readonly error: Int32Array;
      readonly emulation?: TableEmulation;
      /** Of the error, where gradients are to go through it. */
      readonly slopes?: Slopes;
    };

export type StructureMultiplier = Extract<Multiplier, { readonly kind: 'structure' }>;

export const exactMultiplier = (): Multiplier => ({ kind: 'exact' });

/**
 * A mapped or imported multiplier as a layer uses it: removed partial products where it is that, else its error table
 * by codes. A forced emulation takes the one or the other; a UserError says so where the multiplier has no planes.
 * `zero`: the code of weights of 0, where its product is to be the multiplier's own (see zero-row.ts).
 */
export function concreteMultiplier(table: ProductTable, emulation: EmulationName = 'auto', zero?: number): Multiplier {
  const errors = () => {
    const error = errorByCodes(table);
    return zero === undefined ? error : errorFromZero(error, table, zero);
  };
  if (emulation === 'table' || emulation === 'lowrank') return { kind: 'table', error: errors(), emulation };
  const removal = zero === undefined ? removedPartialProducts(table) : undefined;
  if (removal) return { kind: 'removal', removed: Float32Array.from(removal.removed) };
  if (emulation === 'auto') return { kind: 'table', error: errors() };
  throw new UserError(
    'the emulation planes does not apply: the multiplier (or its product of the zero point) does more than leave out partial products; choose auto, table, or lowrank on the device cuda',
  );
}

/** E(w, x) for every pair of codes; θ is given where the multiplier is a structure. */
export function multiplierError(
  multiplier: Multiplier,
  widths: OperandWidths,
  theta?: ArrayLike<number>,
): Float64Array {
  switch (multiplier.kind) {
    case 'exact':
      return new Float64Array(2 ** (widths.weightBits + widths.activationBits));
    case 'structure':
      invariant(theta, 'the error of a structure without its θ');
      return errorOfRemoval(removalOf(multiplier.structure, theta));
    case 'removal':
      return errorOfRemoval({ ...widths, removed: multiplier.removed });
    case 'table':
      return Float64Array.from(multiplier.error);
  }
}

/**
 * The multiplier with the slopes of its error, where it is fixed: its gradients then go through the error. Slopes are
 * of smoothed differences, or of `rows`, through the codes as often as they are met (default: all alike); without any,
 * as of an exact multiplier's error, its gradients stay the straight-through ones to the last bit.
 */
export function withSlopes(
  multiplier: Multiplier,
  widths: OperandWidths,
  by: Smoothing | 'rows',
  met?: OperandHistograms,
): Multiplier {
  if (multiplier.kind === 'exact' || multiplier.kind === 'structure') return multiplier;
  const error = multiplierError(multiplier, widths);
  const { weightBits, activationBits } = widths;
  if (by === 'rows') {
    const slopes = rowSlopesOf(error, weightBits, activationBits, met);
    return isFlat(slopes) ? multiplier : { ...multiplier, slopes };
  }
  return { ...multiplier, slopes: slopesOf(error, weightBits, activationBits, by) };
}

const isFlat = ({ weight, activation }: Slopes): boolean =>
  [weight, activation].every((all) => all.every((one) => one === 0));
