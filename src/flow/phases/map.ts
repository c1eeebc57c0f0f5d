// Phase 2: every distinct θ becomes a gate-level multiplier (or the user brings one), proved equal in all its forms before anything uses
// it, and the network is measured with the multipliers as they are, before its weights have adapted to them. The operands that each
// multiplier meets are counted first: the search weighs its error by them, and they are kept beside the multiplier.

import { networkPower } from '../../axm/power.ts';
import type { Session } from '../../engine/backend.ts';
import { readNpy } from '../../netlist/formats/npy.ts';
import { mapStructure } from '../../netlist/mapping/map.ts';
import type { OperandHistograms } from '../../netlist/metrics.ts';
import type { ProductTable } from '../../netlist/table.ts';
import { evaluator } from '../../train/evaluation.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { files, type RunContext, requirePhase, sessionFrom } from '../context.ts';
import { type MultiplierRecord, type PhaseRecord, verifiedBytes } from '../manifest.ts';
import { importMultiplier, multiplierFiles, writeImported, writeMultiplier } from '../multiplier-files.ts';
import { approximateLayers, concreteMultiplier, quantizedArithmetic, structuredMultiplier } from '../multipliers.ts';
import { asSignedPatterns, measureOperands, sumOfOperands } from '../operands.ts';
import { parseTheta, type ThetaDocument } from '../theta.ts';
import type { PhaseResult } from './result.ts';

export async function map(context: RunContext): Promise<PhaseResult> {
  const document = parseTheta(
    verifiedBytes(context.folder, requirePhase(context, 'explore'), files.theta),
    files.theta,
  );
  const session = await sessionFrom(context, 'explore', files.explored);
  try {
    return await mapAndMeasure(context, document, session);
  } finally {
    await session.dispose();
  }
}

async function mapAndMeasure(context: RunContext, document: ThetaDocument, session: Session): Promise<PhaseResult> {
  const { configuration, dataset, task, listener } = context;
  const trained = quantizedArithmetic(configuration, structuredMultiplier(configuration));
  const operands = await measureOperands(session, task, trained, dataset.train, configuration.quantize.images);
  const written: string[] = [];
  const multipliers: MultiplierRecord[] = [];
  const tables = new Map<string, ProductTable>();
  for (const structure of document.structures) {
    const name = structure.name === 'theta' ? 'multiplier' : `multiplier-${structure.name.replace(/\.theta$/, '')}`;
    const met = sumOfOperands(structure.layers.map((layer) => operands.get(layer)!));
    const made = await makeMultiplier(context, document, structure.theta, name, met);
    written.push(...made.files);
    for (const layer of structure.layers) tables.set(layer, made.table);
    multipliers.push({ name, layers: structure.layers, theta: structure.theta, ...made.record });
    listener({
      kind: 'note',
      text: `${name}: ${made.note}, proved over ${made.record.certificate.pairs} operand pairs`,
    });
  }
  const evaluate = await evaluator(session, task, mappedArithmetic(context, tables), dataset.test);
  const { accuracy, loss } = await evaluate();
  return {
    files: written,
    stages: [{ stage: 'mapped', accuracy, loss, ...mappedPower(context, multipliers) }],
    multipliers,
  };
}

/** Maps θ, or takes the multiplier that the user brings; either way it is written and certified. */
async function makeMultiplier(
  { configuration, folder }: RunContext,
  { weightBits, activationBits }: ThetaDocument,
  theta: readonly number[],
  name: string,
  met: OperandHistograms,
) {
  const { search, multiplier, signed, operands, costBudget, costWeight } = configuration.map;
  if (multiplier !== undefined) {
    const imported = await importMultiplier(multiplier, signed, weightBits, activationBits);
    const {
      certificate,
      cost,
      metrics,
      files: paths,
    } = writeImported(folder, imported, name, imported.table.signed ? asSignedPatterns(met) : met);
    const record = { normalizedCost: cost, mseToTarget: null, signed: imported.table.signed, metrics, certificate };
    return { table: imported.table, files: paths, record, note: `imported from ${multiplier}` };
  }
  const mapped = mapStructure({
    weightBits,
    activationBits,
    theta,
    search,
    ...(operands === 'measured' ? { histograms: met } : {}),
    ...(costBudget === undefined ? {} : { costBudget }),
    ...(costWeight === undefined ? {} : { costWeight }),
  });
  const { certificate, metrics, files: paths } = writeMultiplier(folder, mapped, name, met);
  const { normalizedCost } = mapped.structure;
  const record = { normalizedCost, mseToTarget: mapped.mse.after, signed: false, metrics, certificate };
  const note = `gate cost ${normalizedCost.toFixed(3)}, MSE to θ ${mapped.mse.after.toFixed(1)}`;
  return { table: mapped.table, files: paths, record, note };
}

/** Arithmetic of the network with each layer's concrete multiplier. */
export function mappedArithmetic(
  { configuration, emulation }: Pick<RunContext, 'configuration' | 'emulation'>,
  tables: ReadonlyMap<string, ProductTable>,
): QuantizedArithmetic {
  // Layers share tables: what a multiplier is like is found once.
  const multipliers = new Map(
    [...new Set(tables.values())].map((table) => [table, concreteMultiplier(table, emulation)]),
  );
  return quantizedArithmetic(configuration, (layer) => multipliers.get(tables.get(layer)!)!);
}

/** Gate cost of the multipliers relative to exact ones, weighted by the multiplications of the approximate layers, where it is known. */
export function mappedPower(
  { configuration, layers }: Pick<RunContext, 'configuration' | 'layers'>,
  multipliers: readonly MultiplierRecord[],
): { readonly power?: number } {
  const costs = approximateLayers(configuration, layers).map(({ name, macs }) => {
    const cost = multipliers.find((multiplier) => multiplier.layers.includes(name))?.normalizedCost;
    return { macs, power: cost ?? Number.NaN };
  });
  return costs.some(({ power }) => Number.isNaN(power)) ? {} : { power: networkPower(costs) };
}

/** The tables that phase 2 wrote, by layer, each checked against its hash. */
export function readTables(folder: string, record: PhaseRecord): Map<string, ProductTable> {
  const tables = new Map<string, ProductTable>();
  for (const { name, layers, signed } of record.multipliers ?? []) {
    const path = multiplierFiles(name).table;
    const table = readNpy(verifiedBytes(folder, record, path), path, { signed });
    for (const layer of layers) tables.set(layer, table);
  }
  return tables;
}
