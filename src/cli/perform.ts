// Doing phases of a run from the command line: progress while it works, an orderly stop at Ctrl-C with the command that
// goes on, and the summary at the end, as a table or as JSON.

import type { Command } from 'commander';
import type { RunSummary } from '../flow/results/summary.ts';
import type { DeviceOptions } from '../flow/run/device.ts';
import { dropLock } from '../flow/run/lock.ts';
import type { LogOptions } from '../flow/run/logs.ts';
import { hasManifest } from '../flow/run/manifest.ts';
import type { ConfigurationInput } from '../flow/settings/config.ts';
import type { Phase } from '../flow/settings/phases.ts';
import type { Said } from '../flow/settings/said.ts';
import type { FigureFormat } from '../report/formats.ts';
import { given } from '../tensor/given.ts';
import { Interrupted } from './failure.ts';
import { interruptible } from './interrupt.ts';
import { deviceWords, logWords, wantsColor } from './options.ts';
import { createProgress, silentProgress } from './progress.ts';
import type { Services } from './services.ts';
import { shellWord, styleFor, textWidth } from './style.ts';
import { summaryText } from './tables.ts';

export interface PhaseRequest {
  readonly folder: string;
  readonly settings: ConfigurationInput;
  /** What the user said of them. */
  readonly said?: readonly Said[];
  readonly phases: readonly Phase[];
  readonly device: DeviceOptions;
  /** The run whose finished phases are taken. */
  readonly from?: string | undefined;
  /** The forms of the report's figures. */
  readonly figures?: readonly FigureFormat[];
  readonly logs?: LogOptions;
  /** Discards what is done; default: what the user said with --redo. */
  readonly redo?: boolean;
  /** The command's name: `tram <name> <folder>` goes on after an interruption. */
  readonly command: string;
}

/** Does the phases and shows the summary; throws Interrupted when a signal stopped the work. */
export async function performPhases(command: Command, services: Services, request: PhaseRequest): Promise<void> {
  const { stdout, stderr, loadFlow } = services;
  const { quiet, json, redo } = command.opts<{ quiet?: boolean; json?: boolean; redo?: boolean }>();
  const { folder, settings, phases, device } = request;
  const stream = json ? stderr : stdout;
  const progress = quiet ? silentProgress : createProgress({ stream, style: styleFor(stream, wantsColor(command)) });
  const interrupt = interruptible({
    onFirst: () => {
      const text = 'stopping after this step and saving; press Ctrl-C again to stop at once';
      if (quiet) stderr.write(`tram: ${text}\n`);
      else progress.listener({ kind: 'note', text });
    },
    onSecond: () => {
      progress.close();
      dropLock(folder);
    },
  });
  let summary: RunSummary;
  try {
    const { runFlow } = await loadFlow();
    summary = await runFlow({
      folder,
      settings,
      phases,
      redo: request.redo ?? redo ?? false,
      ...given({ from: request.from, said: request.said }),
      command: commandLine(command),
      device,
      ...given({ logs: request.logs }),
      ...(request.figures ? { figures: request.figures } : {}),
      listener: progress.listener,
      signal: interrupt.signal,
    });
  } catch (error) {
    const code = interrupt.code();
    if (code === undefined || error !== interrupt.signal.reason) throw error;
    throw new Interrupted(stoppedMessage(request), code);
  } finally {
    progress.close();
    interrupt.dispose();
  }
  if (!quiet && !json) stdout.write('\n');
  showSummary(command, services, summary);
}

/** As a table, or as JSON where the user asked for that. */
export function showSummary(command: Command, { stdout }: Services, summary: RunSummary): void {
  const text = command.opts<{ json?: boolean }>().json
    ? JSON.stringify(summary)
    : summaryText(summary, styleFor(stdout, wantsColor(command)), textWidth(stdout));
  stdout.write(`${text}\n`);
}

/** What the user typed, as it can be typed again. */
function commandLine(command: Command): string {
  const { parent } = command;
  return [parent?.name() ?? 'tram', ...(parent?.args ?? command.args)].map(shellWord).join(' ');
}

function stoppedMessage({ folder, command, device, logs = {} }: PhaseRequest): string {
  if (!hasManifest(folder)) return 'stopped before anything was done; nothing was saved';
  const words = ['tram', command, shellWord(folder), ...deviceWords(device), ...logWords(logs).map(shellWord)];
  return `stopped; the work so far is saved, go on with: ${words.join(' ')}`;
}
