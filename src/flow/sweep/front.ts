// What a sweep came to, as plain data read from its folder: each point with the mean and the interval over its seeds,
// the front of those that nothing beats, and the cheapest point at which the network still works. Nothing is computed
// with networks here.
// Invariant: points of different tasks (data, network, approximated layers) have fronts and answers of their own.

import { join } from 'node:path';
import { networkPower } from '../../multiplier/power.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { generators } from '../../netlist/generators/registry.ts';
import { front, type PowerKind } from '../../report/front.ts';
import { UserError } from '../../tensor/errors.ts';
import { type Mean, meanOf } from '../../tensor/statistics.ts';
import type { Technology } from '../../workbench/synthesised-power.ts';
import { synthesisedExact, synthesisedNetwork } from '../multipliers/synthesised.ts';
import { summarize } from '../results/summarize.ts';
import type { RunSummary } from '../results/summary.ts';
import { taskOf } from '../results/task.ts';
import { readManifest } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import { EXACT } from '../settings/layers.ts';
import { outcomeOf, type SweepPlan } from './folder.ts';
import { exactSource, type Trial } from './grid.ts';

/** What a point multiplies with. */
export type PointKind = 'exact' | 'trained' | 'given';

/** A mean over seeds with half its 95 % interval, and the values behind it. */
export interface Spread extends Mean {
  readonly values: readonly number[];
}

const spreadOf = (values: readonly number[]): Spread => ({ ...meanOf(values), values });

/** A setting with all its seeds. */
export interface SweepPoint {
  readonly name: string;
  readonly kind: PointKind;
  /** Whether it was added as a rival. */
  readonly isRival: boolean;
  readonly model: string;
  readonly data: string;
  /** The same for points whose accuracies and powers are comparable (taskOf). */
  readonly task: string;
  /** The share of the network's multiplications that power is that of. */
  readonly approximateShare: number;
  readonly weightBits: number;
  readonly activationBits: number;
  /** Whether layers have widths of their own, in the place of these. */
  readonly isByLayer: boolean;
  /** Options of `tram run` that make it, but for the seed. */
  readonly options: readonly string[];
  /** Trials that are done, and their seeds in the same order. */
  readonly trials: readonly string[];
  readonly seeds: readonly number[];
  /** At the end of the run, on the test images: shares from 0 to 1. */
  readonly accuracy: Spread;
  /** Of the float network that it began with. */
  readonly floatAccuracy: Spread;
  /** Of the quantised network with exact multipliers of its widths. */
  readonly quantizedAccuracy: Spread;
  /**
   * Three kinds of power of the approximated layers, each relative to the exact 8×8 multiplier: modelled is null where
   * nothing was explored, the others where a table alone is known, synthesised where nothing was synthesised.
   */
  readonly power: Readonly<Record<PowerKind, Spread | null>>;
  /**
   * Of exact multipliers whose synthesised power is that of another netlist than the run has: the family of the
   * cheapest of these widths, by the multiplier's name; else null.
   */
  readonly family: Readonly<Record<string, ExactNetlist>> | null;
  readonly isOnFront: boolean;
}

export interface FailedTrial {
  readonly name: string;
  readonly state: 'failed' | 'dropped';
  readonly reason: string;
}

/** An exact netlist by what generates it. */
export interface ExactNetlist {
  readonly family: string;
  readonly weightBits: number;
  readonly activationBits: number;
}

/**
 * What is looked for: the cheapest point that loses no more than is allowed against its float network, or the most
 * accurate one at the power that is allowed.
 */
export type Goal = 'cheapest' | 'most-accurate';

/** What was found for a task. */
export interface Answer {
  readonly task: string;
  /** Null: nothing is cheap and accurate enough. */
  readonly point: string | null;
  /** The same among the points of the other sort: exact multipliers, or those that are not; null: there is none. */
  readonly other: string | null;
}

/** What `front.json` holds. */
export interface SweepReport {
  readonly format: 'tram-front';
  readonly version: 1;
  readonly folder: string;
  /** The power that the front is over: synthesised where every netlist is, else gates. */
  readonly kind: Exclude<PowerKind, 'modelled'>;
  /** The cells behind synthesised power; null where there is none. */
  readonly library: string | null;
  /** By rising power. */
  readonly points: readonly SweepPoint[];
  /** Share of accuracy up to which a network still works. */
  readonly loss: number;
  /** Power that an answer does not pass; null where none was said. */
  readonly power: number | null;
  readonly goal: Goal;
  readonly answers: readonly Answer[];
  readonly failed: readonly FailedTrial[];
  /** Trials that are neither done nor failed. */
  readonly open: readonly string[];
  /** Points of rivals of which no trial is done. */
  readonly missingRivals: readonly string[];
}

