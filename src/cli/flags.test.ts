import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { changed, partners } from '../../test/partners.ts';
import {
  type Configuration,
  type ConfigurationInput,
  mergeSettings,
  parseConfiguration,
} from '../flow/settings/config.ts';
import { idleAt, valueAt } from '../flow/settings/effects.ts';
import { changedSettings, optionsOf } from '../flow/settings/flags.ts';
import { settings } from '../flow/settings/table.ts';
import { addDeviceOptions, addSettings, addTrainingOptions, deviceWords, readDevice, readSettings } from './options.ts';

/** What `tram run` makes of words of a command line. */
function parsed(words: readonly string[]): Configuration {
  const command = new Command().exitOverride();
  addSettings(command, settings, true);
  command.parse([...words], { from: 'user' });
  return parseConfiguration(readSettings(command, settings, true), 'options');
}

/** Changed where that can have an effect. */
function effective(path: string): Configuration {
  const configurations = partners.flatMap((beside) => {
    try {
      return [parseConfiguration(mergeSettings(beside, changed(path)), path)];
    } catch {
      return [];
    }
  });
  return configurations.find((one) => !idleAt(path, one))!;
}

const paths = [...new Set(settings.flatMap((setting) => setting.paths))];

describe('the options of a run', () => {
  test.each(paths)('say %s so that the command line reads it back', (path) => {
    const configuration = effective(path);
    const told = changedSettings(configuration).map(({ setting }) => setting);
    expect(told).toContain(path);
    expect(parsed(optionsOf(configuration))).toEqual(configuration);
  });

  test('say all of them together, each once', () => {
    // A given multiplier takes no cost, and its run explores nothing; targets find λ; the recipe's search has no bound.
    // Of different widths nothing is grouped, and their columns have nothing in common.
    const exclusive = [
      ...[
        'explore.grain',
        'explore.lambda',
        'explore.types',
        'map.errorBound',
        'map.costBudget',
        'map.costWeight',
        'map.multiplier',
      ],
      'quantize.layerCost',
    ];
    const every = paths
      .filter((path) => !exclusive.includes(path))
      .map(changed)
      .reduce<ConfigurationInput>(mergeSettings, {});
    const configuration = parseConfiguration(every, 'all');
    const words = optionsOf(configuration);
    const names = words.filter((word) => word.startsWith('--'));
    expect(new Set(names).size).toBe(names.length);
    const again = parsed(words);
    const telling = paths.filter((path) => !idleAt(path, configuration));
    expect(telling.length).toBeGreaterThan(paths.length / 2);
    for (const path of telling) expect(valueAt(again, path), path).toEqual(valueAt(configuration, path));
  });

  test('of a run with a given multiplier leave out the exploration that it does not have', () => {
    const given = parseConfiguration({ map: { multiplier: 'dadda:8x8' }, explore: { lambda: 7 } }, 'test');
    expect(optionsOf(given)).toEqual(['--multiplier', 'dadda:8x8']);
  });

  test('are none for the defaults; those that follow from other settings are not told', () => {
    expect(optionsOf(parseConfiguration({}, 'test'))).toEqual([]);
    const narrow = parseConfiguration(
      { bits: { weights: 4, activations: 4 }, recover: { gradient: 'difference' } },
      'test',
    );
    expect(optionsOf(narrow)).toEqual(['--bits', '4', '--gradient', 'difference']);
    expect(changedSettings(parseConfiguration({ explore: { lambda: 1 } }, 'test'))).toEqual([
      { setting: 'explore.lambda', value: 1 },
    ]);
    const column = parseConfiguration({ explore: { grain: 'column', lambda: 1 } }, 'test');
    expect(changedSettings(column)).toEqual([
      { setting: 'explore.lambda', value: 1, usual: 0.3 },
      { setting: 'explore.grain', value: 'column', usual: 'product' },
    ]);
    const adam = { recover: { optimizer: 'adam' as const }, map: { multiplier: 'dadda:8x8' } };
    expect(optionsOf(parseConfiguration(adam, 'test'))).toEqual([
      ...['--multiplier', 'dadda:8x8', '--recover-optimizer', 'adam'],
    ]);
  });
});

test.each([
  [],
  ['--device', 'cuda'],
  ['--device', 'cuda:1', '--precision', 'bf16', '--emulation', 'planes', '--recompute'],
  ['--device', 'wasm', '--threads', '3', '--recompute-light'],
  ['--device', 'cuda:0-3', '--precision', 'fp32'],
  ['--device', 'cuda:0+2'],
  ['--device', 'cuda:ranks'],
])('a device is spelt as it was asked for: %j', (...words: readonly string[]) => {
  const command = new Command().exitOverride();
  addDeviceOptions(command);
  addTrainingOptions(command);
  command.parse([...words], { from: 'user' });
  expect(deviceWords(readDevice(command))).toEqual(words);
});
