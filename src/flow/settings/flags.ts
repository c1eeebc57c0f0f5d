// Which settings of a run are not the defaults, and the options of `tram run` that say them: enough to make the run again. Option names
// follow from the paths by one rule with few exceptions; a test reads every option back through the command line.

import { given } from '../../tensor/given.ts';
import type { ChangedSetting } from '../results/summary.ts';
import { phases, phasesOf } from '../run/phases.ts';
import { type Configuration, parseConfiguration } from './config.ts';

/** Compared with the defaults at the same widths and gradient, on which other defaults depend; without the settings of a phase that the run lacks. */
export function changedSettings(configuration: Configuration): ChangedSetting[] {
  const { bits, recover } = configuration;
  const defaults = flatten(parseConfiguration({}, 'defaults'));
  const usual = flatten(parseConfiguration({ bits, recover: { gradient: recover.gradient } }, 'defaults'));
  const unused = phases.filter((phase) => !phasesOf(configuration).includes(phase));
  const own = ['bits.weights', 'bits.activations', 'recover.gradient'];
  return [...flatten(configuration)].flatMap(([setting, value]) => {
    const before = own.includes(setting) ? defaults.get(setting) : usual.get(setting);
    if (unused.some((section) => setting.startsWith(`${section}.`))) return [];
    if (value === undefined || JSON.stringify(value) === JSON.stringify(before)) return [];
    return [{ setting, value, ...given({ usual: before }) }];
  });
}

/** Words of a command line: `--lambda`, `1`, …; a switch is one word. */
export function optionsOf(configuration: Configuration): string[] {
  const changed = changedSettings(configuration);
  const pairs = new Map<string, readonly [weights: string, activations: string]>([
    ['bits', ['bits.weights', 'bits.activations']],
    ['smoothing', ['recover.smoothing.weights', 'recover.smoothing.activations']],
  ]);
  const all = flatten(configuration);
  const words = changed.map(({ setting, value }) => {
    for (const [name, paths] of pairs) {
      if (!paths.includes(setting)) continue;
      const [weights, activations] = paths.map((path) => all.get(path));
      return [`--${name}`, weights === activations ? `${weights}` : `${weights}x${activations}`];
    }
    if (setting === 'channelwise') return [value ? '--channelwise' : '--per-tensor'];
    if (value === true) return [optionOf(setting)];
    return [optionOf(setting), Array.isArray(value) ? value.join(',') : String(value)];
  });
  // Both widths of a pair have said it once each.
  return [...new Map(words.map((option) => [option[0], option])).values()].flat();
}

/** Settings that several phases have, so that their options name the phase. */
const ofEachPhase = ['epochs', 'batchSize', 'learningRate', 'momentum', 'weightDecay', 'schedule'];

function optionOf(setting: string): string {
  if (setting === 'quantize.images') return '--calibration-images';
  const [section, key] = setting.split('.') as [string, string?];
  if (key === undefined) return `--${dashed(section)}`;
  return `--${ofEachPhase.includes(key) ? `${section}-` : ''}${dashed(key)}`;
}

const dashed = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function flatten(value: unknown, path = ''): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map([[path, value]]);
  return new Map(Object.entries(value).flatMap(([key, inner]) => [...flatten(inner, path ? `${path}.${key}` : key)]));
}