export interface FrontOptions {
  readonly folder: string;
  readonly plan: SweepPlan;
  /** Points of accuracy (0.01 is one) up to which a network still works. */
  readonly loss: number;
  /** Power that an answer is not to pass, in the kind that the front is over. */
  readonly power?: number | undefined;
  readonly goal: Goal;
  /** Where netlists are synthesised; null: nowhere. */
  readonly technology: Technology | null;
  /** What becomes of a trial whose files are damaged: it is refused, or for a look told among the failed. */
  readonly damaged?: 'refuse' | 'tell';
}

/** Reads what is done, and synthesises its netlists. */
export async function frontOf(options: FrontOptions): Promise<SweepReport> {
  const { folder, plan, loss, power, goal, technology } = options;
  const failed: FailedTrial[] = [];
  const open: string[] = [];
  const done = new Map<string, Ended[]>();
  const read = async (trial: Trial) => {
    const path = `trials/${trial.name}`;
    const outcome = outcomeOf(folder, path);
    if (!outcome) open.push(trial.name);
    else if (outcome.state !== 'done') {
      failed.push({ name: trial.name, state: outcome.state, reason: outcome.reason ?? '' });
    } else {
      const summary = summarize(join(folder, path));
      const task = taskOf(readManifest(join(folder, path)));
      const synthesised = technology ? await synthesise(join(folder, path), trial, summary, technology) : undefined;
      done.set(trial.point, [...(done.get(trial.point) ?? []), { trial, summary, task, synthesised }]);
    }
  };
  for (const trial of plan.trials) {
    try {
      await read(trial);
    } catch (error) {
      if (options.damaged !== 'tell' || !(error instanceof UserError)) throw error;
      failed.push({ name: trial.name, state: 'failed', reason: error.message });
    }
  }
  const rivals = plan.trials.filter((trial) => trial.kind === 'rival');
  const points = [...done].map(([name, runs]) => pointOf(name, runs));
  const priced = points.filter(({ power }) => power.gates);
  const isSynthesised = priced.length > 0 && priced.every(({ power }) => power.synthesised);
  const kind: SweepReport['kind'] = isSynthesised ? 'synthesised' : 'gates';
  const costOf = (point: Unmarked) => point.power[kind]?.mean ?? Number.POSITIVE_INFINITY;
  const ordered = points.toSorted((a, b) => costOf(a) - costOf(b) || b.accuracy.mean - a.accuracy.mean);
  const placed = priced.map((point) => ({
    name: point.name,
    task: point.task,
    kind,
    power: costOf(point),
    accuracy: point.accuracy.mean,
  }));
  const best = new Set(front(placed).map(({ name }) => name));
  const isAllowed = (one: Unmarked) =>
    costOf(one) <= (power ?? Number.MAX_VALUE) &&
    (goal === 'most-accurate' || one.accuracy.mean >= one.floatAccuracy.mean - loss);
  // By rising power, or by falling accuracy.
  const allowed = ordered
    .filter((one) => one.power.gates && isAllowed(one))
    .toSorted((a, b) => (goal === 'cheapest' ? 0 : b.accuracy.mean - a.accuracy.mean));
  const answerOf = (task: string): Answer => {
    const own = allowed.filter((one) => one.task === task);
    const isExact = own[0]?.kind === 'exact';
    const other = own.find((one) => (one.kind === 'exact') !== isExact);
    return { task, point: own[0]?.name ?? null, other: other?.name ?? null };
  };
  return {
    ...{ format: 'tram-front', version: 1, folder, kind },
    library: isSynthesised ? (await technology!.reference()).library : null,
    points: ordered.map((point) => ({ ...point, isOnFront: best.has(point.name) })),
    loss,
    ...{ power: power ?? null, goal },
    answers: [...new Set(ordered.map(({ task }) => task))].map(answerOf),
    ...{ failed, open },
    missingRivals: [...new Set(rivals.map(({ point }) => point))].filter((point) => !done.has(point)),
  };
}

/** A trial that is done. */
interface Ended {
  readonly trial: Trial;
  readonly summary: RunSummary;
  readonly task: string;
  readonly synthesised: Priced | undefined;
}

/** Synthesised power, and the exact netlists that it is of in the place of the run's. */
interface Priced {
  readonly power: number;
  readonly netlists?: Readonly<Record<string, ExactNetlist>>;
}

type Unmarked = Omit<SweepPoint, 'isOnFront'>;

