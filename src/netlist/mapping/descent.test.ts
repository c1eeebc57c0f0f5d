import { expect, test } from 'vitest';
import { operandShares } from '../../multiplier/metrics.ts';
import { columnStructure, productStructure } from '../../multiplier/structure.ts';
import { firstDifference } from '../../multiplier/table.ts';
import { targetProducts } from '../../multiplier/target.ts';
import { Random } from '../../tensor/random.ts';
import { certify } from '../certify.ts';
import { cleanUp, usedSignals } from '../cleanup.ts';
import { cheapestExactFor, dominatingExact } from '../exact-cost.ts';
import { isGate, type Signal, ZERO } from '../network.ts';
import { simulate } from '../simulate.ts';
import { unitGateCost } from '../structure.ts';
import { CostModel, OWN } from './cost.ts';
import { Descent } from './descent.ts';
import { ErrorModel } from './errors.ts';
import { mapStructure } from './map.ts';
import { offerReplacements } from './positions.ts';
import { CompactTree } from './rearrange.ts';
import { type MappedMultiplier, type MappingStart, mappingStarts } from './task.ts';

function randomTheta(random: Random, columns: number): number[] {
  const kind = random.integer(3);
  return Array.from({ length: columns }, (_, column) => {
    if (kind === 0) return random.uniform();
    if (kind === 1) return column < columns / 2 ? 1 : 0.5 * random.uniform();
    return Math.min(1, Math.max(0, 1 - column / columns + 0.3 * random.normal()));
  });
}

function expectSound(mapped: MappedMultiplier): void {
  const { network, table } = mapped;
  const used = usedSignals(network);
  network.nodes.forEach((node, signal) => {
    if (isGate(node.kind)) expect(used[signal]).toBe(1);
  });
  for (const { sum, carry } of network.adders) expect(sum ?? carry).not.toBeNull();
  expect(certify({ network, table }).forms).toHaveLength(4);
}

const starts = Object.keys(mappingStarts) as MappingStart[];

test('is never worse than greedy at no more cost, and better for most θ, on 60 random θ of random widths', () => {
  const random = new Random(7);
  let better = 0;
  for (let trial = 0; trial < 60; trial++) {
    const [weightBits, activationBits] = [2 + random.integer(5), 2 + random.integer(5)];
    const theta = randomTheta(random, 1 + random.integer(weightBits + activationBits - 1));
    const start = starts[trial % 2 ? 0 : random.integer(starts.length)]!;
    const mapped = mapStructure({ weightBits, activationBits, theta, start });
    const { unitGateCost: cost } = mapped.structure;
    expect(cost).toBeLessThanOrEqual(mapped.greedy.cost);
    expect(mapped.mseToTarget.after).toBeLessThanOrEqual(mapped.greedy.mseToTarget);
    if (mapped.mseToTarget.after < mapped.greedy.mseToTarget || cost < mapped.greedy.cost) better++;
    expectSound(mapped);
  }
  expect(better).toBeGreaterThan(48);
});

test('is never worse than greedy at 8×8, and better for half removed', () => {
  for (const theta of [
    [1, 1, 1, 1, 0.17, 0.2, 0.19, 0.15],
    Array(8).fill(0.5),
    [0.02, 0.22, 0.31, 0.67, 0.9, 0.83, 0.43, 0.34, 0.95],
  ]) {
    const mapped = mapStructure({ weightBits: 8, activationBits: 8, theta });
    expect(mapped.mseToTarget.after).toBeLessThanOrEqual(mapped.greedy.mseToTarget);
    expect(mapped.structure.unitGateCost).toBeLessThanOrEqual(mapped.greedy.cost);
    expectSound(mapped);
    if (theta[0] === 0.5) expect(mapped.mseToTarget.after).toBeLessThan(0.9 * mapped.greedy.mseToTarget);
  }
});

// Operands of unequal widths: the array that the search begins with costs more than other exact multipliers.
test.each([
  [4, 4, 0.1],
  [2, 8, 0.02],
  [8, 2, 0.02],
  [3, 5, 0.1],
] as const)(
  'what costs as much as an exact %i×%i multiplier is one, for small θ',
  (weightBits, activationBits, most) => {
    const random = new Random(weightBits);
    const widths = { weightBits, activationBits };
    const exact = cheapestExactFor(widths, false);
    const columns = columnStructure(widths, weightBits + activationBits - 1);
    for (const structure of [columns, productStructure(widths)]) {
      for (const limits of [{}, { costBudget: 1 }, { costWeight: 0 }]) {
        const theta = structure.names.map(() => most * random.uniform());
        const mapped = mapStructure({ ...widths, theta, structure, ...limits });
        expect(dominatingExact(mapped.table, mapped.network)).toBeUndefined();
        expect(mapped.mseToTarget.after).toBeLessThanOrEqual(mapped.mseToTarget.before);
        if (mapped.structure.unitGateCost >= exact.unitGates)
          expect(mapped.table.data).toEqual(simulate(exact.network).data);
      }
    }
  },
);

