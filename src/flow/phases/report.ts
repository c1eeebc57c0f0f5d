// The report: figures of the run and of its multipliers, and one page that shows the whole run.

import type { Structure } from '../../multiplier/structure.ts';
import { type FigureFormat, figureFiles } from '../../report/formats.ts';
import { UserError } from '../../tensor/errors.ts';
import { makeFolder, makeFolderInside, statOf, writeInside } from '../../tensor/files.ts';
import { multiplierFigures, type NamedFigure, operandsFigure } from '../../workbench/figures.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import { readTables } from '../multipliers/mapped.ts';
import { groupsOfWidths, initialTheta, kindsIn, structureOfRun } from '../multipliers/multipliers.ts';
import { curvesFigure, frontFigure, thetaFigure } from '../results/figures.ts';
import { runPage } from '../results/page.ts';
import { frontsOf, summarize } from '../results/summarize.ts';
import type { RunSummary } from '../results/summary.ts';
import type { Asked } from '../run/context.ts';
import type { MetricRecord } from '../run/events.ts';
import { files, type RunFolder } from '../run/folder.ts';
import { requireIntact } from '../run/integrity.ts';
import { hasManifest, readManifest, verifiedBytes, withSearchedWidths } from '../run/manifest.ts';
import { readMetrics } from '../run/metrics.ts';
import { hasOwnWidths } from '../settings/layers.ts';
import { phasesOf } from '../settings/phases.ts';
import type { PhaseResult } from './result.ts';

/** Needs neither the data nor a device. */
export async function report(context: RunFolder & Pick<Asked, 'figures'>): Promise<PhaseResult> {
  return { files: await writeReport(context, context.folder), stages: [] };
}

export interface ReportOptions {
  /** The run folder, which is only read. */
  readonly folder: string;
  /** Where the page and `figures/` are written; made where it is missing. */
  readonly out: string;
  /** Default: SVG. */
  readonly figures?: readonly FigureFormat[];
}

/**
 * The report of a run in a folder elsewhere, as of a run that may not be written; the page's links lead to the run.
 * Throws a UserError where `out` is a run folder, this or another, or the run's files are not those that it wrote.
 */
export async function reportElsewhere({ folder, out, figures = ['svg'] }: ReportOptions): Promise<RunSummary> {
  const manifest = readManifest(folder);
  requireIntact(folder, manifest.phases);
  if (hasManifest(out)) {
    throw new UserError(`${out} is a run folder, and its report is its own; choose another --out, or leave it out`);
  }
  if (statOf(out)?.isDirectory() === false)
    throw new UserError(`${out} is a file; a folder for the report was expected`);
  makeFolder(out);
  makeFolderInside(out, files.figures);
  await writeReport({ folder, manifest, configuration: withSearchedWidths(manifest), figures }, out);
  return summarize(folder);
}

/** Writes page and figures; returns their paths in `out`. */
async function writeReport(context: RunFolder & Pick<Asked, 'figures'>, out: string): Promise<string[]> {
  const { folder, figures: formats } = context;
  const [run, multipliers] = [await runFigures(context), await figuresOfMultipliers(context)];
  const paths: string[] = [];
  for (const figure of [...run, ...multipliers.flatMap(({ figures }) => figures)]) {
    for (const { ending, content } of await figureFiles(figure.svg, formats)) {
      const path = `${files.figures}/${figure.name}.${ending}`;
      writeInside(out, path, content);
      paths.push(path);
    }
  }
  writeInside(out, files.page, runPage(summarize(folder), { run, multipliers, paths }, out));
  return [...paths, files.page];
}

async function runFigures(context: RunFolder): Promise<NamedFigure[]> {
  const own = phasesOf(context.configuration);
  const records = readMetrics(context.folder).filter(({ phase }) => own.includes(phase));
  const { configuration } = context;
  const theta = await thetaFigures(context, records);
  const fronts: NamedFigure[] = [];
  for (const one of frontsOf(context.folder, context.manifest)) fronts.push(await frontFigure(one));
  return [
    ...fronts,
    ...(records.length > 0 ? [await curvesFigure(records, configuration.explore.powerModel)] : []),
    ...theta,
  ];
}

/** Of all structures together, or of those of the same widths where layers have their own. */
async function thetaFigures(context: RunFolder, records: readonly MetricRecord[]): Promise<NamedFigure[]> {
  const { configuration, manifest } = context;
  const draw = async (structure: Structure, names?: ReadonlySet<string>, widths?: string): Promise<NamedFigure[]> => {
    const own = names ? records.map((record) => ofNames(record, names)) : records;
    const figure = await thetaFigure(own, initialTheta(configuration, structure), structure, kindsIn(context));
    if (!figure) return [];
    return [widths ? { ...figure, name: `theta-${widths}`, title: `${figure.title}, ${widths}` } : figure];
  };
  if (!hasOwnWidths(configuration)) return await draw(structureOfRun(configuration));
  const all: NamedFigure[] = [];
  for (const { name, widths, layers } of groupsOfWidths(configuration, manifest.inputs.layers)) {
    const names = configuration.explore.structure === 'shared' ? [name] : layers.map((layer) => layer.name);
    const variables = new Set(names.map((one) => `${one}.theta`));
    all.push(...(await draw(structureOfRun(configuration, widths), variables, name)));
  }
  return all;
}

function ofNames({ theta, ...record }: MetricRecord, names: ReadonlySet<string>): MetricRecord {
  const own = Object.entries(theta ?? {}).filter(([name]) => names.has(name));
  return own.length === 0 ? record : { ...record, theta: Object.fromEntries(own) };
}

async function figuresOfMultipliers({ folder, manifest }: RunFolder) {
  const record = manifest.phases.map;
  if (!record) return [];
  const tables = readTables(folder, record);
  const json = (path: string) => JSON.parse(new TextDecoder().decode(verifiedBytes(folder, record, path)));
  const made: { name: string; figures: NamedFigure[] }[] = [];
  for (const { name, layers } of record.multipliers ?? []) {
    const { errors, operands } = multiplierFiles(name);
    const figures = await multiplierFigures(name, json(errors).structure, tables.get(layers[0]!)!);
    made.push({ name, figures: [...figures, await operandsFigure(name, json(operands))] });
  }
  return made;
}
