import { expect, test } from 'vitest';
import { parseConfiguration } from '../settings/config.ts';
import { describeDifference, phases, phasesOf, settingsOf } from '../settings/phases.ts';

const settings = (input: object) => settingsOf(parseConfiguration(input, 'test'), 'recover');

test('settings differ by what they mean: a setting that an older program did not have was its default', () => {
  const now = settings({});
  const before = JSON.parse(now) as { recover: Record<string, unknown> };
  delete before.recover.finalRate;
  expect(describeDifference(JSON.stringify(before), now)).toBe('');
  expect(describeDifference(JSON.stringify(before), settings({ recover: { gradient: 'difference' } }))).toBe(
    'recover.gradient "difference" instead of "rows", recover.smoothing.weights 16 instead of unset, recover.smoothing.activations 16 instead of unset',
  );
});

test('the default smoothing named is the default smoothing left out', () => {
  const bits = { weights: 4, activations: 8 };
  const left = settings({ bits, recover: { gradient: 'difference' } });
  const half = settings({ bits, recover: { gradient: 'difference', smoothing: { activations: 16 } } });
  const named = settings({ bits, recover: { gradient: 'difference', smoothing: { weights: 1, activations: 16 } } });
  expect(describeDifference(left, half)).toBe('');
  expect(describeDifference(left, named)).toBe('');
  const other = settings({ bits, recover: { gradient: 'difference', smoothing: { weights: 0 } } });
  expect(describeDifference(left, other)).toBe('recover.smoothing.weights 0 instead of 1');
});

test('a run with a given multiplier explores nothing, and no setting of the exploration decides about it; the exact layers do', () => {
  const given = (input: object) => parseConfiguration({ ...input, map: { multiplier: 'dadda:8x8' } }, 'test');
  expect(phasesOf(parseConfiguration({ rivals: 'post-training', quantize: { layerCost: 0.2 } }, 'test'))).toEqual(
    phases,
  );
  expect(phasesOf(given({}))).toEqual(['train', 'quantize', 'map', 'recover', 'report']);
  for (const phase of ['map', 'recover'] as const) {
    const of = (input: object) => settingsOf(given(input), phase);
    expect(describeDifference(of({}), of({ explore: { epochs: 99, lambda: 7, structure: 'per-layer' } }))).toBe('');
    expect(describeDifference(of({}), of({ exactLayers: ['fc'] }))).toBe('exactLayers ["fc"] instead of []');
  }
  expect(describeDifference(settings({}), settings({ explore: { epochs: 99 } }))).toBe(
    'explore.epochs 99 instead of 10',
  );
});

const work = ['train', 'quantize', 'explore', 'map', 'recover'] as const;

test.each<[(typeof work)[number] | undefined, string, unknown]>([
  // The images decide too: their hash is compared for the whole run.
  [undefined, 'data', 'csv:x.csv'],
  ['train', 'model', 'resnet20'],
  ['train', 'seed', 2],
  ['train', 'train.epochs', 99],
  ['train', 'train.momentum', 0.1],
  ['quantize', 'bits.weights', 7],
  ['quantize', 'bits.activations', 7],
  ['quantize', 'channelwise', false],
  ['quantize', 'quantize.images', 7],
  ['quantize', 'quantize.range', 'as-observed'],
  ['quantize', 'quantize.epochs', 7],
  ['explore', 'exactLayers', ['fc']],
  ['explore', 'explore.lambda', 7],
  ['explore', 'explore.columns', 7],
  ['explore', 'explore.structure', 'per-layer'],
  ['explore', 'explore.thetaLearningRate', 7],
  ['map', 'map.search', 'greedy'],
  ['map', 'map.errorBound', 0.5],
  ['map', 'map.costBudget', 0.5],
  ['map', 'map.costWeight', 7],
  ['recover', 'recover.epochs', 99],
  ['recover', 'recover.gradient', 'difference'],
])('from %s on it decides what is done: %s', (first, path, value) => {
  const input = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
  const of = (given: unknown, phase: (typeof work)[number]) => settingsOf(parseConfiguration(given, 'test'), phase);
  const differing = work.filter((phase) => describeDifference(of({}, phase), of(input, phase)) !== '');
  expect(differing).toEqual(first ? work.slice(work.indexOf(first)) : []);
});

test('a checkpoint and a multiplier decide by what is in them, not by their paths', () => {
  const file = (sha256: string, path = '/a') => ({
    checkpoint: { path, sha256 },
    multiplier: { source: path, sha256 },
  });
  const of = (phase: 'train' | 'map', sha256: string, path: string) =>
    settingsOf(
      parseConfiguration({ train: { checkpoint: path }, map: { multiplier: path } }, 'test'),
      phase,
      file(sha256, path),
    );
  const [one, other] = ['1'.repeat(64), '2'.repeat(64)];
  for (const phase of ['train', 'map'] as const) {
    expect(describeDifference(of(phase, one, '/a'), of(phase, one, '/b'))).toBe('');
    expect(describeDifference(of(phase, one, '/a'), of(phase, other, '/a'))).not.toBe('');
  }
});

test('with a θ per column P follows the wider operand, and half of it is removed at first', () => {
  const of = (weights: number, activations: number, grain: 'column' | 'product' = 'column') =>
    parseConfiguration({ bits: { weights, activations }, explore: { grain } }, 'test').explore;
  expect(of(4, 8)).toMatchObject({ columns: 8, initiallyRemoved: 4 });
  expect(of(7, 3)).toMatchObject({ columns: 7, initiallyRemoved: 3 });
  expect(of(7, 3, 'product')).toMatchObject({ columns: 9, initiallyRemoved: 0 });
});