test('the published search may end with errors at the cost of an exact multiplier, and that is told', () => {
  const options = { weightBits: 4, activationBits: 4, theta: new Array(7).fill(0.01) };
  const published = mapStructure({ ...options, search: 'greedy' });
  expect(published.mseToTarget.after).toBeGreaterThan(0);
  expect(dominatingExact(published.table, published.network)).toMatchObject({ unitGates: 84, gateCost: 0.21 });
  const { table, network } = mapStructure(options);
  expect(dominatingExact(table, network)).toBeUndefined();
});

test('steps tell the error and the cost on the way to the result', () => {
  const mapped = mapStructure({ weightBits: 5, activationBits: 5, theta: [0.9, 0.8, 0.7, 0.3, 0.2] });
  expect(mapped.steps.length).toBeGreaterThan(0);
  const last = mapped.steps.at(-1)!;
  expect(last.mseToTarget).toBeCloseTo(mapped.mseToTarget.after, 3);
  expect(last.cost).toBeGreaterThanOrEqual(mapped.structure.unitGateCost);
  for (const { moves } of mapped.steps)
    for (const move of moves) expect(move.value).toMatch(/^(0|1|a|b|c|or|own|[wx]\[\d\])$/);
});

test('error differences and costs are those of the simulated, cleaned-up network for 600 random changes', () => {
  const random = new Random(3);
  for (const start of starts) {
    const { generate, signed } = mappingStarts[start];
    const tree = offerReplacements(generate(4, 3));
    expect(firstDifference(simulate(tree.network, { signed }), simulate(generate(4, 3), { signed }))).toBeNull();
    const theta = [1, 0.5, 0.25, 0.3];
    const target = targetProducts(columnStructure({ weightBits: 4, activationBits: 3 }, theta.length), theta, signed);
    const histograms = {
      weight: Array.from({ length: 16 }, () => random.uniform()),
      activation: Array.from({ length: 8 }, () => random.uniform()),
    };
    const shares = start === 'dadda' ? null : operandShares(histograms, 4, 3);
    const model = new ErrorModel(tree, target, shares, signed);
    const costs = new CostModel(tree.network, true);
    for (let trial = 0; trial < 150; trial++) {
      const changes = Array.from({ length: 1 + random.integer(2) }, () => {
        const { signal, replacements } = tree.positions[random.integer(tree.positions.length)]!;
        const choice = random.integer(replacements.length + 1);
        return { signal, replacement: replacements[choice]?.signal ?? OWN };
      });
      if (changes[0]!.signal === changes[1]?.signal) continue;
      const expected = model.meanSquare + model.difference(changes);
      if (!model.accept(changes)) continue;
      expect(model.meanSquare).toBeCloseTo(expected, 6);
      const taken = new Map<Signal, Signal>();
      model.replacements.forEach((replacement, signal) => {
        if (replacement !== OWN) taken.set(signal, replacement);
      });
      const clean = cleanUp(tree.network, taken);
      const { data } = simulate(clean, { signed });
      const error = data.reduce(
        (sum, product, pair) => sum + (shares?.[pair] ?? 1 / 128) * (product - target[pair]!) ** 2,
        0,
      );
      expect(model.meanSquare).toBeCloseTo(error, 6);
      expect(costs.cost(model.replacements)).toBeGreaterThanOrEqual(unitGateCost(clean));
      if (taken.size > 12) model.accept([...taken.keys()].map((signal) => ({ signal, replacement: OWN })));
    }
  }
});

test('operand histograms make the error smaller where the operands are', () => {
  const histograms = { weight: [9, 4, 2, 1, 1, 0, 0, 0], activation: [1, 2, 3, 4, 4, 3, 2, 1] };
  const options = { weightBits: 3, activationBits: 3, theta: [0.6, 0.6, 0.4] };
  const shares = operandShares(histograms, 3, 3);
  const target = targetProducts(columnStructure(options, options.theta.length), options.theta);
  const errorOf = ({ table }: MappedMultiplier) =>
    table.data.reduce((sum, product, pair) => sum + shares[pair]! * (product - target[pair]!) ** 2, 0);
  const weighted = mapStructure({ ...options, histograms });
  expect(weighted.mseToTarget.after).toBeCloseTo(errorOf(weighted), 9);
  expect(errorOf(weighted)).toBeLessThanOrEqual(errorOf(mapStructure(options)));
  expect(weighted.mseToTarget.after).toBeLessThan(weighted.greedy.mseToTarget);
});

