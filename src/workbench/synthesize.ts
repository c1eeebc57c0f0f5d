// A loaded multiplier in the cells of a library: area, delay and power, with the operands that it meets.
// hardware/synthesize.ts does it, and what is known already is not done again; here a caller's paths and histograms
// become its inputs.

import { readLibertyFile } from '../hardware/liberty/file.ts';
import type { LibertyText } from '../hardware/liberty/read.ts';
import { synthesizeOnce } from '../hardware/synthesis-cache.ts';
import type { Synthesis, SynthesisOptions } from '../hardware/synthesize.ts';
import type { OperandHistograms } from '../multiplier/metrics.ts';
import { given } from '../tensor/given.ts';
import { userCacheFolder } from '../tensor/user-cache.ts';
import type { LoadedCircuit } from './load.ts';

export interface MultiplierSynthesisOptions extends Omit<SynthesisOptions, 'circuit' | 'histograms'> {
  /** How often each pattern of the operands occurs, for the power; by default all equally often. */
  readonly histograms?: OperandHistograms;
  /** The folder where results are kept; default: the user's cache; null: nowhere. */
  readonly cache?: string | null;
}

/** The texts of Liberty files by their paths. Throws a UserError. */
export function openLibraries(paths: readonly string[]): Promise<LibertyText[]> {
  return Promise.all(paths.map(readLibertyFile));
}

/**
 * Area, delay and power (in `units` of the result), the mapped netlist checked against the circuit. Throws a UserError.
 */
export function synthesizeMultiplier(
  { circuit }: Pick<LoadedCircuit, 'circuit'>,
  { histograms, cache = userCacheFolder('synthesis'), ...options }: MultiplierSynthesisOptions = {},
): Promise<Synthesis> {
  const weights = given({ histograms: histograms && [histograms.weight, histograms.activation] });
  return synthesizeOnce({ ...options, circuit, ...weights }, cache);
}
