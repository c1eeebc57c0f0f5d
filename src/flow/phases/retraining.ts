// Retraining a network with some multiplier exactly as recovery would: with the settings of the run's phase 3, outside
// of that phase. What is compared with a run's result has to be trained in the same way.

import type { Session } from '../../engine/backend.ts';
import { atStart, trainEpochs } from '../../train/loop.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import type { OpenRun } from '../run/context.ts';
import { epochsBefore } from '../settings/phases.ts';
import { loadTeacher } from './teacher.ts';
import { batchNormOf, fitOf, learntFrom } from './training.ts';

/** On the test images: accuracy 0 … 1 and mean cross-entropy. */
export interface Retrained {
  readonly accuracy: number;
  readonly loss: number;
}

export interface Retraining {
  readonly session: Session;
  readonly arithmetic: QuantizedArithmetic;
  readonly epochs: number;
  readonly onEpoch: (epoch: number, reached: Retrained) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Trains the session's network for so many epochs and returns what the last one came to. */
export async function retrain(
  run: OpenRun,
  { session, arithmetic, epochs, onEpoch, signal }: Retraining,
): Promise<Retrained> {
  const { configuration, recompute } = run;
  const given = { ...configuration.map, multiplier: 'tried' };
  let last: Retrained | undefined;
  await trainEpochs({
    ...fitOf(configuration.recover),
    ...learntFrom(run, 'recover'),
    teacher: loadTeacher(run, 'recover', session),
    ...{ session, arithmetic, epochs, seed: configuration.seed, start: atStart, recompute },
    stepRate: configuration.quantize.stepRate,
    batchNorm: batchNormOf(configuration),
    firstEpoch: epochsBefore({ ...configuration, map: given }, 'recover'),
    onEpoch: async ({ epoch, test }) => {
      last = { accuracy: test.metrics.accuracy, loss: test.loss };
      onEpoch(epoch, last);
    },
    ...(signal ? { signal } : {}),
  });
  return last!;
}
