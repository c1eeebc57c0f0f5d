// What it takes to add up a set of partial products: the cells of the compact tree (netlist/generators/heap.ts), column
// by column, from the columns' heights alone. Where products are kept with a probability, the exact expectation over
// all sets, each product by itself: it is linear in each probability, so that its slope along one is what that product
// costs, given what is left of the others; at 0 and 1 the counts are those of the tree. The depth is not linear: it is
// followed through expectations, and meets that of the tree where all is decided.
// Not a netlist: nothing here says which bits an adder takes.

import type { OperandWidths } from './widths.ts';

/** Expected numbers of cells. */
export interface TreeCells {
  /** AND gates: partial products. */
  readonly products: number;
  /** Those among them that are a bit of the result by themselves, since their column has no other bit. */
  readonly lone: number;
  readonly fullAdders: number;
  readonly halfAdders: number;
  /** Adders one after another on the longest way, about: a column's last one waits for those of the column below. */
  readonly depth: number;
}

/**
 * `kept`: of each partial product w[i]·x[j], at i·activationBits + j, the probability that it is there, 0 … 1. The
 * carry out of the highest column is dropped: a product has weightBits + activationBits bits.
 */
export function treeCells({ weightBits, activationBits }: OperandWidths, kept: ArrayLike<number>): TreeCells {
  let [products, lone, fullAdders, halfAdders, depth] = [0, 0, 0, 0, 0];
  let arrival = 0;
  /** Probability of so many carries into the column. */
  let carried: number[] = [1];
  for (let column = 0; column < weightBits + activationBits; column++) {
    let bits = carried;
    let own: number[] = [1];
    for (let i = Math.max(0, column - activationBits + 1); i <= Math.min(column, weightBits - 1); i++) {
      const probability = kept[i * activationBits + column - i]!;
      products += probability;
      if (probability === 0) continue;
      bits = withBit(bits, probability);
      own = withBit(own, probability);
    }
    lone += carried[0]! * (own[1] ?? 0);
    carried = [];
    let [adding, levels] = [0, 0];
    for (const [count, probability] of bits.entries()) {
      const adders = Math.floor(count / 2);
      carried[adders] = (carried[adders] ?? 0) + probability;
      if (adders === 0) continue;
      const halves = count % 2 === 0 ? 1 : 0;
      fullAdders += probability * (adders - halves);
      halfAdders += probability * halves;
      adding += probability;
      levels += probability * treeLevels(count);
    }
    arrival = Math.max(adding * (arrival + 1), levels);
    depth = Math.max(depth, arrival);
  }
  return { products, lone, fullAdders, halfAdders, depth };
}

/** Levels of adders that take so many bits, all there at once, down to one. */
function treeLevels(bits: number): number {
  let levels = 0;
  for (let left = bits; left > 1; left = Math.ceil(left / 3)) levels++;
  return levels;
}

/** The distribution of a count with one more bit, which is there with a probability. */
function withBit(counts: readonly number[], probability: number): number[] {
  const next = counts.map((share) => share * (1 - probability));
  next.push(0);
  counts.forEach((share, count) => {
    next[count + 1]! += share * probability;
  });
  return next;
}
