// A run folder read back as its summary: from the manifest alone, without computing or opening anything else.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { quoted, UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import { structureOfRun } from '../multipliers/multipliers.ts';
import { files } from '../run/folder.ts';
import { requireIntact } from '../run/integrity.ts';
import { type Manifest, manifestPath, readManifest, withoutSearchedWidths } from '../run/manifest.ts';
import { changedSettings, optionsOf } from '../settings/flags.ts';
import { approximateLayers, approximateShare, hasOwnWidths, layerWidths } from '../settings/layers.ts';
import { isView, phasesOf } from '../settings/phases.ts';
import { type RunFront, readRivals, runFronts } from './rivals.ts';
import { stagesOf } from './stages.ts';
import type { LayerSummary, MultiplierSummary, RunFile, RunSummary } from './summary.ts';
import { thetaOf } from './theta-text.ts';
import { triedPoints } from './tried.ts';
import { verdictOf } from './verdict.ts';

/**
 * What a run folder has come to so far, read from its manifest and metrics; nothing is computed. Throws a UserError.
 */
export function summarize(folder: string): RunSummary {
  const manifest = readManifest(folder);
  requireIntact(folder, manifest.phases);
  return summaryOf(folder, manifest);
}

/** The same of a run whose files have been compared with the manifest. */
export function summaryOf(folder: string, manifest: Manifest): RunSummary {
  const { configuration, inputs, program, created } = manifest;
  const said = withoutSearchedWidths(manifest);
  const phases = phasesOf(configuration);
  const stages = stagesOf(manifest);
  const multipliers = multiplierSummaries(folder, manifest);
  const layers = layerSummaries(manifest, multipliers);
  const approximate = new Set(approximateLayers(configuration, inputs.layers).map(({ name }) => name));
  const exact = layers.filter(({ name }) => !approximate.has(name));
  const [front] = frontsOf(folder, manifest);
  const targets = targetsOf(manifest, stages);
  return {
    folder,
    data: configuration.data,
    model: configuration.model,
    seed: configuration.seed,
    weightBits: configuration.bits.weights,
    activationBits: configuration.bits.activations,
    powerModel: configuration.explore.powerModel,
    stages,
    multipliers,
    thetaOf: {
      weightBits: configuration.bits.weights,
      activationBits: configuration.bits.activations,
      grain: configuration.explore.grain,
      columns: configuration.explore.columns,
    },
    layers,
    exactLayers: exact.map(({ name }) => name),
    exactShare: 1 - approximateShare(configuration, inputs),
    products: inputs.products ?? [],
    ...given({ front, targets, types: phases.includes('explore') ? manifest.phases.explore?.types : undefined }),
    verdict: verdictOf({
      ...{ configuration, stages, multipliers, front, targets },
      exactLayers: exact.map(({ name }) => name),
    }),
    changed: changedSettings(said),
    options: optionsOf(said),
    inputs,
    program,
    created,
    donePhases: phases.filter((phase) => manifest.phases[phase]),
    phases: phases.flatMap((phase) => {
      const record = manifest.phases[phase];
      if (!record || isView(phase)) return [];
      const { seconds, finished, device, command } = record;
      return [{ phase, seconds, finished, device, ...(command === undefined ? {} : { command }) }];
    }),
    files: listedFiles(folder, manifest, multipliers),
  };
}

/** The run among its rivals, where it measured them: the best known kind of power first. */
export function frontsOf(folder: string, manifest: Manifest): RunFront[] {
  const { configuration, phases: done } = manifest;
  if (!done.rivals || !phasesOf(configuration).includes('rivals')) return [];
  const stages = stagesOf(manifest);
  const measured = readRivals(folder);
  const quantized = done.quantize?.files[files.quantized];
  const tried = quantized === undefined ? [] : triedPoints(folder, quantized, measured.synthesised?.library);
  return runFronts(configuration, stages, measured, tried);
}

function targetsOf({ configuration, phases: done }: Manifest, stages: RunSummary['stages']): RunSummary['targets'] {
  const outcome = phasesOf(configuration).includes('explore') ? done.explore?.targets : undefined;
  if (!outcome) return undefined;
  const [exact, last] = [stages.find(({ stage }) => stage === 'quantized'), stages.at(-1)];
  return { ...outcome, ...(exact && last ? { testLoss: 100 * (exact.accuracy - last.accuracy) } : {}) };
}

