// The expected cells against all sets of products, drawn one by one; and what a model says a product saves, against the
// power with and without it.

import { expect, test } from 'vitest';
import { type TreeCells, treeCells } from './adder-tree.ts';
import { modelledExactPower, modelledPower, powerModelNames, structureSavings } from './power-model.ts';
import { columnStructure, productStructure } from './structure.ts';

const widths = { weightBits: 3, activationBits: 3 };

test('expected cells are the mean over all sets of kept products', () => {
  const kept = [0.2, 1, 0.7, 0.5, 0, 0.9, 0.3, 0.6, 1];
  const mean = { products: 0, lone: 0, fullAdders: 0, halfAdders: 0 };
  for (let set = 0; set < 512; set++) {
    const there = kept.map((_, at) => (set >> at) & 1);
    const probability = kept.reduce((product, share, at) => product * (there[at] ? share : 1 - share), 1);
    const cells = treeCells(widths, there);
    for (const name of ['products', 'lone', 'fullAdders', 'halfAdders'] as const)
      mean[name] += probability * cells[name];
  }
  const expected = treeCells(widths, kept);
  for (const [name, value] of Object.entries(mean)) expect(expected[name as keyof TreeCells]).toBeCloseTo(value, 12);
});

test('what a product saves is the power with it less the power without it, given the others', () => {
  const structure = productStructure({ weightBits: 5, activationBits: 4 });
  const theta = structure.names.map((_, at): number => (at % 3 === 0 ? 1 : at % 5 === 0 ? 0.4 : 0));
  for (const model of ['fitted', 'asap7'] as const) {
    const savings = structureSavings(model, structure, theta);
    expect(savings).toHaveLength(20);
    for (const at of [0, 5, 7, 19]) {
      const [kept, removed] = [0, 1].map((value) => modelledPower(model, structure, theta.with(at, value)));
      expect(savings[at]).toBeCloseTo(kept! - removed!, 12);
      expect(savings[at]).toBeGreaterThan(0);
    }
    // What is left decides: the same product saves less where its column is nearly empty.
    expect(structureSavings(model, structure, theta.with(4, 1).with(8, 1))[12]).not.toBeCloseTo(savings[12]!, 6);
  }
});

test('a θ of several products saves what they save together, and modelled power falls as θ rises', () => {
  const columns = columnStructure(widths, 3);
  const products = productStructure(widths);
  const single = structureSavings(
    'fitted',
    products,
    products.names.map(() => 0),
  );
  expect(structureSavings('fitted', columns, [0, 0, 0])[1]).toBeCloseTo(single[1]! + single[3]!, 12);
  for (const model of powerModelNames) {
    const powers = [0, 0.3, 0.7, 1].map((value) => modelledPower(model, columns, [value, value, value]));
    expect(powers[0]).toBe(modelledExactPower(model, widths));
    expect(powers).toEqual(powers.toSorted((a, b) => b - a));
  }
});
