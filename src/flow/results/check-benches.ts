// `tram export --to testbench --check`: the benches of an exported folder through simulators that are installed, before
// anything is exported whether they are.

import { join } from 'node:path';
import { type BenchOutcome, checkBenches } from '../../export/testbench/check.ts';
import { requireSimulator, type Simulator } from '../../export/testbench/simulators.ts';

export type { BenchOutcome };

/** Throws a UserError that says what to install where one of the simulators is missing. */
export async function requireSimulators(simulators: readonly Simulator[]): Promise<void> {
  for (const simulator of simulators) await requireSimulator(simulator);
}

/** All benches of the form testbench below `path`; `onOutcome` is told of each when it is done. */
export function checkTestbench(
  path: string,
  simulators: readonly Simulator[],
  onOutcome: (outcome: BenchOutcome) => void,
): Promise<BenchOutcome[]> {
  return checkBenches(join(path, 'testbench'), { simulators, onOutcome });
}
