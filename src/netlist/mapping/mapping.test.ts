import { expect, test } from 'vitest';
import { removedPartialProducts } from '../../multiplier/removal.ts';
import { columnStructure, expandTheta, productStructure, removalOf, structureOf } from '../../multiplier/structure.ts';
import { exactTable, firstDifference } from '../../multiplier/table.ts';
import { targetProducts } from '../../multiplier/target.ts';
import { certify } from '../certify.ts';
import { simulate } from '../simulate.ts';
import { meanSquareError } from './distance.ts';
import { mapStructure } from './map.ts';

const targetOf = (theta: readonly number[], weightBits: number, activationBits: number, signed = false) =>
  targetProducts(columnStructure({ weightBits, activationBits }, theta.length), theta, signed);

test('the float32 mean square agrees with the float64 one to seven digits', () => {
  for (const bits of [2, 3, 8]) {
    const { data } = exactTable(bits, bits);
    const target = targetOf([0.3, 0.7, 0.2], bits, bits);
    const exact = data.reduce((sum, product, pair) => sum + (product - target[pair]!) ** 2, 0) / data.length;
    expect(Math.abs(meanSquareError(data, target) / exact - 1)).toBeLessThan(1e-6);
  }
});

test('a truncated multiplier is recognised as its removed partial products', () => {
  const { table } = mapStructure({ weightBits: 5, activationBits: 8, theta: [1, 1, 1, 1] });
  expect(removedPartialProducts(table)).toEqual(expandTheta([1, 1, 1, 1], 5, 8));
});

const thetas = [[1, 1, 1, 0.3, 0.6], [0.9, 0.1], [0.5, 0.5, 0.5, 0.5, 0.5], [1]];
const widths = [
  [2, 2],
  [4, 4],
  [3, 7],
  [8, 5],
] as const;
const cases = widths.flatMap(([weightBits, activationBits]) =>
  thetas.map((theta) => ({ weightBits, activationBits, theta: theta.slice(0, weightBits + activationBits - 1) })),
);

test.each(cases)(
  '$weightBits×$activationBits with θ = $theta: the result is certified and its error only fell',
  (one) => {
    const mapped = mapStructure({ ...one, search: 'greedy' });
    const target = targetOf(one.theta, one.weightBits, one.activationBits);
    expect(mapped.mseToTarget.after).toBeLessThanOrEqual(mapped.mseToTarget.afterFixedColumns);
    expect(mapped.mseToTarget.after).toBe(meanSquareError(simulate(mapped.network).data, target));
    expect(certify(mapped).forms).toHaveLength(4);
    for (const move of mapped.moves) expect(move.column).toBeLessThan(one.theta.length);
  },
);

test('θ = 1 on whole columns removes exactly their partial products', () => {
  const mapped = mapStructure({ weightBits: 4, activationBits: 6, theta: [1, 1, 1], search: 'greedy' });
  expect(mapped.structure.partialProducts.every(({ i, j }) => i + j >= 3)).toBe(true);
  expect(mapped.structure.partialProducts).toHaveLength(24 - 6);
  expect(mapped.mseToTarget).toMatchObject({ afterFixedColumns: 0, after: 0 });
  expect(mapped.moves).toEqual([]);
});

test('without columns to approximate, trying w[0]·x[0] instead of removing it keeps the multiplier exact', () => {
  for (const theta of [[], [0, 0, 0]]) {
    const mapped = mapStructure({ weightBits: 5, activationBits: 5, theta, search: 'greedy', lowestProduct: 'try' });
    expect(firstDifference(mapped.table, exactTable(5, 5))).toBeNull();
    expect(mapped.structure.normalizedCost).toBe(1);
  }
  const published = mapStructure({ weightBits: 5, activationBits: 5, theta: [0], search: 'greedy' });
  expect(published.fixed).toMatchObject([{ column: 0, adder: null, output: 'product' }]);
  expect(published.mseToTarget.after).toBe(0.25);
});

test('trying w[0]·x[0] takes it when that brings the product nearer', () => {
  const mapped = mapStructure({
    weightBits: 4,
    activationBits: 4,
    theta: [0.9],
    search: 'greedy',
    lowestProduct: 'try',
  });
  expect(mapped.moves).toMatchObject([{ column: 0, output: 'product' }]);
});

test.each([
  [[0.5, 1.2], 'θ[1] is 1.2: expected a value in [0, 1]'],
  [[-0.1], 'θ[0] is -0.1: expected a value in [0, 1]'],
  [[0, Number.NaN], 'θ[1] is NaN: expected a finite number'],
  [Array(8).fill(0), 'θ has 8 values: a 4×4 multiplier has 7 columns'],
])('refuses θ = %j', (theta, message) => {
  expect(() => mapStructure({ weightBits: 4, activationBits: 4, theta })).toThrow(message);
});

test('refuses an unknown search with the known ones', () => {
  const search = 'exhaustive' as 'greedy';
  expect(() => mapStructure({ weightBits: 4, activationBits: 4, theta: [1], search })).toThrow(
    'unknown search "exhaustive": expected one of descent, greedy',
  );
});

