// Synthesised power of a network's multiplications: its multipliers in the cells of a technology, the mean weighted by
// the multiplications of the layers that have them, relative to the exact 8×8 multiplier.

import { join } from 'node:path';
import { networkPower } from '../../multiplier/power.ts';
import { generate } from '../../netlist/generators/registry.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import type { OperandBits } from '../../workbench/import.ts';
import { type SynthesisedPower, synthesisedPower, type Technology } from '../../workbench/synthesised-power.ts';
import { type PhaseRecord, verifiedBytes } from '../run/manifest.ts';

/**
 * Of the multipliers that the phase `map` wrote; undefined where one of them is known by its table alone. `macs` are
 * the multiplications by layer. Throws a UserError, also for a file that is not the run's.
 */
export async function synthesisedNetwork(
  folder: string,
  record: PhaseRecord,
  macs: ReadonlyMap<string, number>,
  technology: Technology,
): Promise<number | undefined> {
  const netlists = (record.multipliers ?? []).map(({ name, layers }) => ({
    path: multiplierFiles(name).verilog,
    macs: layers.reduce((sum, layer) => sum + (macs.get(layer) ?? 0), 0),
  }));
  if (netlists.length === 0 || netlists.some(({ path }) => record.files[path] === undefined)) return undefined;
  const powers: { power: number; macs: number }[] = [];
  for (const netlist of netlists) {
    const verilog = Buffer.from(verifiedBytes(folder, record, netlist.path)).toString('utf8');
    const { relative } = await synthesisedPower({ verilog, file: join(folder, netlist.path) }, technology);
    powers.push({ power: relative.power, macs: netlist.macs });
  }
  return networkPower(powers);
}

/** Exact multipliers that synthesis makes little of: which of them least depends on widths, cells and delay. */
const EXACT = ['dadda', 'compact', 'wallace', 'array'] as const;

export interface SynthesisedExact extends SynthesisedPower {
  /** Its family, a name of the generators. */
  readonly family: (typeof EXACT)[number];
}

/** Of the exact multiplier of these widths: of the known ones that which synthesis makes least of. */
export async function synthesisedExact(
  { weights: weightBits, activations: activationBits }: OperandBits,
  technology: Technology,
): Promise<SynthesisedExact> {
  const all: SynthesisedExact[] = [];
  for (const family of EXACT) {
    const { network } = generate(family, { weightBits, activationBits });
    all.push({ ...(await synthesisedPower(network, technology)), family });
  }
  return all.reduce((least, one) => (one.relative.power < least.relative.power ? one : least));
}
