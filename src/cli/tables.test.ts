import { expect, test } from 'vitest';
import type { ComparedRun } from '../flow/results/compare.ts';
import { styleFor } from './style.ts';
import { comparisonText } from './tables.ts';

const run = (label: string, approximateShare: number, more: Partial<ComparedRun> = {}): ComparedRun => ({
  ...{
    folder: label,
    label,
    ...{ data: 'digits', trainImages: 300, testImages: 360 },
    model: 'resnet8',
    weightBits: 8,
    activationBits: 8,
    lambda: 1,
    powerModel: 'analytic',
  },
  ...{
    seed: 1,
    task: 'digits',
    settings: label,
    approximateShare,
    stages: [{ stage: 'recovered', accuracy: 0.9, loss: 0.4, gateCost: 0.5 }],
  },
  gateCost: { stage: 'recovered', accuracy: 0.9, loss: 0.4, gateCost: 0.5 },
  ...more,
});
const text = (...runs: readonly ComparedRun[]) => comparisonText(runs, styleFor({ write: () => true }, false));

test('a comparison says what its costs are those of, and of which runs where these differ', () => {
  expect(text(run('a', 1), run('b', 0.75), run('c', 1))).toContain(
    'those of 100.00 % of the multiplications in a, c, 75.00 % of the multiplications in b: costs of different parts',
  );
  expect(text(run('b', 0.75), run('c', 0.75))).toMatch(
    /power and gate cost are those of 75\.00 % of the multiplications$/,
  );
  expect(text(run('a', 1), run('c', 1))).not.toContain('of the multiplications');
});

test('a run that dominates another is called by its own name, a rival by what it is', () => {
  const runs = [run('a', 1), run('exact', 1, { multiplier: 'exact' })];
  const point = (label: string, series: 'trained' | 'exact' | 'exact-retrained', power: number) => ({
    ...{ label, series, power, kind: 'gates' as const, task: '', accuracy: 0.9 },
    ...{ accuracySpread: 0, powerSpread: 0, n: 1, runs: [] },
  });
  const [own, other, rival] = [
    point('a', 'trained', 0.5),
    point('exact', 'exact-retrained', 0.2),
    point('4×4', 'exact', 0.21),
  ];
  const told = (by: typeof own) =>
    comparisonText(runs, styleFor({ write: () => true }, false), 200, {
      ...{ kind: 'gates', groups: [] },
      judged: [{ point: own, by }, { point: other }],
    });
  expect(told(other)).toContain('a (90.00 % at 0.500) is dominated: exact has 90.00 % at gate cost 0.200.');
  expect(told(rival)).toContain('is dominated: an exact 4×4 multiplier has 90.00 % at gate cost 0.210.');
});

test('runs whose accuracies are of other images are told apart, also where the data have one name', () => {
  const [a, b] = [run('a', 1), run('b', 1, { task: 'five classes', testImages: 181 })];
  const apart = text(a, b, run('c', 1));
  expect(apart).toMatch(/^run +images +recovered/m);
  expect(apart).toMatch(/^b +300 \+ 181 /m);
  expect(apart).toMatch(/not comparable, for their images, networks or .* judged apart: a, c \| b$/m);
  // Other images of the same number.
  expect(text(a, run('d', 1, { task: 'another sample' }))).toContain('judged apart: a | d');
  expect(text(a, run('c', 1))).not.toMatch(/images|comparable/);
});
