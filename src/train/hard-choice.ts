// Hard θ for a session, chosen by what the network loses with them (hardening.ts): its loss over some training images
// as they are, with batch norm's statistics of each batch, because the stored ones are those of the soft θ.
// Invariant: nothing of the session changes but θ.

import { sampleOf } from '../data/sample.ts';
import type { Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import type { Graph } from '../engine/graph/graph.ts';
import type { Multiplier } from '../multiplier/multiplier.ts';
import { invariant } from '../tensor/errors.ts';
import { evaluationGraph, evaluator } from './evaluation.ts';
import { measuredHardTheta } from './hardening.ts';
import { type PowerTerm, powerAt, readStructures, writeStructures } from './step.ts';
import type { Arithmetic, Task } from './task.ts';

/** Examples that the loss is measured on, on a device with memory of its own and on the host. */
const EXAMPLES = { device: 1024, host: 256 } as const;

export interface HardChoice {
  readonly session: Pick<Session, 'backend'>;
  readonly task: Task;
  readonly arithmetic: Arithmetic;
  readonly train: Split;
  readonly seed: number;
  readonly power: PowerTerm;
}

/** Sets θ to 0 and 1 at or below a power; default: as near as may be to that of the session's θ. */
export async function hardenMeasured(
  { session, task, arithmetic, train, seed, power }: HardChoice & { readonly session: Session },
  limit?: number,
): Promise<void> {
  const read = await readStructures(session, power);
  const soft = power.structures.map(({ theta }) => read.theta[theta]!);
  const write = (thetas: readonly (readonly number[])[]) => writeStructures(session, power, thetas);
  const sample = sampleFor(session, train, seed);
  const evaluate = await evaluator(session, task, withHardTheta(arithmetic), sample, undefined, 'statistics');
  try {
    const lossOf = async (thetas: readonly (readonly number[])[]) => {
      invariant(thetas.flat().every(isHard), 'a loss is asked for with θ that are not hard');
      write(thetas);
      return (await evaluate()).loss;
    };
    write(await measuredHardTheta(soft, (thetas) => powerAt(power, thetas), limit, lossOf));
  } finally {
    await evaluate.dispose();
  }
}

/** The graph that such a choice is measured with. */
export function hardChoiceGraph({ session, task, arithmetic, train, seed }: Omit<HardChoice, 'power'>): Graph {
  const split = sampleFor(session, train, seed);
  return evaluationGraph({ session, task, arithmetic: withHardTheta(arithmetic), split, mode: 'statistics' });
}

const sampleFor = ({ backend }: HardChoice['session'], train: Split, seed: number): Split =>
  sampleOf(train, EXAMPLES[backend.device.ownMemory ? 'device' : 'host'], seed);

const isHard = (theta: number): boolean => theta === 0 || theta === 1;

/** The same network where all θ are 0 or 1: its products are integers, which devices sum faster. */
export function withHardTheta(arithmetic: Arithmetic): Arithmetic {
  if (arithmetic.kind === 'float') return arithmetic;
  const hardened = (multiplier: Multiplier): Multiplier =>
    multiplier.kind === 'structure' ? { ...multiplier, isHard: true } : multiplier;
  return { ...arithmetic, multiplierOf: (layer) => hardened(arithmetic.multiplierOf(layer)) };
}
