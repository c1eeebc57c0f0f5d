// What commands and phases work with: a run opened on a device with its data and network, and what a phase has besides.
// What the folder contains is said in folder.ts.

import type { Dataset } from '../../data/dataset.ts';
import type { Backend, Session } from '../../engine/backend.ts';
import type { EmulationName } from '../../multiplier/error.ts';
import type { FigureFormat } from '../../report/formats.ts';
import { UserError } from '../../tensor/errors.ts';
import type { HostTensor } from '../../tensor/tensor.ts';
import type { ImageTask } from '../../train/images.ts';
import type { Recompute } from '../../train/step.ts';
import type { ImportedMultiplier } from '../../workbench/import.ts';
import type { Configuration } from '../settings/config.ts';
import type { RunLayer } from '../settings/layers.ts';
import { commandOf, type Phase, phasesBeside, phasesOf } from '../settings/phases.ts';
import { readModel } from './checkpoint.ts';
import type { Listener } from './events.ts';
import type { FloatModel } from './float-model.ts';
import { files, inFolder, type RunFolder } from './folder.ts';
import type { RunLog } from './logs.ts';
import { type PhaseRecord, verifiedBytes } from './manifest.ts';
import type { WrittenModels } from './written.ts';

/** A run opened to compute with it. */
export interface OpenRun extends RunFolder {
  readonly dataset: Dataset;
  readonly task: ImageTask;
  readonly layers: readonly RunLayer[];
  readonly backend: Backend;
  /** How concrete multipliers are emulated. */
  readonly emulation: EmulationName;
  /** Whether training computes activations again instead of keeping them. */
  readonly recompute: Recompute;
  /** What this process has itself written into the folder, where it does phases. */
  readonly written?: WrittenModels;
}

/** What a phase has of the one who asks for it. */
export interface Asked {
  readonly listener: Listener;
  readonly signal: AbortSignal | undefined;
  /** The forms in which figures are written. */
  readonly figures: readonly FigureFormat[];
  readonly logs: RunLog;
  /** The phases that will be done behind it. */
  readonly toCome: readonly Phase[];
  /** On how many devices the phase ran before, one number after the other, where it goes on from a resume point. */
  readonly earlierDevices: readonly number[];
}

/** What a phase works with. */
export interface RunContext extends OpenRun, Asked {
  /** The multiplier that was given instead of mapping θ, where phase 2 is to be done. */
  readonly imported: ImportedMultiplier | undefined;
  /** The float model that was given, where it is to be loaded. */
  readonly floatModel: FloatModel | undefined;
}

/** The record of an earlier phase; a UserError that says what to run when it is not done. */
export function requirePhase({ manifest, folder }: Pick<RunFolder, 'manifest' | 'folder'>, phase: Phase): PhaseRecord {
  const record = manifest.phases[phase];
  if (record) return record;
  const missing = phasesBeside(manifest.configuration, manifest.phases).find((name) => !manifest.phases[name]) ?? phase;
  throw new UserError(`the phase ${phase} of ${folder} is not done; run tram ${commandOf(missing)} ${folder} first`);
}

/**
 * The checkpoint whose network meets the multiplier in phases 2 and 3: the explored one, or the quantised one under a
 * given multiplier.
 */
export function networkToMap(configuration: Configuration): readonly [Phase, string] {
  return phasesOf(configuration).includes('explore') ? ['explore', files.explored] : ['quantize', files.quantized];
}

/**
 * The checkpoint of an earlier phase, its tensors in the engine's layouts and only to be read; a UserError names a file
 * that is missing or not the one in the manifest.
 */
export function modelFrom(run: OpenRun, phase: Phase, path: string): ReadonlyMap<string, HostTensor> {
  const record = requirePhase(run, phase);
  const written = run.written?.find(path);
  if (written !== undefined && written.sha256 === record.files[path]) return written.tensors;
  return readModel(verifiedBytes(run.folder, record, path), inFolder(run, path), run.layers);
}

/** A session with a checkpoint of an earlier phase in it. */
export async function sessionFrom(context: OpenRun, phase: Phase, path: string): Promise<Session> {
  const model = modelFrom(context, phase, path);
  const session = await context.backend.openSession();
  for (const [name, tensor] of model) session.write(name, tensor);
  return session;
}
