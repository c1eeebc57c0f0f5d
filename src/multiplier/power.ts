// The analytic power model (paper, Eq. 3): what the columns of an exact multiplier cost, with the published unit costs
// of an AND gate, a half adder and a full adder (ASAP7, relative to the AND gate). What values of θ leave of it is in
// structure.ts.
//
// Column costs are those of the array (carry-save, ripple at the end) multiplier, as the paper counts them. Let n be
// the shorter operand width and m the longer. Each row of n partial products is added to the running sum of the rows
// above:
//   row 0 and 1     n − 1 half adders in the columns 1 … n−1 (two bits meet, no carry yet; the ends pass through)
//   row j = 2..m−1  n − 1 full adders in the columns j … j+n−2 (a sum, a carry and a partial product meet)
//   last carries    a ripple of one half adder in column m and n − 2 full adders in the columns m+1 … m+n−2
// and column c has as many AND gates as partial products. In total n half adders and nm − n − m full adders; a full
// adder removes one of the nm bits, so that n + m are left. Rows along the shorter operand need the fewest half adders
// and make the count symmetric.
// For n = m = 8 this gives the published costs 1.0, 3.822, 9.292, …, 5.47.

import { invariant } from '../tensor/errors.ts';
import { checkOperandBits } from './widths.ts';

/** Power of a cell relative to an AND gate. */
export const CELL_COST = { and: 1.0, halfAdder: 1.822, fullAdder: 4.47 } as const;

/** Cost of each of the weightBits + activationBits − 1 columns of partial products; widths 2..8. */
export function columnCosts(weightBits: number, activationBits: number): Float64Array {
  checkOperandBits(weightBits, activationBits);
  const short = Math.min(weightBits, activationBits);
  const long = Math.max(weightBits, activationBits);
  const costs = new Float64Array(short + long - 1);
  const add = (first: number, count: number, cost: number) => {
    for (let column = first; column < first + count; column++) costs[column]! += cost;
  };
  for (let row = 0; row < long; row++) add(row, short, CELL_COST.and);
  add(1, short - 1, CELL_COST.halfAdder);
  for (let row = 2; row < long; row++) add(row, short - 1, CELL_COST.fullAdder);
  add(long, 1, CELL_COST.halfAdder);
  add(long + 1, short - 2, CELL_COST.fullAdder);
  return costs;
}

/** Power of an exact multiplier of these widths, in AND gates. */
export function exactCost(weightBits: number, activationBits: number): number {
  return columnCosts(weightBits, activationBits).reduce((sum, cost) => sum + cost, 0);
}

/**
 * Power of an exact multiplier of these widths relative to the exact 8×8 one, in (0, 1]: what a network's power begins
 * at.
 */
export function exactPower(weightBits: number, activationBits: number): number {
  return exactCost(weightBits, activationBits) / exactCost(8, 8);
}

/**
 * Power of a network relative to exact multipliers: the mean of the layers' power, weighted by their multiplications.
 */
export function networkPower(layers: readonly { readonly power: number; readonly macs: number }[]): number {
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  invariant(macs > 0, 'power of a network without multiplications');
  return layers.reduce((sum, layer) => sum + layer.power * layer.macs, 0) / macs;
}
