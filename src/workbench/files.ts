// A multiplier of a run on disk: Verilog, BLIF, the table in the published text format and as .npy, and an error
// report. Nothing is written before all forms were proved equal over all operand pairs.
// Invariant: the weight is the first operand of netlists and .npy, the activation that of the text; modules are named
// after their files.

import { type ErrorMetrics, errorMetrics, metricsReport, type OperandHistograms } from '../multiplier/metrics.ts';
import { modelledPower, type PowerModelName } from '../multiplier/power-model.ts';
import { isSymmetric, type ProductTable } from '../multiplier/table.ts';
import { writeBlif } from '../netlist/blif/write.ts';
import { type Certificate, certify, certifyTable } from '../netlist/certify.ts';
import { cleanUp } from '../netlist/cleanup.ts';
import { writeNpy } from '../netlist/formats/npy.ts';
import { writeTextTable } from '../netlist/formats/text.ts';
import type { MappedMultiplier } from '../netlist/mapping/task.ts';
import { type Network, relabelled } from '../netlist/network.ts';
import { groupBuses } from '../netlist/ports.ts';
import { describeStructure } from '../netlist/structure.ts';
import { verilogModules, writeVerilog } from '../netlist/verilog/write.ts';
import { UserError } from '../tensor/errors.ts';
import { makeFolder, writeInside, writeJsonInside } from '../tensor/files.ts';
import type { ImportedMultiplier } from './import.ts';

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

/**
 * The error report: mapping, cost and error metrics, under the names that `--json` prints; power by a model of θ,
 * default: the analytic one.
 */
export function multiplierReport(mapped: MappedMultiplier, metrics: ErrorMetrics, model: PowerModelName = 'analytic') {
  const { mseToTarget, moves, structure, theta, search } = mapped;
  const { weightBits, activationBits } = structure;
  return {
    weightBits,
    activationBits,
    theta,
    search,
    start: mapped.start,
    mseToTarget: mseToTarget.after,
    mseToTargetBefore: mseToTarget.before,
    mseToTargetAfterFixedColumns: mseToTarget.afterFixedColumns,
    accepted: moves.length,
    moves,
    cost: structure.normalizedCost,
    gateCost: structure.gateCost,
    power: modelledPower(model, mapped.thetaStructure, theta),
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
  model?: PowerModelName,
): WrittenMultiplier {
  const { table } = mapped;
  const texts = netlistTexts(mapped.network, moduleName(name));
  const certificate = certify({ ...texts, table });
  const metrics = errorMetrics(table);
  const paths = multiplierFiles(name);
  makeFolder(folder);
  const written = [...writeTexts(folder, paths, texts), ...writeTables(folder, paths, table)];
  const report = multiplierReport(mapped, metrics, model);
  const measured = writeOperands(folder, name, table, operands);
  writeJsonInside(folder, paths.errors, {
    name,
    ...report,
    ...measured.report,
    structure: { ...mapped.structure, name: moduleName(name) },
    certificate,
  });
  return { certificate, metrics, files: [...written, paths.errors, ...measured.files] };
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

/** Writes an imported multiplier in the forms that can be had of it, proved equal where there is a netlist. */
export function writeImported(
  folder: string,
  { source, network, table, operandOrder }: ImportedMultiplier,
  name: string,
  operands?: OperandHistograms,
) {
  const metrics = errorMetrics(table);
  const paths = multiplierFiles(name);
  const texts = network ? netlistTexts(network, moduleName(name)) : undefined;
  const certificate = texts ? certify({ ...texts, table }) : certifyTable(table);
  const { weightBits, activationBits, signed } = table;
  // What constants and sharing make superfluous costs nothing in hardware.
  const structure = network ? describeStructure(cleanUp(network)) : undefined;
  const gateCost = structure?.gateCost ?? null;
  makeFolder(folder);
  const written = [...(texts ? writeTexts(folder, paths, texts) : []), ...writeTables(folder, paths, table)];
  const measured = writeOperands(folder, name, table, operands);
  writeJsonInside(folder, paths.errors, {
    name,
    source,
    operandOrder,
    weightBits,
    activationBits,
    signed,
    cost: structure?.normalizedCost ?? null,
    gateCost,
    ...metricsReport(metrics),
    ...measured.report,
    certificate,
  });
  return { certificate, metrics, gateCost, files: [...written, paths.errors, ...measured.files] };
}

type Paths = ReturnType<typeof multiplierFiles>;

interface NetlistTexts {
  readonly network: Network;
  readonly verilog: string;
  readonly blif: string;
}

/** The netlist under the name of its files, and its texts; the Verilog begins with what its operands are. */
function netlistTexts(network: Network, name: string): NetlistTexts {
  const named = relabelled(network, name);
  const [weight, activation] = groupBuses(named.inputs);
  const operands = `// weight: ${weight?.name}, activation: ${activation?.name}\n`;
  return { network: named, verilog: operands + writeVerilog(named), blif: writeBlif(named) };
}

function writeTexts(folder: string, paths: Paths, { verilog, blif }: NetlistTexts): string[] {
  writeInside(folder, paths.verilog, verilog);
  writeInside(folder, paths.blif, blif);
  return [paths.verilog, paths.blif];
}

/**
 * The text has the activation first, as the program that published the form reads it, and says so where that makes a
 * difference.
 */
function writeTables(folder: string, paths: Paths, table: ProductTable): string[] {
  const options = isSymmetric(table) ? {} : { operands: 'activation-weight' as const };
  writeInside(folder, paths.text, writeTextTable(table, undefined, options));
  writeInside(folder, paths.table, writeNpy(table));
  return [paths.text, paths.table];
}

/** An identifier of Verilog and BLIF from a name: `multiplier_layer1_0_conv1` from `multiplier-layer1.0.conv1`. */
export function moduleName(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9_]/g, '_');
  return /^[A-Za-z_]/.test(plain) ? plain : `m_${plain}`;
}

/** A UserError unless the netlists of these names can be read together: no two of their modules have one name. */
export function checkModuleNames(names: readonly string[]): void {
  const owners = new Map<string, string>();
  for (const name of names) {
    for (const module of verilogModules(moduleName(name))) {
      const owner = owners.get(module);
      if (owner !== undefined) {
        throw new UserError(
          `the multipliers ${owner} and ${name} would both have a module ${module}; rename one of their layers`,
        );
      }
      owners.set(module, name);
    }
  }
}
