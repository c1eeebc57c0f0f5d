// How phases 0, 1 and 3 begin: the start that their settings ask for (start/start.ts), told in the log with what it
// came to. On a resumed run it is done anew, and the resume point then has the last word: its figures are the same, and
// it needs no state of its own.

import type { Session } from '../../engine/backend.ts';
import { percent } from '../../tensor/numbers.ts';
import type { Evaluation } from '../../train/evaluation.ts';
import type { RunContext } from '../run/context.ts';
import type { Stage, StageResult } from '../run/stages.ts';
import { type ArithmeticChange, describeStart, type StartingPhase, startUnder } from '../start/start.ts';

interface Starting {
  readonly phase: StartingPhase;
  readonly session: Session;
  readonly change: ArithmeticChange;
  /** The stage that its figures are. */
  readonly stage: Stage;
  /** Accuracy before it, 0 … 1. */
  readonly before: number | undefined;
  readonly evaluate: () => Promise<Evaluation<'accuracy'>>;
}

/** Treats the session's network and measures it; undefined where the phase begins with the network as it is. */
export async function startPhase(
  context: RunContext,
  { phase, session, change, stage, before, evaluate }: Starting,
): Promise<StageResult | undefined> {
  if (context.configuration[phase].start === 'none') return undefined;
  const done = await startUnder(context, session, change, phase);
  const { loss, metrics } = await evaluate();
  const course = [...(before === undefined ? [] : [before]), metrics.accuracy].map((share) => percent(share));
  context.listener({ kind: 'note', text: `start: ${describeStart(done)}: ${course.join(' → ')}` });
  return { stage, accuracy: metrics.accuracy, loss };
}
