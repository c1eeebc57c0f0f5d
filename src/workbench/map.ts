// θ to a netlist without a run: the search, then the proof that netlist, BLIF, Verilog and table are one function, then
// the files.
// Invariant: nothing is returned or written before that proof.

import { join } from 'node:path';
import { type ErrorMetrics, errorMetrics } from '../multiplier/metrics.ts';
import { structurePower } from '../multiplier/structure.ts';
import { type Certificate, certify } from '../netlist/certify.ts';
import { mapStructure } from '../netlist/mapping/map.ts';
import type { MappedMultiplier, MappingOptions } from '../netlist/mapping/task.ts';
import { writeMultiplier } from './files.ts';

export interface MapOptions extends MappingOptions {
  /**
   * Where the multiplier's files go: multiplier.v, .blif, .npy, .lut.txt and .errors.json; by default nothing is
   * written.
   */
  readonly folder?: string;
}

export interface ProvedMapping {
  readonly mapped: MappedMultiplier;
  /** Over all operand pairs, to the exact products. */
  readonly metrics: ErrorMetrics;
  readonly certificate: Certificate;
  /** Analytic, of θ; 1 is the exact array multiplier of the same widths. */
  readonly power: number;
  /** Paths of what was written. */
  readonly files: readonly string[];
}

/** Maps θ and proves the result. Throws a UserError. */
export function mapMultiplier({ folder, ...options }: MapOptions): ProvedMapping {
  const mapped = mapStructure(options);
  const power = structurePower(mapped.thetaStructure, mapped.theta);
  if (folder === undefined) {
    return { mapped, metrics: errorMetrics(mapped.table), certificate: certify(mapped), power, files: [] };
  }
  const { metrics, certificate, files } = writeMultiplier(folder, mapped, 'multiplier');
  return { mapped, metrics, certificate, power, files: files.map((file) => join(folder, file)) };
}
