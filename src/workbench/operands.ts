// How often each operand occurs, from a file: what weighs the errors of a multiplier, and moves the nets in its power.

import { type HistogramWidths, readHistograms } from '../multiplier/histograms.ts';
import type { OperandHistograms } from '../multiplier/metrics.ts';
import { MAX_NETLIST_BYTES } from '../netlist/circuit.ts';
import { multiplierPorts } from '../netlist/ports.ts';
import { readText } from '../tensor/files.ts';
import type { LoadedCircuit } from './load.ts';

/** Histograms by patterns of the operands, from JSON or CSV (multiplier/histograms.ts). Throws a UserError. */
export function loadHistograms(path: string, widths: HistogramWidths): OperandHistograms {
  return readHistograms(readText(path, MAX_NETLIST_BYTES), path, widths);
}

/**
 * The operands of a circuit that is a multiplier; signed where it or the caller says so. Throws a UserError where it is
 * none.
 */
export function operandWidths({ network, signed: known = false }: LoadedCircuit, signed = false): HistogramWidths {
  const { weight, activation } = multiplierPorts(network);
  return { weightBits: weight.length, activationBits: activation.length, signed: signed || known };
}
