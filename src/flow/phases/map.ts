// Phase 2: every distinct θ becomes a gate-level multiplier, proved equal in all its forms before anything uses it, and the network is
// measured with the multipliers as they are, before its weights have adapted to them.

import { networkPower } from '../../axm/power.ts';
import { readNpy } from '../../netlist/formats/npy.ts';
import { mapStructure } from '../../netlist/mapping/map.ts';
import type { ProductTable } from '../../netlist/table.ts';
import { evaluator } from '../../train/loop.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { files, type RunContext, requirePhase, sessionFrom } from '../context.ts';
import { type MultiplierRecord, type PhaseRecord, verifiedBytes } from '../manifest.ts';
import { multiplierFiles, writeMultiplier } from '../multiplier-files.ts';
import { approximateLayers, concreteMultiplier, quantizedArithmetic } from '../multipliers.ts';
import { parseTheta } from '../theta.ts';
import type { PhaseResult } from './result.ts';

export async function map(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task, listener } = context;
  const document = parseTheta(
    verifiedBytes(context.folder, requirePhase(context, 'explore'), files.theta),
    files.theta,
  );
  const written: string[] = [];
  const multipliers: MultiplierRecord[] = [];
  const tables = new Map<string, ProductTable>();
  for (const structure of document.structures) {
    const name = structure.name === 'theta' ? 'multiplier' : `multiplier-${structure.name.replace(/\.theta$/, '')}`;
    const { weightBits, activationBits } = document;
    const mapped = mapStructure({
      weightBits,
      activationBits,
      theta: structure.theta,
      search: configuration.map.search,
    });
    const { certificate, files: paths } = writeMultiplier(context.folder, mapped, name);
    written.push(...paths);
    for (const layer of structure.layers) tables.set(layer, mapped.table);
    multipliers.push({
      name,
      layers: structure.layers,
      theta: structure.theta,
      normalizedCost: mapped.structure.normalizedCost,
      mseToTarget: mapped.mse.after,
      certificate,
    });
    listener({
      kind: 'note',
      text: `${name}: gate cost ${mapped.structure.normalizedCost.toFixed(3)}, MSE to θ ${mapped.mse.after.toFixed(1)}, proved over ${certificate.pairs} operand pairs`,
    });
  }
  const session = await sessionFrom(context, 'explore', files.explored);
  try {
    const evaluate = await evaluator(session, task, mappedArithmetic(context, tables));
    const { accuracy, loss } = await evaluate(dataset.test);
    const power = mappedPower(context, multipliers);
    return { files: written, stages: [{ stage: 'mapped', accuracy, loss, power }], multipliers };
  } finally {
    await session.dispose();
  }
}

/** Arithmetic of the network with each layer's concrete multiplier. */
export function mappedArithmetic(
  { configuration }: Pick<RunContext, 'configuration'>,
  tables: ReadonlyMap<string, ProductTable>,
): QuantizedArithmetic {
  const cache = new Map([...tables].map(([layer, table]) => [layer, concreteMultiplier(table)]));
  return quantizedArithmetic(configuration, (layer) => cache.get(layer)!);
}

/** Gate cost of the multipliers relative to exact ones, weighted by the multiplications of the approximate layers. */
export function mappedPower(
  { configuration, layers }: Pick<RunContext, 'configuration' | 'layers'>,
  multipliers: readonly MultiplierRecord[],
): number {
  return networkPower(
    approximateLayers(configuration, layers).map((layer) => ({
      macs: layer.macs,
      power: multipliers.find((multiplier) => multiplier.layers.includes(layer.name))!.normalizedCost,
    })),
  );
}

/** The tables that phase 2 wrote, by layer, each checked against its hash. */
export function readTables(folder: string, record: PhaseRecord): Map<string, ProductTable> {
  const tables = new Map<string, ProductTable>();
  for (const { name, layers } of record.multipliers ?? []) {
    const path = multiplierFiles(name).table;
    const table = readNpy(verifiedBytes(folder, record, path), path);
    for (const layer of layers) tables.set(layer, table);
  }
  return tables;
}
