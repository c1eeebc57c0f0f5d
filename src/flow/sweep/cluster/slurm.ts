// A sweep as array jobs of Slurm: batch scripts that people can read, change and submit by hand, and what sbatch and
// squeue say. One job does what trials have in common, a second one, which waits for it, the trials, so that no GPU is
// held by a task that waits. After https://slurm.schedmd.com/sbatch.html (22.05 and later).

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { UserError } from '../../../tensor/errors.ts';
import { makeFolderInside, openJsonLines, readJsonLines, writeInside } from '../../../tensor/files.ts';
import { given } from '../../../tensor/given.ts';
import {
  CLUSTER_FOLDER,
  type ClusterRequest,
  commandLine,
  jobName,
  type Left,
  workersFor,
  workerWords,
} from './request.ts';

export interface SlurmRequest extends ClusterRequest {
  readonly partition?: string | undefined;
  /** As Slurm spells it: 04:00:00, or 2-0. */
  readonly time?: string | undefined;
  readonly account?: string | undefined;
  /** Further options of sbatch, without their hyphens: `constraint=a100`. */
  readonly more?: readonly string[];
}

type Part = 'shared' | 'trials';

export interface BatchScript {
  readonly part: Part;
  /** Relative to the sweep's folder. */
  readonly path: string;
  readonly tasks: number;
  readonly text: string;
}

/** Seconds before the end of its time at which a task is told, to save and to go back into the queue. */
const NOTICE = 120;
/** Exit code of a worker that SIGTERM has stopped: it has saved, and given its trial back. */
const STOPPED = 143;

/** The scripts for what is left; none where nothing is. */
export function slurmScripts(request: SlurmRequest, { shared, trials }: Left): readonly BatchScript[] {
  const script = (part: Part, tasks: number): BatchScript => ({
    ...{ part, path: `${CLUSTER_FOLDER}/${part}.sbatch`, tasks },
    text: scriptText(request, part, tasks),
  });
  if (trials === 0) return [];
  return [...(shared > 0 ? [script('shared', shared)] : []), script('trials', workersFor(trials, request))];
}

function scriptText(request: SlurmRequest, part: Part, tasks: number): string {
  const { folder, directory, limit, gpus, cpus, memory, partition, time, account, more = [], trialsEach } = request;
  const what =
    part === 'shared'
      ? 'what its trials have in common'
      : `${trialsEach === 1 ? 'one trial' : `${trialsEach} trials`} in each task`;
  const array = `1-${tasks}${limit === undefined ? '' : `%${limit}`}`;
  const log = `${literal(join(resolve(folder), CLUSTER_FOLDER))}/%A_%a.log`;
  const wanted = {
    ...{ partition, time, account, 'gpus-per-task': gpus, 'cpus-per-task': cpus, mem: memory },
  };
  const options = Object.entries(wanted).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const line = (option: string) => `#SBATCH --${option}`;
  return `#!/bin/bash
# A sweep of tram on Slurm: ${what}. Made by tram sweep submit; it may be changed and submitted by hand.
# What squeue shows.
${line(`job-name=${jobName(folder)}-${part}`)}
# Relative paths of the sweep are meant from here.
${line(`chdir=${quotedValue(directory)}`)}
# ${part === 'shared' ? 'As many tasks as can begin' : 'Tasks for the trials that were left'}; a task that finds nothing to do ends at once${limit === undefined ? '' : `; at most ${limit} at a time`}.
${line(`array=${array}`)}
# A log for each task (%A: job, %a: task); one that was put back into the queue goes on in its own.
${line(`output=${quotedValue(log)}`)}
${line('open-mode=append')}
# Slurm may put a task back into the queue: after preemption, or where a node has failed.
${line('requeue')}
# This script (B) is told ${NOTICE} seconds before the end of a task's time; below it sees to it that the task goes on.
${line(`signal=B:TERM@${NOTICE}`)}
# One process, and what it gets.
${line('ntasks=1')}
${[...options, ...more].map((option) => `${line(option)}\n`).join('')}
${commandLine(workerWords(request, resolve(folder), part))} &
worker=$!

# The signal is passed on, once: the worker saves, gives its trial back and ends with ${STOPPED}.
told=
trap 'told=yes; trap "" TERM; kill -TERM "$worker" 2>/dev/null' TERM
wait "$worker"
code=$?
# wait ends with the signal; the worker ends when it has saved.
if [ -n "$told" ]; then wait "$worker"; code=$?; fi

# Stopped, and the task still counts as running: its time is over, and it goes on in the queue's next turn. After scancel
# and after preemption it does not count as running, and Slurm decides itself.
if [ "$code" -eq ${STOPPED} ] && [ "$(squeue --noheader --format=%T --jobs="$SLURM_JOB_ID")" = RUNNING ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
`;
}

