// The multipliers that phase 2 left in a run: their tables, the arithmetic of a network whose layers multiply with
// them, and what their gates cost together. Invariant: a table is read only as its record vouches for it.

import { errorByCodes } from '../../multiplier/error.ts';
import { concreteMultiplier, type Multiplier } from '../../multiplier/multiplier.ts';
import { networkPower } from '../../multiplier/power.ts';
import { tableOfRemoval } from '../../multiplier/removal.ts';
import { removalOf, type Structure } from '../../multiplier/structure.ts';
import { type ProductTable, productTable } from '../../multiplier/table.ts';
import { readNpy } from '../../netlist/formats/npy.ts';
import { weightZeros } from '../../quant/starts.ts';
import { UserError } from '../../tensor/errors.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import type { ImportedMultiplier } from '../../workbench/import.ts';
import type { OpenRun } from '../run/context.ts';
import { type MultiplierRecord, type PhaseRecord, verifiedBytes } from '../run/manifest.ts';
import type { Configuration } from '../settings/config.ts';
import { approximateLayers, layerWidths } from '../settings/layers.ts';
import { quantizedArithmetic } from './multipliers.ts';
import type { FoundStructure } from './theta.ts';

/** Arithmetic of the network with each layer's concrete multiplier. */
export function mappedArithmetic(
  run: Pick<OpenRun, 'configuration' | 'layers' | 'emulation'>,
  tables: ReadonlyMap<string, ProductTable>,
): QuantizedArithmetic {
  const widths = layerWidths(run.configuration, run.layers);
  // Layers share tables: what a multiplier is like is found once.
  const multipliers = new Map([...new Set(tables.values())].map((table) => [table, multiplierInRun(run, table)]));
  const arithmetic = quantizedArithmetic(run, (layer) => {
    const table = tables.get(layer);
    const { weights, activations } = widths.get(layer)!;
    if (table?.weightBits === weights && table.activationBits === activations) return multipliers.get(table)!;
    throw new UserError(
      `the layer ${layer} has no ${weights}×${activations}-bit multiplier in this run; restore its manifest, or make the run again in another folder`,
    );
  });
  return { ...arithmetic, weightCodes: run.configuration.map.weightCodes };
}

/** Layers that share a multiplier, and what it is made from: θ of a structure, or one that is there. */
export interface Mappable extends Pick<FoundStructure, 'layers' | 'theta'> {
  readonly structure?: FoundStructure['structure'];
  readonly imported?: ImportedMultiplier;
}

/**
 * The tables of all layers, where they are known before anything is mapped: multipliers that are there, and θ of 0 and
 * 1 that are mapped to exactly what they say.
 */
export function knownTables(
  { map: { search, errorBound } }: Configuration,
  wanted: readonly Mappable[],
): ReadonlyMap<string, ProductTable> | undefined {
  const isExact = search === 'exact' && errorBound === undefined;
  const tables = new Map<string, ProductTable>();
  for (const { layers, structure, theta, imported } of wanted) {
    const table = imported?.table ?? (isExact && structure ? tableOfHardTheta(structure, theta) : undefined);
    if (!table) return undefined;
    for (const layer of layers) tables.set(layer, table);
  }
  return tables;
}

function tableOfHardTheta(structure: Structure, theta: readonly number[]): ProductTable {
  const products = tableOfRemoval(removalOf(structure, theta));
  return productTable(structure.weightBits, structure.activationBits, false, Int32Array.from(products));
}

/** A mapped or imported multiplier as the layers of a run use it. */
export function multiplierInRun(
  { configuration, emulation }: Pick<OpenRun, 'configuration' | 'emulation'>,
  table: ProductTable,
): Multiplier {
  return concreteMultiplier(table, emulation, ownZero(configuration, table));
}

/** The code of weights of 0, where its product is to be the multiplier's own; a UserError where there are several. */
export function ownZero({ map, quantize }: Configuration, table: ProductTable): number | undefined {
  if (map.zeroProduct === 'exact') return undefined;
  const wrong = (why: string) =>
    new UserError(`--zero-product own needs one zero point for all weights: ${why} give --zero-product exact`);
  if (quantize.quantizer !== 'steps') {
    throw wrong(`those of --quantizer ${quantize.quantizer} differ by channel; give --quantizer steps, or else`);
  }
  const { weightBits, activationBits } = table;
  const error = errorByCodes(table);
  const zeros = weightZeros(weightBits, quantize.weightZero);
  if (!zeros.every(Number.isInteger)) throw wrong('between two codes there is no row;');
  const rows = zeros.map((zero) => {
    return { zero, row: error.slice(zero * 2 ** activationBits, (zero + 1) * 2 ** activationBits) };
  });
  const [first, ...others] = rows;
  for (const { zero, row } of others) {
    if (row.every((one, code) => one === first!.row[code])) continue;
    throw wrong(
      `of ${weightBits} bits it is ${first!.zero} or ${zero}, by channel; give --weight-zero middle or below, or else`,
    );
  }
  return first!.row.some((one) => one !== 0) ? first!.zero : undefined;
}

/**
 * Gate cost of the network: the mean of its multipliers', weighted by the multiplications of the approximate layers,
 * where all are known.
 */
export function mappedGateCost(
  { configuration, layers }: Pick<OpenRun, 'configuration' | 'layers'>,
  multipliers: readonly MultiplierRecord[],
): { readonly gateCost?: number } {
  const costs = approximateLayers(configuration, layers).map(({ name, macs }) => {
    const cost = multipliers.find((multiplier) => multiplier.layers.includes(name))?.gateCost;
    return { macs, power: cost ?? Number.NaN };
  });
  return costs.some(({ power }) => Number.isNaN(power)) ? {} : { gateCost: networkPower(costs) };
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
