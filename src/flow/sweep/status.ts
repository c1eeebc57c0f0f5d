// How a sweep stands, read from its folder: what is done, who works on what and when it last gave a sign of life, what
// waits and what failed. It trains nothing, writes nothing and takes nothing over.
// Whether a worker on another host lives is told by its pulse, watched for a moment; the times shown are by the clock
// of its host, for people, and decide nothing.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { readJsonLines } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import type { MetricRecord } from '../run/events.ts';
import { type Glance, glanceAt } from '../run/lock.ts';
import { METRICS_FILE, metricOf } from '../run/metrics.ts';
import { claimPath, type Outcome, outcomeOf, readSweep, rungOf, triedAgain } from './folder.ts';
import { type Job, jobsOf } from './tree.ts';

/**
 * `silent`: claimed, and no sign of life while it was watched; `stale`: its process is gone, or its last sign is older
 * than anybody waits for: the next worker takes it over.
 */
export type JobState = Outcome['state'] | 'running' | 'silent' | 'stale' | 'waiting';

export interface JobStatus {
  /** `trials/NAME`, or `shared/PHASE-HASH`. */
  readonly job: string;
  readonly state: JobState;
  /** Why it failed or was dropped; of what waits, why it failed before it began: the next worker tries it again. */
  readonly reason?: string;
  /** The last epoch that is logged, and how many its phase has. */
  readonly phase?: string;
  readonly epoch?: number;
  readonly epochs?: number;
  /** Who has claimed it. */
  readonly host?: string;
  readonly pid?: number;
  /** "Slurm task 17_4". */
  readonly task?: string;
  readonly since?: string;
  /** By the clock of its host; now, where its pulse was seen. */
  readonly lastSign?: string;
  /** What has to be done before. */
  readonly waitsFor?: string;
}

export interface SweepStatus {
  readonly folder: string;
  readonly trials: number;
  readonly done: number;
  readonly failed: number;
  readonly dropped: number;
  /** Of trials and of what they have in common. */
  readonly running: number;
  readonly waiting: number;
  readonly stale: number;
  /** Epochs still to train; seconds that they take the workers of now (one, where none works) at the pace so far. */
  readonly epochsLeft: number;
  readonly secondsLeft: number | null;
  readonly jobs: readonly JobStatus[];
}

export interface StatusOptions {
  /** Seconds for which workers on other hosts are watched, as far as they have to be; default 2.5. */
  readonly watch?: number;
}

/** Milliseconds without a sign of life after which nobody waits: as run/lock.ts, with room for other clocks. */
const STALE = 60_000;
const GLANCE = 250;

interface Claimed {
  readonly glance: Glance;
  /** Undefined while neither its process nor its pulse has told. */
  isAlive: boolean | undefined;
}

/**
 * How the sweep in a folder stands now. It only reads, and takes up to `watch` seconds where workers on other hosts
 * have claims. A UserError where the folder has no sweep.
 */
export async function statusOf(folder: string, { watch = 2.5 }: StatusOptions = {}): Promise<SweepStatus> {
  const plan = readSweep(folder);
  const jobs = jobsOf(plan.trials);
  const again = triedAgain(folder, jobs);
  const outcomes = new Map(jobs.map(({ path }) => [path, again.has(path) ? undefined : outcomeOf(folder, path)]));
  const open = jobs.filter(({ path }) => !outcomes.get(path));
  const claims = await watchClaims(folder, open, 1000 * watch);
  const logged = new Map(jobs.map((job) => [job.path, outcomes.get(job.path) ? [] : recordsOf(folder, job.path)]));
  const told = jobs.map((job): JobStatus => {
    const outcome = outcomes.get(job.path);
    if (outcome)
      return { job: job.path, state: outcome.state, ...given({ reason: outcome.reason, host: outcome.host }) };
    const claimed = claims.get(job.path);
    const last = logged.get(job.path)!.at(-1);
    return {
      ...{ job: job.path, state: claimed ? stateOf(claimed) : 'waiting' },
      ...(last ? { phase: last.phase, epoch: last.epoch, epochs: job.configuration[last.phase].epochs } : {}),
      ...(claimed ? whoHas(claimed) : given({ waitsFor: waitsFor(folder, job, jobs, plan.rungs, outcomes) })),
      ...(again.has(job.path) ? given({ reason: outcomeOf(folder, job.path)?.reason }) : {}),
    };
  });
  const trials = new Set(jobs.filter(({ trial }) => trial).map(({ path }) => path));
  const count = (...states: readonly JobState[]) => told.filter(({ state }) => states.includes(state)).length;
  const ended = (state: JobState) => told.filter((one) => one.state === state && trials.has(one.job)).length;
  const running = count('running');
  const epochsLeft = open.reduce((sum, job) => sum + epochsOf(job) - Math.min(epochsOf(job), here(logged, job)), 0);
  const pace = paceOf(jobs, outcomes);
  return {
    ...{ folder, trials: trials.size, done: ended('done'), failed: ended('failed'), dropped: ended('dropped') },
    ...{ running, waiting: count('waiting'), stale: count('stale', 'silent'), epochsLeft },
    secondsLeft: pace === undefined ? null : (epochsLeft * pace) / Math.max(1, running),
    jobs: told,
  };
}

