// What counts of settings for the phases of a run: what is idle does not, whatever it says, and whatever else differs
// makes another run.

import { describe, expect, test } from 'vitest';
import { changed, partners } from '../../../test/partners.ts';
import { UserError } from '../../tensor/errors.ts';
import { phaseKeys, pick } from '../sweep/keys.ts';
import {
  asIfUnsaid,
  type Configuration,
  type ConfigurationInput,
  mergeSettings,
  parseConfiguration,
  withSetting,
} from './config.ts';
import { idleAt, settingEffects, valueAt } from './effects.ts';
import { describeDifference, epochsBefore, phases, phasesOf, settingsOf, trainingPhases } from './phases.ts';

const of = (input: ConfigurationInput): Configuration => parseConfiguration(input, 'test');

const plain = { weightDecay: 0, optimizer: 'sgd', schedule: 'constant' } as const;
const besides: readonly ConfigurationInput[] = [
  ...partners,
  { map: { multiplier: 'exact' } },
  { model: 'net.onnx' },
  { quantize: { quantizer: 'clips' } },
  { quantize: { start: 'statistics' } },
  { train: plain, quantize: { ...plain, epochs: 1, teacher: 'none' }, explore: plain, recover: plain },
  { explore: { teacher: 'none' }, recover: { teacher: 'none', gradient: 'straight-through' } },
];

/** Pairs of configurations that differ at a path, in what an ill-fitting value does not make impossible. */
function pairs(path: string): readonly (readonly [Configuration, Configuration])[] {
  return besides.flatMap((beside) => {
    try {
      const [without, with_] = [withSetting(changed(path), path, undefined), changed(path)];
      const pair = [of(mergeSettings(without, beside)), of(mergeSettings(with_, beside))] as const;
      const [before, after] = pair.map((one) => JSON.stringify(valueAt(one, path)));
      return before === after ? [] : [pair];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return [];
    }
  });
}

const paths = Object.keys(settingEffects).filter((path) => path !== 'recipe');
const isIdle = (path: string, pair: readonly Configuration[]) => pair.every((one) => idleAt(path, one) !== undefined);
const isHeld = (path: string) => settingEffects[path]!.held !== undefined;

describe('a setting that decides nothing', () => {
  const idle = paths.filter((path) => !isHeld(path) && pairs(path).some((pair) => isIdle(path, pair)));

  test('is one of many', () => expect(idle.length).toBeGreaterThan(50));

  test.each(idle)('leaves every phase as it is done: %s', (path) => {
    for (const [before, after] of pairs(path).filter((pair) => isIdle(path, pair))) {
      expect(phaseKeys(after)).toEqual(phaseKeys(before));
      for (const phase of phasesOf(before)) {
        expect(settingsOf(after, phase)).toBe(settingsOf(before, phase));
        // As a program wrote it that counted everything.
        const keys = Object.keys(JSON.parse(settingsOf(after, phase)));
        const written = JSON.stringify(pick(after, (key) => keys.includes(key)));
        if (phase !== 'harms') expect(describeDifference(written, settingsOf(before, phase))).toBe('');
      }
      for (const phase of trainingPhases) expect(epochsBefore(after, phase)).toBe(epochsBefore(before, phase));
    }
  });
});

describe('any other setting', () => {
  /** Told in every phase's figures and in none of its results. */
  const told = (path: string, { map }: Configuration) => path === 'explore.powerModel' && map.multiplier !== undefined;

  test.each(paths)('makes another run: %s', (path) => {
    const different = pairs(path).filter((pair) => !pair.some((one) => idleAt(path, one) || told(path, one)));
    expect(different.length).toBeGreaterThan(0);
    for (const [before, after] of different) {
      const keys = new Set(phaseKeys(before).map(({ key }) => key));
      expect(phaseKeys(after).every(({ key }) => keys.has(key)) && keys.size === phaseKeys(after).length).toBe(false);
    }
  });

  test('for training that a start needs though nothing is trained: the changes of its images', () => {
    const start = { quantize: { start: 'statistics' } } as const;
    const other = mergeSettings(start, { quantize: { augment: 'flip' } });
    expect(describeDifference(settingsOf(of(start), 'quantize'), settingsOf(of(other), 'quantize'))).toBe(
      'quantize.augment "flip" instead of unset',
    );
    expect(idleAt('quantize.augment', of({ quantize: { augment: 'flip' } }))?.because).toMatch(
      /^quantize\.epochs is 0/,
    );
  });
});

test('what later phases are told changes nothing of the phases before them', () => {
  for (const path of paths.filter((path) => /^(explore|map|recover)\./.test(path) && path !== 'map.multiplier')) {
    const before = phases.slice(0, phases.indexOf(path.split('.')[0] as 'map'));
    for (const [one, other] of pairs(path)) {
      for (const phase of phasesOf(one).filter((phase) => before.includes(phase))) {
        expect(settingsOf(other, phase), `${path} in ${phase}`).toBe(settingsOf(one, phase));
      }
    }
  }
});

test('settings as if unsaid are so for good, and stay where they count', () => {
  for (const beside of besides) {
    const once = asIfUnsaid(of(beside));
    expect(asIfUnsaid(once)).toEqual(once);
  }
  const whole = { train: { epochs: 5 }, quantize: { epochs: 2, teacher: 'float' }, recover: { epochs: 3 } } as const;
  expect(asIfUnsaid(of(whole))).toEqual(of(whole));
});
