// A run folder read back as its summary: from the manifest alone, without the data and without computing anything. Files are listed as the
// manifest has them, so nothing else that lies in the folder is taken for a result.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { files } from './context.ts';
import { requireIntact } from './integrity.ts';
import { phasesOf, readManifest, stageResultOf } from './manifest.ts';
import { multiplierFiles } from './multiplier-files.ts';
import type { MultiplierSummary, RunSummary } from './summary.ts';

export function summarize(folder: string): RunSummary {
  const manifest = readManifest(folder);
  requireIntact(folder, manifest.phases);
  const { configuration } = manifest;
  const { layers } = manifest.inputs;
  const phases = phasesOf(configuration);
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  const exact = layers.filter(({ name }) => configuration.exactLayers.includes(name));
  const mapRecord = manifest.phases.map;
  const multipliers: MultiplierSummary[] = (mapRecord?.multipliers ?? []).map(({ certificate, ...record }) => ({
    ...record,
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
  const recorded = phases.flatMap((phase) => Object.keys(manifest.phases[phase]?.files ?? {}));
  const unhashed = [files.metrics, 'manifest.json'].filter((path) => existsSync(join(folder, path)));
  const written = new Set([...recorded, ...recorded.map((path) => dirname(path)), ...unhashed]);
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
      .filter(([, path]) => written.has(path))
      .map(([title, path]) => ({ title, path: join(folder, path) })),
  };
}
