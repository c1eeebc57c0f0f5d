// The training loop: compiled steps over batches, an evaluation after each epoch. It knows nothing of phases or files: progress is an event,
// saving is a callback at points from which the loop can go on to the same bits (batches are a function of seed, epoch and step).

import { setImmediate } from 'node:timers/promises';
import { batchesPerEpoch, createBatch, trainingBatches } from '../data/batches.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Session } from '../engine/backend.ts';
import { UserError } from '../tensor/errors.ts';
import { evaluator } from './evaluation.ts';
import { feedOf } from './feed.ts';
import { type Schedule, scheduledRate } from './optimizer.ts';
import { UnderWay } from './pipeline.ts';
import { type PowerTerm, readStructures, StepPrograms, type StepResult } from './step.ts';
import type { Arithmetic, Task } from './task.ts';

export interface RateOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface LoopOptions extends RateOptions {
  readonly session: Session;
  readonly task: Task;
  readonly dataset: Dataset;
  readonly arithmetic: Arithmetic;
  readonly epochs: number;
  readonly batchSize: number;
  readonly seed: number;
  /** Number of this loop's first epoch in the run as a whole: it chooses the order of the images and their augmentation. */
  readonly firstEpoch: number;
  readonly momentum: number;
  readonly schedule: Schedule;
  /** Structures that learn, with a learning rate and a weight decay of their own. */
  readonly structure?: { readonly power: PowerTerm } & RateOptions;
  /** Where to go on. */
  readonly start: Position;
  readonly onStep?: (event: StepEvent) => void;
  readonly onEpoch: (record: EpochRecord, next: Position) => Promise<void>;
  /** Asked between steps whether the position should be saved now; saving waits until the device has done all steps before it. */
  readonly save?: { readonly due: () => boolean; readonly at: (next: Position) => Promise<void> };
  /** Checked between steps: stops the loop early, saved, when it says so. */
  readonly signal?: AbortSignal;
}

/** A place between two steps, with the sums of the running epoch's steps so far. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
  readonly sums: StepSums;
}

export interface StepSums {
  readonly loss: number;
  readonly crossEntropy: number;
  readonly correct: number;
  readonly images: number;
}

export const noSums: StepSums = { loss: 0, crossEntropy: 0, correct: 0, images: 0 };
export const atStart: Position = { epoch: 0, step: 0, sums: noSums };

export interface StepEvent {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  /** Loss of the step; accuracy of the epoch so far. */
  readonly loss: number;
  readonly accuracy: number;
  readonly power: number | undefined;
  /** Images of this step: what a rate counts. */
  readonly images: number;
}

export interface EpochRecord {
  /** 1 … epochs. */
  readonly epoch: number;
  readonly loss: number;
  readonly crossEntropy: number;
  readonly trainAccuracy: number;
  readonly testLoss: number;
  readonly testAccuracy: number;
  /** Normalised analytic power after the epoch, where structures learn. */
  readonly power?: number;
  /** θ of each structure after the epoch, clamped to [0, 1]. */
  readonly theta?: Readonly<Record<string, readonly number[]>>;
  readonly learningRate: number;
}

/** Trains from `start` to the last epoch; a loss that is not finite stops it with a UserError that names the step. */
export async function trainEpochs(options: LoopOptions): Promise<void> {
  const { session, task, dataset, arithmetic, epochs, batchSize, structure, signal } = options;
  const trainer = new StepPrograms(options, feedOf(session, dataset.train, dataset));
  const evaluate = await evaluator(session, task, arithmetic, dataset.test);
  const batch = createBatch(batchSize);
  const steps = batchesPerEpoch(dataset.train.count, batchSize, false);
  let position = options.start;
  while (position.epoch < epochs) {
    const { epoch } = position;
    const rate = scheduledRate(options.learningRate, options.schedule, epoch, epochs);
    const thetaRate = structure && scheduledRate(structure.learningRate, options.schedule, epoch, epochs);
    const batches = trainingBatches(dataset, {
      seed: options.seed,
      epoch: options.firstEpoch + epoch,
      batchSize,
      dropLast: false,
      firstStep: position.step,
      into: batch,
    });
    let { sums } = position;
    const underWay = new UnderWay<Step>(({ step, images, loss, crossEntropy, correct, power }) => {
      if (!Number.isFinite(loss)) {
        throw new UserError(
          `the loss became ${loss} in epoch ${epoch + 1}, step ${step} of ${steps}; lower the learning rate (${rate}) or λ`,
        );
      }
      sums = {
        loss: sums.loss + loss * images,
        crossEntropy: sums.crossEntropy + crossEntropy * images,
        correct: sums.correct + correct,
        images: sums.images + images,
      };
      const accuracy = sums.correct / sums.images;
      options.onStep?.({ epoch: epoch + 1, epochs, step, steps, loss, accuracy, power, images });
    });
    let step = position.step;
    for (const { count } of batches) {
      step++;
      const { result } = await trainer.start(batch, rate, thetaRate);
      const numbered = { step, images: count };
      await underWay.add(result.then((values) => ({ ...numbered, ...values })));
      // Lets timers, signals and sockets of the host program have their turn: a backend may never wait.
      await setImmediate();
      if (step === steps || !(signal?.aborted || options.save?.due())) continue;
      await underWay.settle();
      await options.save?.at({ epoch, step, sums });
      signal?.throwIfAborted();
    }
    await underWay.settle();
    position = { epoch: epoch + 1, step: 0, sums: noSums };
    const test = await evaluate();
    const learned = structure && (await readStructures(session, structure.power));
    await options.onEpoch(
      {
        epoch: epoch + 1,
        loss: sums.loss / sums.images,
        crossEntropy: sums.crossEntropy / sums.images,
        trainAccuracy: sums.correct / sums.images,
        testLoss: test.loss,
        testAccuracy: test.accuracy,
        ...(learned ? { power: learned.power, theta: learned.theta } : {}),
        learningRate: rate,
      },
      position,
    );
    signal?.throwIfAborted();
  }
}

/** The result of a step, with its number (1 … steps) and its images. */
interface Step extends StepResult {
  readonly step: number;
  readonly images: number;
}
