// `tram sweep`: many runs in one folder, side by side and by as many processes as there are, and the front they make.

import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import type { ConfigurationInput } from '../../flow/settings/config.ts';
import { settingsOfPhases } from '../../flow/settings/fields.ts';
import { phases } from '../../flow/settings/phases.ts';
import { badValue, decimalNumber, nonEmpty, wholeNumber, wholeNumberFrom } from '../../flow/settings/values.ts';
import type { Question } from '../../flow/sweep/cheapest.ts';
import type { SweepReport } from '../../flow/sweep/front.ts';
import { type Axis, type GridInput, parseAxis, readGridFile } from '../../flow/sweep/grid.ts';
import type { Rungs } from '../../flow/sweep/halving.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { Exit, Interrupted } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import {
  addDeviceOptions,
  addLogOptions,
  addSettings,
  addTrainingOptions,
  logWords,
  readDevice,
  readLogs,
  readSettings,
  saidBy,
  wantsColor,
} from '../options.ts';
import type { Services } from '../services.ts';
import { shellWord, styleFor } from '../style.ts';
import { SweepProgress } from '../sweep-progress.ts';
import { addSynthesis, readSynthesis, synthesisOptions } from '../workbench.ts';
import { minutes, placesToWork, showSweep, slotsOf, type WorkingOptions } from './sweep-parts.ts';

const AFTER = `
Every combination of the values behind --over is a trial: a run of its own in SWEEP/trials, with all other options of tram run as given here.
What trials have in common is done once, in SWEEP/shared: one float training, one quantisation per width. --cheapest needs no --over: it
trains structures of several widths to targets of power, with exact multipliers of eight to two bits, trained in the same way, as rivals;
all of them learn as coarse multipliers need it (docs/sweep.md), unless --recipe, --from or options say otherwise.

  --over lambda=0.3,1,3              any option of tram run by its name (values that have commas are separated by semicolons)
  --over bits=8x8,4x5                widths
  --over multiplier=exact,trained    exact: the exact multiplier of the trial’s widths; trained: a structure as usual
  --over 'multiplier=exact:4x5;truncated:8x8:columns=6'    a generator brings its widths along where none are given
  --over seed=1,2,3                  trials that differ in their seed alone are one point, with its mean and 95 % interval

The folder can be copied, and tram sweep SWEEP goes on there: after Ctrl-C, after any kill, or beside other processes, also on other machines
that see the folder; each trial is worked on by one of them. A trial that fails is kept with its reason, the others go on, and the exit code
is then 2. At the end: the front as a table, front.json, .csv, .tex, .svg and .png, and its netlists in best/.

Examples:
  tram sweep runs/cheapest --cheapest --over seed=1,2,3
  tram sweep runs/lambda --model resnet20 --over lambda=0.3,1,3 --over seed=1,2,3 --rivals 5x5,4x5,3x4 --jobs 2
  tram sweep runs/big --config sweep.json --device cuda:0,cuda:1
  tram sweep runs/big --report

On a cluster (docs/cluster.md): --plan makes the folder alone, tram sweep submit gives it to a scheduler, tram sweep work is one worker, and
tram sweep status shows how it stands.
`;

const PLAN = 'Plan:';
const WORK = 'Work:';
const MOST_JOBS = 256;

interface Options extends WorkingOptions {
  readonly over?: readonly Axis[];
  readonly config?: GridInput;
  readonly cheapest?: boolean;
  readonly perLayer?: boolean;
  readonly rivals?: readonly string[];
  readonly halving?: readonly number[] | true;
  readonly from?: string;
  readonly published?: boolean;
  readonly plan?: boolean;
  readonly within?: number;
  readonly atMost?: number;
  readonly report?: boolean;
}

/** A sweep has rivals of its own: exact multipliers are trials of it. */
const trialPhases = phases.filter((phase) => phase !== 'rivals');

