// A compressor tree built anew for the bits that a search has left. The published array carries half adders along that
// fewer bits no longer need, and every tree does when columns are removed from it; the compact tree over the same bits
// computes the same products with the least number of adders, so the gates that it saves can go into a smaller error.
// Invariant: the product is the same modulo 2^(Bw+Bx); `cost` is never below the unit-gate cost of the cleaned-up
// result of `rearrange`.

import { addProduct } from '../generators/frame.ts';
import { BitHeap, compactCost } from '../generators/heap.ts';
import { Network, ONE, type Signal, ZERO } from '../network.ts';
import { OWN } from './cost.ts';
import type { Position, ReplaceableNetwork } from './positions.ts';

interface Leaf {
  readonly signal: Signal;
  readonly column: number;
  /** Value of the place as it is: a gate, or the constant of a free input. */
  readonly own: Signal;
}

export class CompactTree {
  readonly #tree: ReplaceableNetwork;
  readonly #leaves: readonly Leaf[];
  readonly #columns: number;
  /** Constant bits that stand directly at an output. */
  readonly #fixed: number;

  constructor(tree: ReplaceableNetwork) {
    const { network, positions } = tree;
    this.#tree = tree;
    this.#columns = network.outputs.length;
    this.#leaves = positions.filter(isLeaf).map(({ signal, column, output }) => ({
      signal,
      column,
      own: output === 'constant' ? network.nodes[signal]!.fanins[0]! : signal,
    }));
    this.#fixed = network.outputs.reduce((sum, { signal }, column) => sum + (signal === ONE ? 2 ** column : 0), 0);
  }

  /** Unit gates of the compact tree and its partial products under replacements of leaves. */
  cost(replacements: Int32Array): number {
    const heights = new Int32Array(this.#columns);
    let constant = this.#fixed;
    let products = 0;
    for (const { signal, column, own } of this.#leaves) {
      const replacement = replacements[signal]!;
      const value = replacement === OWN ? own : replacement;
      if (value > ONE) {
        heights[column]!++;
        if (value === signal) products++;
      } else if (value === ONE) constant += 2 ** column;
    }
    return products + compactCost(heights, constant);
  }

  /** The compact tree with replacements of leaves in it. */
  rearrange(replacements: ReadonlyMap<Signal, Signal>): Network {
    const { network: original } = this.#tree;
    const network = new Network(original.name);
    const copies = new Map<Signal, Signal>([
      [ZERO, ZERO],
      [ONE, ONE],
    ]);
    for (const { name, signal } of original.inputs) copies.set(signal, network.addInput(name));
    const products = new Map(original.partialProducts.map((product) => [product.signal, product]));
    const copy = (signal: Signal): Signal => {
      const known = copies.get(signal);
      if (known !== undefined) return known;
      const { kind, fanins } = original.nodes[signal]!;
      const [a, b] = fanins.map(copy);
      const product = products.get(signal);
      const made = product
        ? network.addPartialProduct(product.i, product.j, a!, b!)
        : network.addGate(kind === 'not' ? 'not' : 'and', ...(b === undefined ? [a!] : [a!, b]));
      copies.set(signal, made);
      return made;
    };
    const heap = new BitHeap(network, this.#columns);
    let constant = this.#fixed;
    for (const { signal, column, own } of this.#leaves) {
      const value = replacements.get(signal) ?? own;
      if (value === ONE) constant += 2 ** column;
      else if (value === own) heap.add(column, own === ZERO ? ZERO : copy(own));
      // An operand bit is given a gate of its own, so that every place of the tree has one reader.
      else if (value !== ZERO) heap.add(column, network.addGate('and', copy(value), copy(value)));
    }
    heap.addConstant(constant);
    return addProduct(network, heap.sum('compact'));
  }
}

/** Places of the bits that a tree adds up: partial products and free constant inputs. */
export function isLeaf({ output }: Position): boolean {
  return output === 'product' || output === 'constant';
}
