import { expect, test } from 'vitest';
import { modelledExactPower } from '../../multiplier/power-model.ts';
import { parseConfiguration } from '../settings/config.ts';
import type { ComparedRun } from './compare.ts';
import { comparedGroups, comparedPoints, judge } from './compared-front.ts';
import { stagesOf } from './stages.ts';

const loss = 0.3;
function run(
  label: string,
  seed: number,
  accuracy: number,
  gateCost: number,
  more: Partial<ComparedRun> = {},
): ComparedRun {
  const last = { stage: 'recovered', accuracy, loss, gateCost } as const;
  return {
    ...{ folder: label, label, data: 'digits', model: 'resnet8', seed, task: 'digits', settings: 'a', lambda: 0.3 },
    ...{ trainImages: 1437, testImages: 360, approximateShare: 1 },
    ...{ weightBits: 4, activationBits: 4, gateCost: last, powerModel: 'analytic' },
    stages: [{ stage: 'quantized', accuracy: 0.9, loss, power: 0.2 }, last],
    ...more,
  };
}
const seeds = [run('r/seed1', 1, 0.87, 0.19), run('r/seed2', 2, 0.88, 0.2), run('r/seed3', 3, 0.89, 0.21)];

test('runs that differ in their seed alone are one point: mean and t-interval of accuracy and power', () => {
  const groups = comparedGroups([...seeds, run('other', 1, 0.5, 0.1, { settings: 'b' })], 'gates');
  expect(groups.map(({ label, runs }) => [label, runs.length])).toEqual([
    ['r (3 seeds)', 3],
    ['other', 1],
  ]);
  expect(groups[0]!.accuracy!.mean).toBeCloseTo(0.88, 12);
  expect(groups[0]!.accuracy!.spread).toBeCloseTo((4.303 * 0.01) / Math.sqrt(3), 9);
  expect(groups[0]!.power!.mean).toBeCloseTo(0.2, 12);
  expect(groups[1]!.accuracy!.spread).toBe(0);
});

test('the same run twice is one seed, and seeds without a name in common are named after their aim', () => {
  const [one, two] = [run('k', 7, 0.9, 0.2, { powerTarget: 0.3 }), run('a', 1, 0.8, 0.1, { powerTarget: 0.3 })];
  const copy = { ...one, label: 'k2' };
  expect(comparedGroups([one, copy], 'gates')).toMatchObject([{ label: 'k, k2', accuracy: { mean: 0.9, n: 1 } }]);
  const [both] = comparedGroups([one, copy, two], 'gates');
  expect(both).toMatchObject({ label: 'power ≤ 0.3 (2 seeds)', accuracy: { n: 2 }, runs: [{}, {}, {}] });
  expect(both!.accuracy!.mean).toBeCloseTo(0.85, 12);
});

test('an exact multiplier of the run’s widths stands where they place it on the axis of the exact 8×8, not at 1', () => {
  const exact = comparedPoints(seeds, 'gates').filter(({ runs }) => runs.length === 0);
  expect(exact).toMatchObject([{ label: '4×4', series: 'exact', power: 84 / 400, accuracy: 0.9, n: 3 }]);
});

test('modelled power of rivals is by the model of the runs, and runs of another model are not judged by it', () => {
  const explored = (power: number) => ({ stage: 'explored', accuracy: 0.88, loss, power }) as const;
  const fitted = run('fitted', 1, 0.88, 0.2, { power: explored(0.15), powerModel: 'fitted', settings: 'b' });
  const analytic = run('analytic', 1, 0.88, 0.2, { power: explored(0.18) });
  const points = comparedPoints([fitted, analytic], 'modelled');
  const exact = points.filter(({ runs }) => runs.length === 0).map(({ power }) => power);
  // The same exact 4×4 multiplier by either model.
  const widths = { weightBits: 4, activationBits: 4 };
  expect(exact).toEqual([modelledExactPower('fitted', widths), modelledExactPower('analytic', widths)]);
  expect(exact[0]).toBeLessThan(0.18);
  expect(judge(points).map(({ by }) => by)).toEqual([undefined, undefined]);
});

test('the exact multiplier’s stage has the power of the run’s model, whichever run quantised for it', () => {
  const configuration = parseConfiguration(
    { bits: { weights: 4, activations: 4 }, explore: { powerModel: 'fitted' } },
    'test',
  );
  const record = {
    ...{ settings: '', files: {}, seconds: 1, finished: '2026-01-01T00:00:00Z', device: { name: 'wasm', detail: '' } },
    stages: [{ stage: 'quantized', accuracy: 0.9, loss, power: 0.2014 } as const],
  };
  const [stage] = stagesOf({ configuration, inputs: { layers: [] }, phases: { quantize: record } });
  expect(stage!.power).toBe(modelledExactPower('fitted', { weightBits: 4, activationBits: 4 }));
});

test('a dominated run is told so, by rivals of its own data and model alone', () => {
  const rivals = [{ bits: { weights: 3, activations: 4 }, plain: { accuracy: 0.895, loss } }];
  const own = run('own', 1, 0.88, 0.2, { rivals });
  const foreign = run('foreign', 1, 0.99, 0.01, { task: 'cifar', settings: 'c' });
  const judged = judge(comparedPoints([own, foreign], 'gates'));
  expect(judged.map(({ point, by }) => [point.label, by?.label])).toEqual([
    ['own', '3×4'],
    ['foreign', undefined],
  ]);
  expect(judge(comparedPoints([run('own', 1, 0.88, 0.2), foreign], 'gates'))[0]!.by).toBeUndefined();
});