export function defineSweep(command: Command, services: Services): void {
  const option = (flags: string, help: string, group: string, values?: string, usual?: string) =>
    new Option(flags, describeOption({ help, values, default: usual })).helpGroup(group);
  command
    .description('Trains many settings of a run in one folder and ends with the front of accuracy over power.')
    .argument(
      '<SWEEP>',
      'folder of the sweep, made when missing; one that is there goes on',
      nonEmpty('SWEEP', 'a folder'),
    )
    .addHelpText('after', AFTER)
    .addOption(
      option(
        '--over <NAME=VALUES>',
        'an option of tram run and the values it takes; may be given several times',
        PLAN,
      ).argParser((text: string, all: readonly Axis[] = []) => [...all, parseAxis(text)]),
    )
    .addOption(
      option(
        '--cheapest',
        'the cheapest multiplier at which the network still works: widths, structures, targets, rivals, and training that suits coarse multipliers',
        PLAN,
      ),
    )
    .addOption(
      option(
        '--per-layer',
        'with --cheapest: trials, too, in which each layer has widths of its own, searched by what they do to the loss',
        PLAN,
      ),
    )
    .addOption(
      option(
        '--rivals <WIDTHS>',
        'exact multipliers to train in the same way',
        PLAN,
        'widths separated by commas, such as 4x5,3x4; or none',
        'none; with --cheapest 8x8 to 2x4',
      ).argParser((text: string) => (text === 'none' ? [] : text.split(',').map((word) => word.trim()))),
    )
    .addOption(
      option(
        '--config <FILE>',
        'plan from a JSON file: settings, over, trials, rivals (docs/sweep.md)',
        PLAN,
      ).argParser((path: string) => readGridFile(nonEmpty('--config', 'the path of a JSON file')(path))),
    )
    .addOption(
      option(
        '--halving [EPOCHS]',
        'drop the dominated half of the points after so many epochs of recovery',
        PLAN,
        'numbers of epochs separated by commas',
        'a quarter and a half of them',
      ).argParser(rungList),
    )
    .addOption(
      option(
        '--from <RUN>',
        'branch from the finished phases of this run; its settings are the defaults',
        PLAN,
      ).argParser(nonEmpty('--from', 'a run folder')),
    )
    .addOption(option('--plan', 'make the folder with its plan, and train nothing', PLAN).conflicts('report'))
    .addOption(option('--published', 'the settings of the published scripts; options win over them', PLAN))
    .addOption(
      option('--jobs <N>', 'runs side by side on each device', WORK, `1 to ${MOST_JOBS}`, '1').argParser(
        wholeNumberFrom('--jobs', 1, MOST_JOBS),
      ),
    )
    .addOption(option('--retry', 'try again what failed', WORK))
    .addOption(
      option(
        '--minutes <N>',
        'stop after this time, saving; the same command goes on',
        WORK,
        'a number above 0',
        'no limit',
      ).argParser(minutes),
    )
    .addOption(
      option(
        '--within <POINTS>',
        'points of accuracy below the float network at which it still works',
        'Output:',
        'a number of at least 0',
        '0.5',
      ).argParser(points),
    )
    .addOption(
      option(
        '--at-most <POWER>',
        'power that the answer does not pass, exact 8×8 = 1; alone: the most accurate is looked for, with --within the cheapest',
        'Output:',
        'a number above 0',
        'no limit',
      ).argParser(limitOfPower),
    )
    .addOption(option('--report', 'make the results anew from what is done; train nothing', 'Output:'))
    .addOption(option('--quiet', 'only the table at the end', 'Output:'))
    .addOption(option('--json', 'only the results as one JSON object; progress goes to the error stream', 'Output:'));
  addSettings(command, settingsOfPhases(trialPhases), true);
  addSynthesis(command, { library: 'library', objective: 'power' });
  command.addOption(option('--no-synthesis', 'the front over gate cost; nothing is synthesised', 'Synthesis:'));
  addDeviceOptions(command, placesToWork);
  addTrainingOptions(command);
  addLogOptions(command);
  command.action((folder: string) => work(folder, command, services));
}

function rungList(text: string): readonly number[] {
  const rungs = text.split(',').map((word) => wholeNumber(word.trim()));
  if (rungs.every((rung, at) => rung !== undefined && rung > (rungs[at - 1] ?? 0))) return rungs as number[];
  throw badValue('--halving', text, 'rising numbers of epochs separated by commas');
}

function points(text: string): number {
  const value = decimalNumber(text);
  if (value !== undefined && value >= 0) return value;
  throw badValue('--within', text, 'a number of at least 0');
}

function limitOfPower(text: string): number {
  const value = decimalNumber(text);
  if (value !== undefined && value > 0) return value;
  throw badValue('--at-most', text, 'a number above 0');
}

