import { expect, test } from 'vitest';
import { powerShares, productStructure, structurePower } from '../multiplier/structure.ts';
import { hardeningOf, hardTheta, pushAt } from './hardening.ts';

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
  const [hard] = hardTheta([{ theta, savings }]) as [number[]];
  const largest = Math.max(...savings);
  expect(Math.abs(structurePower(structure, hard) - structurePower(structure, theta))).toBeLessThanOrEqual(largest / 2);
  const least = Math.min(...theta.filter((_, at) => hard[at] === 1));
  expect(theta.every((value, at) => hard[at] === 1 || value <= least)).toBe(true);
  // What is hard already stays as it is.
  expect(hardTheta([{ theta: hard, savings }])).toEqual([hard]);
});

test('a limit on the power is kept, across structures', () => {
  const structure = productStructure({ weightBits: 2, activationBits: 3 });
  // Of a layer with two thirds of the multiplications, and one with the rest.
  const parts = [2 / 3, 1 / 3].map((share) => powerShares(structure).map((one) => one * share));
  const theta = [
    [0.9, 0.1, 0.2, 0.3, 0.4, 0.5],
    [0.8, 0, 0, 0.7, 0, 0],
  ];
  const soft = parts.map((savings, at) => ({ theta: theta[at]!, savings }));
  const powerOf = (hard: readonly (readonly number[])[]) =>
    1 - hard.flatMap((values, at) => values.map((value, one) => value * parts[at]![one]!)).reduce((a, b) => a + b);
  for (const limit of [0.9, 0.6, 0.3]) expect(powerOf(hardTheta(soft, limit))).toBeLessThanOrEqual(limit);
  const none = hardTheta(soft, 1);
  expect(none.flat()).toEqual(new Array(12).fill(0));
  expect(hardTheta(soft, 0.999)[0]![0]).toBe(1);
});
