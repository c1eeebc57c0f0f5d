// Accuracy over gate cost: the multipliers that were tried beside exact ones of fewer bits, which any approximate one
// has to beat.

import { basename } from 'node:path';
import { isGeneratorSpec } from '../../netlist/generators/registry.ts';
import { type ParetoPoint, paretoSvg } from '../../report/pareto.ts';
import { lastResult, type TriedMultiplier, type TryReport } from './report.ts';
import { widthName } from './widths.ts';

/** Those of known cost, in the better of two orders. */
export function drawable({ multipliers }: Pick<TryReport, 'multipliers'>): readonly TriedMultiplier[] {
  return multipliers.filter(({ gateCost, better }) => gateCost !== null && better !== false);
}

/** A point at the accuracy after the last treatment, with a line from that of the multiplier as it is. */
export function tryPicture(report: TryReport): Promise<string> {
  const drawn = drawable(report);
  const points = drawn.map((one): ParetoPoint => {
    return {
      label: labelOf(one),
      group: one.group === 'exact' ? 'exact, w×a bits' : 'tried',
      accuracy: lastResult(one).accuracy,
      power: one.gateCost!,
      before: one.results.plain.accuracy,
    };
  });
  const done = report.recoverEpochs > 0 ? `retraining (${report.recoverEpochs} epochs)` : 'batch norm re-estimated';
  const left = report.multipliers.filter(({ gateCost, better }) => gateCost === null && better !== false).length;
  const unpriced = left === 0 ? '' : `; ${left} tables without a gate cost are not shown`;
  return paretoSvg(points, 'Gate cost (cheapest exact 8×8 multiplier = 1)', {
    floor: floorOf(points.map(({ accuracy }) => accuracy)),
    caption: `${report.run.model} on ${report.run.data}: ${done}; thin lines begin at the accuracy before any treatment; dashed: nothing cheaper is as accurate${unpriced}`,
  });
}

/** Short: the bits of an exact multiplier, a generator without its widths, a file without its endings. */
function labelOf({ group, bits, source, operandOrder, better }: TriedMultiplier): string {
  if (group === 'exact') return widthName(bits);
  const turned = better === true && operandOrder === 'activation-weight' ? ' (a×w)' : '';
  const name = isGeneratorSpec(source)
    ? source.replace(/:\d+x\d+:?/, ' ')
    : basename(source).replace(/(\.(gz|lut|txt|npy|npz|bin|h|c|csv|v|sv|blif))+$/i, '');
  return `${name.trim()}${turned}`;
}

/**
 * Below this the picture ends: some way under the accuracies that are near the best, so that one failure does not
 * flatten all the others.
 */
function floorOf(accuracies: readonly number[]): number {
  const sorted = accuracies.toSorted((a, b) => b - a);
  const [best, median] = [sorted[0]!, sorted[Math.floor(sorted.length / 2)]!];
  const near = sorted.filter((accuracy) => best - accuracy <= Math.max(0.02, 3 * (best - median)));
  return Math.max(0, near.at(-1)! - Math.max(0.003, 0.4 * (best - near.at(-1)!)));
}
