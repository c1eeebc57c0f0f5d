// What a run folder contains, and who writes it. Beside these files are `manifest.json` (manifest.ts), which alone says
// which of them belong to the run, and the lock of the process that works there (lock.ts). A file's contents are
// described in docs/formats.md.

import { join } from 'node:path';
import { makeFolder, makeFolderInside } from '../../tensor/files.ts';
import type { Configuration } from '../settings/config.ts';
import type { Manifest } from './manifest.ts';

/**
 * Paths in a run folder, relative to it; the files of a multiplier, which phase 2 writes, are those of
 * `multiplierFiles` (workbench/files.ts).
 */
export const files = {
  /** A line for each epoch, added by the phases that train (metrics.ts). */
  metrics: 'metrics.jsonl',
  /** phases/explore.ts (multipliers/theta.ts). */
  theta: 'theta.json',
  /** While a phase trains: where it goes on (checkpoint.ts). */
  resume: 'checkpoints/resume.safetensors',
  /** phases/train.ts. */
  float: 'checkpoints/float.safetensors',
  /** phases/train.ts, of a quantised network that was given. */
  quantizers: 'checkpoints/given-quantizers.safetensors',
  /** phases/harms.ts, where widths of layers are searched. */
  harms: 'harms.json',
  /** phases/quantize.ts. */
  quantized: 'checkpoints/quantized.safetensors',
  /** phases/explore.ts. */
  explored: 'checkpoints/explored.safetensors',
  /** phases/recover.ts. */
  recovered: 'checkpoints/recovered.safetensors',
  /** phases/rivals.ts (results/rivals.ts). */
  rivals: 'rivals.json',
  /** A folder: phases/report.ts. */
  figures: 'figures',
  /** phases/report.ts (results/page.ts). */
  page: 'report.html',
  /** Which run of an MLflow server is this one (logs/mlflow.ts). */
  mlflow: 'mlflow.json',
} as const;

/** The event file for TensorBoard (logs/tensorboard.ts); its name begins as that looks for it. */
export function eventFile({ created }: Pick<Manifest, 'created'>): string {
  return `events.out.tfevents.${Math.floor(Date.parse(created) / 1000)}.tram`;
}

/** The plan of a sweep, which stands in a folder that is none of a run (sweep/folder.ts). */
export const SWEEP_PLAN = 'sweep.json';

/** A run as its folder has it: all that a view of it needs. */
export interface RunFolder {
  readonly folder: string;
  readonly manifest: Manifest;
  readonly configuration: Configuration;
}

export function inFolder({ folder }: Pick<RunFolder, 'folder'>, path: string): string {
  return join(folder, path);
}

export function makeFolders(folder: string): void {
  makeFolder(folder);
  for (const path of ['checkpoints', files.figures]) makeFolderInside(folder, path);
}
