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
