// What power is while a structure is searched: a number that follows from θ at once. Modelled power is neither the gate
// cost of a netlist nor its synthesised power.
//   analytic  the published model (power.ts): a sum over θ of shares of the exact multiplier's cells
//   fitted    what synthesis makes of the partial products that are left, fitted to our flow with the built-in cells
//   asap7     the same, fitted with the cells of ASAP7 at 500 ps
// A fitted model counts the cells of the tree over the products that are left (adder-tree.ts). Cells cost c_k each, all
// of them up to 1 + `hurry` times as much where the tree is deeper than synthesis can have it with adder cells:
//   power = Σ_k c_k cells_k · (1 + hurry · clamp((depth + load · products − slack) / span, 0, 1))
// Between 0 and 1 the products are there with probability 1 − θ, each by itself; what a product saves is the difference
// between having and not having it, given the others. Errors on structures that were not fitted to: docs/power.md.
// Source of the coefficients: scripts/power-model.mjs.

import { treeCells } from './adder-tree.ts';
import { exactPower } from './power.ts';
import { powerFits } from './power-fits.ts';
import { removalOf, type Structure, structurePower } from './structure.ts';
import type { OperandWidths } from './widths.ts';

export const powerModelNames = ['analytic', 'fitted', 'asap7'] as const;
export type PowerModelName = (typeof powerModelNames)[number];
/** What powers by each model are of, in words. */
export const powerModelTitles: Readonly<Record<PowerModelName, string>> = {
  analytic: 'analytic model of θ',
  fitted: 'model of θ fitted to synthesis with the built-in cells',
  asap7: 'model of θ fitted to synthesis with ASAP7',
};
export type FittedModelName = Exclude<PowerModelName, 'analytic'>;

/** Coefficients of a fitted model; costs are relative to the power of the exact 8×8 array multiplier. */
export interface PowerFit {
  /** Of an AND gate that an adder reads, and what one costs more that is a bit of the result by itself. */
  readonly product: number;
  readonly lone: number;
  /** Of the adders. */
  readonly fullAdder: number;
  readonly halfAdder: number;
  /** Share by which everything costs more in a tree that is too deep. */
  readonly hurry: number;
  /** How many adders one after another take as long as one more product for the operands' bits to drive. */
  readonly load: number;
  /** Time, in adders, up to which a tree is not too deep, and how much more it takes to the full share. */
  readonly slack: number;
  readonly span: number;
}

/**
 * Power of a multiplier relative to the exact 8×8 array multiplier; `kept`: of each partial product, at
 * i·activationBits + j, the probability that it is there, 0 … 1.
 */
export function fittedPower(fit: PowerFit, widths: OperandWidths, kept: ArrayLike<number>): number {
  const { products, lone, fullAdders, halfAdders, depth } = treeCells(widths, kept);
  const cells = fit.product * products + fit.lone * lone + fit.fullAdder * fullAdders + fit.halfAdder * halfAdders;
  const late = (depth + fit.load * products - fit.slack) / fit.span;
  return cells * (1 + fit.hurry * Math.min(1, Math.max(0, late)));
}

/** Power of a structure at θ relative to exact 8×8 multipliers; θ is clamped to [0, 1]. */
export function modelledPower(model: PowerModelName, structure: Structure, theta: ArrayLike<number>): number {
  const { weightBits, activationBits } = structure;
  if (model === 'analytic') return structurePower(structure, theta) * exactPower(weightBits, activationBits);
  return fittedPower(powerFits[model], structure, keptOf(structure, theta));
}

/** Power of the exact multiplier of these widths relative to the exact 8×8 one. */
export function modelledExactPower(model: PowerModelName, widths: OperandWidths): number {
  const { weightBits, activationBits } = widths;
  if (model === 'analytic') return exactPower(weightBits, activationBits);
  return fittedPower(powerFits[model], widths, new Float64Array(weightBits * activationBits).fill(1));
}

/**
 * What each θ of a structure saves, given the others: for a single product the power with it less the power without it;
 * where several read one θ, the sum of what each of them saves.
 */
export function structureSavings(model: FittedModelName, structure: Structure, theta: ArrayLike<number>): number[] {
  const kept = keptOf(structure, theta);
  const savings = new Array<number>(structure.count).fill(0);
  structure.index.forEach((from, at) => {
    if (from < 0) return;
    const [without, with_] = [0, 1].map((there) => {
      const others = Float64Array.from(kept);
      others[at] = there;
      return fittedPower(powerFits[model], structure, others);
    });
    savings[from]! += with_! - without!;
  });
  return savings;
}

const keptOf = (structure: Structure, theta: ArrayLike<number>): Float64Array =>
  removalOf(structure, theta).removed.map((removed) => 1 - removed);