/** The claims of open runs; those of which no process tells are watched until their pulse does, or the time is over. */
async function watchClaims(folder: string, open: readonly Job[], time: number): Promise<Map<string, Claimed>> {
  const claims = new Map<string, Claimed>();
  for (const { path } of open) {
    const glance = glanceAt(claimPath(folder, path));
    if (glance) claims.set(path, { glance, isAlive: glance.isAlive });
  }
  const unknown = () => [...claims].filter(([, { isAlive }]) => isAlive === undefined);
  for (let waited = 0; waited < time && unknown().length > 0; waited += GLANCE) {
    await setTimeout(GLANCE);
    for (const [path, claimed] of unknown()) {
      const now = glanceAt(claimPath(folder, path));
      if (!now) claims.delete(path);
      else if (now.pulse !== claimed.glance.pulse) claims.set(path, { glance: now, isAlive: true });
    }
  }
  return claims;
}

function stateOf({ glance, isAlive }: Claimed): JobState {
  if (isAlive !== undefined) return isAlive ? 'running' : 'stale';
  return Date.now() - glance.beat > STALE ? 'stale' : 'silent';
}

function whoHas({ glance: { owner, beat }, isAlive }: Claimed): Partial<JobStatus> {
  const lastSign = new Date(isAlive ? Date.now() : beat).toISOString();
  if (!owner) return { lastSign };
  const { host, pid, since, task } = owner;
  return { host, pid, since, lastSign, ...given({ task }) };
}

/** The parent, or the last trials before a rung. */
function waitsFor(
  folder: string,
  { parent, path, trial }: Job,
  jobs: readonly Job[],
  rungs: readonly number[],
  outcomes: ReadonlyMap<string, Outcome | undefined>,
): string | undefined {
  if (parent !== undefined && !outcomes.get(parent)) return parent;
  const reached = rungs.findLastIndex((_, rung) => trial && rungOf(folder, path, rung));
  if (reached < 0) return undefined;
  const behind = jobs.filter((job) => job.trial && !outcomes.get(job.path) && !rungOf(folder, job.path, reached));
  if (behind.length === 0) return undefined;
  return `${behind.length} ${behind.length === 1 ? 'trial' : 'trials'} before epoch ${rungs[reached]} of the recovery`;
}

/** Lines of a log that may grow meanwhile; none where there is no log yet, or none that can be read. */
function recordsOf(folder: string, job: string): MetricRecord[] {
  const path = join(folder, job, METRICS_FILE);
  try {
    return existsSync(path) ? readJsonLines(path).flatMap((line) => metricOf(line) ?? []) : [];
  } catch {
    return [];
  }
}

const epochsOf = ({ epochs }: Job): number => Object.values(epochs).reduce((sum, count) => sum + count, 0);

/** Epochs of a run's own phases that its log has; those of its parent are there, too. */
function here(logged: ReadonlyMap<string, readonly MetricRecord[]>, job: Job): number {
  return logged.get(job.path)!.filter(({ phase }) => job.epochs[phase] !== undefined).length;
}

/** Seconds per epoch of the runs that are done. */
function paceOf(jobs: readonly Job[], outcomes: ReadonlyMap<string, Outcome | undefined>): number | undefined {
  const done = jobs.filter((job) => outcomes.get(job.path)?.state === 'done' && epochsOf(job) > 0);
  const epochs = done.reduce((sum, job) => sum + epochsOf(job), 0);
  const seconds = done.reduce((sum, job) => sum + outcomes.get(job.path)!.seconds, 0);
  return epochs === 0 ? undefined : seconds / epochs;
}
