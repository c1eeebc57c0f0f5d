import { expect, test } from 'vitest';
import type { ComparedRun } from '../flow/results/compare.ts';
import { styleFor } from './style.ts';
import { comparisonText } from './tables.ts';

test('a comparison says what its costs are those of, and of which runs where these differ', () => {
  const run = (label: string, approximateShare: number): ComparedRun => ({
    ...{
      folder: label,
      label,
      data: 'digits',
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
  });
  const text = (...runs: readonly ComparedRun[]) => comparisonText(runs, styleFor({ write: () => true }, false));
  expect(text(run('a', 1), run('b', 0.75), run('c', 1))).toContain(
    'those of 100.00 % of the multiplications in a, c, 75.00 % of the multiplications in b: costs of different parts',
  );
  expect(text(run('b', 0.75), run('c', 0.75))).toMatch(
    /power and gate cost are those of 75\.00 % of the multiplications$/,
  );
  expect(text(run('a', 1), run('c', 1))).not.toContain('of the multiplications');
});
