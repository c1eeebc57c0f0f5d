// Several runs side by side: what each came to and at what power or gate cost, from their manifests alone. Accuracies
// are comparable where the data and the model are the same, power where it is that of the same layers; a run's task
// stands for all three, and the names are in the result so that a reader sees it.

import { resolve, sep } from 'node:path';
import type { PowerModelName } from '../../multiplier/power-model.ts';
import { type PowerKind, powerKinds } from '../../report/front.ts';
import { UserError } from '../../tensor/errors.ts';
import { sha256 } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import type { OperandBits } from '../../workbench/import.ts';
import type { Technology } from '../../workbench/synthesised-power.ts';
import { synthesisedExact, synthesisedNetwork } from '../multipliers/synthesised.ts';
import { widthName } from '../multipliers/widths.ts';
import { requireIntact } from '../run/integrity.ts';
import { type MultiplierRecord, readManifest } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import type { Configuration } from '../settings/config.ts';
import { approximateShare, hasOwnWidths } from '../settings/layers.ts';
import { phasesOf } from '../settings/phases.ts';
import { type Rival, type Rivals, readRivals } from './rivals.ts';
import { stagesOf } from './stages.ts';
import { taskOf } from './task.ts';

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
  /** Images that it trained on, and that its accuracies are of. */
  readonly trainImages: number;
  readonly testImages: number;
  readonly model: string;
  readonly seed: number;
  /** The same for runs that differ in their seed at most: that of taskOf, and a hash of all settings. */
  readonly task: string;
  readonly settings: string;
  readonly weightBits: number;
  readonly activationBits: number;
  /** Whether layers have widths of their own, whatever those are. */
  readonly hasOwnWidths?: boolean;
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
  /** What the powers of its stages are by. */
  readonly powerModel: PowerModelName;
  /** The last stage with modelled power of θ. */
  readonly power?: StageResult & { readonly power: number };
  /** The last stage with a netlist of known gate cost. */
  readonly gateCost?: StageResult & { readonly gateCost: number };
  /** Synthesised power, where the run has it or it was asked for (synthesizeRuns). */
  readonly synthesised?: ComparedSynthesis;
  /** Exact multipliers of fewer bits, where the run measured them. */
  readonly rivals?: readonly Rival[];
  /** Where multipliers were mapped or given. */
  readonly errors?: ComparedErrors;
}

/** Synthesised power relative to the exact 8×8 multiplier, in one library. */
export interface ComparedSynthesis {
  readonly library: string;
  /** Of the run's multipliers, mean over their multiplications; null where one is known by its table alone. */
  readonly power: number | null;
  /** Of exact multipliers by their widths, as 4×5: the run's own and its rivals'. */
  readonly exact: Readonly<Record<string, number>>;
}

/** Reads the runs, each folder once; a UserError names one that has neither measure yet. */
export function compareRuns(folders: readonly string[]): ComparedRun[] {
  const distinct = [...new Map(folders.map((folder) => [resolve(folder), folder])).values()];
  const runs = distinct.map(readRun);
  const names = runs.map(aimOf);
  const labels = new Set(names).size === names.length ? names : distinctEnds(distinct);
  return runs.map((run, at) => ({ ...run, label: labels[at]! }));
}

/** The multiplier that was given, else "λ = 0.3", "power ≤ 0.3, loss ≤ 0.5". */
export function aimOf({ multiplier, lambda, powerTarget, maxLoss }: Omit<ComparedRun, 'label'>): string {
  if (multiplier !== undefined) return multiplier;
  const targets = [
    ...(powerTarget === undefined ? [] : [`power ≤ ${powerTarget}`]),
    ...(maxLoss === undefined ? [] : [`loss ≤ ${maxLoss}`]),
  ];
  return targets.length === 0 ? `λ = ${lambda}` : targets.join(', ');
}

