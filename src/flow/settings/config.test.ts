// Settings that mean something only together: what takes the place of what, and what says a thing twice.

import { describe, expect, test } from 'vitest';
import { type ConfigurationInput, parseConfiguration, published, refuseStructures, withRecipe } from './config.ts';
import { type RecipeName, recipes } from './recipes.ts';
import { goodTraining, publishedTraining } from './training.ts';

const exploreOf = (explore: ConfigurationInput['explore']) => parseConfiguration({ explore }, 'test').explore;

describe('targets', () => {
  test('take the place of λ, whose default they are not', () => {
    expect(exploreOf({ grain: 'column' }).lambda).toBe(0.3);
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

describe('what nobody says', () => {
  test('is a part of the power of exact multipliers of the widths, with a θ per product that reaches all of them', () => {
    const powerOf = (input: ConfigurationInput) => parseConfiguration(input, 'test').explore.power;
    expect(powerOf({})).toBe(0.6);
    const four = powerOf({ bits: { weights: 4, activations: 4 } })!;
    expect(four).toBeGreaterThan(0.1);
    expect(four).toBeLessThan(0.13);
    for (const explore of [{ lambda: 1 }, { columns: 8 }, { initiallyRemoved: 2 }, { grain: 'column' as const }]) {
      expect(exploreOf(explore)).toMatchObject({ lambda: explore.lambda ?? 0.3 });
      expect(exploreOf(explore)).not.toHaveProperty('power');
    }
    expect(exploreOf({ columns: 15 }).power).toBe(0.6);
  });

  test('is nothing where widths are still to be searched, and a structure of them is refused until it is said', () => {
    const of = (explore: ConfigurationInput['explore'], multiplier?: string) =>
      parseConfiguration({ quantize: { layerCost: 0.1 }, explore, map: { multiplier } }, 'test');
    expect(of({}).explore).not.toHaveProperty('power');
    expect(() => refuseStructures(of({}), 'test')).toThrow(
      /^test: quantize\.layerCost has widths searched, .* say what structures are to save: explore\.power,/,
    );
    for (const said of [{ power: 0.05 }, { maxLoss: 1 }, { lambda: 1 }]) refuseStructures(of(said), 'test');
    refuseStructures(of({}, 'exact'), 'test');
  });

  test('of rate and schedule is that of the optimiser', () => {
    const of = (input: ConfigurationInput) => parseConfiguration(input, 'test').recover;
    expect(of({})).toMatchObject({ optimizer: 'nesterov', learningRate: 0.01, schedule: 'cosine-steps' });
    expect(of({ recover: { optimizer: 'adam' } })).toMatchObject({ learningRate: 5e-4, schedule: 'cosine' });
    expect(of({ recover: { learningRate: 0.1 } })).toMatchObject({ learningRate: 0.1, schedule: 'cosine-steps' });
  });

  test('of the search is what keeps hard θ as they are, unless a cost is said, which only the descent takes', () => {
    const of = (input: ConfigurationInput) => parseConfiguration(input, 'test').map.search;
    expect(of({})).toBe('exact');
    expect(of({ map: { costBudget: 0.5 } })).toBe('descent');
    expect(of({ explore: { grain: 'column' } })).toBe('descent');
  });
});

test.each([
  ...['paper-cifar10', 'paper-w4a4', 'paper-imagenet-vit'].map((recipe) => [recipe, { recipe }] as const),
  ['--published', published] as const,
])('%s names every setting in which the good training differs from the published one', (name, said) => {
  const { settings } = name === '--published' ? { settings: published } : recipes[said.recipe as RecipeName];
  for (const [section, wanted] of Object.entries(publishedTraining)) {
    const own = settings[section as keyof typeof publishedTraining] as object;
    expect(Object.keys(own), section).toEqual(expect.arrayContaining(Object.keys(wanted)));
    const good: object = goodTraining[section as keyof typeof goodTraining] ?? {};
    expect(Object.keys(own), section).toEqual(expect.arrayContaining(Object.keys(good)));
  }
  const { train, quantize, explore, recover } = parseConfiguration(said, 'test');
  for (const phase of [train, quantize, explore, recover]) expect(phase.lastBatch).toBe('short');
  for (const phase of [quantize, explore, recover]) {
    expect(phase).toMatchObject({
      teacher: 'none',
      start: 'none',
      optimizer: name === 'paper-imagenet-vit' && phase !== quantize ? 'adam' : 'sgd',
    });
  }
  expect(quantize.quantizer).toBe('clips');
  expect(recover.gradient).toBe('straight-through');
  expect(explore).toMatchObject({ grain: 'column', harden: 0, lambda: 0.3, powerModel: 'analytic' });
});

test('layers that end with few multipliers begin with one each', () => {
  expect(exploreOf({}).structure).toBe('shared');
  expect(exploreOf({ types: 3 }).structure).toBe('per-layer');
});

test('exact:4x5 is the exact multiplier in a run of these widths', () => {
  const of = (multiplier: string, more: ConfigurationInput = {}) => {
    const { bits, map } = parseConfiguration({ ...more, map: { multiplier } }, 'test');
    return [map.multiplier, bits.weights, bits.activations];
  };
  expect(of('exact:4x5')).toEqual(['exact', 4, 5]);
  expect(of('exact:4', { bits: { weights: 4 }, recipe: 'paper-cifar10' })).toEqual(['exact', 4, 4]);
  expect(of('exact')).toEqual(['exact', 8, 8]);
  for (const bad of ['exact:', 'exact:9x9', 'exact:4x5:columns=2'])
    expect(() => of(bad)).toThrow(`test: map.multiplier: expected exact, or exact:WxA with widths from 2 to 8, got`);
  expect(() => of('exact:4x5', { bits: { activations: 8 } })).toThrow(
    'test: map.multiplier is exact:4x5, but the operands have 4×8 bits; leave one of them out',
  );
});
