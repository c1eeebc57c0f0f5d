// Options that commands share: the configuration options of the table as commander options, --config and --published, and those about
// the device and the output. Reading them back gives settings that hold only what the user said.

import { type Command, Option } from 'commander';
import {
  type ConfigurationInput,
  configurationSchema,
  describeIssues,
  mergeSettings,
  published,
} from '../flow/config.ts';
import { type DeviceOptions, deviceNames, emulations, parseDevice, precisions } from '../flow/device.ts';
import { UserError } from '../tensor/errors.ts';
import { readJson } from '../tensor/files.ts';
import { describeOption } from './facts.ts';
import { describeSetting, optionName, parseSetting, prefixedNames, type Setting, withSetting } from './settings.ts';
import { nonEmpty, oneOf, wholeNumberFrom } from './values.ts';

const MOST_THREADS = 64;

export function addSettings(command: Command, settings: readonly Setting[], onRun: boolean): void {
  for (const setting of settings) {
    const name = optionName(setting, onRun);
    const flags = setting.placeholder === undefined ? name : `${name} <${setting.placeholder}>`;
    const option = new Option(flags, describeSetting(setting)).helpGroup(`${setting.group}:`);
    if (setting.placeholder !== undefined) option.argParser((text: string) => parseSetting(setting, name, text));
    command.addOption(option);
  }
  if (onRun) refuseUnprefixed(command, settings);
}

/** `tram run --epochs 3` is told which phases have epochs. */
function refuseUnprefixed(command: Command, settings: readonly Setting[]): void {
  for (const name of new Set(settings.filter(({ prefixed }) => prefixed).map((setting) => setting.name))) {
    const refuse = () => {
      throw new UserError(`--${name}: several phases have it; write ${prefixedNames(name).join(', ')}`);
    };
    command.addOption(new Option(`--${name} <VALUE>`).argParser(refuse).hideHelp());
  }
}

export function addConfigurationFiles(command: Command): void {
  const group = 'Configuration:';
  const file = nonEmpty('--config', 'the path of a JSON file');
  command
    .addOption(
      new Option('--config <FILE>', 'settings from a JSON file; options win over it').argParser(file).helpGroup(group),
    )
    .addOption(
      new Option('--published', 'the settings of the published scripts; --config and options win over them').helpGroup(
        group,
      ),
    )
    .addOption(
      new Option('--print-config', 'print the resulting configuration as JSON and do nothing').helpGroup(group),
    );
}

/** What the user said, as settings: the published ones, then the file, then the options. */
export function readSettings(command: Command, settings: readonly Setting[], onRun: boolean): ConfigurationInput {
  const values = command.opts<Record<string, unknown>>();
  let input: ConfigurationInput = values.published ? publishedFor(settings) : {};
  if (typeof values.config === 'string') input = mergeSettings(input, readConfigurationFile(values.config));
  for (const setting of settings) {
    const given = values[new Option(optionName(setting, onRun)).attributeName()];
    if (given === undefined) continue;
    const parsed = setting.placeholder === undefined ? [setting.value] : (given as readonly unknown[]);
    setting.paths.forEach((path, k) => {
      input = withSetting(input, path, parsed[k]);
    });
  }
  return input;
}

/** The published settings that the command's options could also set. */
function publishedFor(settings: readonly Setting[]): ConfigurationInput {
  const sections = new Set(settings.flatMap(({ paths }) => paths.map((path) => path.split('.')[0])));
  return Object.fromEntries(Object.entries(published).filter(([key]) => sections.has(key)));
}

/** A file of settings, checked by the schema but without the defaults, which are for the run to fill in. */
export function readConfigurationFile(path: string): ConfigurationInput {
  const input = readJson(path);
  const parsed = configurationSchema.safeParse(input);
  if (!parsed.success) throw new UserError(`${path}: ${describeIssues(parsed.error)}`);
  return input as ConfigurationInput;
}

export const RUN_GROUP = 'Run:';

/** Options of every command that does phases of a run. */
export function addRunOutputOptions(command: Command): void {
  const redo = 'discard finished phases that were done with other settings, and this one, with all that follows';
  command
    .addOption(new Option('--redo', redo).helpGroup(RUN_GROUP))
    .addOption(new Option('--quiet', 'only the table at the end').helpGroup('Output:'))
    .addOption(
      new Option('--json', 'only the summary as one JSON object; progress goes to the error stream').helpGroup(
        'Output:',
      ),
    );
}

export function addDeviceOptions(command: Command): void {
  const group = 'Computing:';
  command
    .addOption(
      new Option(
        '--device <NAME>',
        describeOption({
          help: 'where to compute',
          values: `one of ${deviceNames.join(', ')}, or cuda:N for the GPU of number N`,
          default: deviceNames[0],
        }),
      )
        .argParser(parseDevice)
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--precision <NAME>',
        describeOption({
          help: "operands of the device cuda's float products, gradients above all",
          values: `one of ${precisions.join(', ')}`,
          default: precisions[0],
        }),
      )
        .argParser(oneOf('--precision', precisions))
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--emulation <NAME>',
        describeOption({
          help: 'how mapped and imported multipliers are emulated; all that apply give the same bits',
          values: `one of ${emulations.join(', ')} (lowrank: device cuda)`,
          default: emulations[0],
        }),
      )
        .argParser(oneOf('--emulation', emulations))
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--threads <N>',
        describeOption({
          help: 'worker threads of the device wasm',
          values: `1 to ${MOST_THREADS}`,
          default: 'one per core',
        }),
      )
        .argParser(wholeNumberFrom('--threads', 1, MOST_THREADS))
        .helpGroup(group),
    );
}

export function readDevice(command: Command): DeviceOptions {
  const { device, ...options } = command.opts<Omit<DeviceOptions, 'name' | 'index'> & { device?: DeviceOptions }>();
  const { precision, emulation, threads } = options;
  return {
    ...device,
    ...(precision === undefined ? {} : { precision }),
    ...(emulation === undefined ? {} : { emulation }),
    ...(threads === undefined ? {} : { threads }),
  };
}

export function wantsColor(command: Command): boolean {
  return command.optsWithGlobals<{ color: boolean }>().color;
}
