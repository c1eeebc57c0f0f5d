// Options that commands share: the configuration options of the table as commander options, --config and --published,
// and those about the device and the output. Reading them back gives settings that hold only what the user said.

import { dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import {
  type DeviceOptions,
  deviceNames,
  deviceWord,
  emulations,
  parseDevice,
  precisions,
} from '../flow/run/device.ts';
import { type LogOptions, trackingAddress } from '../flow/run/logs.ts';
import {
  type ConfigurationInput,
  configurationSchema,
  describeIssues,
  mergeSettings,
  published,
} from '../flow/settings/config.ts';
import { parseSetting, SaidSettings } from '../flow/settings/fields.ts';
import { type Said, saidIn } from '../flow/settings/said.ts';
import type { Setting } from '../flow/settings/table.ts';
import { badValue, nameList, nonEmpty, oneOf, wholeNumberFrom } from '../flow/settings/values.ts';
import { UserError } from '../tensor/errors.ts';
import { readJson } from '../tensor/files.ts';
import { given } from '../tensor/given.ts';
import { unknownName } from '../tensor/names.ts';
import { describeOption } from './facts.ts';
import { foldedGroup, foldedSettings, foldHelp } from './folded-help.ts';
import { describeSetting, optionName, parseTogether, prefixedNames, type SaidTogether } from './settings.ts';

const MOST_THREADS = 64;

export function addSettings(command: Command, settings: readonly Setting[], onRun: boolean): void {
  for (const setting of settings) {
    const name = optionName(setting, onRun);
    const { placeholder, alone } = setting;
    const value = alone === undefined ? ` <${placeholder}>` : ` [${placeholder}]`;
    const flags = placeholder === undefined ? name : name + value;
    const option = new Option(flags, describeSetting(setting)).helpGroup(`${setting.group}:`);
    if (placeholder !== undefined) option.argParser((text: string) => parseSetting(setting, name, text));
    command.addOption(option);
  }
  if (!onRun) return;
  addTogether(command, settings);
  refuseUnprefixed(command, settings);
  foldHelp(command, settings);
}

/** The settings that can be said for all phases at once, by their name. */
function saidTogether(settings: readonly Setting[]): ReadonlyMap<string, readonly Setting[]> {
  const together = settings.filter((setting) => setting.together);
  return new Map(together.map(({ name }) => [name, together.filter((setting) => setting.name === name)]));
}

/** `tram run --teacher float` is for every phase that can have one. */
function addTogether(command: Command, settings: readonly Setting[]): void {
  const folded = foldedSettings(settings);
  for (const [name, alike] of saidTogether(settings)) {
    const [first] = alike as readonly [Setting, ...Setting[]];
    const isFolded = folded.includes(first);
    const phases = alike.map(({ phase }) => phase).join(', ');
    const each = isFolded ? `--PHASE-${name} of ${phases}` : alike.map((one) => optionName(one, true)).join(', ');
    const wins = isFolded ? `--PHASE-${name} wins` : 'each of them wins';
    command.addOption(
      new Option(`--${name} <${first.placeholder}>`, `${each} at once, where a phase has the value; ${wins}`)
        .argParser((text: string) => parseTogether(alike, `--${name}`, text))
        .helpGroup(isFolded ? foldedGroup(settings) : `${first.group}:`),
    );
  }
}

/** `tram run --epochs 3` is told which phases have epochs. */
function refuseUnprefixed(command: Command, settings: readonly Setting[]): void {
  const together = saidTogether(settings);
  for (const name of new Set(settings.filter(({ prefixed }) => prefixed).map((setting) => setting.name))) {
    const refuse = () => {
      throw new UserError(`--${name}: several phases have it; write ${prefixedNames(name).join(', ')}`);
    };
    // In the group of their folded forms, which thereby stands here among the groups.
    const group = foldedGroup(settings);
    for (const long of together.has(name) ? [`--PHASE-${name}`] : [`--${name}`, `--PHASE-${name}`]) {
      command.addOption(new Option(`${long} <VALUE>`).argParser(refuse).hideHelp().helpGroup(group));
    }
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

/** Returns options to their defaults, where the run has other values from before. */
export function addUnset(command: Command, settings: readonly Setting[], onRun: boolean): void {
  const names = settings.map((setting) => optionName(setting, onRun).slice(2));
  const parse = (text: string) => {
    const wanted = nameList(text)?.map((name) => name.replace(/^--/, ''));
    if (!wanted || wanted.length === 0) throw badValue('--unset', text, 'names of options separated by commas');
    for (const name of wanted) if (!names.includes(name)) throw unknownName('option', name, names);
    return wanted;
  };
  command.addOption(
    new Option(
      '--unset <OPTIONS>',
      describeOption({
        help: 'options that return to their defaults, where the run has other values',
        values: 'their names separated by commas',
      }),
    )
      .argParser(parse)
      .helpGroup('Configuration:'),
  );
}

/**
 * What the user said, as settings: the published ones, then the file, then the options; what is unset is there as
 * undefined.
 */
export function readSettings(command: Command, settings: readonly Setting[], onRun: boolean): ConfigurationInput {
  const values = command.opts<Record<string, unknown>>();
  let input: ConfigurationInput = values.published ? publishedFor(settings) : {};
  if (typeof values.config === 'string') input = mergeSettings(input, readConfigurationFile(values.config));
  const unset = (values.unset ?? []) as readonly string[];
  const said = new SaidSettings(input);
  if (onRun) {
    for (const name of saidTogether(settings).keys()) {
      const given = values[new Option(`--${name}`).attributeName()] as SaidTogether | undefined;
      for (const one of given ?? []) said.say(...one);
    }
  }
  for (const setting of settings) {
    const name = optionName(setting, onRun);
    const value = values[new Option(name).attributeName()];
    const given = value === true && setting.alone !== undefined ? parseSetting(setting, name, setting.alone) : value;
    if (unset.includes(name.slice(2))) {
      if (given !== undefined) throw new UserError(`${name} is given and also unset; leave one out`);
      said.say(
        setting,
        setting.paths.map(() => undefined),
      );
    }
    if (given === undefined) continue;
    said.say(setting, setting.placeholder === undefined ? [setting.value] : (given as readonly unknown[]));
  }
  return said.input;
}

/** The options that say settings, and the keys of a file that does: what may turn out to decide nothing. */
export function saidBy(command: Command, settings: readonly Setting[], onRun: boolean): readonly Said[] {
  const values = command.opts<Record<string, unknown>>();
  const { config } = command.opts<{ config?: unknown }>();
  const isSaid = (name: string) => values[new Option(name).attributeName()] !== undefined;
  const together = onRun ? [...saidTogether(settings)] : [];
  return [
    ...(typeof config === 'string' ? saidIn(readConfigurationFile(config), config) : []),
    ...together
      .filter(([name]) => isSaid(`--${name}`))
      .map(([name, alike]) => ({ label: `--${name}`, paths: alike.flatMap(({ paths }) => paths) })),
    ...settings
      .map((setting) => ({ label: optionName(setting, onRun), paths: setting.paths }))
      .filter(({ label }) => isSaid(label)),
  ];
}

/** The published settings that the command's options could also set. */
function publishedFor(settings: readonly Setting[]): ConfigurationInput {
  const sections = new Set(settings.flatMap(({ paths }) => paths.map((path) => path.split('.')[0])));
  return Object.fromEntries(Object.entries(published).filter(([key]) => sections.has(key)));
}

/** A file of settings, checked by the schema but without the defaults, which are for the run to fill in. */
function readConfigurationFile(path: string): ConfigurationInput {
  const input = readJson(path);
  refuseSweepPlan(path, input);
  const parsed = configurationSchema.safeParse(input);
  if (!parsed.success) throw new UserError(`${path}: ${describeIssues(parsed.error, configurationSchema)}`);
  return input as ConfigurationInput;
}

/** A plan of many runs, as it is given to `tram sweep` or as it stands in the folder of one, is no run's settings. */
function refuseSweepPlan(path: string, input: unknown): void {
  if (typeof input !== 'object' || input === null || !('over' in input || 'trials' in input)) return;
  const taker =
    'format' in input && input.format === 'tram-sweep'
      ? `tram sweep ${dirname(path)} goes on with it, its runs are in ${join(dirname(path), 'trials')}`
      : `tram sweep FOLDER --config ${path} takes it`;
  throw new UserError(`${path} is the plan of a sweep, not the settings of one run; ${taker}`);
}

export const RUN_GROUP = 'Run:';

/** Options of every command that does phases of a run. */
export function addRunOutputOptions(command: Command): void {
  const redo =
    'do finished phases again: from the first that has other settings, and all that follows; where none has, from the first of this command';
  command
    .addOption(new Option('--redo', redo).helpGroup(RUN_GROUP))
    .addOption(new Option('--quiet', 'only the table at the end').helpGroup('Output:'))
    .addOption(
      new Option('--json', 'only the summary as one JSON object; progress goes to the error stream').helpGroup(
        'Output:',
      ),
    );
}

const COMPUTING = 'Computing:';

/** How a command trains that may: one that only measures has no activations to keep. */
export function addTrainingOptions(command: Command): void {
  command.addOption(
    new Option(
      '--recompute',
      'train with less memory and the same results: activations inside residual blocks are computed again, not kept',
    ).helpGroup(COMPUTING),
  );
  command.addOption(
    new Option(
      '--recompute-light',
      "the same, but the layers' products are kept: a part of the memory saved, in little time",
    )
      .conflicts('recompute')
      .helpGroup(COMPUTING),
  );
}

/** `parse`: of a command that takes several devices at once. */
export function addDeviceOptions(command: Command, parse: (text: string) => unknown = parseDevice): void {
  command
    .addOption(
      new Option(
        '--device <NAME>',
        describeOption({
          help: 'where to compute',
          values: `one of ${deviceNames.join(', ')}; cuda:N for the GPU of number N; cuda:0-3, cuda:0+2 or cuda:all for several that work together, cuda:ranks for those of torchrun or srun`,
          default: deviceNames[0],
        }),
      )
        .argParser(parse)
        .helpGroup(COMPUTING),
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
        .helpGroup(COMPUTING),
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
        .helpGroup(COMPUTING),
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
        .helpGroup(COMPUTING),
    );
}

export function readDevice(command: Command): DeviceOptions {
  const { device, ...options } = command.opts<
    Omit<DeviceOptions, 'name' | 'index' | 'devices'> & { device?: DeviceOptions; recomputeLight?: boolean }
  >();
  const { precision, emulation, threads } = options;
  const recompute = options.recomputeLight ? 'light' : options.recompute;
  return {
    ...device,
    ...given({ precision, emulation, threads, recompute }),
  };
}

/** The options that ask for a device, as they can be typed: a run folder keeps none of them. */
export function deviceWords({ precision, emulation, threads, recompute, ...device }: DeviceOptions): string[] {
  const spelt = { device: deviceWord(device), precision, emulation, threads };
  const words = Object.entries(spelt).flatMap(([option, value]) =>
    value === undefined ? [] : [`--${option}`, String(value)],
  );
  return recompute ? [...words, recompute === 'light' ? '--recompute-light' : '--recompute'] : words;
}

const LOGS = 'Logs for other programs:';

/** Where a run that trains is told of beside its own folder (docs/logging.md). */
export function addLogOptions(command: Command): void {
  const address = (text: string) => trackingAddress(nonEmpty('--mlflow', 'an address')(text));
  command
    .addOption(
      new Option('--tensorboard', 'write an event file for TensorBoard into the run folder; trains the same').helpGroup(
        LOGS,
      ),
    )
    .addOption(
      new Option(
        '--mlflow <URL>',
        describeOption({
          help: 'send the run to this MLflow tracking server; trains the same, also while it is away',
          values: 'an address without credentials, such as http://127.0.0.1:5000',
        }),
      )
        .argParser(address)
        .helpGroup(LOGS),
    )
    .addOption(
      new Option(
        '--mlflow-experiment <NAME>',
        describeOption({
          help: 'experiment in which the run stands there',
          default: 'MLFLOW_EXPERIMENT_NAME, else tram',
        }),
      )
        .argParser(nonEmpty('--mlflow-experiment', 'a name'))
        .helpGroup(LOGS),
    );
}

interface LogsSaid {
  readonly tensorboard?: boolean;
  readonly mlflow?: string;
  readonly mlflowExperiment?: string;
}

export function readLogs(command: Command): LogOptions {
  const { tensorboard, mlflow: url, mlflowExperiment: experiment } = command.opts<LogsSaid>();
  return given({ tensorboard, mlflow: url === undefined ? undefined : { url, ...given({ experiment }) } });
}

/** The options that ask for logs, as they can be typed: a run folder keeps none of them. */
export function logWords({ tensorboard, mlflow }: LogOptions): string[] {
  return [
    ...(tensorboard ? ['--tensorboard'] : []),
    ...(mlflow ? ['--mlflow', mlflow.url] : []),
    ...(mlflow?.experiment === undefined ? [] : ['--mlflow-experiment', mlflow.experiment]),
  ];
}

export function wantsColor(command: Command): boolean {
  return command.optsWithGlobals<{ color: boolean }>().color;
}
