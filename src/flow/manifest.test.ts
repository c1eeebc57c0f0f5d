import { expect, test } from 'vitest';
import { parseConfiguration } from './config.ts';
import { phases } from './events.ts';
import { describeDifference, phasesOf, settingsOf } from './manifest.ts';

const settings = (input: object) => settingsOf(parseConfiguration(input, 'test'), 'recover');

test('settings differ by what they mean: a setting that an older program did not have was its default', () => {
  const now = settings({});
  const before = JSON.parse(now) as { recover: Record<string, unknown> };
  delete before.recover.gradient;
  expect(describeDifference(JSON.stringify(before), now)).toBe('');
  expect(describeDifference(JSON.stringify(before), settings({ recover: { gradient: 'difference' } }))).toBe(
    'recover.gradient "difference" instead of "straight-through", recover.smoothing.weights 16 instead of unset, recover.smoothing.activations 16 instead of unset',
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
  expect(phasesOf(parseConfiguration({}, 'test'))).toEqual(phases);
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
