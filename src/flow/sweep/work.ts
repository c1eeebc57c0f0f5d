// The work of one process on a sweep: it claims what nobody else works on, runs it on a free device, and writes down
// how it ended, until nothing is left to do anywhere.
// Invariants: a run has one owner at a time; parents are done before their children begin; a run that was stopped goes
// on where it was; one that fails has its reason written down and does not end the rest, as a full disk or a lost
// device does; how a run ended is said once, by the one who holds its claim then.

import { basename, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { BusyError, LostDeviceError, StorageError, UserError } from '../../tensor/errors.ts';
import type { FlowOptions, runFlow } from '../flow.ts';
import type { RunSummary } from '../results/summary.ts';
import { taskOf } from '../results/task.ts';
import { type DeviceOptions, deviceWord } from '../run/device.ts';
import type { MetricRecord, RunEvent } from '../run/events.ts';
import { isLock, type RunLock, Watched } from '../run/lock.ts';
import type { LogOptions } from '../run/logs.ts';
import { hasManifest, type Manifest, readManifest } from '../run/manifest.ts';
import { readMetrics } from '../run/metrics.ts';
import type { SweepListener } from './events.ts';
import {
  claim,
  forgetOutcome,
  keepOutcome,
  keepRung,
  type Outcome,
  outcomeOf,
  placed,
  type Rung,
  renameShared,
  rungOf,
  type SweepPlan,
  sourceOf,
  triedAgain,
} from './folder.ts';
import { survivors } from './halving.ts';
import { type Job, jobsOf } from './tree.ts';

export interface WorkOptions {
  readonly folder: string;
  readonly plan: SweepPlan;
  /** One run at a time on each of them. */
  readonly slots: readonly DeviceOptions[];
  /** Does a run: runFlow itself, or as it is done in another thread or process. */
  readonly perform: typeof runFlow;
  /** Where the data are now. */
  readonly data?: string | undefined;
  /** Tries again what failed. */
  readonly retry?: boolean | undefined;
  /** Ends after so many trials, or when all that are left are in the hands of others; default: when nothing is left. */
  readonly trials?: number | undefined;
  /** Does what trials have in common and no trial; ends when none of it is to be had. */
  readonly sharedOnly?: boolean | undefined;
  readonly logs?: LogOptions | undefined;
  readonly command?: string | undefined;
  readonly listener?: SweepListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds between two looks at what others do: at least, for each run that is left, and at most. */
const GLANCE = { least: 400, each: 4, most: 5000 } as const;
/**
 * Milliseconds for which a run that another process works on is not asked for again: at least, and for each of them.
 * Many workers together leave a file server in peace.
 */
const ELSEWHERE = { least: 1000, each: 20 } as const;

/** What a worker has come to. */
export interface Worked {
  /** Trials that ended here. */
  readonly done: number;
  readonly failed: number;
}

/**
 * Returns when every run of the sweep has ended, here or elsewhere, or when this worker has done its part. Throws the
 * signal's reason when it was stopped.
 */
export async function workOn(options: WorkOptions): Promise<Worked> {
  return await new Work(options).all();
}

class Work {
  readonly #options: WorkOptions;
  readonly #jobs: readonly Job[];
  readonly #tell: SweepListener;
  /** Stops all slots: the caller's wish, or a disk that is full. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** How runs have ended, as far as it was looked up. */
  readonly #ended = new Map<string, Outcome>();
  readonly #mine = new Set<string>();
  /** When runs were last seen in another process's hands. */
  readonly #elsewhere = new Map<string, { readonly at: number; readonly isAlive: boolean }>();
  readonly #watched = new Watched();
  readonly #worked = { done: 0, failed: 0 };
  /** Whether the plan has been told, and what others end is news. */
  #isTold = false;
  /** Aborted, and another one put in its place, when a run ends here: slots that wait look again. */
  #news = new AbortController();
  /** Slots look for work one after the other. */
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: WorkOptions) {
    this.#options = options;
    this.#jobs = jobsOf(options.plan.trials);
    this.#tell = options.listener ?? (() => {});
    const { signal } = options;
    this.#signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
  }

  async all(): Promise<Worked> {
    const { slots } = this.#options;
    this.#tryAgain();
    this.#tellPlan();
    await Promise.allSettled(slots.map((slot) => this.#serve(slot)));
    this.#options.signal?.throwIfAborted();
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
    return this.#worked;
  }

  #tryAgain(): void {
    const { folder, retry } = this.#options;
    for (const path of triedAgain(folder, this.#jobs, retry)) forgetOutcome(folder, path);
  }

  #tellPlan(): void {
    const left = this.#jobs.filter((job) => !this.#isEnded(job));
    const epochs = left.reduce((sum, job) => sum + sumOf(job.epochs), 0);
    const trials = this.#jobs.filter(({ trial }) => trial);
    this.#tell({
      ...{ kind: 'plan', trials: trials.length, done: trials.filter((job) => this.#isEnded(job)).length },
      ...{ shared: this.#jobs.length - trials.length, epochs, jobs: this.#options.slots.length },
    });
    this.#isTold = true;
  }

  async #serve(device: DeviceOptions): Promise<void> {
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        const signal = AbortSignal.any([this.#signal, this.#news.signal]);
        const found = await this.#next();
        if (found === 'nothing') return;
        if (found === 'later') await setTimeout(this.#glance(), undefined, { signal }).catch(() => {});
        else await this.#do(found.job, found.lock, device);
      }
    } catch (error) {
      // The other slots end as well, after saving.
      this.#stop.abort(error);
      throw error;
    }
  }

  /** Work that nobody has; `later` while all that is left is in other hands or waits for that. */
  #next(): Promise<{ job: Job; lock: RunLock } | 'later' | 'nothing'> {
    const turn = this.#looking.then(() => this.#look());
    this.#looking = turn.catch(() => {});
    return turn;
  }

  async #look(): Promise<{ job: Job; lock: RunLock } | 'later' | 'nothing'> {
    if (this.#hasItsPart()) return 'nothing';
    let isWaiting = false;
    for (const job of this.#jobs) {
      if (!this.#isWanted(job) || this.#isEnded(job)) continue;
      if (this.#mine.has(job.path)) {
        isWaiting ||= !this.#isLimited();
        continue;
      }
      if (!this.#isReady(job)) {
        isWaiting ||= !this.#options.sharedOnly;
        continue;
      }
      const seen = this.#elsewhere.get(job.path);
      if (seen === undefined || performance.now() - seen.at >= this.#patience()) {
        this.#signal.throwIfAborted();
        const found = await this.#claim(job);
        if (found) return found;
      }
      // A worker with a part of its own does not stay for what others have in hand.
      isWaiting ||= !(this.#isEnded(job) || (this.#isLimited() && this.#elsewhere.get(job.path)?.isAlive));
    }
    return isWaiting ? 'later' : 'nothing';
  }

  /** Whether a job is for this worker at all. One with a number of trials to do does what they have in common, too. */
  #isWanted({ trial }: Job): boolean {
    return !(this.#options.sharedOnly && trial);
  }

  #isLimited(): boolean {
    return this.#options.trials !== undefined || this.#options.sharedOnly === true;
  }

  /** Trials that ended here, and those under way. */
  #hasItsPart(): boolean {
    const { trials = Number.POSITIVE_INFINITY } = this.#options;
    const underWay = this.#jobs.filter(({ trial, path }) => trial && this.#mine.has(path)).length;
    return this.#worked.done + this.#worked.failed + underWay >= trials;
  }

  async #claim(job: Job): Promise<{ job: Job; lock: RunLock } | undefined> {
    const lock = await claim(this.#options.folder, job.path, this.#watched, this.#signal);
    if (!isLock(lock)) {
      this.#seenElsewhere(job, lock.isAlive);
      return undefined;
    }
    this.#elsewhere.delete(job.path);
    if (!this.#isEnded(job) && this.#isReady(job)) {
      this.#mine.add(job.path);
      if (this.#goesOn(job, lock)) return { job, lock };
      this.#mine.delete(job.path);
    }
    lock.release();
    return undefined;
  }

  #glance(): number {
    return Math.min(GLANCE.most, Math.max(GLANCE.least, GLANCE.each * (this.#jobs.length - this.#ended.size)));
  }

  #patience(): number {
    return Math.max(ELSEWHERE.least, ELSEWHERE.each * this.#elsewhere.size);
  }

  #isEnded({ path, epochs }: Job): boolean {
    if (this.#ended.has(path)) return true;
    const outcome = outcomeOf(this.#options.folder, path);
    if (!outcome) return false;
    this.#ended.set(path, outcome);
    this.#elsewhere.delete(path);
    if (this.#isTold && !this.#mine.has(path))
      this.#tell({ kind: 'ended-elsewhere', job: path, epochs: sumOf(epochs) });
    return true;
  }

  #seenElsewhere({ path }: Job, isAlive: boolean): void {
    if (!this.#elsewhere.has(path)) this.#tell({ kind: 'elsewhere', job: path });
    this.#elsewhere.set(path, { at: performance.now(), isAlive });
  }

  /** Its parent has ended, and all trials have come to the rung that it waits at. */
  #isReady(job: Job): boolean {
    const parent = this.#jobs.find(({ path }) => path === job.parent);
    if (parent && !this.#isEnded(parent)) return false;
    const rung = this.#rungsOf(job);
    return rung === 0 || this.#rungIsFull(rung - 1);
  }

  /** How many rungs a trial has reached. */
  #rungsOf({ path, trial }: Job): number {
    const { folder, plan } = this.#options;
    if (!trial) return 0;
    const open = plan.rungs.findIndex((_, rung) => rungOf(folder, path, rung) === undefined);
    return open < 0 ? plan.rungs.length : open;
  }

  #rungIsFull(rung: number): boolean {
    const { folder } = this.#options;
    const trials = this.#jobs.filter(({ trial }) => trial);
    return trials.every((job) => this.#isEnded(job) || rungOf(folder, job.path, rung) !== undefined);
  }

  /** Whether there is something to do for a run that was claimed; else how it has ended is written down. */
  #goesOn(job: Job, lock: RunLock): boolean {
    const parent = job.parent === undefined ? undefined : this.#ended.get(job.parent);
    if (parent && parent.state !== 'done') {
      this.#fail(job, lock, `${job.parent}, from which it branches, failed: ${parent.reason}`, parent.begun, 0);
      return false;
    }
    const rung = this.#rungsOf(job);
    if (rung === 0) return true;
    const { folder, plan } = this.#options;
    const trials = this.#jobs.flatMap(({ trial, path }) => {
      const reached = trial && rungOf(folder, path, rung - 1);
      return reached ? [{ point: trial.point, ...reached }] : [];
    });
    if (survivors(trials).has(job.trial!.point)) return true;
    const done = plan.rungs[rung - 1]!;
    const reason = `after ${done} ${done === 1 ? 'epoch' : 'epochs'} of the recovery others were better at no more cost`;
    if (this.#end(job, lock, { state: 'dropped', reason, begun: true, seconds: 0 })) {
      this.#tell({ kind: 'dropped', job: job.path, reason });
    }
    return false;
  }

  async #do(job: Job, lock: RunLock, device: DeviceOptions): Promise<void> {
    const { path } = job;
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1000;
    const rung = this.#rungsOf(job);
    const until = job.trial ? this.#options.plan.rungs[rung] : undefined;
    const pause = new AbortController();
    if (until !== undefined && this.#cameTo(job, rung, until)) {
      this.#leave(job, lock);
      return;
    }
    let begun = false;
    const listener = (event: RunEvent) => {
      if (event.kind === 'phase-start') begun = true;
      this.#tell({ kind: 'run', job: path, event });
      if (event.kind !== 'epoch' || until === undefined || event.record.phase !== 'recover') return;
      if (event.record.epoch !== until || until >= event.epochs) return;
      this.#keepRung(path, rung, event.record);
      pause.abort();
    };
    this.#tell({ kind: 'begin', job: path, device: deviceWord(device), epochs: sumOf(job.epochs) });
    try {
      if (!job.trial) renameShared(this.#options.folder, path);
      const summary = await this.#options.perform({
        ...this.#request(job, device),
        ...{ listener, signal: AbortSignal.any([this.#signal, pause.signal]) },
      });
      if (!this.#end(job, lock, { state: 'done', begun, seconds: seconds() })) return;
      if (job.trial) this.#worked.done++;
      this.#tell({ kind: 'done', job: path, accuracy: lastAccuracy(summary), seconds: seconds() });
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason;
      if (pause.signal.aborted) return;
      // Neither a full disk nor a lost device is the trial's failure, and both would meet the next one.
      if (error instanceof StorageError || error instanceof LostDeviceError) throw error;
      if (error instanceof BusyError) {
        this.#seenElsewhere(job, false);
        return;
      }
      const { message } = error instanceof Error ? error : { message: String(error) };
      this.#fail(job, lock, error instanceof UserError ? message : `internal error: ${message}`, begun, seconds());
    } finally {
      this.#leave(job, lock);
    }
  }

  #leave({ path }: Job, lock: RunLock): void {
    this.#mine.delete(path);
    lock.release();
    this.#news.abort();
    this.#news = new AbortController();
  }

  /** A trial that was killed behind the epoch of a rung, before the rung was written down: its log has what it is. */
  #cameTo({ path, configuration }: Job, rung: number, until: number): boolean {
    const run = join(this.#options.folder, path);
    if (until >= configuration.recover.epochs || !hasManifest(run)) return false;
    const record = readMetrics(run).find(({ phase, epoch }) => phase === 'recover' && epoch === until);
    if (!record) return false;
    this.#keepRung(path, rung, record);
    return true;
  }

  #keepRung(path: string, rung: number, { testAccuracy: accuracy }: Pick<MetricRecord, 'testAccuracy'>): void {
    const { folder } = this.#options;
    keepRung(folder, path, rung, { accuracy, ...placeOf(readManifest(join(folder, path))) });
  }

  #request(job: Job, device: DeviceOptions): FlowOptions {
    const { folder, plan, command, data, logs } = this.#options;
    const source = job.parent === undefined ? sourceOf(plan) : join(folder, job.parent);
    return {
      folder: join(folder, job.path),
      settings: { ...placed(job, plan), ...(data === undefined ? {} : { data }) },
      // What a trial has of the others may be idle in it; what is in all was refused with the plan.
      said: [],
      phases: job.phases,
      device,
      ...(source === undefined ? {} : { from: source }),
      ...(command === undefined ? {} : { command }),
      ...(logs === undefined ? {} : { logs: logsOf(logs, folder) }),
    };
  }

  #fail(job: Job, lock: RunLock, reason: string, begun: boolean, seconds: number): void {
    if (!this.#end(job, lock, { state: 'failed', reason, begun, seconds })) return;
    if (job.trial) this.#worked.failed++;
    this.#tell({ kind: 'failed', job: job.path, reason });
  }

  /** False where it is not for this process to say any more: another one has taken the run over, or has ended it. */
  #end(job: Job, lock: RunLock, outcome: Omit<Outcome, 'finished' | 'host'>): boolean {
    const isSaid = lock.isHeld() && keepOutcome(this.#options.folder, job.path, outcome);
    if (isSaid) this.#isEnded(job);
    else this.#seenElsewhere(job, false);
    return isSaid;
  }
}

/** In MLflow the runs of a sweep have a tag in common. */
function logsOf({ mlflow, ...others }: LogOptions, folder: string): LogOptions {
  if (!mlflow) return others;
  return { ...others, mlflow: { ...mlflow, tags: { ...mlflow.tags, 'tram.sweep': basename(resolve(folder)) } } };
}

const sumOf = (epochs: Job['epochs']): number => Object.values(epochs).reduce((sum, count) => sum + count, 0);

/** What a recovery's accuracy is comparable with, and the gate cost of its multipliers where they have netlists. */
function placeOf(manifest: Manifest): Pick<Rung, 'task' | 'gateCost'> {
  const stages = manifest.phases.map?.stages ?? [];
  const gateCost = stages.findLast((stage) => stage.gateCost !== undefined)?.gateCost;
  return { task: taskOf(manifest), gateCost: gateCost ?? null };
}

function lastAccuracy({ stages }: RunSummary): number | undefined {
  return stages.at(-1)?.accuracy;
}