/** A folder in the name of a log, where % begins what Slurm fills in; a backslash would switch that off. */
function literal(folder: string): string {
  if (folder.includes('\\')) {
    throw new UserError(
      `Slurm writes no logs into the folder '${folder}', because of its backslash; choose another one`,
    );
  }
  return folder.replaceAll('%', '%%');
}

/** A value in a line of #SBATCH, which knows double quotes and the backslash. */
function quotedValue(text: string): string {
  if (/[\n\r]/.test(text)) throw new UserError(`a batch script cannot name the folder '${text}'; choose another one`);
  return /^[\w./%+:@=-]+$/.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

export function writeScripts(folder: string, scripts: readonly BatchScript[]): void {
  makeFolderInside(folder, CLUSTER_FOLDER);
  for (const { path, text } of scripts) writeInside(folder, path, text);
}

const submittedSchema = z.object({
  scheduler: z.literal('slurm'),
  job: z.string(),
  /** Of a federation of clusters. */
  cluster: z.string().exactOptional(),
  part: z.enum(['shared', 'trials']),
  tasks: z.int(),
  submitted: z.string(),
});
export type Submitted = z.output<typeof submittedSchema>;

const JOBS = `${CLUSTER_FOLDER}/jobs.jsonl`;

const run = promisify(execFile);

/** Submits the scripts, each after the one before; their jobs are written down in the sweep's folder. */
export async function submitScripts(folder: string, scripts: readonly BatchScript[]): Promise<readonly Submitted[]> {
  const submitted: Submitted[] = [];
  for (const { part, path, tasks } of scripts) {
    const before = submitted.at(-1);
    // Also where one of them failed: the trials then say what they lack.
    const dependency = before ? [`--dependency=afterany:${before.job}`] : [];
    const { stdout } = await call('sbatch', ['--parsable', ...dependency, join(folder, path)]);
    const [job = '', cluster] = stdout.trim().split('\n').at(-1)!.split(';');
    if (!/^\d+$/.test(job)) throw new UserError(`sbatch answered '${stdout.trim()}', not the number of a job`);
    const one: Submitted = {
      ...{ scheduler: 'slurm', job, ...given({ cluster }), part, tasks, submitted: new Date().toISOString() },
    };
    const log = openJsonLines(join(folder, JOBS));
    log.append(one);
    log.close();
    submitted.push(one);
  }
  return submitted;
}

async function call(program: string, args: readonly string[]): Promise<{ stdout: string }> {
  try {
    return await run(program, args, { timeout: 60_000 });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') {
      throw new UserError(
        `${program} is not here: submit from a machine of the cluster, or write the scripts alone with --dry-run`,
      );
    }
    throw new UserError(`${program}: ${(stderr ?? '').trim() || (error as Error).message}`);
  }
}

/** The jobs that were submitted for a sweep, as its folder has them. */
export function submittedJobs(folder: string): readonly Submitted[] {
  const path = join(folder, JOBS);
  return existsSync(path) ? readJsonLines(path).flatMap((line) => submittedSchema.safeParse(line).data ?? []) : [];
}

/** A task in Slurm's queue: pending with its reason, or running and where. */
export interface QueuedTask {
  /** 17_4, or 17_[5-12] of those that wait together. */
  readonly task: string;
  readonly state: string;
  readonly reason: string;
}

/** What squeue knows of the sweep's jobs; undefined where there is no squeue, or it does not answer. */
export async function queueOf(jobs: readonly Submitted[]): Promise<readonly QueuedTask[] | undefined> {
  if (jobs.length === 0) return [];
  try {
    // Without --jobs, which is an error for a job that has long ended.
    const { stdout } = await run('squeue', ['--me', '--noheader', '--format=%i|%T|%r'], { timeout: 10_000 });
    const known = new Set(jobs.map(({ job }) => job));
    return stdout.split('\n').flatMap((line) => {
      const [task = '', state = '', reason = ''] = line.trim().split('|');
      return known.has(task.split('_')[0]!) ? [{ task, state, reason }] : [];
    });
  } catch {
    return undefined;
  }
}
