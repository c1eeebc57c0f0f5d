// `tram sweep work`: one worker on a sweep that is there, as a scheduler starts it: so many trials, or all that are
// left. At SIGTERM it saves, gives its trial back and ends, however often it is told.

import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { nonEmpty, wholeNumberFrom } from '../../flow/settings/values.ts';
import type { WorkerReport } from '../../flow/sweep/sweep.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { Exit, Interrupted } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import { addDeviceOptions, addLogOptions, addTrainingOptions, readDevice, readLogs, wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { shellWord, styleFor } from '../style.ts';
import { SweepProgress } from '../sweep-progress.ts';
import { minutes, placesToWork, showSweep, slotsOf, type WorkingOptions } from './sweep-parts.ts';

const AFTER = `
A worker claims what nobody else works on. With --trials it ends after so many, or when all that are left are in the hands of others; without,
when nothing is left. The GPUs are those that CUDA_VISIBLE_DEVICES leaves. SIGTERM, as schedulers send it before they end a job, stops it after
the step in progress: it saves, gives its trial back and ends with exit code 143; any other worker goes on from there. Whoever finds nothing
left writes the front.

Examples:
  tram sweep work runs/big --trials 1 --device cuda
  tram sweep work runs/big --minutes 230
`;

const MOST_TRIALS = 100_000;

export interface WorkOptions extends WorkingOptions {
  readonly trials?: number;
  readonly shared?: boolean;
  readonly data?: string;
}

export function defineSweepWork(command: Command, services: Services): void {
  const option = (flags: string, help: string, group: string, values?: string, usual?: string) =>
    new Option(flags, describeOption({ help, values, default: usual })).helpGroup(group);
  const work = 'Work:';
  command
    .description('One worker on a sweep that is there, as a cluster starts it.')
    .argument('<SWEEP>', 'folder of the sweep', nonEmpty('SWEEP', 'a folder'))
    .addHelpText('after', AFTER)
    .addOption(
      option('--trials <N>', 'end after so many trials', work, `1 to ${MOST_TRIALS}`, 'until none is left').argParser(
        wholeNumberFrom('--trials', 1, MOST_TRIALS),
      ),
    )
    .addOption(option('--shared', 'do only what trials have in common', work).conflicts('trials'))
    .addOption(
      option('--jobs <N>', 'runs side by side on each device', work, '1 to 256', '1').argParser(
        wholeNumberFrom('--jobs', 1, 256),
      ),
    )
    .addOption(option('--retry', 'try again what failed', work))
    .addOption(
      option('--minutes <N>', 'stop after this time, saving', work, 'a number above 0', 'no limit').argParser(minutes),
    )
    .addOption(
      option('--data <DATA>', 'where the data are now', work, undefined, 'where they were').argParser(
        nonEmpty('--data', 'a data set'),
      ),
    )
    .addOption(option('--no-synthesis', 'the front over gate cost; nothing is synthesised', 'Output:'))
    .addOption(option('--quiet', 'no progress', 'Output:'))
    .addOption(option('--json', 'only what was done as one JSON object; progress goes to the error stream', 'Output:'));
  addDeviceOptions(command, placesToWork);
  addTrainingOptions(command);
  addLogOptions(command);
  command.action((folder: string) => run(folder, command, services));
}

async function run(folder: string, command: Command, services: Services): Promise<void> {
  const { stdout, stderr } = services;
  const options = command.opts<WorkOptions>();
  const { trials, shared, retry, data, json, quiet, minutes: limit, synthesis } = options;
  const stream = json ? stderr : stdout;
  const { workOnSweep } = await import('../../flow/sweep/sweep.ts');
  const progress = quiet ? undefined : new SweepProgress(stream, styleFor(stream, wantsColor(command)));
  const tell = (text: string) => {
    if (progress) progress.tell({ kind: 'note', text });
    else stderr.write(`tram: ${text}\n`);
  };
  const interrupt = interruptible({
    onFirst: () => tell('stopping after this step and saving'),
    onSecond: () => progress?.close(),
  });
  const time = new AbortController();
  const timer = limit === undefined ? undefined : setTimeout(() => time.abort(), 60_000 * limit).unref();
  let report: WorkerReport;
  try {
    const { runFlow, runFlowAside = runFlow } = await services.loadFlow();
    report = await workOnSweep({
      ...{ folder, perform: runFlowAside, logs: readLogs(command) },
      devices: slotsOf(readDevice(command), options, availableParallelism()),
      ...given({ trials, sharedOnly: shared, retry, data, synthesis: synthesis === false ? null : undefined }),
      command: ['tram', ...(command.parent?.parent?.args ?? [])].map(shellWord).join(' '),
      ...(progress ? { listener: (event) => progress.tell(event) } : {}),
      signal: AbortSignal.any([interrupt.signal, time.signal]),
    });
  } catch (error) {
    const code = interrupt.code();
    if (code !== undefined && error === interrupt.signal.reason) {
      throw new Interrupted('stopped; the work so far is saved, and any worker on the sweep goes on with it', code);
    }
    if (!time.signal.aborted || error !== time.signal.reason) throw error;
    tell('the time is over; the work so far is saved, and any worker on the sweep goes on with it');
    return;
  } finally {
    clearTimeout(timer);
    progress?.close();
    // Told to end it is on its way out, and who tells it again until it is gone changes nothing.
    if (interrupt.code() === undefined) interrupt.dispose();
  }
  const { done, failed, left } = report;
  if (json) stdout.write(`${JSON.stringify(report)}\n`);
  else if (report.report && !quiet) await showSweep(folder, report.report, command, services);
  else
    stdout.write(`${done} ${done === 1 ? 'trial' : 'trials'} done here, ${failed} failed; ${left} left in the sweep\n`);
  if (failed > 0) throw new Exit(2);
}
