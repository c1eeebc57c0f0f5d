// What a multiplier's errors are, measured in the way that its widths allow: over all operand pairs, or over random
// ones. Every command that tells errors measures here.
// Invariant: sampled figures carry `sampled`; a multiplier that looks as if it were read with the wrong sign has a note
// that says so.

import type { OperandHistograms } from '../multiplier/metrics.ts';
import { signednessNote, signednessText } from '../multiplier/signedness.ts';
import { reportTable, type Simulation, simulateCircuit } from '../netlist/circuit.ts';
import { sampleMetrics } from '../netlist/sample.ts';
import { given } from '../tensor/given.ts';
import type { LoadedMultiplier } from './load.ts';

export interface MeasureOptions {
  /** Weights of the operands' patterns; by default all are equally likely. */
  readonly histograms?: OperandHistograms | undefined;
  /** Random pairs above 24 operand bits together; by default 2^20. */
  readonly samples?: number | undefined;
  readonly seed?: number | undefined;
  /** How many of the worst operand pairs to tell; by default 10. */
  readonly worst?: number | undefined;
}

/** Pairs for the note about the sign: its figures differ tenfold or it is not given. */
const SIGN_SAMPLES = 4096;

/**
 * The errors of a multiplier under the name given, and notes about them. Throws a UserError, for example of other
 * operand widths.
 */
export function measure(
  multiplier: LoadedMultiplier,
  name: string,
  { histograms, samples, seed, worst }: MeasureOptions = {},
): Simulation & { readonly notes: readonly string[] } {
  if (multiplier.kind === 'table') {
    // Its reader has said already what is odd about it.
    return { ...reportTable(name, multiplier.table, given({ histograms, worst })), notes: [] };
  }
  const { network, signed } = multiplier;
  const simulation = simulateCircuit(network, {
    signed,
    ...given({ histograms, samples, seed, worst }),
  });
  let note: string | null;
  if (simulation.table) note = signednessNote(simulation.table);
  else {
    const sampled = (sign: boolean) =>
      sampleMetrics(network, { signed: sign, samples: SIGN_SAMPLES }).meanErrorDistance;
    note = signednessText(signed, sampled(signed), sampled(!signed));
  }
  return { ...simulation, notes: note === null ? [] : [note] };
}
