// The report: figures as SVG and one page that shows the whole run.

import { basename, relative } from 'node:path';
import { runPageHtml } from '../../report/page.ts';
import { writeInside } from '../../tensor/files.ts';
import { files, type RunContext } from '../context.ts';
import { curvesFigure, multiplierFigures, type NamedFigure, operandsFigure, thetaFigure } from '../figures.ts';
import { phasesOf, verifiedBytes } from '../manifest.ts';
import { readMetrics } from '../metrics.ts';
import { multiplierFiles } from '../multiplier-files.ts';
import { initialTheta } from '../multipliers.ts';
import { summarize } from '../summarize.ts';
import { metricRows, powerNote, type RunSummary, stageTitles } from '../summary.ts';
import { readTables } from './map.ts';
import type { PhaseResult } from './result.ts';

export async function report(context: Pick<RunContext, 'folder' | 'manifest' | 'configuration'>): Promise<PhaseResult> {
  const { folder, manifest, configuration } = context;
  const figures: NamedFigure[] = [];
  const own = phasesOf(configuration);
  const records = readMetrics(folder).filter(({ phase }) => own.includes(phase));
  if (records.length > 0) figures.push(await curvesFigure(records));
  const theta = await thetaFigure(records, Array.from(initialTheta(configuration)));
  if (theta) figures.push(theta);
  const mapRecord = manifest.phases.map;
  if (mapRecord) {
    const tables = readTables(folder, mapRecord);
    for (const { name, layers } of mapRecord.multipliers ?? []) {
      const path = multiplierFiles(name).errors;
      const { structure } = JSON.parse(new TextDecoder().decode(verifiedBytes(folder, mapRecord, path)));
      figures.push(...(await multiplierFigures(name, structure, tables.get(layers[0]!)!)));
      const { operands } = multiplierFiles(name);
      const counts = JSON.parse(new TextDecoder().decode(verifiedBytes(folder, mapRecord, operands)));
      figures.push(await operandsFigure(name, counts));
    }
  }
  const written = figures.map(({ name, svg }) => {
    const path = `${files.figures}/${name}.svg`;
    writeInside(folder, path, svg);
    return path;
  });
  writeInside(folder, files.page, page(summarize(folder), figures, [...written]));
  return { files: [...written, files.page], stages: [] };
}

function page(summary: RunSummary, figures: readonly NamedFigure[], written: readonly string[]): string {
  const { stages } = summary;
  const recovered = stages.find(({ stage }) => stage === 'recovered');
  const float = stages.find(({ stage }) => stage === 'float');
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
  return runPageHtml({
    title: `${summary.model} on ${summary.data}`,
    summary:
      recovered && float
        ? `The recovered network classifies ${percent(recovered.accuracy)} of the test images, the float model ${percent(float.accuracy)}, at ${(recovered.power ?? 1).toFixed(3)} of the exact multiplier's cost.`
        : `Done so far: ${summary.donePhases.join(', ')}.`,
    facts: [
      { label: 'Operands', value: `${summary.weightBits}-bit weights, ${summary.activationBits}-bit activations` },
      { label: 'Seed', value: String(summary.seed) },
      { label: 'Power', value: powerNote },
      ...(summary.exactLayers.length > 0
        ? [
            {
              label: 'Exact layers',
              value: `${summary.exactLayers.join(', ')} (${percent(summary.exactShare)} of the multiplications)`,
            },
          ]
        : []),
    ],
    stages: stages.map(({ stage, accuracy, power }) => ({
      stage: stageTitles[stage],
      accuracy,
      ...(power === undefined ? {} : { power }),
    })),
    multipliers: summary.multipliers.map((multiplier) => ({ name: multiplier.name, metrics: metricRows(multiplier) })),
    figures,
    files: [
      ...summary.files
        .map(({ title, path }) => ({ path: relative(summary.folder, path), description: title }))
        // What this phase itself makes is there only from its second time on.
        .filter(({ path }) => path !== files.page && path !== files.figures),
      ...written.map((path) => ({ path, description: basename(path, '.svg') })),
    ],
  });
}
