// How a run trains where nobody says otherwise, and how the published programs do: each said once, as a whole, since
// its parts belong together. The good training is what gives an approximate multiplier and its exact rivals of fewer
// bits their due; which part is worth how much is measured in docs/cifar10.md and docs/training.md.
// Invariant: the published training names every setting whose default is another, so that what is laid on it computes
// the same bits whatever the defaults become.

import type { OptimizerName } from '../../train/optimizer.ts';
import type { ScheduleName } from '../../train/schedule.ts';
import type { ConfigurationInput } from './settings.ts';

/** The phases whose training this is about. */
type Retraining = 'quantize' | 'explore' | 'recover';

const taught = { teacher: 'usual', temperature: 2 } as const;

/** The defaults of the schema (config.ts); those of rate and schedule follow from the optimiser (`usualCourse`). */
export const goodTraining = {
  train: { lastBatch: 'filled' },
  quantize: { ...taught, optimizer: 'nesterov', lastBatch: 'filled', quantizer: 'steps', start: 'none' },
  explore: {
    ...{ ...taught, optimizer: 'nesterov', lastBatch: 'filled' },
    ...{ start: 'statistics', constants: 'follow', grain: 'product' },
  },
  recover: {
    ...{ ...taught, optimizer: 'nesterov', lastBatch: 'filled' },
    ...{ start: 'biases,statistics', gradient: 'rows' },
  },
} as const satisfies ConfigurationInput;

/** Rate and schedule of a phase. */
export interface Course {
  readonly learningRate: number;
  readonly schedule: ScheduleName;
}

/** Of a phase, with the optimiser of the good training. */
const rates: Readonly<Record<Retraining, number>> = { quantize: 0.01, explore: 0.002, recover: 0.01 };

/** As published, for every optimiser but that of the good training: rates of different ones do not compare. */
const publishedCourse = {
  quantize: { learningRate: 1e-3, schedule: 'cosine' },
  explore: { learningRate: 5e-4, schedule: 'constant' },
  recover: { learningRate: 5e-4, schedule: 'cosine' },
} as const satisfies Readonly<Record<Retraining, Course>>;

/** Rate and schedule of a phase where they are not said. */
export function usualCourse(phase: Retraining, optimizer: OptimizerName): Course {
  if (optimizer !== goodTraining[phase].optimizer) return publishedCourse[phase];
  return { learningRate: rates[phase], schedule: 'cosine-steps' };
}

const untaught = { teacher: 'none', temperature: 4 } as const;

/** What the published programs do; also what manifests meant that do not name a setting because they are older. */
export const publishedTraining = {
  train: { lastBatch: 'short' },
  quantize: {
    ...{ ...untaught, ...publishedCourse.quantize, optimizer: 'sgd', lastBatch: 'short' },
    ...{ quantizer: 'clips', weightZero: 'code', start: 'none' },
  },
  explore: {
    ...{ ...untaught, ...publishedCourse.explore, optimizer: 'sgd', lastBatch: 'short' },
    ...{
      start: 'none',
      constants: 'leave',
      grain: 'column',
      weightCodes: 'nearest',
      harden: 0,
      powerModel: 'analytic',
    },
  },
  recover: {
    ...{ ...untaught, ...publishedCourse.recover, optimizer: 'sgd', lastBatch: 'short' },
    ...{ start: 'none', gradient: 'straight-through' },
  },
  map: { weightCodes: 'nearest' },
} as const satisfies ConfigurationInput;