async function work(folder: string, command: Command, services: Services): Promise<void> {
  const { stdout, stderr } = services;
  const options = command.opts<Options>();
  const { json, quiet, synthesis, report: isReport, from, retry, within, atMost, minutes: limit } = options;
  const stream = json ? stderr : stdout;
  const { planSweep, sweep, reportSweep } = await import('../../flow/sweep/sweep.ts');
  const results = {
    ...given({ loss: within === undefined ? undefined : within / 100, power: atMost }),
    synthesis: synthesis === false ? null : await readSynthesis(command, 'library'),
  };
  const said = await planOf(folder, command);
  if (isReport) {
    if (said.plan) throw new UserError('--report shows what is there; leave the plan out');
    const report = await reportSweep({ folder, ...results });
    await showSweep(folder, report, command, services);
    if (hasFailed(report)) throw new Exit(2);
    return;
  }
  if (options.plan) {
    const { trials } = await planSweep({ folder, ...said, ...given({ from }) });
    const word = shellWord(folder);
    if (json) stdout.write(`${JSON.stringify({ folder, trials: trials.map(({ name }) => name) })}\n`);
    else
      stdout.write(
        `planned: ${trials.length} trial${trials.length === 1 ? '' : 's'} in ${word}; work on them with tram sweep work ${word}, or tram sweep submit ${word}\n`,
      );
    return;
  }
  const progress = quiet ? undefined : new SweepProgress(stream, styleFor(stream, wantsColor(command)));
  const interrupt = interruptible({
    onFirst: () => {
      const text = 'stopping after this step and saving; press Ctrl-C again to stop at once';
      if (progress) progress.tell({ kind: 'note', text });
      else stderr.write(`tram: ${text}\n`);
    },
    onSecond: () => progress?.close(),
  });
  const time = new AbortController();
  const timer = limit === undefined ? undefined : setTimeout(() => time.abort(), 60_000 * limit).unref();
  let report: SweepReport;
  try {
    const { runFlow, runFlowAside = runFlow } = await services.loadFlow();
    report = await sweep({
      ...{
        folder,
        ...said,
        devices: slotsOf(readDevice(command), options, availableParallelism()),
        perform: runFlowAside,
        ...results,
      },
      ...given({ from, retry }),
      logs: readLogs(command),
      command: ['tram', ...(command.parent?.args ?? [])].map(shellWord).join(' '),
      ...(progress ? { listener: (event) => progress.tell(event) } : {}),
      signal: AbortSignal.any([interrupt.signal, time.signal]),
    });
  } catch (error) {
    const code = interrupt.code();
    if (code !== undefined && error === interrupt.signal.reason) throw new Interrupted(goesOn(folder, command), code);
    if (!time.signal.aborted || error !== time.signal.reason) throw error;
    progress?.tell({ kind: 'note', text: `the time is over: ${goesOn(folder, command)}` });
    report = await reportSweep({ folder, ...results });
  } finally {
    clearTimeout(timer);
    progress?.close();
    interrupt.dispose();
  }
  await showSweep(folder, report, command, services);
  if (hasFailed(report)) throw new Exit(2);
}

const goesOn = (folder: string, command: Command): string =>
  `stopped; the work so far is saved, go on with: tram sweep ${[folder, ...frontWords(command), ...logWords(readLogs(command))].map(shellWord).join(' ')}`;

/** What was said of the front, which the plan does not keep: without it the same trials end with another one. */
function frontWords(command: Command): string[] {
  const options = command.opts<Record<string, unknown>>();
  const names = ['library', ...synthesisOptions, 'within', 'atMost'].filter((name) => name !== 'liberty');
  const words = names.flatMap((name) => {
    const isSaid = command.getOptionValueSource(name) === 'cli';
    return isSaid ? [`--${name === 'atMost' ? 'at-most' : name}`, ...[options[name]].flat().map(String)] : [];
  });
  return [...(options.synthesis === false ? ['--no-synthesis'] : []), ...words];
}

/** What is asked for: a plan, or nothing but to go on with the one that is there. */
async function planOf(
  folder: string,
  command: Command,
): Promise<{ plan?: GridInput; rungs?: Rungs; data?: string; question?: Question }> {
  const { over, config, cheapest, perLayer, rivals, halving, from, report } = command.opts<Options>();
  const { hasSweep } = await import('../../flow/sweep/folder.ts');
  // The file of --config is a plan here, which is read already.
  const settings = readSettings(command, settingsOfPhases(trialPhases), true);
  const isPlan = over !== undefined || config !== undefined || cheapest === true;
  if (!isPlan && (report || hasSweep(folder))) return goingOn(folder, settings, halving ?? rivals ?? from);
  if (!isPlan) {
    throw new UserError(
      `${folder} is not the folder of a sweep, and nothing is varied for a new one; say what with --over, --config or --cheapest`,
    );
  }
  const { mergeSettings } = await import('../../flow/settings/config.ts');
  const { saidIn } = await import('../../flow/settings/said.ts');
  const { cheapestGrid, questionOf } = await import('../../flow/sweep/cheapest.ts');
  // The question of --cheapest is none of the trials'.
  const asked = cheapest ? ['explore.power', 'explore.maxLoss'] : [];
  const words = [...saidIn(config?.settings ?? {}), ...saidBy(command, settingsOfPhases(trialPhases), true)];
  const said: GridInput = {
    ...config,
    settings: mergeSettings(config?.settings ?? {}, settings),
    said: words.filter(({ paths }) => !paths.some((path) => asked.includes(path))),
    over: [...(config?.over ?? []), ...(over ?? [])],
    ...given({ rivals: rivals ?? config?.rivals }),
  };
  const { readManifest } = await import('../../flow/run/manifest.ts');
  const before = from === undefined ? {} : { from: readManifest(from).given };
  const plan = cheapest ? cheapestGrid(said, { ...before, perLayer }) : said;
  const question = cheapest ? { question: questionOf(said.settings) } : {};
  if (halving === undefined) return { plan, ...question };
  return { plan, ...question, rungs: halving === true ? 'usual' : halving };
}

/** A sweep that is there has its plan; what may be said is where the data are now. */
function goingOn(folder: string, { data, ...settings }: ConfigurationInput, more: unknown): { data?: string } {
  const other = Object.keys(settings);
  if (other.length === 0 && more === undefined) return given({ data });
  throw new UserError(
    `${folder} is a sweep with a plan of its own, which other settings do not change; leave them out to go on with it, or choose a new folder`,
  );
}

const hasFailed = ({ failed }: SweepReport): boolean => failed.some(({ state }) => state === 'failed');
