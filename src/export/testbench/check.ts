// Runs the benches of a folder and says what came out.
// Invariant: equal means that the bench printed `PASS n` with the n of its plan and nothing of a fault.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { type BenchPlan, PLAN_FILE, type PlannedBench } from './plan.ts';
import { type SimulationOptions, type Simulator, simulateBench } from './simulators.ts';

export interface BenchOutcome {
  readonly kind: 'layer' | 'multiplier';
  readonly title: string;
  readonly bench: string;
  readonly simulator: Simulator;
  readonly equal: boolean;
  /** Values compared: all results of a layer, all operand pairs of a multiplier; where they differ, those planned. */
  readonly values: number;
  /** What the bench printed of a difference; empty where all was equal. */
  readonly lines: readonly string[];
}

export interface CheckOptions extends SimulationOptions {
  /** Default: Icarus alone. */
  readonly simulators?: readonly Simulator[];
  /** Told of each bench when it is done. */
  readonly onOutcome?: (outcome: BenchOutcome) => void;
}

/** The plan of a folder that `benchFiles` made. */
export function readPlan(folder: string): BenchPlan {
  try {
    return JSON.parse(readFileSync(join(folder, PLAN_FILE), 'utf8')) as BenchPlan;
  } catch (error) {
    throw new UserError(
      `${folder} has no benches: ${(error as Error).message}; write it with tram export --to testbench`,
    );
  }
}

/** All benches of a folder, one after the other; multipliers by Icarus alone, which reads Verilog benches. */
export async function checkBenches(folder: string, options: CheckOptions = {}): Promise<BenchOutcome[]> {
  const { simulators = ['icarus'], onOutcome, ...simulation } = options;
  const { layers, multipliers } = readPlan(folder);
  const outcomes: BenchOutcome[] = [];
  const run = async (kind: BenchOutcome['kind'], bench: PlannedBench, simulator: Simulator) => {
    const printed = await simulateBench(simulator, folder, bench, simulation);
    const outcome = { kind, simulator, ...outcomeOf(bench, printed) };
    outcomes.push(outcome);
    onOutcome?.(outcome);
  };
  for (const simulator of simulators) {
    // A multiplier first: what is wrong there is wrong in every layer.
    if (simulator === 'icarus') for (const bench of multipliers) await run('multiplier', bench, simulator);
    for (const bench of layers) await run('layer', bench, simulator);
  }
  return outcomes;
}

function outcomeOf({ title, bench, values }: PlannedBench, printed: string) {
  const lines = printed.split('\n').map((line) => line.trimEnd());
  const equal = lines.includes(`PASS ${values}`) && !lines.some((line) => /^(FAIL|DIFFERENCE|WRONG)/.test(line));
  return { title, bench, values, equal, lines: equal ? [] : lines.filter((line) => line !== '') };
}