/** Power of a run's netlists in the cells of a technology; exact multipliers have that of the cheapest. */
async function synthesise(
  run: string,
  trial: Trial,
  summary: RunSummary,
  technology: Technology,
): Promise<Priced | undefined> {
  const { layers, multipliers } = summary;
  if (isExactOfWidths(trial, summary)) {
    const netlists: Record<string, ExactNetlist> = {};
    const powers: { power: number; macs: number }[] = [];
    for (const { name, layers: own } of multipliers) {
      const readers = layers.filter((layer) => own.includes(layer.name));
      const { weightBits, activationBits } = readers[0]!;
      const { relative, family } = await synthesisedExact(widthsOf(readers[0]!), technology);
      netlists[name] = { family, weightBits, activationBits };
      powers.push({ power: relative.power, macs: readers.reduce((sum, { macs }) => sum + macs, 0) });
    }
    return { power: networkPower(powers), netlists };
  }
  const macs = new Map(layers.map((layer) => [layer.name, layer.macs]));
  const power = await synthesisedNetwork(run, readManifest(run).phases.map!, macs, technology);
  return power === undefined ? undefined : { power };
}

function pointOf(name: string, runs: readonly Ended[]): Unmarked {
  const { trial, summary, task } = runs[0]!;
  const { settings } = trial;
  const summaries = runs.map((run) => run.summary);
  const last = (one: RunSummary, of: (stage: StageResult) => number | undefined) => {
    const stage = one.stages.findLast((result) => of(result) !== undefined);
    return stage && of(stage);
  };
  const spreadOfAll = (all: readonly (number | undefined)[]): Spread | null => {
    const values = all.filter((value) => value !== undefined);
    return values.length === all.length ? spreadOf(values) : null;
  };
  const spread = (of: (one: RunSummary) => number | undefined) => spreadOfAll(summaries.map(of));
  const accuracyAt = (stage: StageResult['stage']) =>
    spreadOf(summaries.map((one) => one.stages.find((result) => result.stage === stage)?.accuracy ?? Number.NaN));
  const { model, data, weightBits, activationBits } = summary;
  const kind = kindOf(trial);
  return {
    ...{ name, kind, isRival: trial.kind === 'rival', model, data, weightBits, activationBits },
    isByLayer: isByLayer(trial, summary),
    ...{ task, approximateShare: 1 - summary.exactShare },
    options: withoutSeed(summary.options),
    trials: runs.map((run) => run.trial.name),
    seeds: summaries.map(({ seed }) => seed),
    accuracy: spread((one) => one.stages.at(-1)?.accuracy)!,
    floatAccuracy: accuracyAt('float'),
    quantizedAccuracy: accuracyAt('quantized'),
    power: {
      modelled: kind === 'trained' ? spread((one) => last(one, ({ power }) => power)) : null,
      gates: spread((one) =>
        settings.map?.multiplier === exactSource(widthsOf(one))
          ? cheapestExact(one.weightBits, one.activationBits).gateCost
          : last(one, ({ gateCost }) => gateCost),
      ),
      synthesised: spreadOfAll(runs.map(({ synthesised }) => synthesised?.power)),
    },
    family: runs[0]!.synthesised?.netlists ?? null,
  };
}

/** Widths are searched, or an exact multiplier of each layer's widths meets others than the run's. */
function isByLayer({ settings }: Trial, { layers, exactLayers, weightBits, activationBits }: RunSummary): boolean {
  if (settings.quantize?.layerCost !== undefined) return true;
  if (settings.map?.multiplier !== EXACT) return false;
  const own = layers.filter(({ name }) => !exactLayers.includes(name));
  return own.some((one) => one.weightBits !== weightBits || one.activationBits !== activationBits);
}

function kindOf({ settings }: Trial): PointKind {
  const multiplier = settings.map?.multiplier;
  if (multiplier === undefined) return 'trained';
  if (multiplier === EXACT) return 'exact';
  const kind = multiplier.split(':')[0]!;
  return Object.hasOwn(generators, kind) && generators[kind]!.exact ? 'exact' : 'given';
}

const widthsOf = ({ weightBits, activationBits }: Pick<RunSummary, 'weightBits' | 'activationBits'>) => ({
  weights: weightBits,
  activations: activationBits,
});

/** The exact multiplier of the run's widths, or of those of each layer, whatever their netlists. */
function isExactOfWidths({ settings }: Trial, summary: Parameters<typeof widthsOf>[0]): boolean {
  const multiplier = settings.map?.multiplier;
  return multiplier === EXACT || multiplier === exactSource(widthsOf(summary));
}

function withoutSeed(options: readonly string[]): string[] {
  const at = options.indexOf('--seed');
  return at < 0 ? [...options] : [...options.slice(0, at), ...options.slice(at + 2)];
}
