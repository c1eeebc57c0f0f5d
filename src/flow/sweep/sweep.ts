// A sweep: many runs over one folder that answer one question, which multiplier is the cheapest at which the network
// still works. The plan is made once; then any number of processes work on it, here or on other machines, and the last
// one writes the front.

import { requireWhole, UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { Technology, type TechnologyOptions } from '../../workbench/synthesised-power.ts';
import { runFlow } from '../flow.ts';
import type { DeviceOptions } from '../run/device.ts';
import type { LogOptions } from '../run/logs.ts';
import { readManifest } from '../run/manifest.ts';
import { mergeSettings, withExactWidths } from '../settings/config.ts';
import { acceptTrials } from './accept.ts';
import type { Question } from './cheapest.ts';
import type { SweepListener } from './events.ts';
import { forgetOutcome, hasSweep, openSweep, outcomeOf, readSweep, type SweepPlan } from './folder.ts';
import { frontOf, type Goal, type SweepReport } from './front.ts';
import { type GridInput, trialsOf } from './grid.ts';
import { type Rungs, rungsOf } from './halving.ts';
import { writeResults } from './results.ts';
import { jobsOf } from './tree.ts';
import { type Worked, workOn } from './work.ts';

export interface SweepOptions {
  /** The folder of the sweep; made when it is missing. One that is there goes on. */
  readonly folder: string;
  /** What is varied; may be left out for a sweep that is there, and must else be its plan. */
  readonly plan?: GridInput;
  /**
   * Epochs of the recovery after which the dominated half of the points is dropped; usual: a quarter and a half of
   * them; default: none.
   */
  readonly rungs?: Rungs;
  /** A run from whose finished phases the first ones branch; its settings are the defaults. */
  readonly from?: string;
  /** Devices to work on, one run at a time on each; default: the device wasm. The same one may stand there twice. */
  readonly devices?: readonly DeviceOptions[];
  /** Where the data are now; default: where the plan or the working directory has them. */
  readonly data?: string;
  /** Tries again what failed. */
  readonly retry?: boolean;
  /** What a new sweep is to answer; it is kept in its folder. */
  readonly question?: Question;
  /**
   * Points of accuracy (0.01 is one) against the float network up to which it still works; default: those of the
   * question, else 0.005.
   */
  readonly loss?: number;
  /** Power that the answer is not to pass; default: that of the question, else none. */
  readonly power?: number;
  /** How the netlists are synthesised; default: in the built-in unit gates; null: not at all. */
  readonly synthesis?: TechnologyOptions | null;
  /** How a run is done; default: in this thread, where runs on several devices take turns. */
  readonly perform?: typeof runFlow;
  /** Of every run, in its own folder and under its own name. */
  readonly logs?: LogOptions;
  readonly command?: string;
  readonly listener?: SweepListener;
  /** Stops after saving; the same call goes on from there. */
  readonly signal?: AbortSignal;
}

/** Half a point. */
const USUAL_LOSS = 0.005;

/** Works on the sweep until nothing is left to do, here or elsewhere, and writes and returns the front. */
export async function sweep(options: SweepOptions): Promise<SweepReport> {
  const { folder, devices = [{}], retry, perform = runFlow, command } = options;
  const { listener, signal, data, logs } = options;
  requireQuestion(options);
  requireDevices(devices);
  const plan = await planSweep(options);
  await workOn({ folder, plan, slots: devices, perform, retry, command, listener, signal, data, logs });
  return await reportSweep(options);
}

/**
 * Makes the folder with its plan, or checks that it has this one; trains nothing. A UserError where a trial could not
 * run, or where the folder has another plan, or something else, in it.
 */
export async function planSweep(
  options: Pick<SweepOptions, 'folder' | 'plan' | 'rungs' | 'from' | 'question'>,
): Promise<SweepPlan> {
  const { folder, plan: asked, from, question } = options;
  requireQuestion(question);
  const source = from === undefined ? undefined : readManifest(from);
  const { rivals: _, ...base } = source?.given ?? {};
  const said = withExactWidths(asked?.settings ?? {}, 'settings');
  const trials = asked && trialsOf({ ...asked, settings: mergeSettings(base, said) });
  const rungs = trials ? rungsOf(options.rungs ?? [], trials) : [];
  // One that is there has been accepted, and goes on.
  if (trials && !hasSweep(folder)) await acceptTrials(trials, source);
  return await openSweep(
    folder,
    trials && { trials, rungs: [...rungs], ...given({ from, question: isEmpty(question) ? undefined : question }) },
  );
}

/** Limits that no result can be held against, from a caller of the library. */
function requireQuestion({ loss, power }: Question = {}): void {
  if (loss !== undefined && !(Number.isFinite(loss) && loss >= 0)) {
    throw new UserError(`loss is ${loss}; a number of at least 0 was expected, 0.01 for one point of accuracy`);
  }
  if (power !== undefined && !(Number.isFinite(power) && power > 0)) {
    throw new UserError(`power is ${power}; a number above 0 was expected, 1 for that of the exact 8×8 multiplier`);
  }
}

/** What one worker is to do of a sweep that is there. */
export interface WorkerOptions extends Omit<SweepOptions, 'plan' | 'rungs' | 'from' | 'question' | 'loss' | 'power'> {
  /** Trials after which it ends; default: it stays until nothing is left. */
  readonly trials?: number;
  /** Does what trials have in common, and no trial. */
  readonly sharedOnly?: boolean;
}

/** What one worker has done, and what is left. */
export interface WorkerReport extends Worked {
  /** Trials of the whole sweep that have not ended. */
  readonly left: number;
  /** Of a sweep that has ended: whoever finds nothing left writes the front. */
  readonly report?: SweepReport;
}

/**
 * One worker on a sweep that is there: as many trials as it is to do, or until nothing is left that it could. Any
 * number of them may work at once, in other processes and on other hosts. Throws the signal's reason when it was
 * stopped, which loses nothing; a UserError where the folder has no sweep, or `trials` is no whole number of at least
 * one.
 */
export async function workOnSweep(options: WorkerOptions): Promise<WorkerReport> {
  const { folder, devices = [{}], perform = runFlow, ...rest } = options;
  const { trials } = rest;
  if (trials !== undefined) requireWhole('trials', trials, 1);
  requireDevices(devices);
  const plan = readSweep(folder);
  const worked = await workOn({ folder, plan, slots: devices, perform, ...rest });
  const left = plan.trials.filter(({ name }) => !outcomeOf(folder, `trials/${name}`)).length;
  if (left > 0 || options.sharedOnly) return { ...worked, left };
  return { ...worked, left, report: await reportSweep(options) };
}

function requireDevices(devices: readonly DeviceOptions[]): void {
  if (devices.length === 0) throw new UserError('devices is empty; leave it out for the device wasm, or name one');
}

/** Has what failed tried again by whoever works next; how many that are. */
export function retryFailed(folder: string): number {
  const failed = jobsOf(readSweep(folder).trials).filter(({ path }) => outcomeOf(folder, path)?.state === 'failed');
  for (const { path } of failed) forgetOutcome(folder, path);
  return failed.length;
}

const isEmpty = (question: Question = {}): boolean => Object.keys(question).length === 0;

/** What is said now, else what was said with the plan; a limit of power alone asks for the most accurate. */
export function questionOfPlan({ question = {} }: Pick<SweepPlan, 'question'>, { loss, power }: Question = {}) {
  const asked = { ...question, ...given({ loss, power }) };
  const goal: Goal = asked.power !== undefined && asked.loss === undefined ? 'most-accurate' : 'cheapest';
  return { ...asked, loss: asked.loss ?? USUAL_LOSS, goal };
}

/** The front of what is done so far, written to the folder and returned; nothing is trained. */
export async function reportSweep(
  options: Pick<SweepOptions, 'folder' | 'loss' | 'power' | 'synthesis' | 'listener'>,
): Promise<SweepReport> {
  const { folder, synthesis = {}, listener, loss, power } = options;
  requireQuestion(given({ loss, power }));
  const technology = synthesis && new Technology(synthesis);
  try {
    const plan = readSweep(folder);
    const report = await frontOf({ folder, plan, technology, ...questionOfPlan(plan, options) });
    await writeResults(folder, plan, report, (text) => listener?.({ kind: 'note', text }));
    return report;
  } finally {
    await technology?.close();
  }
}
