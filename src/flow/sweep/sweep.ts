// A sweep: many runs over one folder that answer one question, which multiplier is the cheapest at which the network
// still works. The plan is made once; then any number of processes work on it, here or on other machines, and the last
// one writes the front.

import { findModel } from '../../nn/models/registry.ts';
import { Technology, type TechnologyOptions } from '../../workbench/synthesised-power.ts';
import { runFlow } from '../flow.ts';
import type { DeviceOptions } from '../run/device.ts';
import type { LogOptions } from '../run/logs.ts';
import { readManifest } from '../run/manifest.ts';
import { isModelFile } from '../run/model-file.ts';
import { mergeSettings } from '../settings/config.ts';
import type { SweepListener } from './events.ts';
import { openSweep, readSweep } from './folder.ts';
import { frontOf, type SweepReport } from './front.ts';
import { type GridInput, trialsOf } from './grid.ts';
import { writeResults } from './results.ts';
import { workOn } from './work.ts';

export interface SweepOptions {
  /** The folder of the sweep; made when it is missing. One that is there goes on. */
  readonly folder: string;
  /** What is varied; may be left out for a sweep that is there, and must else be its plan. */
  readonly plan?: GridInput;
  /** Epochs of the recovery after which the dominated half of the points is dropped; default: none. */
  readonly rungs?: readonly number[];
  /** A run from whose finished phases the first ones branch; its settings are the defaults. */
  readonly from?: string;
  /** Devices to work on, one run at a time on each; default: the device wasm. The same one may stand there twice. */
  readonly devices?: readonly DeviceOptions[];
  /** Where the data are now; default: where the plan or the working directory has them. */
  readonly data?: string;
  /** Tries again what failed. */
  readonly retry?: boolean;
  /** Points of accuracy (0.01 is one) against the float network up to which it still works; default 0.005. */
  readonly loss?: number;
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
export const USUAL_LOSS = 0.005;

/** Works on the sweep until nothing is left to do, here or elsewhere, and writes and returns the front. */
export async function sweep(options: SweepOptions): Promise<SweepReport> {
  const { folder, plan: given, rungs = [], from, devices = [{}], retry, perform = runFlow, command } = options;
  const { listener, signal, data, logs } = options;
  const { rivals: _, ...base } = from === undefined ? {} : readManifest(from).given;
  const trials = given && trialsOf({ ...given, settings: mergeSettings(base, given.settings ?? {}) });
  for (const { settings } of trials ?? []) requireModel(settings.model);
  const plan = await openSweep(
    folder,
    trials && { trials, rungs: [...rungs], ...(from === undefined ? {} : { from }) },
  );
  await workOn({ folder, plan, slots: devices, perform, retry, command, listener, signal, data, logs });
  return await reportSweep(options);
}

/** A name that no model has; files are looked at with the trial, where they are then. */
function requireModel(name: string | undefined): void {
  if (name !== undefined && !isModelFile(name)) findModel(name);
}

/** The front of what is done so far, written to the folder and returned; nothing is trained. */
export async function reportSweep(
  options: Pick<SweepOptions, 'folder' | 'loss' | 'synthesis' | 'listener'>,
): Promise<SweepReport> {
  const { folder, loss = USUAL_LOSS, synthesis = {}, listener } = options;
  const technology = synthesis && new Technology(synthesis);
  try {
    const plan = readSweep(folder);
    const report = await frontOf({ folder, plan, loss, technology });
    await writeResults(folder, plan, report, (text) => listener?.({ kind: 'note', text }));
    return report;
  } finally {
    await technology?.close();
  }
}
