import { expect, test } from 'vitest';
import { columnStructure, powerShares, productStructure, structurePower } from '../multiplier/structure.ts';
import { hardeningOf, hardTheta, measuredHardTheta, pushAt } from './hardening.ts';

test('the push rises through the first half of the share, and θ is fixed through the second', () => {
  const hardening = hardeningOf(0.4, 100)!;
  expect(hardening).toEqual({ pushed: 60, fixed: 80 });
  const pushes = Array.from({ length: 100 }, (_, step) => pushAt(hardening, step));
  expect(pushes.slice(0, 60).every((push) => push === 0)).toBe(true);
  expect(pushes.slice(80).every((push) => push === 0)).toBe(true);
  const rising = pushes.slice(60, 80);
  expect(rising.every((push, at) => push > (rising[at - 1] ?? 0))).toBe(true);
  expect(hardeningOf(0, 100)).toBeUndefined();
  // However short the phase is, its last step has hard θ.
  expect(hardeningOf(0.01, 1)).toEqual({ pushed: 0, fixed: 0 });
  expect(hardeningOf(0.01, 10)!.fixed).toBe(9);
});

test('hard θ keep the power as nearly as whole products can, the largest θ first', () => {
  const structure = productStructure({ weightBits: 3, activationBits: 5 });
  const savings = powerShares(structure);
  const theta = savings.map((_, at) => ((at * 7) % 15) / 15);
  const powerOf = ([own]: readonly (readonly number[])[]) => structurePower(structure, own!);
  const [hard] = hardTheta([theta], powerOf) as [number[]];
  expect(hard.every((value) => value === 0 || value === 1)).toBe(true);
  expect(Math.abs(powerOf([hard]) - powerOf([theta]))).toBeLessThanOrEqual(Math.max(...savings) / 2);
  const least = Math.min(...theta.filter((_, at) => hard[at] === 1));
  expect(theta.every((value, at) => hard[at] === 1 || value <= least)).toBe(true);
  // What is hard already stays as it is.
  expect(hardTheta([hard], powerOf)).toEqual([hard]);
});

test('a limit on the power is kept, across structures', () => {
  const structure = productStructure({ weightBits: 2, activationBits: 3 });
  // Of a layer with two thirds of the multiplications, and one with the rest.
  const powerOf = (thetas: readonly (readonly number[])[]) =>
    (2 / 3) * structurePower(structure, thetas[0]!) + (1 / 3) * structurePower(structure, thetas[1]!);
  const theta = [
    [0.9, 0.1, 0.2, 0.3, 0.4, 0.5],
    [0.8, 0, 0, 0.7, 0, 0],
  ];
  for (const limit of [0.9, 0.6, 0.3]) expect(powerOf(hardTheta(theta, powerOf, limit))).toBeLessThanOrEqual(limit);
  expect(hardTheta(theta, powerOf, 1).flat()).toEqual(new Array(12).fill(0));
  // The largest goes first, wherever it is.
  expect(hardTheta(theta, powerOf, 0.999)).toEqual([
    [1, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0],
  ]);
});

