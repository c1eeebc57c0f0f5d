// Settings that mean something only together: what takes the place of what, and what says a thing twice.

import { describe, expect, test } from 'vitest';
import { type ConfigurationInput, parseConfiguration, withRecipe } from './config.ts';

const exploreOf = (explore: ConfigurationInput['explore']) => parseConfiguration({ explore }, 'test').explore;

describe('targets', () => {
  test('take the place of λ, whose default they are not', () => {
    expect(exploreOf({}).lambda).toBe(0.3);
    expect(exploreOf({ power: 0.4 })).not.toHaveProperty('lambda');
    expect(exploreOf({ maxLoss: 0 })).not.toHaveProperty('lambda');
  });

  test.each<[string, ConfigurationInput['explore'], RegExp]>([
    [
      'λ beside a power',
      { power: 0.4, lambda: 0.3 },
      /^test: explore\.lambda is 0\.3, but explore\.power 0\.4 finds λ/,
    ],
    ['λ beside a loss', { maxLoss: 1, lambda: 0 }, /^test: explore\.lambda is 0, but explore\.maxLoss 1 finds λ/],
    ['a power of nothing', { power: 0 }, /explore\.power/],
    ['more than the exact 8×8 multiplier', { power: 1.1 }, /explore\.power/],
    ['a gain that must be', { maxLoss: -1 }, /explore\.maxLoss/],
    [
      'types of what is shared',
      { types: 3, structure: 'shared' },
      /^test: explore\.types is 3, but explore\.structure/,
    ],
  ])('%s is refused', (_, explore, message) => {
    expect(() => exploreOf(explore)).toThrow(message);
  });

  test('win over the λ of a recipe, as whatever else is said', () => {
    const recipe = 'paper-cifar10';
    expect(withRecipe({ recipe, explore: { power: 0.4 } }).explore).not.toHaveProperty('lambda');
    expect(withRecipe({ recipe, explore: { lambda: 0.4 } }).explore).toHaveProperty('lambda', 0.4);
  });
});

test('layers that end with few multipliers begin with one each', () => {
  expect(exploreOf({}).structure).toBe('shared');
  expect(exploreOf({ types: 3 }).structure).toBe('per-layer');
});