/** The run's last result with this kind of power, and that power. */
export function resultBy(
  run: Omit<ComparedRun, 'label'>,
  kind: PowerKind,
): { readonly accuracy: number; readonly power: number } | undefined {
  const { power, gateCost, synthesised, stages } = run;
  if (kind === 'modelled') return power;
  if (kind === 'gates') return gateCost && { accuracy: gateCost.accuracy, power: gateCost.gateCost };
  const last = stages.findLast(({ stage }) => stage === 'recovered' || stage === 'mapped');
  const own = synthesised?.power ?? undefined;
  return last && own !== undefined ? { accuracy: last.accuracy, power: own } : undefined;
}

/**
 * The kind of power that most of the runs have: what one picture can show of them. At a tie synthesised before gates
 * before modelled.
 */
export function commonKind(runs: readonly ComparedRun[]): PowerKind {
  const count = (kind: PowerKind) => runs.filter((run) => resultBy(run, kind) !== undefined).length;
  return powerKinds.toReversed().reduce((best, kind) => (count(kind) > count(best) ? kind : best));
}

/** The runs with the synthesised power of their multipliers and rivals in a technology. Takes seconds for each. */
export async function synthesizeRuns(
  runs: readonly ComparedRun[],
  technology: Technology,
): Promise<readonly ComparedRun[]> {
  const synthesised: ComparedRun[] = [];
  for (const run of runs) synthesised.push({ ...run, synthesised: await synthesisOf(run, technology) });
  return synthesised;
}

async function synthesisOf(
  { folder, rivals = [], weightBits: weights, activationBits: activations }: ComparedRun,
  technology: Technology,
): Promise<ComparedSynthesis> {
  const { phases: done, inputs } = readManifest(folder);
  const macs = new Map(inputs.layers.map((layer) => [layer.name, layer.macs]));
  const power = done.map && (await synthesisedNetwork(folder, done.map, macs, technology));
  const exact: Record<string, number> = {};
  for (const bits of [{ weights, activations }, ...rivals.map((rival) => rival.bits)]) {
    exact[widthName(bits)] = (await synthesisedExact(bits, technology)).relative.power;
  }
  return { library: (await technology.reference()).library, power: power ?? null, exact };
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
  const stages = stagesOf({ configuration, inputs, phases: done });
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
  const beside = done.rivals && phasesOf(configuration).includes('rivals') ? readRivals(folder) : undefined;
  const { seed, ...settings } = configuration;
  const macs = new Map(inputs.layers.map((layer) => [layer.name, layer.macs]));
  return {
    folder,
    data: configuration.data,
    ...{ trainImages: inputs.data.trainImages, testImages: inputs.data.testImages },
    model: configuration.model,
    seed,
    task: taskOf({ configuration, inputs }),
    settings: sha256(JSON.stringify(settings)),
    weightBits: configuration.bits.weights,
    activationBits: configuration.bits.activations,
    ...(hasSeveralWidths(configuration) ? { hasOwnWidths: true } : {}),
    approximateShare: approximateShare(configuration, inputs),
    ...given({ lambda, powerTarget: power, maxLoss }),
    ...(multiplier === undefined ? {} : { multiplier }),
    powerModel: configuration.explore.powerModel,
    stages,
    ...(measured ? { power: measured } : {}),
    ...(gateCost ? { gateCost } : {}),
    ...(beside ? { rivals: beside.rivals, ...keptSynthesis(beside, configuration.bits) } : {}),
    ...(multipliers.length === 0 ? {} : { errors: errorsOf(multipliers, macs) }),
  };
}

/** Whether the widths of the layers are not those of the run: exact multipliers of the run's alone are not such. */
const hasSeveralWidths = (configuration: Configuration) =>
  hasOwnWidths(configuration) &&
  (configuration.quantize.layerCost !== undefined || configuration.quantize.layerBits.length > 0);

/** What the run itself synthesised. */
function keptSynthesis(
  { synthesised, rivals }: Rivals,
  bits: OperandBits,
): { readonly synthesised?: ComparedSynthesis } {
  if (!synthesised) return {};
  const { library, own, exact } = synthesised;
  const narrower = rivals.flatMap((rival) =>
    rival.synthesised === undefined ? [] : [[widthName(rival.bits), rival.synthesised] as const],
  );
  return { synthesised: { library, power: own, exact: { [widthName(bits)]: exact, ...Object.fromEntries(narrower) } } };
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
