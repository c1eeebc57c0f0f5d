// A multiplier of a known family, proved against the behavioural formula of its kind; and the families with their
// parameters, as data.
// Invariant: what is returned with a table gave the formula's product for every operand pair of it (up to 24 operand
// bits together).

import { join } from 'node:path';
import { type ErrorMetrics, errorMetrics, type MetricsReport, metricsReport } from '../multiplier/metrics.ts';
import { operandValues, type ProductTable } from '../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS } from '../multiplier/widths.ts';
import { writeBlif } from '../netlist/blif/write.ts';
import { writeNpy } from '../netlist/formats/npy.ts';
import { writeTextTable } from '../netlist/formats/text.ts';
import {
  type GeneratedMultiplier,
  type GeneratorParameter,
  generate,
  generators,
} from '../netlist/generators/registry.ts';
import { simulate } from '../netlist/simulate.ts';
import { unitGateCost } from '../netlist/structure.ts';
import { writeVerilog } from '../netlist/verilog/write.ts';
import { invariant } from '../tensor/errors.ts';
import { makeFolder, writeFileAtomic } from '../tensor/files.ts';

export interface ProvedMultiplier extends GeneratedMultiplier {
  readonly weightBits: number;
  readonly activationBits: number;
  /** One sentence about the family, and where it is from. */
  readonly summary: string;
  readonly source: string;
  /** Unit gates of the netlist. */
  readonly cost: number;
  /** All products, compared with the formula; null beyond 24 operand bits together, where nothing was proved. */
  readonly table: ProductTable | null;
  readonly metrics: ErrorMetrics | null;
  /** The same under the names that --json has. */
  readonly report: MetricsReport | null;
}

/**
 * Makes a multiplier: a kind of `listGenerators`, operand widths (2 … 26 bits), parameters by name. Throws a UserError.
 */
export function generateProved(
  kind: string,
  options: Readonly<Record<string, number | string>> & { readonly weightBits: number; readonly activationBits: number },
): ProvedMultiplier {
  const { weightBits, activationBits } = options;
  const made = generate(kind, options);
  const table =
    weightBits + activationBits > MAX_EXHAUSTIVE_BITS ? null : provedTable(made, weightBits, activationBits);
  const { summary, source } = generators[kind]!;
  const metrics = table && errorMetrics(table);
  const report = metrics && metricsReport(metrics);
  return {
    ...made,
    weightBits,
    activationBits,
    summary,
    source,
    cost: unitGateCost(made.network),
    table,
    metrics,
    report,
  };
}

/** The table of all products, equal to the formula. */
function provedTable(
  { network, formula, signed, name }: GeneratedMultiplier,
  weightBits: number,
  activationBits: number,
): ProductTable {
  const table = simulate(network, { signed });
  const [ws, xs] = [operandValues(weightBits, signed), operandValues(activationBits, signed)];
  table.data.forEach((product, pair) => {
    const [w, x] = [ws[pair >> activationBits]!, xs[pair & (xs.length - 1)]!];
    invariant(product === formula(w, x), `${name} gives ${product} for ${w} × ${x}, its formula ${formula(w, x)}`);
  });
  return table;
}

/** Above so many operand bits together a folder gets no tables: they would be larger than a few megabytes. */
const MOST_TABLE_BITS = 16;

export interface GeneratedPlaces {
  /** A folder for NAME.v and NAME.blif and, up to 16 operand bits together, NAME.npy and NAME.lut.txt. */
  readonly folder?: string | undefined;
  /** Paths of single files. */
  readonly verilog?: string | undefined;
  readonly blif?: string | undefined;
}

/** Writes the multiplier's files, each whole or not at all; returns their paths. */
export function writeGenerated(
  { network, name, table }: ProvedMultiplier,
  { folder, verilog, blif }: GeneratedPlaces,
): string[] {
  const files: [path: string, content: () => string | Uint8Array][] = [];
  if (verilog !== undefined) files.push([verilog, () => writeVerilog(network)]);
  if (blif !== undefined) files.push([blif, () => writeBlif(network)]);
  if (folder !== undefined) {
    makeFolder(folder);
    const base = join(folder, name);
    files.push([`${base}.v`, () => writeVerilog(network)], [`${base}.blif`, () => writeBlif(network)]);
    if (table && table.weightBits + table.activationBits <= MOST_TABLE_BITS) {
      files.push([`${base}.npy`, () => writeNpy(table)], [`${base}.lut.txt`, () => writeTextTable(table)]);
    }
  }
  for (const [path, content] of files) writeFileAtomic(path, content());
  return files.map(([path]) => path);
}

/** A parameter of a family, for people: its values and its default as texts. */
export interface ListedParameter {
  readonly name: string;
  readonly meaning: string;
  readonly values: string;
  readonly default: string;
}

export interface ListedGenerator {
  readonly kind: string;
  readonly name: string;
  readonly summary: string;
  readonly signed: boolean;
  readonly exact: boolean;
  readonly source: string;
  readonly parameters: readonly ListedParameter[];
}

/** The families of multipliers. Ranges depend on the widths; the list tells those of 8×8. */
export function listGenerators(): ListedGenerator[] {
  return Object.entries(generators).map(([kind, { name, summary, signed, exact, source, parameters }]) => ({
    kind,
    name,
    summary,
    signed,
    exact,
    source,
    parameters: parameters.map((parameter) => ({
      name: parameter.name,
      meaning: parameter.meaning,
      ...valuesOf(parameter),
    })),
  }));
}

const listWidths = { weightBits: 8, activationBits: 8 };

function valuesOf(parameter: GeneratorParameter): Pick<ListedParameter, 'values' | 'default'> {
  if (parameter.type === 'choice') return { values: parameter.values.join(' | '), default: parameter.default };
  const [least, most] = [parameter.minimum, parameter.maximum(listWidths)];
  return { values: `${least} to ${most} at 8×8`, default: String(parameter.default(listWidths)) };
}