test('the error of a 2×2 mapping is the one worked out by hand', () => {
  // θ_0 = ½ of w0·x0: kept or removed, the product is off by ½ where w0 = x0 = 1, in 4 of 16 pairs.
  const half = mapStructure({ weightBits: 2, activationBits: 2, theta: [0.5], search: 'greedy' });
  expect(half.mseToTarget.after).toBe(0.25 * (4 / 16));
  // θ_1 = ¼: with n of w0·x1 and w1·x0 set, the exact sum is n/2 too large: n = 1 in 6 pairs, 2 in one. A sum or carry
  // of the column held at 0 would cost 1.5² · 6/16 + 1 · 1/16 or ¼ · 6/16 + 9 · 1/16, which is more.
  const quarter = mapStructure({ weightBits: 2, activationBits: 2, theta: [1, 0.25], search: 'greedy' });
  expect(quarter.mseToTarget).toMatchObject({ afterFixedColumns: 0.15625, after: 0.15625 });
  expect(quarter.mseToTarget.after).toBe((0.25 * 6 + 1 * 1) / 16);
  // The multiplier itself is off by w0·x0: a mean square of 4/16.
  const error = quarter.table.data.reduce((sum, product, pair) => sum + (product - (pair >> 2) * (pair & 3)) ** 2, 0);
  expect(error / 16).toBe(4 / 16);
});

test('the errors of a mapping count pairs as the operands occur', () => {
  // ½ of w0·x0 is to be lost; the weight is always 1, the activation 1 or 3: that product is 1 in every pair.
  const histograms = { weight: [0, 1, 0, 0], activation: [0, 3, 0, 1] };
  const { mseToTarget } = mapStructure({
    weightBits: 2,
    activationBits: 2,
    theta: [0.5],
    search: 'greedy',
    histograms,
  });
  expect(mseToTarget).toMatchObject({ before: 0.25, after: 0.25 });
});

test('the cost weight is what the whole exact multiplier is worth', () => {
  // The exact 2×2 multiplier has 4 ANDs and 2 half adders, 10 unit gates. The best of 2 unit gates has a mean square of
  // ¾: saving 8 of 10 gates is worth it from a weight of ¾ · 10 / 8 = 0.94 on.
  const mapped = (costWeight: number) => {
    const { structure, mseToTarget } = mapStructure({ weightBits: 2, activationBits: 2, theta: [0], costWeight });
    return [structure.unitGateCost, mseToTarget.after];
  };
  expect(mapped(0.9)).toEqual([10, 0]);
  expect(mapped(1)).toEqual([2, 0.75]);
});

test('the searches count what they did, go as far as they are told, and are the same again', () => {
  const options = { weightBits: 5, activationBits: 5, theta: [1, 1, 0.7, 0.4, 0.2] } as const;
  const usual = mapStructure(options);
  const { greedy, leaves, adders } = usual.statistics;
  expect(greedy.tried).toBeGreaterThanOrEqual(greedy.accepted);
  // Without a guess, from the guess, and 16 disturbed copies, for each of two budgets.
  expect(leaves).toMatchObject({ rounds: 36 });
  expect(adders!.tried).toBeGreaterThan(adders!.accepted);
  expect(mapStructure(options).statistics).toEqual(usual.statistics);
  const parameters = { leaves: { restarts: 1 }, adders: { steps: 2 }, leafExcess: [5] };
  const short = mapStructure({ ...options, parameters });
  expect(short.statistics.leaves!.rounds).toBe(3);
  expect(short.statistics.adders!.tried).toBeLessThan(adders!.tried);
  expect(mapStructure({ ...options, search: 'greedy' }).statistics).toEqual({ greedy });
});

test('a θ for each partial product maps like the columns that it says', () => {
  const widths = { weightBits: 4, activationBits: 5 };
  const theta = [1, 1, 0.75, 0.5];
  const columns = columnStructure(widths, theta.length);
  // Columns above keep everything: a product structure that does not name them, so that no search may touch them
  // either.
  const named = columns.index.map((column, at) => (column < 0 ? -1 : at)).filter((at) => at >= 0);
  const structure = structureOf(
    widths,
    columns.index.map((_, at) => named.indexOf(at)),
    named.map((at) => `product ${at}`),
  );
  const each = named.map((at) => theta[columns.index[at]!]!);
  for (const search of ['greedy', 'descent'] as const) {
    const [a, b] = [
      mapStructure({ ...widths, theta, search }),
      mapStructure({ ...widths, theta: each, structure, search }),
    ];
    expect(firstDifference(a.table, b.table)).toBeNull();
    expect(b.structure).toEqual(a.structure);
    expect(b.mseToTarget).toEqual(a.mseToTarget);
    expect(b.moves).toEqual(a.moves);
  }
});

test('partial products of several columns are removed where their own θ says so', () => {
  const widths = { weightBits: 4, activationBits: 4 };
  const gone = [0, 1, 2, 4, 5, 8, 7];
  const theta = Array.from({ length: 16 }, (_, at) => (gone.includes(at) ? 1 : 0));
  const structure = productStructure(widths);
  const mapped = mapStructure({ ...widths, theta, structure, costWeight: 0 });
  expect(mapped.mseToTarget.after).toBe(0);
  const removal = removedPartialProducts(mapped.table);
  expect(removal).toEqual(removalOf(structure, theta));
  expect(certify(mapped).forms).toHaveLength(4);
});

test('a structure of other widths is refused', () => {
  const structure = productStructure({ weightBits: 4, activationBits: 3 });
  expect(() => mapStructure({ weightBits: 4, activationBits: 4, theta: Array(12).fill(0), structure })).toThrow(
    'the structure is of 4×3 bits, but the multiplier has 4×4: expected the same widths',
  );
});
