// What a sweep came to, as plain data read from its folder: each point with the mean and the interval over its seeds,
// the front of those that nothing beats, and the cheapest point at which the network still works. Nothing is computed
// with networks here.

import { join } from 'node:path';
import { generators } from '../../netlist/generators/registry.ts';
import { type Mean, meanOf } from '../../tensor/statistics.ts';
import { summarize } from '../results/summarize.ts';
import type { RunSummary } from '../results/summary.ts';
import type { StageResult } from '../run/stages.ts';
import { outcomeOf, type SweepPlan } from './folder.ts';
import type { Trial } from './grid.ts';

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
  readonly weightBits: number;
  readonly activationBits: number;
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
  /** Three kinds of power of the approximated layers, each relative to the exact 8×8 multiplier and never mixed. */
  readonly power: {
    /** By the analytic model, while training; null where nothing was explored. */
    readonly modelled: Spread | null;
    /** Unit gates of the netlists; null where a table alone is known. */
    readonly gateCost: Spread | null;
  };
  readonly isOnFront: boolean;
}

export interface FailedTrial {
  readonly name: string;
  readonly state: 'failed' | 'dropped';
  readonly reason: string;
}

/** What `front.json` holds. */
export interface SweepReport {
  readonly format: 'tram-front';
  readonly version: 1;
  readonly folder: string;
  /** By rising gate cost. */
  readonly points: readonly SweepPoint[];
  /** The cheapest point that loses no more than `loss` against its float network; null where there is none. */
  readonly answer: { readonly loss: number; readonly point: string | null };
  readonly failed: readonly FailedTrial[];
  /** Trials that are neither done nor failed. */
  readonly open: readonly string[];
}

/** Reads what is done; `loss`: points of accuracy (0.01 is one) up to which a network still works. */
export function frontOf(folder: string, plan: SweepPlan, loss: number): SweepReport {
  const failed: FailedTrial[] = [];
  const open: string[] = [];
  const done = new Map<string, (readonly [Trial, RunSummary])[]>();
  for (const trial of plan.trials) {
    const path = `trials/${trial.name}`;
    const outcome = outcomeOf(folder, path);
    if (!outcome) open.push(trial.name);
    else if (outcome.state !== 'done')
      failed.push({ name: trial.name, state: outcome.state, reason: outcome.reason ?? '' });
    else done.set(trial.point, [...(done.get(trial.point) ?? []), [trial, summarize(join(folder, path))]]);
  }
  const points = [...done].map(([name, runs]) => pointOf(name, runs));
  const ordered = points.toSorted((a, b) => costOf(a) - costOf(b) || b.accuracy.mean - a.accuracy.mean);
  const marked = markFront(ordered);
  const works = marked.filter(
    (point) => point.power.gateCost && point.accuracy.mean >= point.floatAccuracy.mean - loss,
  );
  return {
    ...{ format: 'tram-front', version: 1, folder, points: marked },
    ...{ answer: { loss, point: works[0]?.name ?? null }, failed, open },
  };
}

const costOf = ({ power }: Pick<SweepPoint, 'power'>): number => power.gateCost?.mean ?? Number.POSITIVE_INFINITY;

/** Ordered by cost, then accuracy: what is more accurate than all before it is on the front. */
function markFront(points: readonly Omit<SweepPoint, 'isOnFront'>[]): SweepPoint[] {
  let best = Number.NEGATIVE_INFINITY;
  return points.map((point) => {
    const isOnFront = Number.isFinite(costOf(point)) && point.accuracy.mean > best;
    if (isOnFront) best = point.accuracy.mean;
    return { ...point, isOnFront };
  });
}

function pointOf(name: string, runs: readonly (readonly [Trial, RunSummary])[]): Omit<SweepPoint, 'isOnFront'> {
  const [trial, summary] = runs[0]!;
  const summaries = runs.map(([, one]) => one);
  const last = (one: RunSummary, of: (stage: StageResult) => number | undefined) => {
    const stage = one.stages.findLast((result) => of(result) !== undefined);
    return stage && of(stage);
  };
  const spread = (of: (one: RunSummary) => number | undefined): Spread | null => {
    const values = summaries.map(of).filter((value) => value !== undefined);
    return values.length === summaries.length ? spreadOf(values) : null;
  };
  const accuracyAt = (stage: StageResult['stage']) =>
    spreadOf(summaries.map((one) => one.stages.find((result) => result.stage === stage)?.accuracy ?? Number.NaN));
  const { model, data, weightBits, activationBits } = summary;
  const kind = kindOf(trial);
  return {
    ...{ name, kind, isRival: trial.kind === 'rival', model, data, weightBits, activationBits },
    options: withoutSeed(summary.options),
    trials: runs.map(([{ name: own }]) => own),
    seeds: summaries.map(({ seed }) => seed),
    accuracy: spread((one) => one.stages.at(-1)?.accuracy)!,
    floatAccuracy: accuracyAt('float'),
    quantizedAccuracy: accuracyAt('quantized'),
    power: {
      modelled: kind === 'trained' ? spread((one) => last(one, ({ power }) => power)) : null,
      gateCost: spread((one) => last(one, ({ gateCost }) => gateCost)),
    },
  };
}

function kindOf({ settings }: Trial): PointKind {
  const multiplier = settings.map?.multiplier;
  if (multiplier === undefined) return 'trained';
  const kind = multiplier.split(':')[0]!;
  return Object.hasOwn(generators, kind) && generators[kind]!.exact ? 'exact' : 'given';
}

function withoutSeed(options: readonly string[]): string[] {
  const at = options.indexOf('--seed');
  return at < 0 ? [...options] : [...options.slice(0, at), ...options.slice(at + 2)];
}
