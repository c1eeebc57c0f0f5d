// A multiplier circuit from a file, whatever its format, and what simulating it gives: the library function behind
// `tram simulate`.
// The format follows from the extension (.v, .sv, .blif), else from the first word of the text.
// Invariant: the report says whether all pairs were enumerated or how many were sampled; nothing is silently
// approximate.

import { basename } from 'node:path';
import {
  type ErrorMetrics,
  errorMetrics,
  type MetricsReport,
  metricsReport,
  type OperandHistograms,
  type WorstPair,
  worstPairs,
} from '../multiplier/metrics.ts';
import { operandValue, type ProductTable } from '../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS } from '../multiplier/widths.ts';
import { UserError } from '../tensor/errors.ts';
import { readText } from '../tensor/files.ts';
import { readBlif } from './blif/read.ts';
import type { Elaborated, ElaborationOptions } from './elaborate.ts';
import { TABLE_FORMS } from './formats/read.ts';
import { publishedWarnings } from './formats/text.ts';
import type { Network } from './network.ts';
import { multiplierPorts } from './ports.ts';
import { type Sampled, sampleMetrics } from './sample.ts';
import { simulate } from './simulate.ts';
import { readVerilog } from './verilog/read.ts';

export type CircuitFormat = 'blif' | 'verilog';

export interface Circuit extends Elaborated {
  readonly format: CircuitFormat;
  /** What the published simulator prints about this file. */
  readonly warnings: readonly string[];
}

/** The largest netlist that is read: 64 MiB. */
export const MAX_NETLIST_BYTES = 2 ** 26;

/** Parses BLIF or structural Verilog; `file` names it in diagnostics. Throws a located UserError. */
export function readCircuit(text: string, file: string, options: ElaborationOptions = {}): Circuit {
  const format = circuitFormat(text, file);
  const elaborated = (format === 'blif' ? readBlif : readVerilog)(text, { ...options, file });
  return { ...elaborated, format, warnings: publishedWarnings(elaborated) };
}

/** Reads and parses a circuit file. */
export function loadCircuit(path: string, options: ElaborationOptions = {}): Circuit {
  return readCircuit(readText(path, MAX_NETLIST_BYTES), basename(path), options);
}

/** The format that the name says, else the first word of the text. Throws a UserError where neither does. */
export function circuitFormat(text: string, file: string): CircuitFormat {
  if (/\.blif$/i.test(file)) return 'blif';
  if (/\.s?v$/i.test(file)) return 'verilog';
  const start = text.slice(0, 100_000);
  if (/^\s*\.[a-z]/m.test(start)) return 'blif';
  if (/^\s*(\(\*.*\*\)\s*)?module\b/m.test(start)) return 'verilog';
  throw new UserError(
    `${file}: neither a netlist nor a table: expected BLIF (.model), Verilog (module), or a table: ${TABLE_FORMS}`,
  );
}

export interface SimulateOptions {
  readonly signed?: boolean;
  readonly histograms?: OperandHistograms;
  /** Random pairs for multipliers of more than 24 operand bits together; by default 2^20. */
  readonly samples?: number;
  readonly seed?: number;
  /** How many of the worst operand pairs to tell; by default 10. */
  readonly worst?: number;
}

/** Of the JSON report; operands as the integers that they stand for. */
export interface WorstOperands {
  readonly w: number;
  readonly x: number;
  readonly product: number;
  readonly exact: number;
  readonly error: number;
}

export interface SimulationReport extends MetricsReport {
  readonly name: string;
  /** The operand width, or both widths where they differ: weight, activation. */
  readonly bits: number | readonly [number, number];
  readonly weightBits: number;
  readonly activationBits: number;
  readonly signed: boolean;
  /** Operand pairs behind the figures: all of them, unless `sampled` says otherwise. */
  readonly pairs: number;
  readonly worst: readonly WorstOperands[];
  /** Present when the multiplier is too wide to enumerate: figures are estimates, maxEd a lower bound. */
  readonly sampled?: Sampled;
}

export interface Simulation {
  readonly report: SimulationReport;
  readonly metrics: ErrorMetrics;
  /** null when the pairs were sampled. */
  readonly table: ProductTable | null;
}

/**
 * Errors of a network: over all operand pairs up to 24 operand bits together, with the table; beyond that over random
 * ones, then `sampled` is set.
 */
export function simulateCircuit(network: Network, options: SimulateOptions = {}): Simulation {
  const { signed = false } = options;
  const { weight, activation } = multiplierPorts(network);
  const [weightBits, activationBits] = [weight.length, activation.length];
  if (weightBits + activationBits > MAX_EXHAUSTIVE_BITS) {
    const { sampled, ...metrics } = sampleMetrics(network, options);
    const widths = { weightBits, activationBits, signed };
    const worst = metrics.maxErrorDistance > 0 ? [metrics.worst] : [];
    const report = reportOf(network.name, widths, metrics, sampled.samples, worst);
    return { report: { ...report, sampled }, metrics, table: null };
  }
  return reportTable(network.name, simulate(network, { signed }), options);
}

/** The same of a table that is there already. */
export function reportTable(
  name: string,
  table: ProductTable,
  options: Pick<SimulateOptions, 'histograms' | 'worst'> = {},
): Simulation {
  const metrics = errorMetrics(table, options.histograms);
  const worst = worstPairs(table, options.worst ?? 10);
  return { report: reportOf(name, table, metrics, table.data.length, worst), metrics, table };
}

function reportOf(
  name: string,
  { weightBits, activationBits, signed }: { weightBits: number; activationBits: number; signed: boolean },
  metrics: ErrorMetrics,
  pairs: number,
  worst: readonly WorstPair[],
): SimulationReport {
  return {
    name,
    bits: weightBits === activationBits ? weightBits : [weightBits, activationBits],
    weightBits,
    activationBits,
    signed,
    pairs,
    ...metricsReport(metrics),
    worst: worst.map(({ w, x, product, exact }) => ({
      w: operandValue(w, weightBits, signed),
      x: operandValue(x, activationBits, signed),
      product,
      exact,
      error: product - exact,
    })),
  };
}
