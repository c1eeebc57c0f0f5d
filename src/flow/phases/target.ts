// The target of phase 1 while it trains: where it starts from, and what is lost of the accuracy, as a sample of the
// training images tells. Test images have no part in it: what is chosen by them would look better on them than it is.

import { sampleOf } from '../../data/sample.ts';
import type { Split } from '../../data/split.ts';
import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { invariant } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import type { Target } from '../../train/aim.ts';
import type { ControlState } from '../../train/control.ts';
import { evaluateOnce } from '../../train/evaluation.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { networkExactPower, quantizedArithmetic } from '../multipliers/multipliers.ts';
import { aimOf, hasTarget } from '../multipliers/targets.ts';
import type { RunContext } from '../run/context.ts';
import type { TargetOutcome } from '../run/manifest.ts';

/** Training images that a loss is measured on: a point is twenty of them. Of few images it is a part. */
export const SAMPLE = 2000;
export const PART = 1 / 3;

type Measured = NonNullable<Target<'accuracy'>['measured']>;

/** The images that a loss is measured on, and what the quantised network in the session comes to on them. */
export async function measuredLoss(context: RunContext, session: Session): Promise<Measured | undefined> {
  const split = lossSample(context);
  if (!split) return undefined;
  const exact = quantizedArithmetic(context, exactMultiplier);
  const { metrics } = await evaluateOnce(session, context.task, exact, split);
  return { split, lossOf: (evaluation) => metrics.accuracy - evaluation.metrics.accuracy };
}

/** Those images; undefined where no loss is measured. */
export function lossSample({
  configuration,
  dataset,
}: Pick<RunContext, 'configuration' | 'dataset'>): Split | undefined {
  if (configuration.explore.maxLoss === undefined) return undefined;
  return sampleOf(dataset.train, Math.min(SAMPLE, Math.ceil(PART * dataset.train.count)), configuration.seed);
}

/** From a network that starts at so much power, as the loss counts it; undefined where λ is said. */
export function explorationTarget(
  { configuration, layers }: RunContext,
  measured: Measured | undefined,
  from: number,
): Target<'accuracy'> | undefined {
  if (!hasTarget(configuration)) return undefined;
  return { aim: aimOf(configuration, layers, from), ...given({ measured }) };
}

/** What came of the targets, with the network and θ that the session has in the end; `power`: theirs, exact 8×8 = 1. */
export async function outcomeOf(
  context: RunContext,
  session: Session,
  arithmetic: QuantizedArithmetic,
  { target, power, control }: { target: Target<'accuracy'>; power: number; control: ControlState | undefined },
): Promise<TargetOutcome> {
  invariant(control, 'a phase with a target ended without its state');
  const { explore } = context.configuration;
  const { measured } = target;
  const loss = measured && {
    target: explore.maxLoss!,
    estimated: 100 * measured.lossOf(await evaluateOnce(session, context.task, arithmetic, measured.split)),
    images: measured.split.count,
  };
  const soft = control.power * networkExactPower(context.configuration, context.layers);
  return {
    power: { ...given({ target: explore.power }), soft, reached: power },
    ...given({ loss }),
    lambda: control.lambda,
  };
}
