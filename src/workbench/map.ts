// θ to a netlist without a run: the search, then the proof that netlist, BLIF, Verilog and table are one function, then
// the files.
// Invariant: nothing is returned or written before that proof.

import { join } from 'node:path';
import { type ErrorMetrics, errorMetrics } from '../multiplier/metrics.ts';
import { modelledPower } from '../multiplier/power-model.ts';
import { type Certificate, certify } from '../netlist/certify.ts';
import { type CheapestExact, dominatingExact } from '../netlist/exact-cost.ts';
import { mapStructure } from '../netlist/mapping/map.ts';
import type { MappedMultiplier, MappingOptions } from '../netlist/mapping/task.ts';
import { given } from '../tensor/given.ts';
import { writeMultiplier } from './files.ts';

export { describeDominated } from '../netlist/exact-cost.ts';

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
  /** By the analytic model of θ; 1 is the exact 8×8 array multiplier. */
  readonly power: number;
  /** An exact multiplier that costs no more, where there is one: what the published search may end above. */
  readonly dominatedBy?: CheapestExact;
  /** Paths of what was written. */
  readonly files: readonly string[];
}

/** Maps θ and proves the result. Throws a UserError. */
export function mapMultiplier({ folder, ...options }: MapOptions): ProvedMapping {
  const mapped = mapStructure(options);
  const dominatedBy = dominatingExact(mapped.table, mapped.network);
  const known = {
    mapped,
    power: modelledPower('analytic', mapped.thetaStructure, mapped.theta),
    ...given({ dominatedBy }),
  };
  if (folder === undefined) {
    return { ...known, metrics: errorMetrics(mapped.table), certificate: certify(mapped), files: [] };
  }
  const { metrics, certificate, files } = writeMultiplier(folder, mapped, 'multiplier');
  return { ...known, metrics, certificate, files: files.map((file) => join(folder, file)) };
}
