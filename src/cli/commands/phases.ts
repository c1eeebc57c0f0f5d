// The commands that work on a run folder: `tram run` does all phases, the others one each. They share their options by way of the
// table of settings, and everything about progress, interruption and the final table.

import { type Command, Option } from 'commander';
import { type ConfigurationInput, mergeSettings, parseConfiguration } from '../../flow/config.ts';
import { phases } from '../../flow/events.ts';
import { hasManifest, readManifest } from '../../flow/manifest.ts';
import { UserError } from '../../tensor/errors.ts';
import { describeOption } from '../facts.ts';
import {
  addConfigurationFiles,
  addDeviceOptions,
  addRunOutputOptions,
  addSettings,
  RUN_GROUP,
  readDevice,
  readSettings,
} from '../options.ts';
import { performPhases } from '../perform.ts';
import type { Define, Services } from '../services.ts';
import { namesHelp, settingsOfPhases } from '../settings.ts';
import { nonEmpty } from '../values.ts';
import { type PhaseCommand, phaseHelp } from './phase-help.ts';

/** Defines the command of a phase, or of all. */
export function definePhases(name: PhaseCommand): Define {
  return (command, services) => {
    const { description, after } = phaseHelp[name];
    const settings = settingsOfPhases(name === 'run' ? phases : [name]);
    const onRun = name === 'run';
    const makesRun = onRun || name === 'train';
    command.description(description).addHelpText('after', makesRun ? `\n${namesHelp()}\n${after}` : after);
    addFolder(command, makesRun);
    addSettings(command, settings, onRun);
    addConfigurationFiles(command);
    addDeviceOptions(command);
    addRunOutputOptions(command);
    command.action(async (given: string | undefined) => {
      const said = readSettings(command, settings, onRun);
      const folder = runFolder(command, given, said);
      if (command.opts().printConfig) return printConfiguration(folder, said, services);
      await performPhases(command, services, {
        folder,
        settings: said,
        phases: onRun ? phases : [name],
        device: readDevice(command),
        command: name,
      });
    });
  };
}

/** The run folder: an argument, and for commands that make a run also --out with a default. */
function addFolder(command: Command, makesRun: boolean): void {
  const folder = nonEmpty('RUN', 'a run folder');
  if (!makesRun) {
    command.argument('<RUN>', 'run folder', folder);
  } else {
    command.argument('[RUN]', 'run folder; the same as --out', folder);
    const out = describeOption({
      help: 'run folder, made when missing',
      default: 'runs/<data>-<model>-seed<seed>',
    });
    command.addOption(new Option('--out <DIR>', out).argParser(nonEmpty('--out', 'a folder')).helpGroup(RUN_GROUP));
  }
}

function runFolder(command: Command, given: string | undefined, said: ConfigurationInput): string {
  const { out } = command.opts<{ out?: string }>();
  if (given !== undefined && out !== undefined && given !== out) {
    throw new UserError(`two run folders are given, '${given}' and --out '${out}'; leave one out`);
  }
  return given ?? out ?? defaultFolder(said);
}

/** runs/<data>-<model>-seed<seed>, with the data set's own name: `cifar10:/data` is cifar10, `csv:/data/faces.csv.gz` is faces. */
export function defaultFolder(said: ConfigurationInput): string {
  const { data, model, seed } = parseConfiguration(said, 'settings');
  return `runs/${dataLabel(data)}-${fileSafe(model)}-seed${seed}`;
}

function dataLabel(data: string): string {
  const [, kind, location] = /^(?:(digits|cifar10|csv|idx)(?::|$))?(.*)$/s.exec(data) as unknown as [
    string,
    string?,
    string?,
  ];
  if (kind === 'digits' || kind === 'cifar10') return kind;
  const base =
    (location ?? '')
      .replace(/[/\\]+$/, '')
      .split(/[/\\]/)
      .at(-1) ?? '';
  return fileSafe(base.replace(/(\.csv)?(\.gz)?$/i, '')) || kind || 'data';
}

function fileSafe(text: string): string {
  return text.replace(/[^\w.-]+/g, '-').replace(/^[-.]+|-+$/g, '');
}

function printConfiguration(folder: string, said: ConfigurationInput, { stdout }: Services): void {
  const before: ConfigurationInput = hasManifest(folder) ? readManifest(folder).configuration : {};
  const configuration = parseConfiguration(mergeSettings(before, said), 'settings');
  stdout.write(`${JSON.stringify(configuration, null, 2)}\n`);
}