test('the budget bounds the cost, and a cost weight trades error for cost', () => {
  const options = { weightBits: 6, activationBits: 6, theta: [1, 1, 0.8, 0.5, 0.3] };
  const small = mapStructure({ ...options, costBudget: 0.45 });
  expect(small.structure.normalizedCost).toBeLessThanOrEqual(0.45);
  const large = mapStructure({ ...options, costBudget: 0.8 });
  expect(large.structure.normalizedCost).toBeLessThanOrEqual(0.8);
  expect(large.mseToTarget.after).toBeLessThan(small.mseToTarget.after);
  const cheap = mapStructure({ ...options, costWeight: 20_000 });
  const precise = mapStructure({ ...options, costWeight: 2 });
  expect(cheap.structure.normalizedCost).toBeLessThan(precise.structure.normalizedCost);
  expect(cheap.mseToTarget.after).toBeGreaterThan(precise.mseToTarget.after);
});

test.each([
  [{ costBudget: -1 }, 'the cost budget is -1: expected a share of the exact multiplier, above 0 and up to 1'],
  [{ costBudget: 1.5 }, 'the cost budget is 1.5: expected'],
  [{ costWeight: Number.NaN }, 'the cost weight is NaN: expected a mean squared error of at least 0'],
  [{ costBudget: 0.5, search: 'greedy' as const }, 'but the greedy search has none'],
  [
    { costBudget: 0.1 },
    /no multiplier of cost 0\.1000 was found for these 3 θ: the least that was reached is 0\.\d{4}; raise/,
  ],
])('refuses %j', (limits, message) => {
  expect(() => mapStructure({ weightBits: 5, activationBits: 5, theta: [1, 1, 0.5], ...limits })).toThrow(message);
});

test('the compact tree of 200 random sets of leaves computes their sum at the cost foretold', () => {
  const random = new Random(5);
  for (let trial = 0; trial < 200; trial++) {
    const start = starts[trial % starts.length]!;
    const { generate, signed } = mappingStarts[start];
    const tree = offerReplacements(generate(2 + random.integer(4), 2 + random.integer(4)));
    const chosen = new Map<Signal, Signal>();
    for (const { signal, output, replacements } of tree.positions) {
      if (output === 'sum' || output === 'carry' || random.integer(3) > 0) continue;
      chosen.set(signal, replacements[random.integer(replacements.length)]!.signal);
    }
    const compact = new CompactTree(tree);
    const built = cleanUp(compact.rearrange(chosen));
    expect(
      firstDifference(simulate(built, { signed }), simulate(cleanUp(tree.network, chosen), { signed })),
    ).toBeNull();
    const replacements = new Int32Array(tree.network.nodes.length).fill(OWN);
    for (const [signal, replacement] of chosen) replacements[signal] = replacement;
    expect(compact.cost(replacements)).toBeGreaterThanOrEqual(unitGateCost(built));
    const dots = [...chosen.values()].every((value) => value === ZERO);
    if (dots && !signed) expect(compact.cost(replacements)).toBe(unitGateCost(built));
  }
});

test('a constant injected into a half adder shows in the structure, and the cell costs what a half adder costs', () => {
  const exact = mappingStarts.array.generate(4, 4);
  const tree = offerReplacements(exact);
  const slot = tree.positions.find(({ output, column }) => output === 'constant' && column === 3)!;
  const network = cleanUp(tree.network, new Map([[slot.signal, 1]]));
  expect(unitGateCost(network)).toBe(unitGateCost(cleanUp(exact)));
  const cells = network.adders.filter(({ plusOne }) => plusOne);
  expect(cells).toMatchObject([{ kind: 'half', column: 3, id: slot.adder }]);
  expect(certify({ network, table: simulate(network) }).forms).toHaveLength(4);
});

test('what gates are worth decides which state is the best of a search', () => {
  const tree = offerReplacements(mappingStarts.array.generate(2, 2));
  const target = targetProducts(columnStructure({ weightBits: 2, activationBits: 2 }, 0), []);
  const found = (costWeight: number) => {
    const options = { costBudget: Number.POSITIVE_INFINITY, costWeight, highestColumn: 3 };
    return new Descent(tree, target, null, false, options).run(new Map())!;
  };
  const exact = found(0.05);
  expect(exact.mseToTarget).toBe(0);
  // Where a gate is worth more, a state with errors and fewer gates is the better one.
  const small = found(0.5);
  expect(small.mseToTarget + 0.5 * small.cost).toBeLessThan(0.5 * exact.cost);
  expect(small.mseToTarget).toBeGreaterThan(0);
});
