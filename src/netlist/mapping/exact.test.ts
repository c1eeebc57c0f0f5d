import { expect, test } from 'vitest';
import { productStructure, removalOf } from '../../multiplier/structure.ts';
import { exactTable } from '../../multiplier/table.ts';
import { Random } from '../../tensor/random.ts';
import { cleanUp } from '../cleanup.ts';
import { simulate } from '../simulate.ts';
import { unitGateCost } from '../structure.ts';
import { keptNetwork, keptTree } from './kept.ts';
import { mapStructure } from './map.ts';

/** Σ of the kept partial products by the definition, operands as codes; two's complement where they are signed. */
function keptProduct(theta: readonly number[], bits: readonly [number, number], w: number, x: number, signed: boolean) {
  const [weightBits, activationBits] = bits;
  let sum = 0;
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits; j++) {
      const sign = signed && (i === weightBits - 1) !== (j === activationBits - 1) ? -1 : 1;
      if (theta[i * activationBits + j] === 0) sum += sign * ((w >> i) & 1) * ((x >> j) & 1) * 2 ** (i + j);
    }
  }
  return sum;
}

const hard = (count: number, seed: number) => {
  const random = new Random(seed);
  return Array.from({ length: count }, () => (random.uniform() < 0.4 ? 1 : 0));
};

// Widths that differ: an exchange of i and j, or another order of θ, gives another multiplier.
test.each([
  [3, 5],
  [5, 3],
  [2, 4],
  [3, 4],
  [7, 8],
] as const)(
  'a hard structure of %i×%i bits becomes exactly the products that it keeps',
  (weightBits, activationBits) => {
    for (const start of ['array', 'baugh-wooley'] as const) {
      const signed = start === 'baugh-wooley';
      const theta = hard(weightBits * activationBits, weightBits);
      const structure = productStructure({ weightBits, activationBits });
      const mapped = mapStructure({ weightBits, activationBits, theta, structure, search: 'exact', start });
      const simulated = simulate(mapped.network, { signed }).data;
      let wrong = 0;
      for (let pair = 0; pair < mapped.table.data.length; pair++) {
        const [w, x] = [pair >> activationBits, pair & (2 ** activationBits - 1)];
        const wanted = keptProduct(theta, [weightBits, activationBits], w, x, signed);
        if (mapped.table.data[pair] !== wanted || simulated[pair] !== wanted) wrong++;
      }
      expect(wrong).toBe(0);
      expect(mapped).toMatchObject({ search: 'exact', mseToTarget: { after: 0 }, moves: [] });
    }
  },
);

test('what the descent finds by replacements in the start says so, and what is built anew does, too', () => {
  const structure = productStructure({ weightBits: 3, activationBits: 3 });
  const mapped = (seed: number) =>
    mapStructure({ weightBits: 3, activationBits: 3, theta: hard(9, seed), structure, search: 'exact' });
  expect(mapped(25)).toMatchObject({ mseToTarget: { after: 0 }, rearranged: false });
  expect(mapped(25).moves).not.toEqual([]);
  expect(mapped(1)).toMatchObject({ mseToTarget: { after: 0 }, moves: [], rearranged: true });
});

test('of the trees over irregular heights the cheapest is taken, and exact products cost what they did', () => {
  const widths = { weightBits: 8, activationBits: 8 };
  // The 26 products that a network of ours kept (weight bit by weight bit).
  const rows = ['', '', '', '.....#..', '...#####', '..######', '.#######', '.#######'];
  const theta = rows.flatMap((row) => [...row.padEnd(8, '.')].map((dot) => (dot === '#' ? 0 : 1)));
  const kept = removalOf(productStructure(widths), theta);
  const costs = (['dadda', 'wallace', 'compact'] as const).map((tree) =>
    unitGateCost(cleanUp(keptTree(tree, kept, false))),
  );
  expect(costs).toEqual([166, 151, 151]);
  expect(unitGateCost(keptNetwork(kept, false))).toBe(151);
  for (const [weightBits, activationBits, cost] of [
    [4, 5, 109],
    [3, 4, 56],
  ] as const) {
    const structure = productStructure({ weightBits, activationBits });
    expect(unitGateCost(keptNetwork(removalOf(structure, new Array(structure.count).fill(0)), false))).toBe(cost);
  }
});

test('a constant is added to the products that are kept', () => {
  const structure = productStructure({ weightBits: 3, activationBits: 4 });
  const kept = removalOf(structure, hard(12, 9));
  const difference = (constant: number) => {
    const [plain, more] = [0, constant].map((one) => simulate(keptNetwork(kept, false, one), {}).data);
    return plain!.map((product, pair) => (more![pair]! - product + 128) % 128);
  };
  expect(new Set(difference(9))).toEqual(new Set([9]));
});

