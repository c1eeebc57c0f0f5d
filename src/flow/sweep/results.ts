// The results of a sweep as files: the front as JSON, CSV, LaTeX and a picture, and the netlists of its points. All of
// it is a view of the folder and can be made anew at any time.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeBlif } from '../../netlist/blif/write.ts';
import { writeVerilog } from '../../netlist/verilog/write.ts';
import { type FrontPoint, fewSeedsCaution, powerKinds } from '../../report/front.ts';
import { frontSvg } from '../../report/front-picture.ts';
import { svgToPng } from '../../report/png.ts';
import { UserError } from '../../tensor/errors.ts';
import { makeFolderInside, writeInside, writeJsonInside } from '../../tensor/files.ts';
import { percent } from '../../tensor/numbers.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import { generateProved } from '../../workbench/generate.ts';
import { readManifest, verifiedBytes } from '../run/manifest.ts';
import { type SweepPlan, sweepFiles } from './folder.ts';
import type { Spread, SweepPoint, SweepReport } from './front.ts';

/** Writes all of them; `tell` is told what could not be drawn. */
export async function writeResults(
  folder: string,
  { trials }: Pick<SweepPlan, 'trials'>,
  report: SweepReport,
  tell: (text: string) => void,
): Promise<void> {
  writeJsonInside(folder, sweepFiles.json, { ...report, folder: undefined });
  writeInside(folder, sweepFiles.csv, frontCsv(report));
  writeInside(folder, sweepFiles.tex, frontTex(report));
  keepBest(folder, report, new Set(trials.map(({ point }) => point)));
  if (drawable(report).length === 0) return;
  const svg = await frontPicture(report);
  writeInside(folder, sweepFiles.svg, svg);
  try {
    writeInside(folder, sweepFiles.png, await svgToPng(svg));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    tell(error.message);
  }
}

const spreadCells = (spread: Spread | null) => [spread?.mean, spread && spread.n > 1 ? spread.spread : undefined];

/** One row per point, an empty cell where a figure is not known. */
export function frontCsv({ points, failed }: SweepReport): string {
  const heads = [
    ...['point', 'kind', 'rival', 'on_front', 'model', 'data', 'approximate_share', 'weight_bits', 'activation_bits'],
    ...['seeds', 'accuracy', 'accuracy_half_interval', 'float_accuracy', 'quantized_accuracy'],
    ...powerKinds.flatMap((kind) => [`${kind}_power`, `${kind}_power_half_interval`]),
    ...['options', 'reason'],
  ];
  const rows = points.map((one) => [
    ...[one.name, one.kind, one.isRival, one.isOnFront, one.model, one.data],
    ...[one.approximateShare, ...(one.isByLayer ? ['', ''] : [one.weightBits, one.activationBits])],
    ...[one.seeds.join(' '), ...spreadCells(one.accuracy), one.floatAccuracy.mean, one.quantizedAccuracy.mean],
    ...[...powerKinds.flatMap((kind) => spreadCells(one.power[kind])), one.options.join(' '), ''],
  ]);
  const lost = failed.map(({ name, state, reason }) => [name, state, ...new Array(heads.length - 3).fill(''), reason]);
  return `${[heads, ...rows, ...lost].map((row) => row.map(csvCell).join(',')).join('\n')}\n`;
}

