// What a cluster is asked for, whichever scheduler it has: workers on what is left of a sweep, and what each of them
// gets. Not a scheduler: queues, nodes and retries are theirs, claims and results the folder's.

import { basename, isAbsolute, relative, resolve } from 'node:path';
import { UserError } from '../../../tensor/errors.ts';
import { shellWord } from '../../../tensor/names.ts';
import { outcomeOf, readSweep, triedAgain } from '../folder.ts';
import { jobsOf } from '../tree.ts';

/** In the folder of the sweep: scripts, their logs, and which jobs were submitted. */
export const CLUSTER_FOLDER = 'cluster';

export interface ClusterRequest {
  /** The sweep's folder. */
  readonly folder: string;
  /** From where its relative paths are meant, and where a worker begins. */
  readonly directory: string;
  /** Program and its first arguments, before `sweep work`. */
  readonly program: readonly string[];
  /** Options of `tram sweep work` that every worker gets. */
  readonly options: readonly string[];
  /** Trials of a worker. */
  readonly trialsEach: number;
  /** Workers at a time; undefined: as many as there are. */
  readonly limit?: number | undefined;
  readonly gpus?: number | undefined;
  readonly cpus?: number | undefined;
  /** As the scheduler spells it: 16G. */
  readonly memory?: string | undefined;
}

/** What is left of a sweep to submit. */
export interface Left {
  readonly trials: number;
  /** Runs that trials have in common and that wait for nothing: so many workers can begin. */
  readonly shared: number;
}

/** What workers would do; `retry`: with what failed. */
export function leftOf(folder: string, retry = false): Left {
  const jobs = jobsOf(readSweep(folder).trials);
  const again = triedAgain(folder, jobs, retry);
  const isOpen = (path: string) => again.has(path) || outcomeOf(folder, path) === undefined;
  const open = jobs.filter(({ path }) => isOpen(path));
  const roots = open.filter(({ trial, parent }) => !trial && (parent === undefined || !isOpen(parent)));
  return { trials: open.filter(({ trial }) => trial).length, shared: roots.length };
}

export const workersFor = (trials: number, { trialsEach }: Pick<ClusterRequest, 'trialsEach'>): number =>
  Math.ceil(trials / trialsEach);

/** Program and arguments of a worker, with the folder as `path`. */
export function workerWords(request: ClusterRequest, path: string, part: 'shared' | 'trials'): readonly string[] {
  const { program, options, trialsEach } = request;
  const share = part === 'shared' ? ['--shared'] : ['--trials', String(trialsEach)];
  return [...program, 'sweep', 'work', path, ...share, ...options];
}

export const commandLine = (words: readonly string[]): string => words.map(shellWord).join(' ');

/** A name that every scheduler takes: lower case letters, digits and hyphens, at most 50. */
export function jobName(folder: string): string {
  const name = basename(resolve(folder))
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  return `tram-${name || 'sweep'}`.slice(0, 50).replace(/-$/, '');
}

/** The folder as it is named from the directory; a UserError where it lies elsewhere. */
export function folderInside({ folder, directory }: Pick<ClusterRequest, 'folder' | 'directory'>): string {
  const path = relative(directory, resolve(folder));
  if (path !== '' && !path.startsWith('..') && !isAbsolute(path)) return path;
  throw new UserError(
    `${folder} is not below ${directory}, which is what the volume holds for the pods; submit from a folder above it`,
  );
}
