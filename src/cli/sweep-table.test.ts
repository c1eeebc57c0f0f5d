import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import type { Spread, SweepPoint, SweepReport } from '../flow/sweep/front.ts';
import { frontPicture, frontTex } from '../flow/sweep/results.ts';
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
    isByLayer: false,
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
          ...{ power: null, goal: 'cheapest' },
          answers: [{ task: 'resnet8 on digits', point: null, other: null }],
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
    answers: [{ task: 'resnet8 on digits', point: 'b', other: 'exact4x4' }],
  });
  expect(text).toMatch(/^● +exact4x4 +4×4 +– +0\.210 +89\.50 ± 0\.21 % +0\.50 +3$/m);
  expect(text).toContain(
    'The cheapest multiplier with which resnet8 is no more than 0.50 points below float (90.00 %): b (a trained structure, of 4×4 bits), 89.60 % at gate cost 0.200, 0.40 points below float.',
  );
  expect(text).toContain(
    'The best exact one: exact4x4 (exact, of 4×4 bits), 89.50 ± 0.21 % at gate cost 0.210, 0.50 points below float: 5 % more power, 0.10 points less.',
  );
  expect(text).toContain('Where the widths are given an approximate one saves: 4×4 5 % less (0.200 for 0.210).');
  expect(text).toContain('matches 1 of the 2 approximate ones that lose no more than that; not matched: b.');
});

test('intervals of two seeds come with a caution, those of three with none', async () => {
  const two = { ...of(0.895, 0.2), n: 2 };
  const pair = point('a', 'trained', 8, two, 0.3);
  const all = 'two seeds each: an interval is that wide because the seeds are so few; three or more make it narrower';
  expect(textOf([pair])).toContain(`\n${all}\n`);
  const some = textOf([pair, exact]);
  expect(some).toContain('\n1 of 2 points have two seeds: an interval is that wide');
  expect(textOf([exact])).not.toContain('two seeds');
  const report = { kind: 'gates', library: null, points: [pair] } as unknown as SweepReport;
  expect(frontTex(report)).toContain(`\n% ${all}\n`);
  const drawn = (await frontPicture({ ...report, loss: 0.005 })).replace(/<[^>]*>/g, ' ');
  expect(drawn).toContain('two seeds each');
});

test('what is more accurate than the float network is above it', () => {
  const text = textOf([point('a', 'trained', 4, of(0.905), 0.2, true)], {
    answers: [{ task: 'resnet8 on digits', point: 'a', other: null }],
  });
  expect(text).toContain('90.50 % at gate cost 0.200, 0.50 points above float.');
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
  expect(text).toContain(
    'below float (90.00 %): none of these points. The most accurate: a (a trained structure, of 8×8 bits), 80.00 % at 0.300.',
  );
  expect(text).toContain('  c (failed): the loss is no number\n  not done: d');
  expect(textOf([], { answers: [] })).toBe('Nothing is done yet.');
});

test('another network, or another part of one, has an answer of its own and matches nothing', () => {
  const small = { ...point('small', 'trained', 4, of(0.896), 0.3, true), task: 'half', approximateShare: 0.5 };
  const answers = [
    { task: 'resnet8 on digits', point: 'exact4x4', other: null },
    { task: 'half', point: 'small', other: null },
  ];
  const text = textOf([exact, small], { answers });
  const within = 'is no more than 0.50 points below float (90.00 %)';
  expect(text).toContain(`resnet8 on digits (100.0 % approximated) ${within}: exact4x4 (exact, of 4×4 bits),`);
  expect(text).toContain(
    `resnet8 on digits (50.0 % approximated) ${within}: small (a trained structure, of 4×4 bits),`,
  );
  expect(text).toContain('No approximate one among the points is as good as that asks.');
  expect(text).toMatch(/^● +small +50\.0 %/m);
});

test('answers that have the same network, data and share by name say of which points they are', () => {
  const small = { ...point('small', 'trained', 4, of(0.896), 0.3, true), task: 'fewer images' };
  const answers = [
    { task: 'resnet8 on digits', point: 'exact4x4', other: null },
    { task: 'fewer images', point: 'small', other: null },
  ];
  const text = textOf([exact, small], { answers });
  const within = 'is no more than 0.50 points below float (90.00 %)';
  const network = 'resnet8 on digits (100.0 % approximated), that of';
  expect(text).toContain(`${network} exact4x4, ${within}: exact4x4 (exact, of 4×4 bits),`);
  expect(text).toContain(`${network} small, ${within}: small (a trained structure, of 4×4 bits),`);
});

test('a limit of power asks for the most accurate, and operands that are given for what is saved of them', () => {
  const small = point('8x8-products-0.3', 'trained', 8, of(0.897), 0.3, true);
  const truncated = point('8x8-truncated-8', 'given', 8, of(0.85), 0.25, true);
  const eight = point('exact8x8', 'exact', 8, of(0.899), 1, true);
  const text = textOf([truncated, small, eight], {
    ...{ power: 0.3, goal: 'most-accurate' },
    answers: [{ task: 'resnet8 on digits', point: small.name, other: null }],
  });
  expect(text).toContain(
    'The most accurate multiplier of resnet8 at gate cost of at most 0.3: 8x8-products-0.3 (a trained structure, of 8×8 bits),',
  );
  expect(text).toContain('No exact one among the points is as good as that asks.');
  expect(text).toContain('Where the widths are given an approximate one saves: 8×8 70 % less (0.300 for 1.000).');
  expect(text).not.toContain('--rivals');
  const layers = { ...point('layers-3x4', 'exact', 8, of(0.899), 0.13, true), isByLayer: true };
  const mixed = textOf([layers, eight], {
    answers: [{ task: 'resnet8 on digits', point: layers.name, other: null }],
  });
  expect(mixed).toMatch(/layers-3x4 +by layer/);
  expect(mixed).toContain('layers-3x4 (exact, with widths by layer)');
});
