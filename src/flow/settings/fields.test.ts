// What a form does with the table: it reads every setting as plain data, shows it, and makes settings of what was
// typed, without a command line.

import { describe, expect, test } from 'vitest';
import { parseConfiguration } from './config.ts';
import { type Field, fields, namedChoices, readFields } from './fields.ts';
import { defaultValue } from './keys.ts';

const all = fields();
const field = (name: string) => all.find((one) => one.name === name)!;

/** A text that says something other than the default. */
function other({ kind, choices, range, default: usual, value, name }: Field): string {
  if (value !== undefined) return String(value === usual ? 'false' : 'true');
  if (choices) return choices.find((choice) => choice !== usual)!;
  const special: Readonly<Record<string, string>> = {
    image: '28x28x1',
    bits: '4x6',
    'layer-bits': 'first=8,*.conv2=7x5',
    'first-last-bits': '8x6',
    percentile: '99.5',
    smoothing: '3x2',
    mean: '0.4,0.5,0.6',
    std: '0.25',
    liberty: 'a.lib',
  };
  if (special[name] !== undefined) return special[name];
  if (name.endsWith('-rates')) return '*.bias=2,fc.*=0.5';
  if (name.endsWith('-milestones')) return '2,3.5';
  if (name.endsWith('-augment')) return 'crop:4,flip';
  if (kind === 'integer') return String(Math.max(range?.least ?? 0, usual === 5 ? 6 : 5));
  if (kind === 'number') return '0.25';
  return kind === 'array' ? 'conv1,fc' : 'text';
}

describe('the fields of a form', () => {
  test('are plain data, each with a name of its own, a word of help and what is expected', () => {
    expect(structuredClone(all)).toEqual(all);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    for (const one of all) expect(one, one.name).toMatchObject({ help: /\S/, expected: /\S/, group: /\S/ });
  });

  test('say kind, range, choices and default as the schema has them', () => {
    expect(field('lambda')).toEqual({
      ...{ name: 'lambda', phase: 'explore', group: 'Exploration', paths: ['explore.lambda'], kind: 'number' },
      help: 'weight of the power loss: more saves more power and costs more accuracy; --power and --max-loss find it',
      ...{ range: { least: 0 }, expected: 'a number of at least 0' },
      usual: 'found for --power; with a θ per column 0.3',
    });
    expect(field('seed').range).toEqual({ least: 0, most: 4294967295 });
    expect(field('train-momentum').range).toEqual({ least: 0, below: 1 });
    expect(field('theta-learning-rate').range).toEqual({ above: 0 });
    expect(field('model')).not.toHaveProperty('range');
    expect(field('search')).toMatchObject({
      choices: ['descent', 'greedy', 'exact'],
      kind: 'string',
      default: 'exact',
    });
    expect(field('multiplier')).not.toHaveProperty('default');
    expect(field('per-tensor')).toMatchObject({ kind: 'boolean', value: false, expected: 'true or false' });
    expect(namedChoices().models.map(({ name }) => name)).toContain('resnet8');
    expect(namedChoices().data.map(({ name }) => name)).toContain('digits');
  });

  test.each(all)('$name takes a text to its paths, and a bad one says what was expected', (one) => {
    const text = other(one);
    const { settings, problems } = readFields({ [one.name]: text });
    expect(problems).toEqual({});
    const valueAt = (path: string) =>
      path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], settings);
    for (const path of one.paths) {
      expect(valueAt(path), path).toBeDefined();
      expect(valueAt(path), path).not.toEqual(defaultValue(path));
    }
    const bad = one.kind === 'string' && !one.choices ? ' ' : 'a,,b';
    const refused = readFields({ [one.name]: bad });
    expect(refused.settings).toEqual({});
    expect(refused.problems[one.name]).toMatch(new RegExp(`^${one.name}: expected .+, got '${bad}'`));
    if (one.value === undefined) expect(refused.problems[one.name]).toContain(one.expected);
  });

  test('the cost of layers is one that multipliers have, or widths in its place', () => {
    const read = (text: string, kinds = '3') =>
      readFields({ ...{ 'layer-widths': text, 'layer-kinds': kinds, multiplier: 'exact' } });
    const cost = (text: string) => read(text).settings.quantize?.layerCost;
    expect([cost('4x4'), cost('4'), cost('0.21'), cost('2x2'), cost('1'), cost('8x8')]).toEqual([
      ...[0.21, 0.21, 0.21, 0.025, 1, 1],
    ]);
    for (const text of ['4x9', '1x4', '4x', 'cheap', '0', '-0.1', '1.5', '3x4x5']) {
      const { settings, problems } = read(text);
      expect(settings.quantize?.layerCost).toBeUndefined();
      expect(problems['layer-widths']).toMatch(/expected a number above 0 up to 1, or widths such as 3x4 .*, got/);
    }
    for (const kinds of ['0', '50', '2.5', 'many'])
      expect(read('4x4', kinds).problems['layer-kinds']).toMatch(/expected a whole number from 1 to 49, got/);
    const refused = (quantize: object, map: object) => () => parseConfiguration({ quantize, map }, 'test');
    expect(refused({ layerCost: 0.02 }, { multiplier: 'exact' })).toThrow(
      /the cheapest pair of widths, 2×2, costs 0\.025/,
    );
    expect(refused({ layerKinds: 3 }, { multiplier: 'exact' })).toThrow(
      /no widths are searched; say quantize\.layerCost/,
    );
    expect(refused({ layerCost: 0.2 }, { multiplier: 'dadda:4x4' })).toThrow(/has widths of its own/);
  });

  test('left empty are the defaults', () => {
    const { settings } = readFields(Object.fromEntries(all.map(({ name }) => [name, ''])));
    expect(parseConfiguration(settings, 'form')).toEqual(parseConfiguration({}, 'form'));
  });

  test('first-last-bits goes on with the list of layer-bits, and stands alone without it', () => {
    const of = (texts: Record<string, string>) => readFields(texts).settings.quantize?.layerBits;
    const ends = ['first=8', 'last=8'];
    expect(of({ 'first-last-bits': '8', 'layer-bits': '*.fc2=8x6' })).toEqual(['*.fc2=8x6', ...ends]);
    expect(of({ 'layer-bits': '*.fc2=8x6', 'first-last-bits': 'none' })).toEqual(['*.fc2=8x6']);
    expect(of({ 'first-last-bits': '8' })).toEqual(ends);
    expect(of({ 'first-last-bits': 'none' })).toEqual([]);
  });

  test('filled in together make a configuration; what is wrong stands beside what is good', () => {
    const texts = { bits: '4x8', lambda: '1', 'per-tensor': 'true', 'train-epochs': '-1', model: 'resnet20' };
    const { settings, problems } = readFields(texts);
    expect(problems).toEqual({ 'train-epochs': "train-epochs: expected a whole number of at least 0, got '-1'" });
    expect(parseConfiguration(settings, 'form')).toMatchObject({
      ...{ bits: { weights: 4, activations: 8 }, channelwise: false, model: 'resnet20' },
      explore: { lambda: 1, columns: 11 },
    });
  });
});
