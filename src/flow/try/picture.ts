// Accuracy over gate cost: the multipliers that were tried beside exact ones of fewer bits, which any approximate one
// has to beat.

import { basename } from 'node:path';
import { isGeneratorSpec } from '../../netlist/generators/registry.ts';
import type { FrontPoint, FrontSeries } from '../../report/front.ts';
import { frontSvg } from '../../report/front-picture.ts';
import { given } from '../../tensor/given.ts';
import { widthName } from '../multipliers/widths.ts';
import { lastResult, type TriedMultiplier, type TryReport } from './report.ts';

/** Synthesised power where that was asked for, else gate cost: a picture has one kind. */
export function kindOf({ multipliers }: Pick<TryReport, 'multipliers'>): 'synthesised' | 'gates' {
  return multipliers.some(({ synthesised }) => synthesised) ? 'synthesised' : 'gates';
}

/** Of this kind, relative to the exact 8×8 multiplier; null where it is not known. */
export function powerOf({ synthesised, gateCost }: TriedMultiplier, kind: 'synthesised' | 'gates'): number | null {
  return kind === 'gates' ? gateCost : (synthesised?.power ?? null);
}

/** Those of known cost, in the better of two orders. */
export function drawable(report: Pick<TryReport, 'multipliers'>): readonly TriedMultiplier[] {
  const kind = kindOf(report);
  return report.multipliers.filter((one) => powerOf(one, kind) !== null && one.better !== false);
}

/** A point at the accuracy after the last treatment, with a line from that of the multiplier as it is. */
export function tryPicture(report: TryReport): Promise<string> {
  const points = tryPoints(report);
  const done = report.recoverEpochs > 0 ? `retraining (${report.recoverEpochs} epochs)` : 'batch norm re-estimated';
  const left = report.multipliers.filter(({ better }) => better !== false).length - points.length;
  const unpriced = left === 0 ? '' : `; ${left} tables without gates are not shown`;
  return frontSvg(points, {
    ...given({ technology: report.library }),
    caption: `${report.run.model} on ${report.run.data}: ${done}; thin lines begin at the accuracy before any treatment; dashed: nothing cheaper is as accurate${unpriced}`,
  });
}

/** The multipliers of known cost as points of a front. */
export function tryPoints(report: Pick<TryReport, 'multipliers'>): FrontPoint[] {
  const kind = kindOf(report);
  return drawable(report).map((one) => ({
    ...{ label: labelOf(one), series: seriesOf(one), kind, power: powerOf(one, kind)! },
    ...{ accuracy: lastResult(one).accuracy, before: one.results.plain.accuracy },
  }));
}

function seriesOf({ group, source, results }: TriedMultiplier): FrontSeries {
  if (group === 'exact') return results.recovered ? 'exact-retrained' : 'exact';
  return source.startsWith('truncated:') ? 'truncated' : 'given';
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
