// A mapped multiplier on disk: Verilog, BLIF, the table in the published text format and as .npy, and an error report. Nothing is written
// before all forms were proved equal over all operand pairs.

import { exactPower, powerPerMultiplication } from '../axm/power.ts';
import { writeBlif } from '../netlist/blif/write.ts';
import { type Certificate, certify } from '../netlist/certify.ts';
import { writeNpy } from '../netlist/formats/npy.ts';
import { writeTextTable } from '../netlist/formats/text.ts';
import type { MappedMultiplier } from '../netlist/mapping/task.ts';
import { type ErrorMetrics, errorMetrics, metricsReport, type OperandHistograms } from '../netlist/metrics.ts';
import type { Network } from '../netlist/network.ts';
import { describeStructure } from '../netlist/structure.ts';
import type { ProductTable } from '../netlist/table.ts';
import { writeVerilog } from '../netlist/verilog/write.ts';
import { UserError } from '../tensor/errors.ts';
import { makeFolder, sha256, writeInside, writeJsonInside } from '../tensor/files.ts';
import { loadMultiplier, productsOf } from '../workbench/load.ts';

/** File names of one multiplier. */
export function multiplierFiles(name: string) {
  return {
    verilog: `${name}.v`,
    blif: `${name}.blif`,
    text: `${name}.lut.txt`,
    table: `${name}.npy`,
    errors: `${name}.errors.json`,
    operands: `${name}.operands.json`,
  };
}

/** The error report: mapping, cost and error metrics, under the names that `--json` prints. */
export function multiplierReport(mapped: MappedMultiplier, metrics: ErrorMetrics) {
  const { mse, moves, structure, theta, search } = mapped;
  const { weightBits, activationBits } = structure;
  return {
    weightBits,
    activationBits,
    theta,
    search,
    start: mapped.start,
    mseToTarget: mse.after,
    mseToTargetBefore: mse.before,
    mseToTargetAfterFixedColumns: mse.afterFixedColumns,
    accepted: moves.length,
    moves,
    cost: structure.normalizedCost,
    gateCost: structure.gateCost,
    power: powerPerMultiplication(theta, weightBits, activationBits) * exactPower(weightBits, activationBits),
    ...metricsReport(metrics),
  };
}

export interface WrittenMultiplier {
  readonly certificate: Certificate;
  readonly metrics: ErrorMetrics;
  /** File names in the folder. */
  readonly files: readonly string[];
}

/** With the operands that the multiplier meets, where they were measured: their file, and the errors over them. */
export function writeMultiplier(
  folder: string,
  mapped: MappedMultiplier,
  name: string,
  operands?: OperandHistograms,
): WrittenMultiplier {
  const { network, table } = mapped;
  const blif = writeBlif(network);
  const verilog = writeVerilog(network);
  const certificate = certify({ network, table, blif, verilog });
  const metrics = errorMetrics(table);
  const paths = multiplierFiles(name);
  makeFolder(folder);
  writeInside(folder, paths.verilog, verilog);
  writeInside(folder, paths.blif, blif);
  writeInside(folder, paths.text, writeTextTable(table));
  writeInside(folder, paths.table, writeNpy(table));
  const report = multiplierReport(mapped, metrics);
  const measured = writeOperands(folder, name, table, operands);
  writeJsonInside(folder, paths.errors, {
    name,
    ...report,
    ...measured.report,
    structure: mapped.structure,
    certificate,
  });
  const { operands: _, ...others } = paths;
  return { certificate, metrics, files: [...Object.values(others), ...measured.files] };
}

/** The histograms in the form that `--histograms` reads, by patterns of the multiplier's operands. */
function writeOperands(folder: string, name: string, table: ProductTable, operands: OperandHistograms | undefined) {
  if (!operands) return { report: {}, files: [] };
  const { weight, activation } = operands;
  const path = multiplierFiles(name).operands;
  const counts = { weight: Array.from(weight), activation: Array.from(activation) };
  writeInside(folder, path, `${JSON.stringify(counts)}\n`);
  return { report: { measuredOperands: metricsReport(errorMetrics(table, operands)) }, files: [path] };
}

/** A multiplier made elsewhere, read and simulated: a netlist in any form, or a table alone. */
export interface ImportedMultiplier {
  readonly source: string;
  readonly network: Network | null;
  readonly table: ProductTable;
}

/** Reads the multiplier that `source` names; operands of other widths than the network's are a UserError. */
export async function importMultiplier(
  source: string,
  signed: boolean,
  weightBits: number,
  activationBits: number,
): Promise<ImportedMultiplier> {
  const loaded = await loadMultiplier(source, signed ? { signed } : {});
  const network = loaded.network ?? null;
  const table = productsOf(loaded);
  if (table.weightBits === weightBits && table.activationBits === activationBits) return { source, network, table };
  throw new UserError(
    `${source} multiplies ${table.weightBits}×${table.activationBits} bits, but the network's operands have ${weightBits}×${activationBits}; choose --bits ${table.weightBits}x${table.activationBits} or another multiplier`,
  );
}

/** Writes an imported multiplier in the forms that can be had of it, proved equal where there is a netlist. */
export function writeImported(
  folder: string,
  { source, network, table }: ImportedMultiplier,
  name: string,
  operands?: OperandHistograms,
) {
  const metrics = errorMetrics(table);
  const paths = multiplierFiles(name);
  const contents = new Map<string, string | Uint8Array>();
  if (network) {
    contents.set(paths.blif, writeBlif(network));
    contents.set(paths.verilog, writeVerilog(network));
  }
  const npy = writeNpy(table);
  const certificate = network
    ? certify({
        network,
        table,
        blif: contents.get(paths.blif) as string,
        verilog: contents.get(paths.verilog) as string,
      })
    : { pairs: table.data.length, equal: true as const, sha256: { table: sha256(npy) } };
  contents.set(paths.text, writeTextTable(table));
  contents.set(paths.table, npy);
  makeFolder(folder);
  for (const [path, content] of contents) writeInside(folder, path, content);
  const { weightBits, activationBits, signed } = table;
  const structure = network ? describeStructure(network) : undefined;
  const gateCost = structure?.gateCost ?? null;
  const measured = writeOperands(folder, name, table, operands);
  writeJsonInside(folder, paths.errors, {
    name,
    source,
    weightBits,
    activationBits,
    signed,
    cost: structure?.normalizedCost ?? null,
    gateCost,
    ...metricsReport(metrics),
    ...measured.report,
    certificate,
  });
  return { certificate, metrics, gateCost, files: [...contents.keys(), paths.errors, ...measured.files] };
}
