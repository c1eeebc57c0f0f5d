// What `tram sensitivity` came to as text: a row per layer, the one that hurts most first.

import type { LayerSensitivity, SensitivityReport } from '../flow/sensitivity/report.ts';
import { fixed, grouped, percent, type Style, wrapped } from './style.ts';
import { fittingTable, type RankedColumn } from './tables.ts';

const signed = (text: string) => (/^[-−]/.test(text) ? text : `+${text}`);

/** Lines without a final newline; the table has the columns that fit. */
export function sensitivityText(report: SensitivityReport, style: Style, width = Number.POSITIVE_INFINITY): string {
  const { run, treated, images, testImages, base, layers } = report;
  const what =
    treated.kind === 'quantized' ? 'quantised' : `with ${treated.multiplier} in place of an exact multiplier`;
  const without = treated.kind === 'quantized' ? 'all in float32' : 'the quantised network, all with exact multipliers';
  const columns: readonly RankedColumn<LayerSensitivity>[] = [
    { head: 'layer', rank: 0, left: true, of: ({ name }) => name },
    { head: 'bits', rank: 3, of: ({ weightBits, activationBits }) => `${weightBits}×${activationBits}` },
    { head: 'MACs', rank: 4, of: ({ macs }) => grouped(macs) },
    { head: 'share', rank: 1, of: ({ share }) => percent(share, 1) },
    { head: 'accuracy', rank: 2, of: ({ accuracy }) => percent(accuracy) },
    { head: 'points', rank: 0, of: ({ accuracyChange }) => signed(fixed(100 * accuracyChange, 2)) },
    { head: 'loss', rank: 0, of: ({ lossChange }) => signed(fixed(lossChange, 4)) },
  ];
  const note = `points, loss: changes against ${without}: ${percent(base.accuracy)}, loss ${fixed(base.loss, 4)}, on the same ${grouped(images)} of ${grouped(testImages)} test images; share: of the multiplications of all layers`;
  return [
    `${style.bold(`${run.model} on ${run.data}`)}, one layer at a time ${what}`,
    fittingTable(layers, columns, style, width),
    style.dim(wrapped(note, width)),
  ].join('\n\n');
}
