// `tram sweep submit`: what is left of a sweep as a job of a cluster's scheduler: Slurm's scripts, written and
// submitted; files for Kubernetes and Ray, written alone.

import { join, relative, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { badValue, nonEmpty, wholeNumberFrom } from '../../flow/settings/values.ts';
import type { ClusterRequest } from '../../flow/sweep/cluster/request.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { addDeviceOptions, addLogOptions, logWords, readLogs } from '../options.ts';
import type { Services } from '../services.ts';
import { shellWord } from '../style.ts';
import { placesToWork, slotsOf } from './sweep-parts.ts';

const AFTER = `
Begin the sweep with --plan first. With --slurm, SWEEP/cluster gets two batch scripts, which may be read and changed: what trials have in common,
and an array of tasks that do a trial each; both are submitted, the second one to wait for the first. A task that is preempted, or whose time is
over, saves and goes on when Slurm runs it again. Submit again at any time for what is left then.
With --kubernetes or --ray a file is written for kubectl or Python.

Examples:
  tram sweep submit runs/big --slurm --gpus-per-task 1 --time 04:00:00 --partition gpu
  tram sweep submit runs/big --slurm --gpus-per-task 4 --device cuda:all
  tram sweep submit runs/big --slurm --cpus-per-task 8 --array-limit 20 --dry-run
  tram sweep submit runs/big --kubernetes --image registry/tram:1 --volume home --gpus-per-task 1
`;

const schedulers = ['slurm', 'kubernetes', 'ray'] as const;
type Scheduler = (typeof schedulers)[number];

interface Options {
  readonly slurm?: boolean;
  readonly kubernetes?: boolean;
  readonly ray?: boolean;
  readonly dryRun?: boolean;
  readonly retry?: boolean;
  readonly trials?: number;
  readonly arrayLimit?: number;
  readonly gpusPerTask?: number;
  readonly cpusPerTask?: number;
  readonly mem?: string;
  readonly partition?: string;
  readonly time?: string;
  readonly account?: string;
  readonly sbatch?: readonly string[];
  readonly image?: string;
  readonly volume?: string;
  readonly program?: string;
  readonly data?: string;
  readonly jobs?: number;
  readonly synthesis?: boolean;
  readonly json?: boolean;
  /** As it is spelt. */
  readonly device?: string;
  readonly precision?: string;
  readonly emulation?: string;
  readonly threads?: number;
}

/** A word that a batch script takes as it is. */
const word = (option: string, what: string) => (text: string) => {
  if (/^[\w.,:@+/*=\-[\]()&|!]+$/.test(text)) return text;
  throw badValue(option, text, what);
};

/** Days, hours, minutes and seconds, as Slurm spells a time: 04:00:00, 90 (minutes), 2-0, 2-12:00. */
function timeOfSlurm(text: string): string {
  const what = 'a time of Slurm such as 04:00:00 (hours), 90 (minutes) or 2-0 (days)';
  const [, days, first, second = '0', third] = /^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$/.exec(text) ?? [];
  if (first === undefined) throw badValue('--time', text, what);
  const hours = days !== undefined || third !== undefined;
  const [whole, parts] = [Number(first), Number(second)];
  const minutes = hours ? 1440 * Number(days ?? 0) + 60 * whole + parts : whole;
  // A task is told two minutes before, and would go back into the queue before it has done anything.
  if (minutes < LEAST_MINUTES) {
    throw badValue(
      '--time',
      text,
      `at least ${LEAST_MINUTES} minutes, of which two are for saving; 04:00:00 is four hours, 4 and 4:00 are minutes`,
    );
  }
  return text;
}

const LEAST_MINUTES = 5;

/** Options that one scheduler has and others have not: refused there, for they would have no effect. */
const belongsTo: readonly [option: keyof Options, schedulers: readonly Scheduler[]][] = [
  ['partition', ['slurm']],
  ['account', ['slurm']],
  ['sbatch', ['slurm']],
  ['time', ['slurm']],
  ['image', ['kubernetes']],
  ['volume', ['kubernetes']],
  ['mem', ['slurm', 'kubernetes']],
];

function requireEffect(options: Options): void {
  const chosen = schedulers.find((name) => options[name]);
  if (chosen === undefined) throw new UserError('say for which scheduler: --slurm, --kubernetes or --ray');
  for (const [option, valid] of belongsTo) {
    if (options[option] === undefined || valid.includes(chosen)) continue;
    const names = valid.map((name) => `--${name}`).join(' and ');
    throw new UserError(`--${option} belongs to ${names} and has no effect with --${chosen}; leave it out`);
  }
  const size = chosen === 'slurm' ? /^\d+[KMGT]?$/i : /^\d+(\.\d+)?[kMGT]i?$/;
  if (options.mem !== undefined && !size.test(options.mem)) {
    throw badValue(
      '--mem',
      options.mem,
      `a size of ${chosen === 'slurm' ? 'Slurm such as 16G' : 'Kubernetes such as 16Gi'}`,
    );
  }
}

export function defineSweepSubmit(command: Command, services: Services): void {
  const option = (flags: string, help: string, group: string, values?: string, usual?: string) =>
    new Option(flags, describeOption({ help, values, default: usual })).helpGroup(group);
  const where = 'Cluster:';
  const each = 'What each task gets:';
  command
    .description('Gives what is left of a sweep to the scheduler of a cluster.')
    .argument('<SWEEP>', 'folder of the sweep, on a file system that the cluster sees', nonEmpty('SWEEP', 'a folder'))
    .addHelpText('after', AFTER)
    .addOption(
      option('--slurm', 'write batch scripts and submit them with sbatch', where).conflicts(['kubernetes', 'ray']),
    )
    .addOption(option('--kubernetes', 'write an indexed Job for kubectl', where).conflicts(['slurm', 'ray']))
    .addOption(option('--ray', 'write a Python script that submits a job of Ray for each task', where))
    .addOption(option('--dry-run', 'write the files alone, and say how to submit them', where))
    .addOption(
      option('--array-limit <N>', 'tasks at a time', where, '1 to 100000', 'as many as there are').argParser(
        wholeNumberFrom('--array-limit', 1, 100_000),
      ),
    )
    .addOption(option('--partition <NAME>', 'of Slurm', where).argParser(word('--partition', 'a name')))
    .addOption(option('--account <NAME>', 'of Slurm', where).argParser(word('--account', 'a name')))
    .addOption(
      option(
        '--sbatch <OPTION>',
        'a further option of sbatch without its hyphens, such as qos=long; may be given several times',
        where,
      ).argParser((text: string, all: readonly string[] = []) => [
        ...all,
        word('--sbatch', 'an option such as qos=long')(text),
      ]),
    )
    .addOption(
      option('--image <IMAGE>', 'of Kubernetes: a container image with the command tram', where).argParser(
        word('--image', 'the name of an image'),
      ),
    )
    .addOption(
      option(
        '--volume <CLAIM>',
        'of Kubernetes: the PersistentVolumeClaim that holds the current folder',
        where,
      ).argParser(word('--volume', 'a name')),
    )
    .addOption(
      option('--trials <N>', 'trials of a task', each, '1 to 100000', '1').argParser(
        wholeNumberFrom('--trials', 1, 100_000),
      ),
    )
    .addOption(
      option(
        '--gpus-per-task <N>',
        'GPUs; with more than one --device says what they do',
        each,
        '0 to 64',
        'none',
      ).argParser(wholeNumberFrom('--gpus-per-task', 0, 64)),
    )
    .addOption(
      option('--cpus-per-task <N>', 'cores', each, '1 to 1024', 'what the cluster gives').argParser(
        wholeNumberFrom('--cpus-per-task', 1, 1024),
      ),
    )
    .addOption(
      option('--mem <SIZE>', 'of Slurm and Kubernetes: memory, such as 16G', each).argParser(
        word('--mem', 'a size such as 16G'),
      ),
    )
    .addOption(
      option(
        '--time <TIME>',
        'of Slurm: time after which a task saves and goes back into the queue',
        each,
        'such as 04:00:00 or 2-0',
      ).argParser(timeOfSlurm),
    )
    .addOption(
      option('--jobs <N>', 'runs side by side on each device', each, '1 to 256', '1').argParser(
        wholeNumberFrom('--jobs', 1, 256),
      ),
    )
    .addOption(option('--data <DATA>', 'where the data are there', each).argParser(nonEmpty('--data', 'a data set')))
    .addOption(
      option(
        '--program <COMMAND>',
        'what is called there',
        each,
        undefined,
        'this program by its path; tram in an image',
      ).argParser(word('--program', 'a command')),
    )
    .addOption(option('--no-synthesis', 'the front over gate cost; nothing is synthesised', each))
    .addOption(option('--retry', 'have what failed tried again', 'Work:'))
    .addOption(option('--json', 'only what was written and submitted, as one JSON object', 'Output:'));
  addDeviceOptions(command, (text) => {
    placesToWork(text);
    return text;
  });
  addLogOptions(command);
  command.action((folder: string) => submit(folder, command, services));
}

async function submit(folder: string, command: Command, { stdout }: Services): Promise<void> {
  const options = command.opts<Options>();
  const { slurm, kubernetes, dryRun, retry, json } = options;
  requireEffect(options);
  const { leftOf } = await import('../../flow/sweep/cluster/request.ts');
  const { retryFailed } = await import('../../flow/sweep/sweep.ts');
  const request = requestOf(folder, options, logWords(readLogs(command)));
  leftOf(folder);
  if (retry && !dryRun) retryFailed(folder);
  const left = leftOf(folder, retry);
  const shown = (path: string) => shellWord(relative('', join(folder, path)));
  if (slurm) {
    const { slurmScripts, submitScripts, writeScripts } = await import('../../flow/sweep/cluster/slurm.ts');
    const { partition, time, account, sbatch } = options;
    const scripts = slurmScripts({ ...request, partition, time, account, more: sbatch ?? [] }, left);
    if (scripts.length === 0) throw nothingLeft(folder);
    writeScripts(folder, scripts);
    const written = scripts.map(({ path, part, tasks, text: _ }) => ({ path: join(folder, path), part, tasks }));
    const submitted = dryRun ? [] : await submitScripts(resolve(folder), scripts);
    if (json) {
      stdout.write(`${JSON.stringify({ written, submitted })}\n`);
      return;
    }
    for (const { path, part, tasks } of scripts) {
      const what = part === 'shared' ? 'what trials have in common' : counted(left.trials, 'trial');
      const job = submitted.find((one) => one.part === part);
      stdout.write(`${job ? `job ${job.job}` : 'written'}: ${shown(path)}, ${counted(tasks, 'task')} for ${what}\n`);
    }
    const next = dryRun
      ? retry
        ? 'again without --dry-run submits: only then is what failed marked to be tried again'
        : `submit ${scripts.length > 1 ? 'them in this order' : 'it'} with sbatch, or again without --dry-run`
      : `how it goes: tram sweep status ${shellWord(folder)}`;
    stdout.write(`${next}\n`);
    return;
  }
  const { writeClusterFile, KUBERNETES_FILE, RAY_FILE } = await import('../../flow/sweep/cluster/files.ts');
  if (left.trials === 0) throw nothingLeft(folder);
  const path = kubernetes ? KUBERNETES_FILE : RAY_FILE;
  writeClusterFile(folder, path, kubernetes ? { ...request, ...podOf(options) } : request, left);
  const how = `${kubernetes ? 'kubectl apply -f' : 'python3'} ${shown(path)}`;
  if (json) stdout.write(`${JSON.stringify({ written: [{ path: join(folder, path) }], submitted: [] })}\n`);
  else stdout.write(`written: ${shown(path)}, for ${counted(left.trials, 'trial')}; submit it with: ${how}\n`);
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

const nothingLeft = (folder: string) =>
  new UserError(
    `${folder}: no trial is left to do; tram sweep ${folder} --report shows what came out, --retry tries again what failed`,
  );

function podOf({ image, volume }: Options): { image: string; volume: string } {
  if (image !== undefined && volume !== undefined) return { image, volume };
  throw new UserError(
    '--kubernetes needs --image, a container image with the command tram, and --volume, the PersistentVolumeClaim that holds the current folder',
  );
}

function requestOf(folder: string, options: Options, logs: readonly string[]): ClusterRequest {
  const { gpusPerTask: gpus, cpusPerTask: cpus, mem: memory, arrayLimit: limit, program, kubernetes, data } = options;
  const device = deviceFor(options);
  const places = slotsOf(
    {},
    { jobs: options.jobs ?? 1, ...(device ? { device: placesToWork(device) } : {}) },
    1,
  ).length;
  const isOnCores = device === undefined || /wasm/.test(device);
  const words: Record<string, string | number | undefined> = {
    ...{ device, precision: options.precision, emulation: options.emulation, data, jobs: options.jobs },
    threads: options.threads ?? (isOnCores && cpus !== undefined ? Math.max(1, Math.floor(cpus / places)) : undefined),
  };
  const own = kubernetes ? ['tram'] : [process.execPath, resolve(process.argv[1] ?? 'tram')];
  return {
    ...{ folder, directory: process.cwd(), limit, gpus: gpus || undefined, cpus, memory },
    program: program === undefined ? own : [program],
    // Every place to work of a task has something to do.
    trialsEach: options.trials ?? places,
    options: [
      ...Object.entries(given(words)).flatMap(([name, value]) => [`--${name}`, String(value)]),
      ...(options.synthesis === false ? ['--no-synthesis'] : []),
      ...logs,
    ],
  };
}

/** On a GPU where there is one; which of several does what is for the user to say. */
function deviceFor({ device, gpusPerTask = 0 }: Options): string | undefined {
  if (device?.includes('cuda') && gpusPerTask === 0) {
    throw new UserError(`--device ${device} needs GPUs: say how many a task gets with --gpus-per-task`);
  }
  if (device !== undefined || gpusPerTask === 0) return device;
  if (gpusPerTask === 1) return 'cuda';
  throw new UserError(
    `--gpus-per-task ${gpusPerTask}: say with --device what a task does with them; cuda:0,cuda:1 is a trial on each, cuda:all one trial on all of them`,
  );
}
