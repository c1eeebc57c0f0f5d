// A mapped multiplier on disk: Verilog, BLIF, the table in the published text format and as .npy, and an error report. Nothing is written
// before all forms were proved equal over all operand pairs.

import { join } from 'node:path';
import { powerPerMultiplication } from '../axm/power.ts';
import { writeBlif } from '../netlist/blif/write.ts';
import { type Certificate, certify } from '../netlist/certify.ts';
import { writeNpy } from '../netlist/formats/npy.ts';
import { writeTextTable } from '../netlist/formats/text.ts';
import type { MappedMultiplier } from '../netlist/mapping/map.ts';
import { type ErrorMetrics, errorMetrics } from '../netlist/metrics.ts';
import { writeVerilog } from '../netlist/verilog/write.ts';
import { makeFolder, writeFileAtomic, writeJson } from '../tensor/files.ts';

/** File names of one multiplier. */
export function multiplierFiles(name: string) {
  return {
    verilog: `${name}.v`,
    blif: `${name}.blif`,
    text: `${name}.lut.txt`,
    table: `${name}.npy`,
    errors: `${name}.errors.json`,
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
    mse: mse.after,
    mseBefore: mse.before,
    mseAfterFixedColumns: mse.afterFixedColumns,
    accepted: moves.length,
    moves,
    cost: structure.normalizedCost,
    power: powerPerMultiplication(theta, weightBits, activationBits),
    errorRate: metrics.errorRate,
    med: metrics.meanErrorDistance,
    nmed: metrics.normalizedMeanErrorDistance,
    maxEd: metrics.maxErrorDistance,
    mred: metrics.meanRelativeErrorDistance,
    mean: metrics.meanError,
    variance: metrics.errorVariance,
  };
}

export interface WrittenMultiplier {
  readonly certificate: Certificate;
  readonly metrics: ErrorMetrics;
  /** File names in the folder. */
  readonly files: readonly string[];
}

export function writeMultiplier(folder: string, mapped: MappedMultiplier, name: string): WrittenMultiplier {
  const { network, table } = mapped;
  const blif = writeBlif(network);
  const verilog = writeVerilog(network);
  const certificate = certify({ network, table, blif, verilog });
  const metrics = errorMetrics(table);
  const paths = multiplierFiles(name);
  makeFolder(folder);
  writeFileAtomic(join(folder, paths.verilog), verilog);
  writeFileAtomic(join(folder, paths.blif), blif);
  writeFileAtomic(join(folder, paths.text), writeTextTable(table));
  writeFileAtomic(join(folder, paths.table), writeNpy(table));
  const report = multiplierReport(mapped, metrics);
  writeJson(join(folder, paths.errors), { name, ...report, structure: mapped.structure, certificate });
  return { certificate, metrics, files: Object.values(paths) };
}
