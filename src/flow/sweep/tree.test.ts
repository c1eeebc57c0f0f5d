import { expect, test } from 'vitest';
import { parseConfiguration } from '../settings/config.ts';
import { parseAxis, trialsOf } from './grid.ts';
import { phaseKeys } from './keys.ts';
import { jobsOf } from './tree.ts';

const jobs = (settings: object, ...over: string[]) => jobsOf(trialsOf({ settings, over: over.map(parseAxis) }));

test('the float training of a seed and the quantisation of a width are done once, and children say only what is theirs', () => {
  const all = jobs({ train: { epochs: 2 }, recover: { epochs: 3 } }, 'seed=1,2', 'bits=8,4x5', 'lambda=0.3,1');
  const shared = all.filter(({ trial }) => !trial);
  expect(shared.map(({ path, phases, epochs }) => [path.replace(/-\w+$/, ''), phases.length, epochs])).toEqual([
    ...[1, 2].flatMap(() => [
      ['shared/train', 1, { train: 2 }],
      ['shared/quantize', 2, {}],
      ['shared/quantize', 2, {}],
    ]),
  ]);
  const trial = all.find((job) => job.trial?.name === 'seed2-bits4x5-lambda1')!;
  const parent = all.find(({ path }) => path === trial.parent)!;
  expect(trial.settings).toEqual({ explore: { lambda: 1 }, recover: { epochs: 3 } });
  expect(trial.epochs).toEqual({ explore: 10, recover: 3 });
  expect(parent.settings).toEqual({ bits: { weights: 4, activations: 5 } });
  expect(all.find(({ path }) => path === parent.parent)!.settings).toEqual({ seed: 2, train: { epochs: 2 } });
});

test('what is shared is done before the first trial that needs it, so that the first seed is whole before the second begins', () => {
  const all = jobs({}, 'seed=1,2', 'bits=8,4x5', 'lambda=0.3,1');
  const kinds = all.map(({ path, trial }) => trial?.name ?? path.replace(/-\w+$/, ''));
  const ofSeed = (seed: number) => [
    ...['shared/train', 'shared/quantize', `seed${seed}-bits8-lambda0.3`, `seed${seed}-bits8-lambda1`],
    ...['shared/quantize', `seed${seed}-bits4x5-lambda0.3`, `seed${seed}-bits4x5-lambda1`],
  ];
  expect(kinds).toEqual([...ofSeed(1), ...ofSeed(2)]);
});

test('a given multiplier and a trained one share the quantised network, and no parent leaves its multiplier to a child', () => {
  const all = jobs({}, 'multiplier=exact:8x8,trained', 'lambda=0.3,1');
  const [root, ...trials] = all;
  expect(root).toMatchObject({ phases: ['train', 'quantize'], epochs: { train: 30 } });
  expect(root!.settings).toEqual({ bits: { weights: 8, activations: 8 } });
  expect(trials.map(({ parent }) => parent)).toEqual([root!.path, root!.path, root!.path]);
  expect(trials.map(({ settings }) => settings.map?.multiplier)).toEqual(['dadda:8x8', undefined, undefined]);
});

test('with the settings of all its ancestors, a trial is the run that was asked for', () => {
  const settings = { recipe: 'paper-cifar10' as const, sample: 100, approximate: ['all'] };
  const all = jobs(settings, 'multiplier=exact:4x5,trained', 'train-epochs=1,2', 'recover-rates=none');
  const given = (path: string | undefined): object[] => {
    const job = all.find((one) => one.path === path);
    return job ? [...given(job.parent), job.settings] : [];
  };
  for (const { trial, path } of all) {
    if (!trial) continue;
    const together = Object.assign({}, ...given(path));
    expect(phaseKeys(parseConfiguration(together, 'test'))).toEqual(
      phaseKeys(parseConfiguration(trial.settings, 'test')),
    );
  }
});

test('nothing is shared where the data differ, nor a network that is only read', () => {
  expect(jobs({}, 'sample=100,200').every(({ trial }) => trial)).toBe(true);
  expect(jobs({ train: { checkpoint: 'a.pth' } }, 'bits=4,5').every(({ trial }) => trial)).toBe(true);
});

test('what few bits of each layer do is measured once for all costs and numbers of kinds, with nothing of what differs', () => {
  const settings = { quantize: { images: 64, foldBatchNorm: true }, map: { multiplier: 'exact' } };
  const options = (kinds: string | undefined, cost = '4x4') => ({
    ...{ 'layer-widths': cost, ...(kinds === undefined ? {} : { 'layer-kinds': kinds }) },
  });
  const trials = [options('3'), options('8'), options(undefined), options('3', '3x4')];
  const listed = trials.map((options, at) => ({ name: `trial${at}`, options }));
  const over = [{ name: 'seed', values: ['1', '2'] }];
  const plan = [...listed, { name: 'all', options: { multiplier: 'exact', bits: '4x4' } }];
  const all = jobsOf(trialsOf({ settings, trials: plan, over }));
  const shared = all.filter(({ trial }) => !trial);
  expect(shared.map(({ path, phases }) => [path.replace(/-\w+$/, ''), phases.length])).toEqual([
    ...[1, 2].flatMap(() => [
      ['shared/train', 1],
      ['shared/harms', 2],
    ]),
  ]);
  const harms = shared[1]!;
  expect(harms.settings.quantize).toEqual({ images: 64, foldBatchNorm: true, layerCost: expect.any(Number) });
  const children = all.filter(({ parent }) => parent === harms.path);
  expect(children.map(({ trial }) => trial!.name)).toEqual(listed.map(({ name }) => `${name}-seed1`));
  for (const { settings, trial } of children) {
    expect(settings.quantize).toEqual(trial!.settings.quantize);
    expect(settings.seed).toBeUndefined();
  }
  // Ranges that are chosen in another way, and other layers, are other measurements.
  const apart = jobsOf(
    trialsOf({
      settings: { map: { multiplier: 'exact' }, quantize: { layerCost: 0.2 } },
      over: [
        { name: 'observer', values: ['mse', 'percentile'] },
        { name: 'exact-layers', values: ['none', 'conv1'] },
      ],
    }),
  );
  expect(apart.filter(({ path }) => path.startsWith('shared/harms'))).toEqual([]);
});
