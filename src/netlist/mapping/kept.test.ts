// The cells of the tree over kept products against what the power model counts without building it.

import { expect, test } from 'vitest';
import { treeCells } from '../../multiplier/adder-tree.ts';
import { keptTree } from './kept.ts';

const widths = { weightBits: 3, activationBits: 3 };

test('cells of hard sets are those of the compact tree, lone products those that are outputs by themselves', () => {
  for (let set = 1; set < 512; set += 3) {
    const there = Array.from({ length: 9 }, (_, at) => (set >> at) & 1);
    const removed = Float64Array.from(there, (bit) => 1 - bit);
    const { adders, partialProducts, outputs } = keptTree('compact', { ...widths, removed }, false);
    const products = new Set(partialProducts.map(({ signal }) => signal));
    const full = adders.filter(({ kind }) => kind === 'full').length;
    expect(treeCells(widths, there), `set ${set}`).toMatchObject({
      products: products.size,
      lone: outputs.filter(({ signal }) => products.has(signal)).length,
      fullAdders: full,
      halfAdders: adders.length - full,
    });
  }
});
