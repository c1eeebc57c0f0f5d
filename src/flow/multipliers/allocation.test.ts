import { expect, test } from 'vitest';
import { Random } from '../../tensor/random.ts';
import { allocate, allocateKinds, type Chooser, costOf, harmOf } from './allocation.ts';

/** Layers of unequal size with choices that are the dearer the less they harm, and one that nobody should take. */
function layersOf(count: number, choices: number, seed: number): Chooser[] {
  const random = new Random(seed, 1);
  const sizes = Array.from({ length: count }, () => 0.2 + random.uniform());
  const all = sizes.reduce((sum, size) => sum + size, 0);
  return sizes.map((size) => {
    const own = Array.from({ length: choices - 1 }, (_, at) => ({
      cost: 0.05 + at / choices,
      harm: (random.uniform() + 0.2) * (choices - 1 - at) ** 2,
    }));
    return { share: size / all, choices: [...own, { cost: 1.5, harm: 10 * choices ** 2 }] };
  });
}

/** Every combination, the slow way. */
function bruteForce(layers: readonly Chooser[], limit: number, kinds: number): number {
  let least = Number.POSITIVE_INFINITY;
  const chosen = new Array<number>(layers.length).fill(0);
  const visit = (layer: number): void => {
    if (layer === layers.length) {
      if (costOf(layers, chosen) <= limit && new Set(chosen).size <= kinds)
        least = Math.min(least, harmOf(layers, chosen));
      return;
    }
    for (const at of layers[layer]!.choices.keys()) {
      chosen[layer] = at;
      visit(layer + 1);
    }
  };
  visit(0);
  return least;
}

test('the least harm of all combinations within the limit', () => {
  for (let seed = 1; seed <= 6; seed++) {
    const layers = layersOf(6, 5, seed);
    for (const limit of [0.1, 0.25, 0.4, 0.7]) {
      const chosen = allocate(layers, limit)!;
      expect(costOf(layers, chosen)).toBeLessThanOrEqual(limit);
      // Rounding takes a step for each layer.
      expect(harmOf(layers, chosen)).toBeGreaterThanOrEqual(bruteForce(layers, limit, 6) - 1e-9);
      expect(harmOf(layers, chosen)).toBeLessThanOrEqual(bruteForce(layers, limit * (1 - 6 / 40_000), 6) + 1e-9);
    }
  }
});

test('with few kinds the least harm, or nearly: each exchange of one was tried', () => {
  for (let seed = 1; seed <= 6; seed++) {
    const layers = layersOf(6, 5, seed);
    const chosen = allocateKinds(layers, 0.3, 2)!;
    expect(new Set(chosen).size).toBeLessThanOrEqual(2);
    expect(costOf(layers, chosen)).toBeLessThanOrEqual(0.3);
    expect(harmOf(layers, chosen)).toBeLessThanOrEqual(1.02 * bruteForce(layers, 0.3 * (1 - 6 / 4000), 2));
  }
  const layers = layersOf(6, 5, 7);
  expect(allocateKinds(layers, 0.3, 6)).toEqual(allocate(layers, 0.3));
});

test('a limit that nothing is below, one that only the cheapest are, and one that binds nobody', () => {
  const layers = layersOf(4, 4, 3);
  expect(allocate(layers, 0.0499)).toBeUndefined();
  expect(allocateKinds(layers, 0.0499, 1)).toBeUndefined();
  expect(allocate(layers, costOf(layers, [0, 0, 0, 0]))).toEqual([0, 0, 0, 0]);
  expect(allocate(layers, 1)).toEqual([2, 2, 2, 2]);
});