/** Those of the run; where layers have widths of their own each says which. A UserError where θ is of no structure. */
function multiplierSummaries(folder: string, manifest: Manifest): readonly MultiplierSummary[] {
  const { configuration, inputs, phases: done } = manifest;
  const own = hasOwnWidths(configuration);
  const widths = layerWidths(configuration, inputs.layers);
  return (done.map?.multipliers ?? []).map((multiplier) => {
    const { name, layers, theta } = multiplier;
    const found = own ? widths.get(layers[0] ?? '') : configuration.bits;
    if (!found) throw new UserError(`${manifestPath(folder)}: the multiplier ${quoted(name)} is of no layer`);
    const structure = structureOfRun(configuration, found);
    if (theta.length > 0 && theta.length !== structure.count) {
      throw new UserError(
        `${manifestPath(folder)}: the multiplier ${quoted(name)} has ${theta.length} θ, but the structure of the run has ${structure.count}; map it again (--redo)`,
      );
    }
    return own ? { ...multiplier, thetaOf: thetaOf(structure) } : multiplier;
  });
}

const macsOf = (all: readonly { readonly macs: number }[]) => all.reduce((sum, { macs }) => sum + macs, 0);

/** The multiplying layers of a run, with what they multiply with once that is mapped. */
export function layerSummaries(
  { configuration, inputs }: Manifest,
  multipliers: readonly MultiplierSummary[],
): readonly LayerSummary[] {
  const widths = layerWidths(configuration, inputs.layers);
  const total = macsOf([...inputs.layers, ...(inputs.products ?? [])]);
  const rows = inputs.layers.map(({ name, macs }) => {
    const own = multipliers.find(({ layers }) => layers.includes(name));
    const { weights, activations } = widths.get(name)!;
    const cost = own ? own.gateCost : cheapestExact(weights, activations).gateCost;
    return { name, macs, own, weights, activations, gates: cost === null ? Number.NaN : macs * cost };
  });
  const gates = rows.reduce((sum, row) => sum + row.gates, 0);
  return rows.map(({ name, macs, own, weights, activations, gates: part }) => ({
    ...{ name, macs, share: macs / total, weightBits: weights, activationBits: activations },
    ...(multipliers.length === 0 ? {} : { multiplier: own?.name ?? null }),
    ...(multipliers.length === 0 || Number.isNaN(gates) ? {} : { gateShare: part / gates }),
  }));
}

/** What the finished phases that the run has say that they wrote, not whatever lies in the folder. */
function listedFiles(
  folder: string,
  { configuration, phases: done }: Manifest,
  multipliers: readonly MultiplierSummary[],
): readonly RunFile[] {
  const written = new Set(phasesOf(configuration).flatMap((phase) => Object.keys(done[phase]?.files ?? {})));
  const run: readonly (readonly [title: string, path: string])[] = [
    ['report page', files.page],
    ['recovered network', files.recovered],
    ['structure parameters θ', files.theta],
    ['exact multipliers of fewer bits', files.rivals],
  ];
  const others = [
    { title: 'metrics of every epoch', path: files.metrics },
    { title: 'manifest', path: manifestPath('') },
  ].filter(({ path }) => existsSync(join(folder, path)));
  const figures = done.report ? [{ title: 'figures', path: files.figures }] : [];
  const listed = [
    ...run.filter(([, path]) => written.has(path)).map(([title, path]) => ({ title, path })),
    ...figures,
    ...others,
  ].map((file) => ({ group: 'run' as const, ...file }));
  const forms = multipliers.flatMap(({ name }) => {
    const paths = multiplierFiles(name);
    return [
      { title: 'Verilog', path: paths.verilog },
      { title: 'BLIF', path: paths.blif },
      { title: 'table as text', path: paths.text },
      { title: 'table as .npy', path: paths.table },
      { title: 'error report', path: paths.errors },
      { title: 'operands that it meets', path: paths.operands },
    ]
      .filter(({ path }) => written.has(path))
      .map((file) => ({ group: 'multiplier' as const, ...file }));
  });
  return [...listed, ...forms].map((file) => ({ ...file, path: join(folder, file.path) }));
}
