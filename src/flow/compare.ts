// Several runs side by side: what each came to and at what power, from their manifests alone. Accuracies are comparable where the data and the
// model are the same; the names of both are in the result so that a reader sees it.

import { basename, resolve } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { requireIntact } from './integrity.ts';
import { phasesOf, readManifest, stageResultOf } from './manifest.ts';
import type { StageResult } from './summary.ts';

export interface ComparedRun {
  readonly folder: string;
  /** Shortest name that tells the runs apart: λ, the multiplier that was given, or the folder. */
  readonly label: string;
  readonly data: string;
  readonly model: string;
  readonly weightBits: number;
  readonly activationBits: number;
  /** The multiplier that was given instead of a trained one. */
  readonly multiplier?: string;
  readonly lambda: number;
  readonly stages: readonly StageResult[];
  /** The last stage whose power is known; what the run is compared by. */
  readonly result: StageResult & { readonly power: number };
}

/** Reads the runs; a UserError names one that has no stage with a power yet. */
export function compareRuns(folders: readonly string[]): ComparedRun[] {
  const runs = folders.map(readRun);
  const names = runs.map(({ multiplier, lambda }) => multiplier ?? `λ = ${lambda}`);
  const distinct = new Set(names).size === names.length;
  return runs.map((run, at) => ({ ...run, label: distinct ? names[at]! : basename(resolve(run.folder)) }));
}

function readRun(folder: string): Omit<ComparedRun, 'label'> {
  const { configuration, phases: done } = readManifest(folder);
  requireIntact(folder, done);
  const stages = phasesOf(configuration).flatMap((phase) => (done[phase]?.stages ?? []).map(stageResultOf));
  const result = stages.findLast((stage): stage is StageResult & { power: number } => stage.power !== undefined);
  if (!result) {
    throw new UserError(`${folder} has no stage with a power yet; run tram run ${folder} to the end first`);
  }
  const { multiplier } = configuration.map;
  return {
    folder,
    data: configuration.data,
    model: configuration.model,
    weightBits: configuration.bits.weights,
    activationBits: configuration.bits.activations,
    lambda: configuration.explore.lambda,
    ...(multiplier === undefined ? {} : { multiplier }),
    stages,
    result,
  };
}
