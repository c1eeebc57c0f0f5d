// The netlist of a hard structure: every θ is 0 or 1, so what is asked for is a sum of whole partial products, and a
// tree over them computes exactly that. Columns may be of any heights; nets that are equal for all operands are one; of
// the trees the one with the fewest unit gates is taken, of equals the fastest.
// With signed operands a product of exactly one sign bit is negative: its complement is added, and a constant
// (generators/signed.ts). Where all products of the upper bits of both operands are kept, and no others, it is Booth's
// multiplier of those bits if that has fewer gates.
// Invariant: the product is Σ 2^(i+j) w[i] x[j] over what is kept, plus `constant`, for every pair of operands.

import type { PartialProductRemoval } from '../../multiplier/removal.ts';
import { cleanUp } from '../cleanup.ts';
import { addProduct, multiplierFrame } from '../generators/frame.ts';
import { BitHeap, type TreeKind } from '../generators/heap.ts';
import { boothProduct } from '../generators/signed.ts';
import { mergeEqualNets } from '../merge.ts';
import { type Network, ZERO } from '../network.ts';
import { unitGateCost } from '../structure.ts';

/** From the fastest to the smallest. */
const trees = ['dadda', 'wallace', 'compact'] as const satisfies readonly TreeKind[];

/**
 * The cheapest netlist known for what a removal of zeros and ones keeps, with a constant added: never dearer than a
 * generated multiplier of the same function. Widths from 2 to 8 bits each.
 */
export function keptNetwork(removal: PartialProductRemoval, signed: boolean, constant = 0): Network {
  const built = trees.map((tree) => mergeEqualNets(cleanUp(keptTree(tree, removal, signed, constant))));
  const upper = signed && constant === 0 ? keptUpperBits(removal) : null;
  if (upper) built.push(cleanUp(upperBooth(removal, upper)));
  const costs = built.map(unitGateCost);
  return built[costs.indexOf(Math.min(...costs))]!;
}

/** One of the trees, as it is built. */
export function keptTree(tree: TreeKind, removal: PartialProductRemoval, signed: boolean, constant = 0): Network {
  const { weightBits, activationBits, removed } = removal;
  const { network, w, x, productBits } = multiplierFrame(`kept_${tree}`, weightBits, activationBits);
  const heap = new BitHeap(network, productBits);
  let added = constant;
  w.forEach((wi, i) => {
    x.forEach((xj, j) => {
      if (removed[i * activationBits + j] === 1) return;
      const product = network.addPartialProduct(i, j, wi, xj);
      const negative = signed && (i === weightBits - 1) !== (j === activationBits - 1);
      heap.add(i + j, negative ? network.addGate('not', product) : product);
      if (negative) added -= 2 ** (i + j);
    });
  });
  heap.addConstant(added);
  return addProduct(network, heap.sum(tree));
}

/** How many low bits of either operand no kept product has; null where products of the upper bits are missing. */
function keptUpperBits({ activationBits, removed }: PartialProductRemoval): readonly [number, number] | null {
  const first = removed.indexOf(0);
  const [low, lowest] = [Math.floor(first / activationBits), first % activationBits];
  const isUpper = (at: number) => Math.floor(at / activationBits) >= low && at % activationBits >= lowest;
  return first >= 0 && removed.every((share, at) => (share === 0) === isUpper(at)) ? [low, lowest] : null;
}

/** Booth's multiplier of the upper bits, where they stand. */
function upperBooth(
  { weightBits, activationBits }: PartialProductRemoval,
  [low, lowest]: readonly [number, number],
): Network {
  const { network, w, x, productBits } = multiplierFrame('kept_booth', weightBits, activationBits);
  const zeros = new Array(low + lowest).fill(ZERO);
  const product = boothProduct(network, w.slice(low), x.slice(lowest), productBits - zeros.length);
  return addProduct(network, [...zeros, ...product]);
}

/** Whether every share is 0 or 1. */
export const isHard = ({ removed }: Pick<PartialProductRemoval, 'removed'>): boolean =>
  removed.every((share) => share === 0 || share === 1);
