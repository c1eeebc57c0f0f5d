// Several runs side by side: what each came to and at what power or gate cost, from their manifests alone. Accuracies
// are comparable where the data and the model are the same; the names of both are in the result so that a reader sees
// it.

import { resolve, sep } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { requireIntact } from '../run/integrity.ts';
import { type MultiplierRecord, readManifest, stageResultOf } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import { approximateShare } from '../settings/layers.ts';
import { phasesOf } from '../settings/phases.ts';

/** The two measures of what multiplying costs; they never share an axis or a column. */
export const measures = ['power', 'gateCost'] as const;
export type Measure = (typeof measures)[number];

/**
 * Errors of a run's multipliers over all operand pairs: means over the multiplications, and the largest distance of
 * all.
 */
export interface ComparedErrors {
  readonly multipliers: number;
  readonly errorRate: number;
  readonly normalizedMeanErrorDistance: number;
  readonly meanError: number;
  readonly maxErrorDistance: number;
}

export interface ComparedRun {
  readonly folder: string;
  /** Shortest name that tells the runs apart: λ, the multiplier that was given, or the end of the folder's path. */
  readonly label: string;
  readonly data: string;
  readonly model: string;
  readonly weightBits: number;
  readonly activationBits: number;
  /** The share of the network's multiplications that power, gate cost and errors are those of. */
  readonly approximateShare: number;
  /** The multiplier that was given instead of a trained one. */
  readonly multiplier?: string;
  /** Absent where it was found for a target. */
  readonly lambda?: number;
  /** Modelled power, and points of accuracy, that were the targets of exploration. */
  readonly powerTarget?: number;
  readonly maxLoss?: number;
  readonly stages: readonly StageResult[];
  /** The last stage with the analytic power of θ. */
  readonly power?: StageResult & { readonly power: number };
  /** The last stage with a netlist of known gate cost. */
  readonly gateCost?: StageResult & { readonly gateCost: number };
  /** Where multipliers were mapped or given. */
  readonly errors?: ComparedErrors;
}

/** Reads the runs, each folder once; a UserError names one that has neither measure yet. */
export function compareRuns(folders: readonly string[]): ComparedRun[] {
  const distinct = [...new Map(folders.map((folder) => [resolve(folder), folder])).values()];
  const runs = distinct.map(readRun);
  const names = runs.map((run) => run.multiplier ?? aimOf(run));
  const labels = new Set(names).size === names.length ? names : distinctEnds(distinct);
  return runs.map((run, at) => ({ ...run, label: labels[at]! }));
}

/** "λ = 0.3", "power ≤ 0.3, loss ≤ 0.5". */
function aimOf({ lambda, powerTarget, maxLoss }: Omit<ComparedRun, 'label'>): string {
  const targets = [
    ...(powerTarget === undefined ? [] : [`power ≤ ${powerTarget}`]),
    ...(maxLoss === undefined ? [] : [`loss ≤ ${maxLoss}`]),
  ];
  return targets.length === 0 ? `λ = ${lambda}` : targets.join(', ');
}

/** The measure that most of the runs have, gate cost at a tie: what one picture can show of them. */
export function commonMeasure(runs: readonly ComparedRun[]): Measure {
  const count = (measure: Measure) => runs.filter((run) => run[measure] !== undefined).length;
  return count('power') > count('gateCost') ? 'power' : 'gateCost';
}

/**
 * The shortest ends of the paths, in whole names, that differ from each other: seed1, or lambda-1/seed1 beside
 * lambda-2/seed1.
 */
export function distinctEnds(folders: readonly string[]): string[] {
  const parts = folders.map((folder) => resolve(folder).split(sep));
  const longest = Math.max(...parts.map(({ length }) => length));
  for (let names = 1; names < longest; names++) {
    const ends = parts.map((path) => path.slice(-names).join(sep));
    if (new Set(ends).size === ends.length) return ends;
  }
  return parts.map((path) => path.join(sep));
}

function readRun(folder: string): Omit<ComparedRun, 'label'> {
  const { configuration, phases: done, inputs } = readManifest(folder);
  requireIntact(folder, done);
  const stages = phasesOf(configuration).flatMap((phase) => (done[phase]?.stages ?? []).map(stageResultOf));
  const { multiplier } = configuration.map;
  const { lambda, power, maxLoss } = configuration.explore;
  // Of a run with a given multiplier the model of θ says nothing.
  const modelled = multiplier === undefined ? stages : [];
  const measured = modelled.findLast((stage): stage is StageResult & { power: number } => stage.power !== undefined);
  const gateCost = stages.findLast(
    (stage): stage is StageResult & { gateCost: number } => stage.gateCost !== undefined,
  );
  if (!measured && !gateCost) {
    throw new UserError(
      `${folder} has no stage with a power or a gate cost yet; run tram run ${folder} to the end first`,
    );
  }
  const multipliers = done.map?.multipliers ?? [];
  const macs = new Map(inputs.layers.map((layer) => [layer.name, layer.macs]));
  return {
    folder,
    data: configuration.data,
    model: configuration.model,
    weightBits: configuration.bits.weights,
    activationBits: configuration.bits.activations,
    approximateShare: approximateShare(configuration, inputs),
    ...given({ lambda, powerTarget: power, maxLoss }),
    ...(multiplier === undefined ? {} : { multiplier }),
    stages,
    ...(measured ? { power: measured } : {}),
    ...(gateCost ? { gateCost } : {}),
    ...(multipliers.length === 0 ? {} : { errors: errorsOf(multipliers, macs) }),
  };
}

function errorsOf(multipliers: readonly MultiplierRecord[], macs: ReadonlyMap<string, number>): ComparedErrors {
  const weights = multipliers.map(({ layers }) => layers.reduce((sum, layer) => sum + (macs.get(layer) ?? 0), 0));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = (of: (metrics: MultiplierRecord['metrics']) => number) =>
    multipliers.reduce((sum, { metrics }, at) => sum + of(metrics) * weights[at]!, 0) / total;
  return {
    multipliers: multipliers.length,
    errorRate: mean(({ errorRate }) => errorRate),
    normalizedMeanErrorDistance: mean(({ normalizedMeanErrorDistance }) => normalizedMeanErrorDistance),
    meanError: mean(({ meanError }) => meanError),
    maxErrorDistance: Math.max(...multipliers.map(({ metrics }) => metrics.maxErrorDistance)),
  };
}
