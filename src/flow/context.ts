// What every phase works with: the opened data, the model, a device, the manifest, and where things are in the run folder.

import { join } from 'node:path';
import type { Dataset, DatasetOptions } from '../data/dataset.ts';
import { openDataset, parseImageSize } from '../data/registry.ts';
import type { Backend, Session } from '../engine/backend.ts';
import type { MultiplyingLayer } from '../nn/layers.ts';
import { findModel } from '../nn/models.ts';
import { UserError } from '../tensor/errors.ts';
import { makeFolder } from '../tensor/files.ts';
import { multiplyingLayers, type Task } from '../train/task.ts';
import { loadModel } from './checkpoint.ts';
import type { Configuration } from './config.ts';
import type { EmulationName } from './device.ts';
import { type Listener, type Phase, phases } from './events.ts';
import { type Manifest, type PhaseRecord, verifiedBytes } from './manifest.ts';

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
  readonly task: Task;
  readonly layers: readonly MultiplyingLayer[];
  readonly backend: Backend;
  /** How concrete multipliers are emulated. */
  readonly emulation: EmulationName;
  readonly listener: Listener;
  readonly signal: AbortSignal | undefined;
}

export function datasetOptions({ image, maximum }: Configuration): DatasetOptions {
  return {
    ...(image === undefined ? {} : { image: parseImageSize(image) }),
    ...(maximum === undefined ? {} : { maximum }),
  };
}

export function openTask(configuration: Configuration): {
  dataset: Dataset;
  task: Task;
  layers: readonly MultiplyingLayer[];
} {
  const model = findModel(configuration.model);
  const dataset = openDataset(configuration.data, datasetOptions(configuration));
  const smallest = Math.min(dataset.height, dataset.width);
  if (smallest < model.minimumSize) {
    throw new UserError(
      `the model ${model.name} needs images of at least ${model.minimumSize}×${model.minimumSize} pixels; those of ${dataset.name} have ${dataset.height}×${dataset.width}`,
    );
  }
  const task: Task = { model, images: dataset };
  return { dataset, task, layers: multiplyingLayers(task) };
}

export function inFolder({ folder }: { readonly folder: string }, path: string): string {
  return join(folder, path);
}

export function makeFolders(folder: string): void {
  for (const path of [folder, join(folder, 'checkpoints'), join(folder, files.figures)]) makeFolder(path);
}

/** The record of an earlier phase; a UserError that says what to run when it is not done. */
export function requirePhase({ manifest, folder }: Pick<RunContext, 'manifest' | 'folder'>, phase: Phase): PhaseRecord {
  const record = manifest.phases[phase];
  if (record) return record;
  const missing = phases.find((name) => !manifest.phases[name]) ?? phase;
  throw new UserError(`the phase ${phase} of ${folder} is not done; run tram ${missing} ${folder} first`);
}

/** A session with a checkpoint of an earlier phase in it. */
export async function sessionFrom(context: RunContext, phase: Phase, path: string): Promise<Session> {
  const record = requirePhase(context, phase);
  const session = await context.backend.openSession();
  loadModel(verifiedBytes(context.folder, record, path), inFolder(context, path), session, context.layers);
  return session;
}
