// The report: figures of the run and of its multipliers, and one page that shows the whole run.

import { type FigureFormat, figureFiles } from '../../report/formats.ts';
import { writeInside } from '../../tensor/files.ts';
import { multiplierFigures, type NamedFigure, operandsFigure } from '../../workbench/figures.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import { initialTheta, structureOfRun } from '../multipliers/multipliers.ts';
import { curvesFigure, thetaFigure } from '../results/figures.ts';
import { runPage } from '../results/run-page.ts';
import { summarize } from '../results/summarize.ts';
import { files, type RunContext } from '../run/context.ts';
import { phasesOf, verifiedBytes } from '../run/manifest.ts';
import { readMetrics } from '../run/metrics.ts';
import { readTables } from './map.ts';
import type { PhaseResult } from './result.ts';

type Context = Pick<RunContext, 'folder' | 'manifest' | 'configuration'>;

/** Needs neither the data nor a device. */
export async function report(context: Context, formats: readonly FigureFormat[] = ['svg']): Promise<PhaseResult> {
  const { folder } = context;
  const [run, multipliers] = [await runFigures(context), await figuresOfMultipliers(context)];
  const paths: string[] = [];
  for (const figure of [...run, ...multipliers.flatMap(({ figures }) => figures)]) {
    for (const { ending, content } of await figureFiles(figure.svg, formats)) {
      const path = `${files.figures}/${figure.name}.${ending}`;
      writeInside(folder, path, content);
      paths.push(path);
    }
  }
  writeInside(folder, files.page, runPage(summarize(folder), { run, multipliers, paths }));
  return { files: [...paths, files.page], stages: [] };
}

async function runFigures(context: Context): Promise<NamedFigure[]> {
  const own = phasesOf(context.configuration);
  const records = readMetrics(context.folder).filter(({ phase }) => own.includes(phase));
  const { configuration } = context;
  const theta = await thetaFigure(records, Array.from(initialTheta(configuration)), structureOfRun(configuration));
  return [...(records.length > 0 ? [await curvesFigure(records)] : []), ...(theta ? [theta] : [])];
}

async function figuresOfMultipliers({ folder, manifest }: Context) {
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