test('gates are saved within the error bound alone, and never at the same cost', () => {
  const widths = { weightBits: 4, activationBits: 5 };
  const structure = productStructure(widths);
  const theta = hard(20, 4);
  const options = { ...widths, theta, structure, search: 'exact' } as const;
  const exactly = mapStructure(options);
  const histograms = {
    weight: Array.from({ length: 16 }, (_, code) => 1 + Math.abs(code - 8)),
    activation: Array.from({ length: 32 }, (_, code) => 40 - code),
  };
  /** Mean square of the error about the mean of the exact mapping, over the operands. */
  const errorOf = (data: Int32Array) => {
    let [total, mean, square] = [0, 0, 0];
    const at = (products: Int32Array, pair: number) => products[pair]! - (pair >> 5) * (pair & 31);
    const share = (pair: number) => histograms.weight[pair >> 5]! * histograms.activation[pair & 31]!;
    for (let pair = 0; pair < 512; pair++) total += share(pair);
    for (let pair = 0; pair < 512; pair++) mean += (share(pair) / total) * at(exactly.table.data, pair);
    for (let pair = 0; pair < 512; pair++) square += (share(pair) / total) * (at(data, pair) - mean) ** 2;
    return square;
  };
  const base = errorOf(exactly.table.data);
  let cost = unitGateCost(exactly.network);
  for (const errorBound of [0, 0.3, 1]) {
    const saved = mapStructure({ ...options, histograms, errorBound });
    expect(errorOf(saved.table.data)).toBeLessThanOrEqual((1 + errorBound) * base * (1 + 1e-5));
    expect(saved.table.data).toEqual(simulate(saved.network, {}).data);
    expect(unitGateCost(saved.network)).toBeLessThan(cost);
    cost = unitGateCost(saved.network);
  }
});

test('signed structures keep the bound, too: complements and constants are in their trees', () => {
  for (const [weightBits, activationBits] of [
    [2, 2],
    [3, 5],
    [5, 2],
  ] as const) {
    const structure = productStructure({ weightBits, activationBits });
    const theta = structure.names.map((_, at) => (at % 4 === 1 && at < structure.count / 2 ? 1 : 0));
    const options = { weightBits, activationBits, theta, structure, search: 'exact', start: 'baugh-wooley' } as const;
    const [exactly, saved] = [{}, { errorBound: 0.5 }].map((more) => mapStructure({ ...options, ...more }));
    const exact = exactTable(weightBits, activationBits, true).data;
    const errorOf = (data: Int32Array, mean: number) =>
      data.reduce((sum, product, pair) => sum + (product - exact[pair]! - mean) ** 2, 0);
    const { data } = exactly!.table;
    const mean = data.reduce((sum, product, pair) => sum + product - exact[pair]!, 0) / data.length;
    expect(errorOf(saved!.table.data, mean)).toBeLessThanOrEqual(1.5 * errorOf(data, mean) * (1 + 1e-5));
    expect(saved!.structure.unitGateCost).toBeLessThanOrEqual(exactly!.structure.unitGateCost);
    expect(saved!.table.data).toEqual(simulate(saved!.network, { signed: true }).data);
  }
});

test('without a bound to keep, nothing is changed', () => {
  const options = { weightBits: 3, activationBits: 3, theta: new Array(9).fill(0), search: 'exact' } as const;
  const structure = productStructure(options);
  // An exact multiplier has no error: none may be added, and gates that do nothing are gone already.
  const [exactly, bounded] = [{}, { errorBound: 0 }].map((more) => mapStructure({ ...options, structure, ...more }));
  expect(bounded!.table.data).toEqual(exactly!.table.data);
});

test.each([
  [{ theta: [0, 0.5, 0, 1] }, /θ of w\[0\]·x\[1\] is neither 0 nor 1/],
  [{ theta: [0, 0, 0, 1], errorBound: -0.1 }, /the error bound is -0.1/],
  [{ theta: [0, 0, 0, 1], costBudget: 0.5 }, /the exact search has none/],
  [{ theta: [0, 0, 0, 1], search: 'descent', errorBound: 0 }, /the descent search has none/],
] as const)('%o is refused', (more, message) => {
  const widths = { weightBits: 2, activationBits: 2 };
  const structure = productStructure(widths);
  expect(() => mapStructure({ ...widths, structure, search: 'exact', ...more })).toThrow(message);
});

test('no structure of few bits is mapped to more gates than the descent needs for the same products', () => {
  const dearer: string[] = [];
  let same = 0;
  for (const [weightBits, activationBits, step] of [
    [2, 3, 1],
    [3, 2, 1],
    [3, 3, 7],
    [2, 4, 5],
  ] as const) {
    const structure = productStructure({ weightBits, activationBits });
    const sets = Array.from({ length: Math.floor((2 ** structure.count - 1) / step) }, (_, at) => at * step);
    // Those whose trees are dearer.
    if (structure.count === 9) sets.push(0b000100001, 0b010000001, 0b010010101, 0b011100001, 0b110100100, 0b111100000);
    if (structure.count === 8) sets.push(0b00000011, 0b00010010, 0b00100001, 0b10010000, 0b10010011);
    for (const set of sets) {
      const theta = structure.names.map((_, at) => (set >> at) & 1);
      const options = { weightBits, activationBits, theta, structure } as const;
      const { structure: exact, table } = mapStructure({ ...options, search: 'exact' });
      for (const limits of [{}, { costBudget: 1 }]) {
        const descent = mapStructure({ ...options, ...limits, search: 'descent' });
        if (descent.mseToTarget.after > 0) continue;
        same++;
        expect(descent.table.data).toEqual(table.data);
        const { unitGateCost: cost } = descent.structure;
        if (cost < exact.unitGateCost) dearer.push(`${theta.join('')}: ${exact.unitGateCost}, descent ${cost}`);
      }
    }
  }
  expect(dearer).toEqual([]);
  expect(same).toBeGreaterThan(150);
});
