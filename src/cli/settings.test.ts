import { describe, expect, test } from 'vitest';
import { type Configuration, parseConfiguration, withSetting } from '../flow/settings/config.ts';
import { findSetting, parseSetting, settingsOfPhases } from '../flow/settings/fields.ts';
import { defaultValue, expectation } from '../flow/settings/keys.ts';
import { phases, trainingPhases } from '../flow/settings/phases.ts';
import { settings } from '../flow/settings/table.ts';
import { describeOption, optionFacts } from './facts.ts';
import { describeSetting, optionName, prefixedNames } from './settings.ts';

function leaves(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path.join('.')];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

const defaults: Configuration = parseConfiguration({}, 'test');

describe('the table of settings', () => {
  test('has an option for every key of the configuration', () => {
    const optional = ['smoothing.weights', 'smoothing.activations'].map((key) => `recover.${key}`);
    optional.push('recipe', 'explore.lambda', 'explore.maxLoss', 'explore.types');
    optional.push('quantize.layerCost', 'quantize.layerKinds');
    for (const phase of trainingPhases) optional.push(`${phase}.clipGradient`, `${phase}.augment`);
    optional.push(
      'image',
      'maximum',
      'label',
      'testData',
      ...['classes', 'split', 'testLabels', 'classesOf', 'sample', 'sampleSeed', 'sampleList', 'resize'],
      ...['badImages', 'imageCache', 'mean', 'deviation'],
      ...['train.checkpoint', 'train.checkpointKey'],
      'map.multiplier',
      'map.costBudget',
      'map.costWeight',
      'map.errorBound',
      'map.operandOrder',
      'map.tableOrder',
      'map.top',
      'map.liberty',
    );
    const covered = new Set(settings.flatMap(({ paths }) => paths));
    const keys = [...leaves(defaults), ...optional];
    expect(keys.filter((key) => !covered.has(key))).toEqual([]);
    expect([...covered].filter((path) => !keys.includes(path))).toEqual([]);
  });

  test('gives every option of a command a name of its own', () => {
    for (const [chosen, onRun] of [[phases, true], ...phases.map((phase) => [[phase], false] as const)] as const) {
      const names = settingsOfPhases(chosen).map((setting) => optionName(setting, onRun));
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test('takes every default value back from its text', () => {
    for (const setting of settings.filter(({ placeholder, paths }) => placeholder && paths.length === 1)) {
      const value = defaultValue(setting.paths[0]!);
      if (value === undefined) continue;
      const text = Array.isArray(value) ? value.join() || 'none' : String(value);
      expect(parseSetting(setting, 'option', text)).toEqual([value]);
    }
  });
});

describe('a value', () => {
  const parse = (name: string, text: string) => parseSetting(findSetting(name), `--${name}`, text);

  test.each([
    ['seed', '1x', "--seed: expected a whole number from 0 to 4294967295, got '1x'"],
    ['seed', '-1', "--seed: expected a whole number from 0 to 4294967295, got '-1'"],
    ['weight-bits', '9', "--weight-bits: expected a whole number from 2 to 8, got '9'"],
    ['bits', '1', "--bits: expected 2 to 8, or 4x8 (or w4a8) for 4-bit weights and 8-bit activations, got '1'"],
    ['bits', '8x9', "--bits: expected 2 to 8, or 4x8 (or w4a8) for 4-bit weights and 8-bit activations, got '8x9'"],
    ['lambda', '', "--lambda: expected a number of at least 0, got ''"],
    ['theta-learning-rate', '0', "--theta-learning-rate: expected a number greater than 0, got '0'"],
    ['image', '8x8', "--image: expected HEIGHTxWIDTHxCHANNELS, for example 28x28x1, got '8x8'"],
    ['smoothing', '128', "--smoothing: expected 0 to 127 codes, or 16x4 along weights × activations, got '128'"],
    ['gradient', 'diff', "--gradient: expected one of straight-through, difference, rows, got 'diff'"],
    ['structure', 'shard', "--structure: expected one of shared, per-layer, got 'shard'; did you mean 'shared'?"],
    [
      'model',
      ' ',
      "--model: expected a name that tram models lists, or the path of a file of your own: .mjs, or .onnx with its weights, got ' '",
    ],
    [
      'exact-layers',
      'a,,b',
      "--exact-layers: expected names separated by commas, * for any characters in one; all, usual, convolutions, linear-layers, first, last, got 'a,,b'",
    ],
  ])('--%s %j is refused in one line with option, expectation and value', (name, text, message) => {
    expect(() => parse(name, text)).toThrow(message);
  });

  test('goes where its paths say', () => {
    expect(parse('bits', '4x8')).toEqual([4, 8]);
    expect(parse('exact-layers', 'conv1,fc')).toEqual([['conv1', 'fc']]);
    expect(withSetting({ explore: { lambda: 1 } }, 'explore.columns', 6)).toEqual({
      explore: { lambda: 1, columns: 6 },
    });
  });
});

test('tram run tells the phases apart by a prefix', () => {
  expect(prefixedNames('epochs')).toEqual([
    '--train-epochs',
    '--quantize-epochs',
    '--explore-epochs',
    '--recover-epochs',
  ]);
});

test('expectations come from the schema', () => {
  expect(expectation('explore.momentum')).toBe('a number from 0 to below 1');
  expect(expectation('recover.epochs')).toBe('a whole number of at least 1');
  expect(expectation('train.schedule')).toBe('one of constant, cosine, cosine-steps, step, one-cycle');
});

test('descriptions carry valid values and default, and can be taken apart again', () => {
  expect(describeSetting(findSetting('columns'))).toMatch(/ \[a whole number of at least 1; default: .+\]$/);
  const cases = [
    { help: 'a (b)' },
    { help: 'a', values: '1; 2' },
    { help: 'a', default: 'x' },
    { help: 'a', values: 'one of b, c', default: 'b' },
  ];
  for (const facts of cases) expect(optionFacts(describeOption(facts))).toEqual(facts);
});
