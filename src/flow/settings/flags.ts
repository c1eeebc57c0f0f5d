// Which settings of a run are not the defaults, and the options of `tram run` that say them: enough to make the run
// again. Their names are those of the table; a test reads every option back through the command line.

import { invariant } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { type Configuration, type ConfigurationInput, configurationSchema, withRecipe, withSetting } from './config.ts';
import { idleAt } from './effects.ts';
import { fieldName } from './fields.ts';
import { type Setting, settings } from './table.ts';

export interface ChangedSetting {
  /** Path in the configuration, e.g. `explore.lambda`. */
  readonly setting: string;
  readonly value: unknown;
  /** The default that it stands in place of; absent where there is none. */
  readonly usual?: unknown;
}

/** Settings on which the defaults of others depend. */
const deciding: readonly string[] = [
  ...['recipe', 'bits.weights', 'bits.activations', 'recover.gradient'],
  ...['grain', 'lambda', 'power', 'maxLoss', 'types', 'columns', 'initiallyRemoved', 'harden', 'powerModel'].map(
    (key) => `explore.${key}`,
  ),
  ...['costBudget', 'costWeight'].map((key) => `map.${key}`),
  ...['quantize', 'explore', 'recover'].map((phase) => `${phase}.optimizer`),
];

/**
 * Compared with what a setting would be if it were not said and those on which it depends were as they are; without
 * those that decide nothing.
 */
export function changedSettings(configuration: Configuration): ChangedSetting[] {
  const all = flatten(configuration);
  const usualBeside = (left?: string) => {
    const said = deciding.filter((path) => path !== left && all.get(path) !== undefined);
    const input = said.reduce<ConfigurationInput>((input, path) => withSetting(input, path, all.get(path)), {});
    return flatten(configurationSchema.parse(withRecipe(input)));
  };
  const usual = usualBeside();
  return [...all].flatMap(([setting, value]) => {
    if (value === undefined || idleAt(setting, configuration)) return [];
    const before = (deciding.includes(setting) ? usualBeside(setting) : usual).get(setting);
    if (JSON.stringify(value) === JSON.stringify(before)) return [];
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
    const option = optionOf(setting, value);
    if (option.value !== undefined) return [`--${fieldName(option)}`];
    return [`--${fieldName(option)}`, Array.isArray(value) ? value.join(',') : String(value)];
  });
  // Both widths of a pair have said it once each.
  return [...new Map(words.map((option) => [option[0], option])).values()].flat();
}

/** The setting that gives a path this value, and no other path. */
function optionOf(path: string, given: unknown): Setting {
  const says = ({ paths, value }: Setting) =>
    paths.length === 1 && paths[0] === path && (value === undefined || value === given);
  const option = settings.find(says);
  invariant(option, `no option gives ${path} the value ${given}`);
  return option;
}

function flatten(value: unknown, path = ''): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map([[path, value]]);
  return new Map(Object.entries(value).flatMap(([key, inner]) => [...flatten(inner, path ? `${path}.${key}` : key)]));
}
