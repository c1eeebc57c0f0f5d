// Accuracy over gate cost: the multipliers that were tried beside exact ones of fewer bits, which any approximate one has to beat.

import { type ParetoPoint, paretoSvg } from '../../report/pareto.ts';
import { lastResult, type TriedMultiplier, type TryReport } from './report.ts';

/** Those of known cost, in the better of two orders. */
export function drawable({ multipliers }: Pick<TryReport, 'multipliers'>): readonly TriedMultiplier[] {
  return multipliers.filter(({ gateCost, better }) => gateCost !== null && better !== false);
}

/** A point at the accuracy after the last treatment, with a line from that of the multiplier as it is. */
export function tryPicture(report: TryReport): Promise<string> {
  const points = drawable(report).map((one): ParetoPoint => {
    const { accuracy } = lastResult(one);
    return {
      label: one.name,
      group: one.group === 'exact' ? 'exact, this and fewer bits' : 'tried',
      accuracy,
      power: one.gateCost!,
      before: one.results.plain.accuracy,
    };
  });
  const floor = floorOf(points.map(({ accuracy }) => accuracy));
  return paretoSvg(points, 'Gate cost (cheapest exact 8×8 multiplier = 1)', { floor });
}

/** Keeps the upper half of the accuracies in the upper two thirds of the picture: multipliers that fail are told at its lower edge. */
function floorOf(accuracies: readonly number[]): number {
  const sorted = accuracies.toSorted((a, b) => b - a);
  const [best, median] = [sorted[0]!, sorted[Math.floor(sorted.length / 2)]!];
  return Math.max(0, best - Math.max(0.04, 1.5 * (best - median)));
}
