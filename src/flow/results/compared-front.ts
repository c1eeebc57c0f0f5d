// Runs and their rivals as points over one kind of power, and what follows from them: means over runs that differ in
// their seed alone, which of them are dominated and by what, and the picture.
// Rivals are the exact multipliers of each width that a run quantised to, those of fewer bits that a run measured
// (`--rivals`), and whatever the caller adds. Only runs of one task are compared: the same data, model and
// approximated layers.

import { powerModelTitles } from '../../multiplier/power-model.ts';
import { dominators, type FrontPoint, type FrontSeries, type PowerKind } from '../../report/front.ts';
import { frontSvg } from '../../report/front-picture.ts';
import { type Mean, meanOf } from '../../tensor/statistics.ts';
import { widthName } from '../multipliers/widths.ts';
import { aimOf, type ComparedRun, resultBy } from './compare.ts';
import { exactPowerOf, seriesOf } from './rivals.ts';

/** Runs that differ in the seed at most. */
export interface ComparedGroup {
  readonly label: string;
  readonly runs: readonly ComparedRun[];
  /** Of those with this kind of power; absent where none has it. */
  readonly accuracy?: Mean;
  readonly power?: Mean;
}

/** A point with the runs that it is of, none for a rival. */
export interface ComparedPoint extends FrontPoint {
  /** What points are compared within: data and model, and over modelled power its model. */
  readonly task: string;
  readonly runs: readonly ComparedRun[];
}

/** The runs by their settings, in their order; of several seeds the means. */
export function comparedGroups(runs: readonly ComparedRun[], kind: PowerKind): ComparedGroup[] {
  const groups = new Map<string, ComparedRun[]>();
  for (const run of runs) {
    const key = `${run.task} ${run.settings}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map((those) => {
    // A copy of a run, or the same once more, is no other seed.
    const seeds = [...new Map(those.map((run) => [run.seed, run])).values()];
    const results = seeds.flatMap((run) => resultBy(run, kind) ?? []);
    const label = seeds.length === 1 ? those.map((run) => run.label).join(', ') : commonLabel(seeds);
    if (results.length === 0) return { label, runs: those };
    const accuracy = meanOf(results.map((result) => result.accuracy));
    return { label, runs: those, accuracy, power: meanOf(results.map(({ power }) => power)) };
  });
}

/** What the labels of several seeds begin with, without a last word that was cut. */
function commonLabel(runs: readonly ComparedRun[]): string {
  const [first, ...others] = runs.map(({ label }) => label);
  let length = 0;
  while (length < first!.length && others.every((label) => label.startsWith(first!.slice(0, length + 1)))) length++;
  const shared = first!.slice(0, length).replace(/[\s/_.-]*(seed)?[\s/_.=-]*$/i, '');
  return `${shared || aimOf(runs[0]!)} (${runs.length} seeds)`;
}

const taskOf = ({ task, powerModel }: ComparedRun, kind: PowerKind): string =>
  kind === 'modelled' ? `${task} ${powerModel}` : task;

/** All points of one kind: the runs' groups and their rivals. */
export function comparedPoints(runs: readonly ComparedRun[], kind: PowerKind): ComparedPoint[] {
  const own = comparedGroups(runs, kind).flatMap(({ label, runs: those, accuracy, power }): ComparedPoint[] => {
    if (!accuracy || !power) return [];
    return [
      {
        ...{ label, kind, runs: those, task: taskOf(those[0]!, kind), n: accuracy.n },
        series: seriesOf(those[0]!.multiplier),
        ...{ accuracy: accuracy.mean, accuracySpread: accuracy.spread },
        ...{ power: power.mean, powerSpread: power.spread },
      },
    ];
  });
  return [...exactPoints(runs, kind), ...own];
}

/** The exact multipliers that the runs met, each width once for a task: the mean over seeds, of one seed the best. */
function exactPoints(runs: readonly ComparedRun[], kind: PowerKind): ComparedPoint[] {
  interface Met {
    readonly label: string;
    readonly series: FrontSeries;
    readonly task: string;
    readonly power: number;
    readonly bySeed: Map<number, number>;
  }
  const met = new Map<string, Met>();
  const add = (run: ComparedRun, bits: Bits, series: FrontSeries, accuracy: number | undefined) => {
    const label = widthName(bits);
    const synthesised = run.synthesised?.exact[label];
    const power = exactPowerOf(bits, kind, { synthesised, model: run.powerModel });
    if (accuracy === undefined || power === undefined) return;
    const task = taskOf(run, kind);
    const key = `${task} ${series} ${label}`;
    const one = met.get(key) ?? { label, series, task, power, bySeed: new Map() };
    one.bySeed.set(run.seed, Math.max(accuracy, one.bySeed.get(run.seed) ?? 0));
    met.set(key, one);
  };
  for (const run of runs) {
    const { weightBits: weights, activationBits: activations, stages, rivals = [] } = run;
    // Layers with widths of their own are no multiplier of the run's.
    if (!run.hasOwnWidths) {
      add(run, { weights, activations }, 'exact', stages.find(({ stage }) => stage === 'quantized')?.accuracy);
    }
    for (const { bits, plain, recovered } of rivals) {
      add(run, bits, 'exact', plain.accuracy);
      add(run, bits, 'exact-retrained', recovered?.accuracy);
    }
  }
  return [...met.values()].map(({ bySeed, ...point }) => {
    const { mean, spread, n } = meanOf([...bySeed.values()]);
    return { ...point, kind, accuracy: mean, accuracySpread: spread, n, runs: [] };
  });
}

type Bits = Parameters<typeof widthName>[0];

/** A point of the runs, and the most accurate of those that dominate it: none where it is on the front. */
export interface Judged {
  readonly point: ComparedPoint;
  readonly by?: FrontPoint;
}

/** The points of runs, each judged among all of the same task; `more` are rivals of all of them. */
export function judge(points: readonly ComparedPoint[], more: readonly FrontPoint[] = []): Judged[] {
  return points.flatMap((point) => {
    if (point.runs.length === 0) return [];
    const others = more.map((one): FrontPoint => ({ ...one, task: point.task }));
    const [by] = dominators<FrontPoint>(point, [...points, ...others]);
    return [by ? { point, by } : { point }];
  });
}

export interface ComparedPicture {
  readonly kind: PowerKind;
  /** Labels of the runs that have no place on this axis. */
  readonly missing: readonly string[];
  readonly svg: string;
}

/** The picture of the runs and their rivals over one kind of power; at least one run must have it. */
export async function comparedPicture(
  runs: readonly ComparedRun[],
  kind: PowerKind,
  more: readonly FrontPoint[] = [],
): Promise<ComparedPicture> {
  const missing = runs.filter((run) => resultBy(run, kind) === undefined).map(({ label }) => label);
  const library = runs.find(({ synthesised }) => synthesised)?.synthesised?.library;
  const models = [...new Set(runs.map(({ powerModel }) => powerModelTitles[powerModel]))].join(' or ');
  const technology = { modelled: models, gates: undefined, synthesised: library }[kind];
  const own = comparedPoints(runs, kind);
  const tasks = new Set(own.map(({ task }) => task));
  // Rivals of several tasks would be points of each; they stand apart then.
  const points = [...own, ...more.map((one) => (tasks.size === 1 ? { ...one, task: own[0]!.task } : one))];
  return { kind, missing, svg: await frontSvg(points, technology === undefined ? {} : { technology }) };
}