function csvCell(value: string | number | boolean | null | undefined): string {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A booktabs table; points of the front in bold. */
export function frontTex({ points }: SweepReport): string {
  const number = (spread: Spread | null, scale: number, digits: number) => {
    if (!spread) return '--';
    const half = spread.n < 2 ? '' : ` \\pm ${(scale * spread.spread).toFixed(digits)}`;
    return `$${(scale * spread.mean).toFixed(digits)}${half}$`;
  };
  const rows = points.map((one) => {
    const name = one.name.replace(/[_%&#$]/g, (sign) => `\\${sign}`);
    const cells = [...powerKinds.map((kind) => number(one.power[kind], 1, 3)), number(one.accuracy, 100, 2)];
    const widths = one.isByLayer ? 'by layer' : `$${one.weightBits}\\times${one.activationBits}$`;
    return `${[one.isOnFront ? `\\textbf{${name}}` : name, widths, ...cells, one.seeds.length].join(' & ')} \\\\`;
  });
  const caution = fewSeedsCaution(points.map(({ accuracy }) => accuracy.n));
  return [
    '% power and gates relative to the exact 8x8 multiplier; 95 % intervals over seeds; bold: nothing cheaper is as accurate',
    ...(caution === undefined ? [] : [`% ${caution}`]),
    '\\begin{tabular}{lrrrrrr}',
    '\\toprule',
    'multiplier & bits & modelled & gates & synthesised & accuracy (\\%) & seeds \\\\',
    '\\midrule',
    ...rows,
    '\\bottomrule',
    '\\end{tabular}',
    '',
  ].join('\n');
}

const drawable = ({ points, kind }: SweepReport): readonly SweepPoint[] => points.filter(({ power }) => power[kind]);

/** Accuracy over the power that the front is over, means over seeds with their intervals. */
export function frontPicture(report: SweepReport): Promise<string> {
  const { kind, library, loss } = report;
  const several = new Set(drawable(report).map(({ task }) => task)).size > 1;
  const caution = fewSeedsCaution(drawable(report).map(({ accuracy }) => accuracy.n));
  const points = drawable(report).map((one): FrontPoint => {
    const power = one.power[kind]!;
    return {
      label: one.kind === 'exact' && !several && !one.isByLayer ? `${one.weightBits}×${one.activationBits}` : one.name,
      task: one.task,
      // A rival of a sweep goes through all phases.
      series: one.kind === 'exact' ? 'exact-retrained' : one.kind,
      kind,
      ...{ power: power.mean, powerSpread: power.spread },
      ...{ accuracy: one.accuracy.mean, accuracySpread: one.accuracy.spread, n: one.accuracy.n },
    };
  });
  const float = Math.max(...drawable(report).map(({ floatAccuracy }) => floatAccuracy.mean));
  const network = several ? 'best float network' : 'float network';
  return frontSvg(points, {
    caption: [
      ...(points.some(({ n = 1 }) => n > 1) ? ['means over seeds with 95 % intervals'] : []),
      ...(caution === undefined ? [] : [caution]),
      `dashed: nothing cheaper is as accurate; ${network} ${percent(float)}`,
    ].join('; '),
    ...(several ? {} : { goal: { accuracy: float - loss, label: `float network − ${(100 * loss).toFixed(2)}` } }),
    ...(kind === 'synthesised' && library !== null ? { technology: library } : {}),
  });
}

/**
 * Netlists and tables of the front's points, each from its best seed, named after the point; of an exact multiplier the
 * netlist that its power is that of. What earlier reports left
 * of other points goes; what is not named after a point of the plan is somebody else's.
 */
function keepBest(folder: string, { points }: SweepReport, known: ReadonlySet<string>): void {
  makeFolderInside(folder, sweepFiles.best);
  const written = new Set<string>();
  const keep = (path: string, content: string | Uint8Array) => {
    writeInside(folder, path, content);
    written.add(path);
  };
  for (const { trials, name, accuracy, family: netlists } of points.filter(({ isOnFront }) => isOnFront)) {
    const best = accuracy.values.indexOf(Math.max(...accuracy.values));
    const run = join(folder, sweepFiles.trials, trials[best]!);
    const record = readManifest(run).phases.map;
    for (const multiplier of record?.multipliers ?? []) {
      const { verilog, blif, text, table, errors } = multiplierFiles(multiplier.name);
      const at = (file: string) => `${sweepFiles.best}/${name}.${file}`;
      const instead = netlists?.[multiplier.name];
      // The errors are those of any exact netlist, the gates beside them are not.
      const kept = instead ? [text, table] : [verilog, blif, text, table, errors];
      for (const file of kept.filter((one) => record!.files[one] !== undefined)) {
        keep(at(file), verifiedBytes(run, record!, file));
      }
      if (instead) {
        const { family, weightBits, activationBits } = instead;
        const { network } = generateProved(family, { weightBits, activationBits });
        keep(at(verilog), writeVerilog(network));
        keep(at(blif), writeBlif(network));
      }
    }
  }
  for (const left of readdirSync(join(folder, sweepFiles.best), { withFileTypes: true })) {
    const path = `${sweepFiles.best}/${left.name}`;
    const isOurs = left.isFile() && [...known].some((point) => left.name.startsWith(`${point}.`));
    if (isOurs && !written.has(path)) rmSync(join(folder, path), { force: true });
  }
}