test('without a limit the power stays as near as whole θ allow: what has hardly moved is kept', async () => {
  const columns = columnStructure({ weightBits: 4, activationBits: 4 }, 7);
  const powerOf = ([own]: readonly (readonly number[])[]) => structurePower(columns, own!);
  const lossOf = async ([own]: readonly (readonly number[])[]) => own!.reduce((sum, value, at) => sum + value * at, 0);
  const choose = async (theta: number[], limit?: number) =>
    (await measuredHardTheta([theta], powerOf, limit, lossOf))[0]!;
  const little = [0.01, 0, 0.001, 0, 0, 0, 0];
  expect(await choose(little)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  // A limit is kept, whatever it takes.
  expect(powerOf([await choose(little, powerOf([little]))])).toBeLessThan(powerOf([little]));
  const much = [0.9, 0.8, 0.6, 0.1, 0, 0, 0];
  const kept = await choose(much);
  const others = Array.from({ length: 128 }, (_, set) => much.map((_, at) => (set >> at) & 1));
  const nearest = Math.min(...others.map((one) => Math.abs(powerOf([one]) - powerOf([much]))));
  expect(Math.abs(powerOf([kept]) - powerOf([much]))).toBeLessThan(nearest + 0.05);
});

test('of the last θ to become 1 those do that cost the network least for what they save', async () => {
  const structure = productStructure({ weightBits: 3, activationBits: 3 });
  const powerOf = ([own]: readonly (readonly number[])[]) => structurePower(structure, own!);
  // By θ alone the highest product, 8, would be the second to go; the network cannot do without it.
  const theta = [0.95, 0.1, 0.2, 0, 0, 0.05, 0.3, 0.25, 0.9];
  const costs = [0.01, 0.02, 0.03, 0.5, 0.5, 0.1, 0.02, 0.04, 9];
  const asked: number[][] = [];
  const lossOf = async ([own]: readonly (readonly number[])[]) => {
    asked.push([...own!]);
    return own!.reduce((sum, value, at) => sum + value * costs[at]!, 0.2);
  };
  const limit = 0.6;
  const [hard] = (await measuredHardTheta([theta], powerOf, limit, lossOf)) as [number[]];
  expect(powerOf([hard])).toBeLessThanOrEqual(limit);
  expect(hard[8]).toBe(0);
  expect(hardTheta([theta], powerOf, limit)[0]![8]).toBe(1);
  // Nothing else at or below the limit is had for less: all 512 sets.
  const lossOfSet = (set: number) => costs.reduce((sum, cost, at) => sum + ((set >> at) & 1) * cost, 0);
  const fits = Array.from({ length: 512 }, (_, set) => set).filter(
    (set) => powerOf([costs.map((_, at) => (set >> at) & 1)]) <= limit,
  );
  const best = Math.min(...fits.map(lossOfSet));
  expect(hard.reduce((sum, value, at) => sum + value * costs[at]!, 0)).toBeLessThanOrEqual(1.5 * best);
  expect(asked.every((own) => own.every((value) => value === 0 || value === 1))).toBe(true);
  // A limit that holds already asks nothing; one that cannot be held takes all.
  asked.length = 0;
  expect(await measuredHardTheta([theta], powerOf, 1, lossOf)).toEqual([theta.map(() => 0)]);
  expect(asked).toEqual([]);
  expect((await measuredHardTheta([theta], powerOf, -1, lossOf))[0]).toEqual(theta.map(() => 1));
  // A network that breaks is no choice.
  const broken = async ([own]: readonly (readonly number[])[]) => (own![0] === 1 ? Number.NaN : 0.1);
  expect((await measuredHardTheta([theta], powerOf, 0.95, broken))[0]![0]).toBe(0);
});

test('what finds room below the limit again comes back', async () => {
  const saves = [0.1, 0.08, 0.3, 0.25];
  const costs = [0.2, 0.01, 0.3, 9];
  const sum = (own: readonly number[], of: readonly number[]) => own.reduce((all, on, at) => all + on * of[at]!, 0);
  const powerOf = ([own]: readonly (readonly number[])[]) => 1 - sum(own!, saves);
  const lossOf = async ([own]: readonly (readonly number[])[]) => sum(own!, costs);
  // The first goes for little power, the third then saves enough by itself.
  const limit = 0.7;
  const [hard] = await measuredHardTheta([[0.9, 0.8, 0.7, 0.1]], powerOf, limit, lossOf);
  expect(hard).toEqual([0, 0, 1, 0]);
  // Not where the network would not gain by it.
  const idle = async ([own]: readonly (readonly number[])[]) => sum(own!, [0, 0, 0.3, 9]);
  expect(await measuredHardTheta([[0.9, 0.8, 0.7, 0.1]], powerOf, limit, idle)).toEqual([[1, 1, 1, 0]]);
});
