// What decides nothing beside other settings: every setting has a row, can have an effect somewhere, and what has none
// is named with the reason.

import { describe, expect, test } from 'vitest';
import { partners } from '../../../test/partners.ts';
import { UserError } from '../../tensor/errors.ts';
import { type Configuration, type ConfigurationInput, parseConfiguration } from './config.ts';
import { idleAt, refuseContradictions, settingEffects } from './effects.ts';
import { describeIdle, idleKeys, refuseIdle, saidIn } from './said.ts';
import { settings } from './table.ts';

const paths = [...new Set(settings.flatMap((setting) => setting.paths))];
const of = (input: ConfigurationInput): Configuration => parseConfiguration(input, 'test');

describe('the table', () => {
  test('has a row for every setting, and no other', () => {
    expect(Object.keys(settingEffects).toSorted()).toEqual(paths.toSorted());
  });

  test.each(paths)('lets %s have an effect beside some partner', (path) => {
    const idle = partners.map((beside) => idleAt(path, of(beside)));
    expect(idle).toContain(undefined);
  });

  test.each(
    Object.entries(settingEffects)
      .filter(([, { needs }]) => needs.length > 0)
      .map(([path]) => path),
  )('knows where %s has none', (path) => {
    const plain = { weightDecay: 0, optimizer: 'sgd', schedule: 'constant' } as const;
    const taught = { ...plain, epochs: 1, teacher: 'none' } as const;
    const without: readonly ConfigurationInput[] = [
      {},
      { map: { multiplier: 'exact' } },
      { map: { multiplier: 'm.v' } },
      { train: { checkpoint: 'm.pth' } },
      { quantize: { quantizer: 'clips' } },
      { train: plain, quantize: taught, explore: taught, recover: taught },
    ];
    expect(without.some((beside) => idleAt(path, of(beside)))).toBe(true);
  });
});

test.each<[string, ConfigurationInput, readonly string[], string]>([
  [
    '--power',
    { map: { multiplier: 'm.blif' } },
    ['explore.power'],
    '--power has no effect: map.multiplier is m.blif, and nothing is explored; leave one of them out',
  ],
  [
    '--search',
    { map: { multiplier: 'exact' } },
    ['map.search'],
    '--search has no effect: map.multiplier is exact, and',
  ],
  ['--operands', {}, ['map.operands'], '--operands has no effect: the exact search takes none; leave it out or use'],
  [
    '--train-epochs',
    { train: { checkpoint: 'm.pth' } },
    ['train.epochs'],
    '--train-epochs has no effect: the network is taken from m.pth as it is; leave it out, or say train.newClassifier',
  ],
  [
    '--quantize-teacher',
    {},
    ['quantize.teacher'],
    '--quantize-teacher has no effect: quantize.epochs is 0, and nothing is trained there; say quantize.epochs',
  ],
  ['--recover-beta2', {}, ['recover.beta2'], '--recover-beta2 has no effect: recover.optimizer is nesterov;'],
  [
    '--recover-milestones',
    {},
    ['recover.milestones'],
    '--recover-milestones has no effect: recover.schedule is cosine',
  ],
  [
    '--temperature',
    { explore: { teacher: 'none' }, recover: { teacher: 'none' } },
    ['quantize.temperature', 'explore.temperature', 'recover.temperature'],
    '--temperature has no effect: quantize.epochs is 0',
  ],
  ['--gradient', { map: { multiplier: 'exact' } }, ['recover.gradient'], '--gradient has no effect: map.multiplier is'],
  [
    '--smoothing',
    {},
    ['recover.smoothing.weights'],
    '--smoothing has no effect: recover.gradient is rows, which smooths',
  ],
  [
    '--constants',
    { explore: { weightCodes: 'best' } },
    ['explore.constants'],
    '--constants has no effect: explore.weightCodes is best, and biases stay; leave one of them out',
  ],
  ['--sample-seed', {}, ['sampleSeed'], '--sample-seed has no effect: no sample is drawn; say sample, or leave it out'],
  ['--percentile', {}, ['quantize.percentile'], '--percentile has no effect: the observers are mse and mse;'],
  [
    '--step-rate',
    { quantize: { quantizer: 'clips' } },
    ['quantize.stepRate'],
    '--step-rate has no effect: the quantiser',
  ],
])('%s is refused where it decides nothing', (label, beside, of_, message) => {
  expect(() => refuseIdle([{ label, paths: of_ }], of(beside))).toThrow(UserError);
  expect(() => refuseIdle([{ label, paths: of_ }], of(beside))).toThrow(message);
});

test('what is said for several phases has an effect where one of them can', () => {
  const said = { label: '--teacher', paths: ['quantize.teacher', 'explore.teacher', 'recover.teacher'] };
  expect(describeIdle(said, of({}))).toBeUndefined();
  expect(describeIdle({ ...said, paths: said.paths.slice(0, 1) }, of({}))).toMatch(/quantize\.epochs is 0/);
});

describe('a file of settings', () => {
  test('is told of each key that decides nothing, and passes with all the defaults of another run', () => {
    const given: ConfigurationInput = { map: { multiplier: 'm.v' }, explore: { power: 0.3, epochs: 10 } };
    const said = saidIn(given, 'f.json');
    expect(said.map(({ label }) => label)).toEqual(['map.multiplier', 'explore.power', 'explore.epochs']);
    // Ten epochs are the default.
    expect(idleKeys(said, given, of(given))).toEqual([
      'f.json: explore.power has no effect: map.multiplier is m.v, and nothing is explored; leave one of them out',
    ]);
    refuseIdle(said, of(given));
    for (const one of [{}, { map: { multiplier: 'exact' } }]) {
      const whole = of(one) as ConfigurationInput;
      expect(idleKeys(saidIn(whole, 'f.json'), whole, of(whole))).toEqual([]);
    }
  });
});

test('what contradicts another setting is refused wherever it comes from', () => {
  const refused = (input: ConfigurationInput, where: 'always' | 'train' | 'map') => () =>
    refuseContradictions(of(input), 'test', where);
  expect(() => of({ map: { search: 'exact', costBudget: 0.5 } })).toThrow(
    'test: map.costBudget is 0.5, but the exact search takes none; leave it out or use the search descent',
  );
  expect(() => of({ map: { multiplier: 'm.v', errorBound: 1 } })).toThrow(
    'test: map.errorBound is 1, but map.multiplier is m.v, and nothing is mapped; leave one of them out',
  );
  expect(() => of({ quantize: { quantizer: 'clips', weightZero: 'below' } })).toThrow(
    /^test: quantize\.weightZero is below, but the quantiser clips /,
  );
  expect(refused({ map: { signed: true } }, 'map')).toThrow(
    /^test: map\.signed is true, but no file of a multiplier is given: θ is mapped to an unsigned netlist;/,
  );
  expect(refused({ map: { multiplier: 'exact', top: 'm' } }, 'map')).toThrow(
    /^test: map\.top is m, but no file of a multiplier is given: exact products need none;/,
  );
  expect(refused({ map: { zeroProduct: 'own' } }, 'map')).toThrow(/^test: map\.zeroProduct is own, but no file/);
  expect(refused({ train: { checkpointKey: 'ema' } }, 'train')).toThrow(
    'test: train.checkpointKey is ema, but no train.checkpoint is given; name the checkpoint, or leave it out',
  );
  for (const map of [{}, { multiplier: 'exact' }, { multiplier: 'm.v', signed: true, top: 'm' }])
    refused({ map }, 'map')();
});
