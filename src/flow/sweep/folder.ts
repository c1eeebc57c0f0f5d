// The folder of a sweep: its plan in sweep.json, a run folder for each trial and for each set of shared phases, and
// beside each of these how it ended. Paths are relative to the folder, which can be copied.
// Invariants: the plan is written once and known by its digest; how a run ended is written by the one who holds its
// claim, and then stays.

import { existsSync, readdirSync, renameSync, rmdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { relocate } from '../../data/registry.ts';
import { UserError } from '../../tensor/errors.ts';
import { createJsonInside, makeFolder, readJson, removeFile, sha256, writeJsonInside } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { version } from '../../version.ts';
import { SWEEP_PLAN } from '../run/folder.ts';
import { glanceAt, type InUse, isLock, LOCK_FILE, lockRun, type RunLock, tryLock, type Watched } from '../run/lock.ts';
import { fileName, hasManifest, readManifest, withoutSearchedWidths } from '../run/manifest.ts';
import { type ConfigurationInput, configurationSchema, describeIssues } from '../settings/config.ts';
import type { Trial } from './grid.ts';
import { phaseKeys, sharedPath } from './keys.ts';
import type { Job } from './tree.ts';

/** What stands in the folder of a sweep. */
export const sweepFiles = {
  plan: SWEEP_PLAN,
  trials: 'trials',
  shared: 'shared',
  best: 'best',
  json: 'front.json',
  csv: 'front.csv',
  tex: 'front.tex',
  svg: 'front.svg',
  png: 'front.png',
} as const;

const settingsRecord = z.custom<ConfigurationInput>(
  (given) => configurationSchema.safeParse(given).success,
  'expected settings',
);

const planSchema = z.strictObject({
  format: z.literal('tram-sweep'),
  version: z.literal(1),
  program: z.strictObject({ tram: z.string(), node: z.string() }),
  created: z.string(),
  /** The working directory from which relative paths in the settings were meant. */
  directory: z.string(),
  /** A run from whose finished phases the first ones branch. */
  from: z.string().exactOptional(),
  /** What it is to answer, where that was said with the plan. */
  question: z.strictObject({ loss: z.number().exactOptional(), power: z.number().exactOptional() }).exactOptional(),
  /** Epochs of the recovery after which the dominated half of the points is dropped; empty: none is. */
  rungs: z.array(z.int().min(1)),
  trials: z
    .array(
      z.strictObject({
        name: fileName,
        point: fileName,
        kind: z.enum(['trial', 'rival']),
        settings: settingsRecord,
      }),
    )
    .min(1),
  /** SHA-256 of the rest. */
  digest: z.string(),
});
/** The plan of a sweep as its folder has it: its trials, in the order in which they are done, and its question. */
export type SweepPlan = Omit<z.output<typeof planSchema>, 'digest' | 'trials'> & { readonly trials: readonly Trial[] };

export function hasSweep(folder: string): boolean {
  return existsSync(join(folder, sweepFiles.plan));
}

export function readSweep(folder: string): SweepPlan {
  const path = join(folder, sweepFiles.plan);
  if (!existsSync(path)) {
    throw new UserError(
      `${folder} is not the folder of a sweep: it has no ${sweepFiles.plan}; begin one with tram sweep ${folder} --over NAME=VALUES, or --cheapest (beside it --plan: without training)`,
    );
  }
  const advice = 'restore it, or begin a new sweep';
  const json = readJson(path, advice);
  const parsed = planSchema.safeParse(json);
  if (!parsed.success) throw new UserError(`${path}: ${describeIssues(parsed.error)}; ${advice}`);
  const { digest, ...plan } = parsed.data;
  const { digest: _, ...rest } = json as Record<string, unknown>;
  if (digest !== sha256(JSON.stringify(rest))) {
    throw new UserError(`${path} was changed since the program wrote it; ${advice}`);
  }
  return plan;
}

/** What a plan is made from. */
export type WantedPlan = Pick<SweepPlan, 'trials' | 'rungs' | 'from' | 'question'>;

/**
 * The plan of a folder, which is made when there is none. One that has a plan goes on with it: other trials than it has
 * are a UserError.
 */
export async function openSweep(folder: string, wanted: WantedPlan | undefined): Promise<SweepPlan> {
  if (!hasSweep(folder)) {
    if (!wanted) return readSweep(folder);
    requireEmpty(folder);
    const lock = await lockRun(folder);
    try {
      if (!hasSweep(folder)) writePlan(folder, wanted);
    } finally {
      lock.release();
    }
  }
  const plan = readSweep(folder);
  if (wanted) requireSame(folder, plan, wanted);
  return plan;
}

function writePlan(folder: string, { trials, rungs, from, question }: WantedPlan): void {
  const plan: SweepPlan = {
    ...{ format: 'tram-sweep', version: 1, program: { tram: version, node: process.version } },
    ...{
      created: new Date().toISOString(),
      directory: process.cwd(),
      ...given({ from, question }),
      rungs: [...rungs],
      trials,
    },
  };
  const json = JSON.parse(JSON.stringify(plan));
  writeJsonInside(folder, sweepFiles.plan, { ...json, digest: sha256(JSON.stringify(json)) });
}

function requireSame(folder: string, plan: SweepPlan, wanted: WantedPlan): void {
  const text = ({ name, settings }: Trial) => `${name} ${JSON.stringify(settings)}`;
  const known = new Set(plan.trials.map(text));
  const other = wanted.trials.find((trial) => !known.has(text(trial)));
  const advice = `tram sweep ${folder} alone goes on with its own plan; choose a new folder for another one`;
  if (other) throw new UserError(`${folder} is a sweep without the trial ${other.name} with these settings; ${advice}`);
  if (wanted.trials.length !== plan.trials.length) {
    throw new UserError(
      `${folder} is a sweep of ${plan.trials.length} trials, not of ${wanted.trials.length}; ${advice}`,
    );
  }
  const source = (from: string | undefined, directory: string) =>
    from === undefined ? undefined : resolve(directory, from);
  if (wanted.from !== undefined && source(plan.from, plan.directory) !== source(wanted.from, process.cwd())) {
    const begins = plan.from === undefined ? 'that branches from no run' : `that branches from ${plan.from}`;
    throw new UserError(`${folder} is a sweep ${begins}, not from ${wanted.from}; ${advice}`);
  }
  if (JSON.stringify(plan.rungs) !== JSON.stringify(wanted.rungs)) {
    throw new UserError(`${folder} is a sweep ${plan.rungs.length > 0 ? 'with' : 'without'} halving; ${advice}`);
  }
}

/** A new sweep is made in a folder that is not there or empty. */
function requireEmpty(folder: string): void {
  if (!existsSync(folder)) return;
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder} is a file; a folder for the sweep was expected`);
  const found = readdirSync(folder).filter((name) => name !== LOCK_FILE && !/^\..*\.tmp$/.test(name));
  if (found.length === 0) return;
  const more = found.length > 4 ? ` and ${found.length - 4} more` : '';
  throw new UserError(
    `${folder} is not the folder of a sweep (no ${sweepFiles.plan}), but ${found.slice(0, 4).join(', ')}${more} stand there; choose a new or empty folder`,
  );
}

const outcomeSchema = z.strictObject({
  state: z.enum(['done', 'failed', 'dropped']),
  /** Why it failed or was dropped, in one line. */
  reason: z.string().exactOptional(),
  /** Whether any phase had begun: what failed before that is tried again. */
  begun: z.boolean(),
  seconds: z.number().nonnegative(),
  finished: z.string(),
  host: z.string(),
});
export type Outcome = z.output<typeof outcomeSchema>;

const outcomePath = (job: string): string => `${job}.json`;

/** How a run of the sweep ended; undefined while it has not. */
export function outcomeOf(folder: string, job: string): Outcome | undefined {
  return keptAs(outcomeSchema, join(folder, outcomePath(job)));
}

/** What the sweep has written down of a run; undefined where there is nothing. */
function keptAs<T>(schema: z.ZodType<T>, path: string): T | undefined {
  if (!existsSync(path)) return undefined;
  const advice = 'remove it to have the run looked at again';
  const parsed = schema.safeParse(readJson(path, advice));
  if (parsed.success) return parsed.data;
  throw new UserError(`${path}: ${describeIssues(parsed.error)}; ${advice}`);
}

/** Writes down how a run ended; false where that has been said already, which stays. */
export function keepOutcome(folder: string, job: string, outcome: Omit<Outcome, 'finished' | 'host'>): boolean {
  const whole: Outcome = { ...outcome, finished: new Date().toISOString(), host: hostname() };
  return createJsonInside(folder, outcomePath(job), whole);
}

/**
 * What failed and is tried again by the next worker, parents first: what failed before it began, for want of data or a
 * device, and what branches from it; with `all` whatever failed.
 */
export function triedAgain(folder: string, jobs: readonly Job[], all = false): ReadonlySet<string> {
  const again = new Set<string>();
  for (const { path, parent } of jobs) {
    const outcome = outcomeOf(folder, path);
    if (outcome?.state !== 'failed') continue;
    if (all || !outcome.begun || (parent !== undefined && again.has(parent))) again.add(path);
  }
  return again;
}

/** So that it is tried again. */
export function forgetOutcome(folder: string, job: string): void {
  removeFile(join(folder, outcomePath(job)));
}

const rungSchema = z.strictObject({ task: z.string(), accuracy: z.number(), gateCost: z.number().nullable() });
export type Rung = z.output<typeof rungSchema>;

const rungPath = (job: string, rung: number): string => `${job}.rung${rung + 1}.json`;

/** What a trial had come to at a rung; undefined while it is not there. */
export function rungOf(folder: string, job: string, rung: number): Rung | undefined {
  return keptAs(rungSchema, join(folder, rungPath(job, rung)));
}

export function keepRung(folder: string, job: string, rung: number, reached: Rung): void {
  writeJsonInside(folder, rungPath(job, rung), reached);
}

/**
 * Gives what several trials share the name that it has today. Programs of before have put the same settings into other
 * words, and names follow from those: what is done there, or half done, is gone on with. To be called by the one who
 * has the claim to the run.
 */
export function renameShared(folder: string, job: string): void {
  if (hasManifest(join(folder, job))) return;
  const others = readdirSync(join(folder, sweepFiles.shared)).map((name) => `${sweepFiles.shared}/${name}`);
  const before = others.find((other) => isCalled(folder, other, job));
  if (before === undefined || isClaimed(folder, before)) return;
  renameSync(join(folder, before), join(folder, job));
  forgetOutcome(folder, before);
}

/** Whether a run of the sweep would have this name today; one that cannot be read has none. */
function isCalled(folder: string, run: string, name: string): boolean {
  if (!hasManifest(join(folder, run))) return false;
  try {
    const configuration = withoutSearchedWidths(readManifest(join(folder, run)));
    const phase = basename(run).replace(/-.*$/, '');
    return phaseKeys(configuration).some((one) => one.phase === phase && sharedPath(one) === name);
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** The run that the first ones branch from, as it is found here. */
export function sourceOf({ from, directory }: SweepPlan): string | undefined {
  return from === undefined || existsSync(from) ? from : resolve(directory, from);
}

/**
 * Whether a process has claimed a run of the sweep, for one who only looks on. What a worker has left that was killed
 * just after its run had ended is no claim to anything.
 */
export function isWorkedOn(folder: string): boolean {
  return [sweepFiles.trials, sweepFiles.shared].some((kind) => {
    const place = join(folder, kind);
    const claims = existsSync(place) ? readdirSync(place).filter((name) => name.endsWith('.claim')) : [];
    const open = claims.filter((name) => !existsSync(join(place, name.replace(/claim$/, 'json'))));
    return open.some((name) => isClaimed(folder, `${kind}/${name.replace(/\.claim$/, '')}`));
  });
}

const isClaimed = (folder: string, job: string): boolean =>
  (glanceAt(claimPath(folder, job)) ?? { isAlive: false }).isAlive !== false;

/** The folder whose lock is the claim to a run of the sweep: the run's own is locked by who trains in it. */
export const claimPath = (folder: string, job: string): string => join(folder, `${job}.claim`);

/**
 * Claims a run of the sweep for this process, without waiting: whether whoever has it elsewhere still lives is told by
 * what was seen at earlier looks.
 */
export async function claim(
  folder: string,
  job: string,
  watched: Watched,
  signal: AbortSignal | undefined,
): Promise<RunLock | InUse> {
  makeFolder(dirname(join(folder, job)));
  const place = claimPath(folder, job);
  let locked: RunLock | InUse;
  try {
    locked = await tryLock(place, { signal, watched });
  } catch (error) {
    // Whoever had it has just given it back, and its folder with it: there is another time.
    if (existsSync(place) || signal?.aborted) throw error;
    return { owner: undefined, isAlive: false };
  }
  if (!isLock(locked)) return locked;
  const lock = locked;
  return {
    isHeld: () => lock.isHeld(),
    check: () => lock.check(),
    release: () => {
      lock.release();
      try {
        rmdirSync(place);
      } catch {
        // It is gone with the lock, or another process has claimed it already.
      }
    },
  };
}

/**
 * The job's settings as they hold here: a relative path that leads nowhere from where the program runs is meant from
 * where the sweep was planned.
 */
export function placed({ settings }: Job, { directory }: SweepPlan): ConfigurationInput {
  if (resolve(directory) === process.cwd()) return settings;
  const file = (path: string | undefined) =>
    path === undefined || isAbsolute(path) || existsSync(path) || !existsSync(join(directory, path))
      ? path
      : join(directory, path);
  const { data, train, map, ...rest } = settings;
  const isThere = data === undefined || existsSync(data.replace(/^\w+:/, ''));
  return {
    ...rest,
    ...(data === undefined ? {} : { data: isThere ? data : relocate(data, directory) }),
    ...(train ? { train: { ...train, ...(train.checkpoint ? { checkpoint: file(train.checkpoint) } : {}) } } : {}),
    ...(map ? { map: { ...map, ...(map.multiplier ? { multiplier: file(map.multiplier) } : {}) } } : {}),
  };
}
