// What every phase works with: the opened data, the model, a device, the manifest, and where things are in the run folder.

import { join } from 'node:path';
import type { Dataset } from '../../data/dataset.ts';
import type { Backend, Session } from '../../engine/backend.ts';
import type { EmulationName } from '../../multiplier/error.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import { UserError } from '../../tensor/errors.ts';
import { makeFolder, makeFolderInside } from '../../tensor/files.ts';
import type { ImageTask } from '../../train/images.ts';
import type { ImportedMultiplier } from '../../workbench/import.ts';
import type { Configuration } from '../settings/config.ts';
import { type FloatModel, loadModel } from './checkpoint.ts';
import type { Listener, Phase } from './events.ts';
import { type Manifest, type PhaseRecord, phasesOf, verifiedBytes } from './manifest.ts';

/** Paths in a run folder, relative to it. */
export const files = {
  metrics: 'metrics.jsonl',
  theta: 'theta.json',
  resume: 'checkpoints/resume.safetensors',
  float: 'checkpoints/float.safetensors',
  quantized: 'checkpoints/quantized.safetensors',
  explored: 'checkpoints/explored.safetensors',
  recovered: 'checkpoints/recovered.safetensors',
  figures: 'figures',
  page: 'report.html',
} as const;

export interface RunContext {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly task: ImageTask;
  readonly layers: readonly MultiplyingLayer[];
  readonly backend: Backend;
  /** The multiplier that was given instead of mapping θ, where phase 2 is to be done. */
  readonly imported: ImportedMultiplier | undefined;
  /** The float model that was given, where it is to be loaded. */
  readonly floatModel: FloatModel | undefined;
  /** How concrete multipliers are emulated. */
  readonly emulation: EmulationName;
  /** Whether training computes activations again instead of keeping them. */
  readonly recompute: boolean;
  readonly listener: Listener;
  readonly signal: AbortSignal | undefined;
}

export function inFolder({ folder }: { readonly folder: string }, path: string): string {
  return join(folder, path);
}

export function makeFolders(folder: string): void {
  makeFolder(folder);
  for (const path of ['checkpoints', files.figures]) makeFolderInside(folder, path);
}

/** The record of an earlier phase; a UserError that says what to run when it is not done. */
export function requirePhase({ manifest, folder }: Pick<RunContext, 'manifest' | 'folder'>, phase: Phase): PhaseRecord {
  const record = manifest.phases[phase];
  if (record) return record;
  const missing = phasesOf(manifest.configuration).find((name) => !manifest.phases[name]) ?? phase;
  throw new UserError(`the phase ${phase} of ${folder} is not done; run tram ${missing} ${folder} first`);
}

/** The checkpoint whose network meets the multiplier in phases 2 and 3: the explored one, or the quantised one under a given multiplier. */
export function networkToMap(configuration: Configuration): readonly [Phase, string] {
  return phasesOf(configuration).includes('explore') ? ['explore', files.explored] : ['quantize', files.quantized];
}

/** A session with a checkpoint of an earlier phase in it. */
export async function sessionFrom(context: RunContext, phase: Phase, path: string): Promise<Session> {
  const record = requirePhase(context, phase);
  const session = await context.backend.openSession();
  loadModel(verifiedBytes(context.folder, record, path), inFolder(context, path), session, context.layers);
  return session;
}
