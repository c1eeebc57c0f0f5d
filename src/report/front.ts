// Accuracy over power, as data: the points of one picture, which of them are dominated, and the front of the rest.
// Power has three kinds, all relative to the exact 8×8 multiplier whatever the operands' widths: modelled (what the
// training sees), gates (unit gates of the netlist) and synthesised (area, delay and power in the cells of a library).
// Invariant: points of different kinds are never compared, those of different tasks never dominate each other, nor do
// equal points.

import { invariant } from '../tensor/errors.ts';

/** A library by the name that a person knows it by. */
export const cellsTitle = (library: string): string => (library === 'unit_gate' ? 'the built-in unit gates' : library);

/** What a power may be, the surest last. */
export const powerKinds = ['modelled', 'gates', 'synthesised'] as const;
export type PowerKind = (typeof powerKinds)[number];

/** What is on the axis of each kind. */
export const powerTitles: Readonly<Record<PowerKind, string>> = {
  modelled: 'Modelled power (exact 8×8 array = 1)',
  gates: 'Gate cost of the netlist (cheapest exact 8×8 multiplier = 1)',
  synthesised: 'Synthesised power (exact 8×8 array = 1)',
};

/** What a point is: ours, or which kind of rival. */
export const frontSeries = ['trained', 'exact', 'exact-retrained', 'truncated', 'given'] as const;
export type FrontSeries = (typeof frontSeries)[number];

export const seriesTitles: Readonly<Record<FrontSeries, string>> = {
  trained: 'trained structure',
  exact: 'exact',
  'exact-retrained': 'exact, retrained',
  truncated: 'truncated',
  given: 'given multiplier',
};

/** One multiplier in one network, over one or several seeds. */
export interface FrontPoint {
  readonly label: string;
  readonly series: FrontSeries;
  readonly kind: PowerKind;
  /** Of the network's approximated multiplications, mean over the seeds; 1: exact 8×8 multipliers. */
  readonly power: number;
  /** Share of correctly classified images, 0 … 1, mean over the seeds. */
  readonly accuracy: number;
  /** Half widths of the 95 % intervals; absent or 0 where they are not known. */
  readonly powerSpread?: number;
  readonly accuracySpread?: number;
  /** Seeds behind the means; absent: one. */
  readonly n?: number;
  /** The accuracy before something was done about it: drawn as a thin line up to the point. */
  readonly before?: number;
  /** What its accuracy and power are those of: data, network and layers; of points of one task it may be left out. */
  readonly task?: string;
}

/**
 * What is to be said beside intervals where means are over two seeds alone (`seeds`: how many each mean has): with a
 * single degree of freedom half a 95 % interval is 12.7 standard errors, and 4.3 with one seed more.
 */
export function fewSeedsCaution(seeds: readonly number[]): string | undefined {
  const few = seeds.filter((n) => n === 2).length;
  if (few === 0) return undefined;
  const whose = few === seeds.length ? 'two seeds each' : `${few} of ${seeds.length} points have two seeds`;
  return `${whose}: an interval is that wide because the seeds are so few; three or more make it narrower`;
}

type Placed = Pick<FrontPoint, 'kind' | 'power' | 'accuracy' | 'task'>;

/** Of the same task, as cheap and as accurate at least, and better in one of them. */
export function dominates(a: Placed, b: Placed): boolean {
  invariant(a.kind === b.kind, `a ${a.kind} power beside a ${b.kind} one`);
  if (a.task !== b.task) return false;
  const isNoWorse = a.power <= b.power && a.accuracy >= b.accuracy;
  return isNoWorse && (a.power < b.power || a.accuracy > b.accuracy);
}

/** The points that dominate this one: the most accurate first, of equally accurate ones the cheapest. */
export function dominators<P extends Placed>(point: Placed, points: readonly P[]): P[] {
  return points
    .filter((other) => dominates(other, point))
    .toSorted((a, b) => b.accuracy - a.accuracy || a.power - b.power);
}

/** The points that none dominates, of all tasks by rising power; of equal points all. */
export function front<P extends Placed>(points: readonly P[]): P[] {
  return points
    .filter((point) => !points.some((other) => dominates(other, point)))
    .toSorted((a, b) => a.power - b.power);
}

/**
 * Below this the picture ends: some way under the accuracies that are near the best, so that one failure does not
 * flatten all the others.
 */
export function floorOf(accuracies: readonly number[]): number {
  const sorted = accuracies.toSorted((a, b) => b - a);
  const [best, median] = [sorted[0]!, sorted[Math.floor(sorted.length / 2)]!];
  const near = sorted.filter((accuracy) => best - accuracy <= Math.max(0.02, 3 * (best - median)));
  return Math.max(0, near.at(-1)! - Math.max(0.003, 0.4 * (best - near.at(-1)!)));
}
