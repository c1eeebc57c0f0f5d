// What commands work with: a run folder as it stands, the run opened on a device with its data and network, and what a phase has besides.

import { join } from 'node:path';
import type { Dataset } from '../../data/dataset.ts';
import type { Backend, Session } from '../../engine/backend.ts';
import type { EmulationName } from '../../multiplier/error.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import type { FigureFormat } from '../../report/formats.ts';
import { UserError } from '../../tensor/errors.ts';
import { makeFolder, makeFolderInside } from '../../tensor/files.ts';
import type { ImageTask } from '../../train/images.ts';
import type { ImportedMultiplier } from '../../workbench/import.ts';
import type { Configuration } from '../settings/config.ts';
import { type FloatModel, loadModel } from './checkpoint.ts';
import type { Listener } from './events.ts';
import { type Manifest, type PhaseRecord, verifiedBytes } from './manifest.ts';
import { type Phase, phasesOf } from './phases.ts';

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

/** A run as its folder has it: all that a view of it needs. */
export interface RunFolder {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly configuration: Configuration;
}

/** A run opened to compute with it. */
export interface OpenRun extends RunFolder {
  readonly dataset: Dataset;
  readonly task: ImageTask;
  readonly layers: readonly MultiplyingLayer[];
  readonly backend: Backend;
  /** How concrete multipliers are emulated. */
  readonly emulation: EmulationName;
  /** Whether training computes activations again instead of keeping them. */
  readonly recompute: boolean;
}

/** What a phase has of the one who asks for it. */
export interface Asked {
  readonly listener: Listener;
  readonly signal: AbortSignal | undefined;
  /** The forms in which figures are written. */
  readonly figures: readonly FigureFormat[];
}

/** What a phase works with. */
export interface RunContext extends OpenRun, Asked {
  /** The multiplier that was given instead of mapping θ, where phase 2 is to be done. */
  readonly imported: ImportedMultiplier | undefined;
  /** The float model that was given, where it is to be loaded. */
  readonly floatModel: FloatModel | undefined;
}

export function inFolder({ folder }: { readonly folder: string }, path: string): string {
  return join(folder, path);
}

export function makeFolders(folder: string): void {
  makeFolder(folder);
  for (const path of ['checkpoints', files.figures]) makeFolderInside(folder, path);
}

/** The record of an earlier phase; a UserError that says what to run when it is not done. */
export function requirePhase({ manifest, folder }: Pick<RunFolder, 'manifest' | 'folder'>, phase: Phase): PhaseRecord {
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
export async function sessionFrom(context: OpenRun, phase: Phase, path: string): Promise<Session> {
  const record = requirePhase(context, phase);
  const session = await context.backend.openSession();
  loadModel(verifiedBytes(context.folder, record, path), inFolder(context, path), session, context.layers);
  return session;
}
