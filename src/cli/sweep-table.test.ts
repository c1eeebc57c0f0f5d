import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import type { Spread, SweepPoint, SweepReport } from '../flow/sweep/front.ts';
import { styleFor } from './style.ts';
import { sweepText } from './sweep-table.ts';

const of = (mean: number, spread = 0): Spread => ({ mean, spread, n: spread > 0 ? 3 : 1, values: [] });

const point = (
  name: string,
  kind: SweepPoint['kind'],
  bits: number,
  accuracy: Spread,
  gates: number,
  isOnFront = false,
) => ({
  ...{
    name,
    kind,
    isRival: kind === 'exact',
    model: 'resnet8',
    data: 'digits',
    task: 'resnet8 on digits',
    approximateShare: 1,
    weightBits: bits,
    activationBits: bits,
  },
  ...{ options: [], trials: [], seeds: accuracy.n === 3 ? [1, 2, 3] : [1], accuracy, isOnFront, family: null },
  ...{ floatAccuracy: of(0.9), quantizedAccuracy: of(0.89) },
  power: { modelled: kind === 'trained' ? of(gates) : null, gates: of(gates), synthesised: null },
});

const textOf = (points: readonly SweepPoint[], more: Partial<SweepReport> = {}) =>
  stripVTControlCharacters(
    sweepText(
      {
        ...{ format: 'tram-front', version: 1, folder: 's', kind: 'gates', library: null, points },
        ...{
          loss: 0.005,
          answers: [{ task: 'resnet8 on digits', point: null }],
          failed: [],
          open: [],
          missingRivals: [],
          ...more,
        },
      },
      styleFor(process.stdout, false),
    ),
  );

const exact = point('exact4x4', 'exact', 4, of(0.895, 0.0021), 0.21, true);

test('a point has mean and interval, and what an exact multiplier matches is told', () => {
  const worse = point('a', 'trained', 8, of(0.895), 0.3);
  const better = point('b', 'trained', 4, of(0.896), 0.2, true);
  const guessing = point('c', 'trained', 3, of(0.1), 0.1, true);
  const text = textOf([guessing, better, exact, worse], {
    answers: [{ task: 'resnet8 on digits', point: 'exact4x4' }],
  });
  expect(text).toMatch(/^● +exact4x4 +4×4 +– +0\.210 +89\.50 ± 0\.21 % +0\.50 +3$/m);
  expect(text).toContain(
    'The cheapest within 0.50 points of the float network: exact4x4, 89.50 ± 0.21 % at gate cost 0.210.',
  );
  expect(text).toContain(
    'no dearer and no less accurate: 1 of the 2 others that lose no more than that. Not matched: b.',
  );
});

test('while rivals are missing nothing is said to be unmatched by them', () => {
  const text = textOf([exact, point('b', 'trained', 4, of(0.896), 0.2, true)], { missingRivals: ['exact3x3'] });
  expect(text).toContain('Without a result yet: the rivals exact3x3; what they match is not known.');
  expect(textOf([exact, point('c', 'trained', 3, of(0.1), 0.1, true)])).toContain(
    'Every multiplier that is not exact loses more than that.',
  );
});

test('without rivals of fewer bits it says so, and failures have their reasons', () => {
  const text = textOf([point('a', 'trained', 8, of(0.8), 0.3, true)], {
    failed: [{ name: 'c', state: 'failed', reason: 'the loss is no number' }],
    open: ['d'],
  });
  expect(text).toContain('No exact multiplier of fewer bits is among the points');
  expect(text).toContain('No point is within 0.50 points of its float network.');
  expect(text).toContain('  c (failed): the loss is no number\n  not done: d');
  expect(textOf([], { answers: [] })).toBe('Nothing is done yet.');
});

test('another network, or another part of one, has an answer of its own and matches nothing', () => {
  const small = { ...point('small', 'trained', 4, of(0.896), 0.3, true), task: 'half', approximateShare: 0.5 };
  const answers = [
    { task: 'resnet8 on digits', point: 'exact4x4' },
    { task: 'half', point: 'small' },
  ];
  const text = textOf([exact, small], { answers });
  expect(text).toContain('of the float network resnet8 on digits (100.0 % approximated): exact4x4,');
  expect(text).toContain('of the float network resnet8 on digits (50.0 % approximated): small,');
  expect(text).toContain('no less accurate: 0 of the 1 others that lose no more than that. Not matched: small.');
  expect(text).toMatch(/^● +small +50\.0 %/m);
});
