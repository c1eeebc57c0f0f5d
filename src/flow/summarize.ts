// A run folder read back as its summary: from the manifest and the error reports alone, without computing anything.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { errorMetrics } from '../netlist/metrics.ts';
import { files, openTask } from './context.ts';
import { phases } from './events.ts';
import { manifestPath, readManifest, stageResultOf } from './manifest.ts';
import { multiplierFiles } from './multiplier-files.ts';
import { readTables } from './phases/map.ts';
import type { MultiplierSummary, RunSummary } from './summary.ts';

export function summarize(folder: string): RunSummary {
  const manifest = readManifest(folder);
  const { configuration } = manifest;
  const { layers } = openTask(configuration);
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  const exact = layers.filter(({ name }) => configuration.exactLayers.includes(name));
  const mapRecord = manifest.phases.map;
  const tables = mapRecord ? readTables(folder, mapRecord) : new Map();
  const multipliers: MultiplierSummary[] = (mapRecord?.multipliers ?? []).map(({ certificate, ...record }) => ({
    ...record,
    metrics: errorMetrics(tables.get(record.layers[0]!)!),
    provedPairs: certificate.pairs,
  }));
  const listed: [title: string, path: string][] = [
    ['report page', files.page],
    ...multipliers.flatMap(({ name }): [string, string][] => {
      const paths = multiplierFiles(name);
      return [
        ['multiplier, Verilog', paths.verilog],
        ['multiplier, BLIF', paths.blif],
        ['multiplier, table as text', paths.text],
        ['multiplier, table as .npy', paths.table],
        ['multiplier, error report', paths.errors],
        ['operands that the multiplier meets', paths.operands],
      ];
    }),
    ['structure parameters θ', files.theta],
    ['recovered network', files.recovered],
    ['metrics of every epoch', files.metrics],
    ['manifest', 'manifest.json'],
  ];
  return {
    folder,
    data: configuration.data,
    model: configuration.model,
    seed: configuration.seed,
    weightBits: configuration.bits.weights,
    activationBits: configuration.bits.activations,
    stages: phases.flatMap((phase) => (manifest.phases[phase]?.stages ?? []).map(stageResultOf)),
    multipliers,
    exactLayers: exact.map(({ name }) => name),
    exactShare: exact.reduce((sum, layer) => sum + layer.macs, 0) / macs,
    donePhases: phases.filter((phase) => manifest.phases[phase]),
    files: [...listed, ['figures', files.figures] as const]
      .map(([title, path]) => ({ title, path: join(folder, path) }))
      .filter(({ path }) => existsSync(path) && path !== manifestPath('')),
  };
}
