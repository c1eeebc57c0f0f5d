// The netlist of kept products is never dearer than a generated multiplier of the same function. And the cells of the
// tree over kept products against what the power model counts without building it.

import { expect, test } from 'vitest';
import { treeCells } from '../../multiplier/adder-tree.ts';
import { firstDifference } from '../../multiplier/table.ts';
import { generate, generators } from '../generators/registry.ts';
import type { Network } from '../network.ts';
import { simulate } from '../simulate.ts';
import { unitGateCost } from '../structure.ts';
import { keptNetwork, keptTree } from './kept.ts';

const widths = { weightBits: 3, activationBits: 3 };
const allWidths = Array.from({ length: 49 }, (_, at) => [2 + Math.floor(at / 7), 2 + (at % 7)] as const);

function kept([n, m]: readonly [number, number], keep: (i: number, j: number) => boolean, signed: boolean): Network {
  const removed = Float64Array.from({ length: n * m }, (_, at) => (keep(Math.floor(at / m), at % m) ? 0 : 1));
  return keptNetwork({ weightBits: n, activationBits: m, removed }, signed);
}

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

test.each([false, true])('no exact multiplier is cheaper than one that keeps every product (signed: %s)', (signed) => {
  const kinds = Object.keys(generators).filter(
    (kind) => generators[kind]!.exact && generators[kind]!.signed === signed,
  );
  const dearer: string[] = [];
  for (const size of allWidths) {
    const mapped = kept(size, () => true, signed);
    for (const [weightBits, activationBits] of [size, size.toReversed() as [number, number]]) {
      for (const kind of kinds) {
        const { network } = generate(kind, { weightBits, activationBits });
        if (unitGateCost(mapped) > unitGateCost(network)) dearer.push(`${kind} ${weightBits}x${activationBits}`);
      }
    }
  }
  expect(dearer).toEqual([]);
});

test('nor is a generated one that leaves products out', () => {
  const dearer: string[] = [];
  for (const size of allWidths) {
    const [weightBits, activationBits] = size;
    const compare = (kind: string, parameters: Record<string, number>, keep: (i: number, j: number) => boolean) => {
      const { name, network } = generate(kind, { weightBits, activationBits, ...parameters });
      if (unitGateCost(kept(size, keep, false)) > unitGateCost(network)) dearer.push(name);
    };
    for (let columns = 0; columns < weightBits + activationBits; columns += 2) {
      compare('truncated', { columns }, (i, j) => i + j >= columns);
      compare('broken-array', { rows: 1, columns }, (i, j) => j >= 1 && i + j >= columns);
    }
    const [weights, activations] = [Math.ceil(weightBits / 2), activationBits - 1];
    compare(
      'upper',
      { weights, activations },
      (i, j) => i >= weightBits - weights && j >= activationBits - activations,
    );
  }
  expect(dearer).toEqual([]);
});

test.each([
  [8, 8, 0, 0, 400],
  [7, 8, 0, 0, 356],
  [8, 4, 0, 0, 182],
  [4, 8, 0, 0, 182],
  [8, 8, 0, 2, 291],
  [8, 8, 2, 1, 259],
  [7, 6, 1, 0, 222],
])('of signed %i×%i bits the upper ones alone (%i, %i left out) are what they are by themselves', (...values) => {
  const [weightBits, activationBits, low, lowest, gates] = values;
  const network = kept([weightBits, activationBits], (i, j) => i >= low && j >= lowest, true);
  const { data } = simulate(network, { signed: true });
  const value = (pattern: number, bits: number, left: number) =>
    ((pattern << (32 - bits)) >> (32 - bits + left)) << left;
  const wrong = data.findIndex((product, pair) => {
    const [w, x] = [pair >> activationBits, pair & (2 ** activationBits - 1)];
    return product !== value(w, weightBits, low) * value(x, activationBits, lowest);
  });
  expect([wrong, unitGateCost(network)]).toEqual([-1, gates]);
});

test('nets that are equal for all operands are one', () => {
  const [built, mapped] = [
    generate('dadda', { weightBits: 2, activationBits: 2 }).network,
    kept([2, 2], () => true, false),
  ];
  // In column 2 the carry of column 1 implies the product beside it: it is the carry out, too.
  expect([unitGateCost(built), unitGateCost(mapped)]).toEqual([10, 9]);
  expect(firstDifference(simulate(built), simulate(mapped))).toBeNull();
});
