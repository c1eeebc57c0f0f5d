// The commands that work on a run folder: `tram run` does all phases, the others one each. They share their options by
// way of the table of settings, and everything about progress, interruption and the final table.

import { type Command, Option } from 'commander';
import { hasManifest, readManifest } from '../../flow/run/manifest.ts';
import {
  type ConfigurationInput,
  mergeSettings,
  parseConfiguration,
  withExactWidths,
} from '../../flow/settings/config.ts';
import { settingsOfPhases } from '../../flow/settings/fields.ts';
import { phases } from '../../flow/settings/phases.ts';
import { refuseIdle, type Said } from '../../flow/settings/said.ts';
import { nonEmpty } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import { describeOption } from '../facts.ts';
import { defaultFolder, redoneFolder } from '../folder-name.ts';
import {
  addConfigurationFiles,
  addDeviceOptions,
  addLogOptions,
  addRunOutputOptions,
  addSettings,
  addTrainingOptions,
  addUnset,
  RUN_GROUP,
  readDevice,
  readLogs,
  readSettings,
  saidBy,
} from '../options.ts';
import { performPhases } from '../perform.ts';
import type { Define, Services } from '../services.ts';
import { namesHelp } from '../settings.ts';
import { type PhaseCommand, phaseHelp } from './phase-help.ts';

/** Defines the command of a phase, or of all. */
export function definePhases(name: PhaseCommand): Define {
  return (command, services) => {
    const { description, after } = phaseHelp[name];
    const settings = settingsOfPhases(name === 'run' ? phases : [name]);
    const onRun = name === 'run';
    const makesRun = onRun || name === 'train';
    command.description(description).addHelpText('after', makesRun ? `\n${namesHelp()}\n${after}` : after);
    addFolder(command, makesRun, onRun);
    addSettings(command, settings, onRun);
    addConfigurationFiles(command);
    addUnset(command, settings, onRun);
    addDeviceOptions(command);
    addTrainingOptions(command);
    addLogOptions(command);
    addRunOutputOptions(command);
    command.action(async (given: string | undefined) => {
      // Laid over what a run has from before, where it would meet other widths.
      const said = withExactWidths(readSettings(command, settings, onRun), 'settings');
      const folder = runFolder(command, given, said);
      const words = saidBy(command, settings, onRun);
      if (command.opts().printConfig) return printConfiguration(command, folder, { settings: said, words }, services);
      await performPhases(command, services, {
        folder,
        from: command.opts<FolderOptions>().from,
        settings: said,
        said: words,
        phases: onRun ? phases : [name],
        device: readDevice(command),
        logs: readLogs(command),
        command: name,
      });
    });
  };
}

/** The run folder: an argument, and for commands that make a run also --out with a default. */
function addFolder(command: Command, makesRun: boolean, onRun: boolean): void {
  const folder = nonEmpty('RUN', 'a run folder');
  if (!makesRun) {
    command.argument('<RUN>', 'run folder', folder);
    return;
  }
  command.argument('[RUN]', 'run folder; the same as --out', folder);
  const out = describeOption({
    help: 'run folder, made when missing',
    default: 'runs/<data>-<model>-seed<seed>, and what else is given',
  });
  command.addOption(new Option('--out <DIR>', out).argParser(nonEmpty('--out', 'a folder')).helpGroup(RUN_GROUP));
  if (!onRun) return;
  const from =
    'start a new run from the finished phases of this one that have the same settings; its settings are the defaults';
  command.addOption(
    new Option('--from <RUN>', from).argParser(nonEmpty('--from', 'a run folder')).helpGroup(RUN_GROUP),
  );
}

interface FolderOptions {
  readonly out?: string;
  readonly from?: string;
  readonly redo?: boolean;
  readonly published?: boolean;
}

function runFolder(command: Command, given: string | undefined, said: ConfigurationInput): string {
  const { out, from, redo, published } = command.opts<FolderOptions>();
  if (given !== undefined && out !== undefined && given !== out) {
    throw new UserError(`two run folders are given, '${given}' and --out '${out}'; leave one out`);
  }
  if (given !== undefined || out !== undefined) return (given ?? out)!;
  const all = mergeSettings(from === undefined ? {} : readManifest(from).given, said);
  return redo ? redoneFolder(all, published ?? false, hasManifest) : defaultFolder(all, published);
}

function printConfiguration(
  command: Command,
  folder: string,
  { settings, words }: { readonly settings: ConfigurationInput; readonly words: readonly Said[] },
  { stdout }: Services,
): void {
  const { from } = command.opts<FolderOptions>();
  const base = [folder, ...(from === undefined ? [] : [from])].find(hasManifest);
  const before: ConfigurationInput = base === undefined ? {} : readManifest(base).given;
  const configuration = parseConfiguration(mergeSettings(before, settings), 'settings');
  refuseIdle(words, configuration);
  stdout.write(`${JSON.stringify(configuration, null, 2)}\n`);
}
