// Which examples make a batch, in training and in evaluation. Invariant: the order of an epoch is a function of (seed,
// epoch) and the augmentation of a batch of (seed, epoch, step), so a run resumed at any step sees the same bytes as
// one that was never interrupted.
// Nothing is read here: a selection is a few numbers, which a split turns into inputs.

import { requireWhole, UserError } from '../tensor/errors.ts';
import { Random, streams } from '../tensor/random.ts';
import { type AugmentOptions, isAugmented } from './augment.ts';
import type { Selection, Split } from './split.ts';

/** What is trained on, as far as choosing batches goes. */
export interface TrainingData {
  readonly name: string;
  readonly train: Pick<Split, 'count'>;
  /** Default: none. */
  readonly augment?: AugmentOptions;
}

export interface TrainingOptions {
  readonly seed: number;
  readonly epoch: number;
  readonly batchSize: number;
  /** The data set's own augmentation unless given. */
  readonly augment?: AugmentOptions;
  /** Leaves out a partial last batch; default true. */
  readonly dropLast?: boolean;
  /** Fills a partial last batch with the first examples of the epoch, where there are so many; default false. */
  readonly fillLast?: boolean;
  /** The step of the epoch to begin with; default 0. */
  readonly firstStep?: number;
}

/** Number of batches that `count` examples make. */
export function batchesPerEpoch(count: number, batchSize: number, dropLast: boolean): number {
  return dropLast ? Math.floor(count / batchSize) : Math.ceil(count / batchSize);
}

const checkBatchSize = (batchSize: number): void => requireWhole('the batch size', batchSize, 1);

/**
 * The batches of one training epoch, from `firstStep` on. Throws a UserError when the training split has fewer examples
 * than one batch and partial batches are dropped.
 */
export function trainingBatches(data: TrainingData, options: TrainingOptions): IterableIterator<Selection> {
  const { batchSize, dropLast = true } = options;
  checkBatchSize(batchSize);
  if (dropLast && batchSize > data.train.count) {
    throw new UserError(
      `the batch size ${batchSize} exceeds the ${data.train.count} training examples of ${data.name}; choose a smaller one`,
    );
  }
  return selectTraining(data, options, dropLast);
}

function* selectTraining(data: TrainingData, options: TrainingOptions, dropLast: boolean): Generator<Selection> {
  const { seed, epoch, batchSize, augment = data.augment, firstStep = 0, fillLast = false } = options;
  const { count } = data.train;
  const order = new Random(seed, streams.order, epoch).permutation(count);
  const steps = batchesPerEpoch(count, batchSize, dropLast);
  const augmented = augment && isAugmented(augment);
  const repeat = augment?.repeat ?? 1;
  for (let step = firstStep; step < steps; step++) {
    const first = step * batchSize;
    const length = fillLast && batchSize <= count ? batchSize : Math.min(batchSize, count - first);
    const numbers = new Int32Array(length);
    for (let k = 0; k < length; k++) numbers[k] = order[Math.floor(((first + k) % count) / repeat)]!;
    const random = new Random(seed, streams.augmentation, epoch, step);
    yield augmented ? { numbers, augmentation: { options: augment, random } } : { numbers };
  }
}

/** All examples of a split in their order, without augmentation; the last batch may be partial. */
export function evaluationBatches({ count }: Pick<Split, 'count'>, batchSize: number): IterableIterator<Selection> {
  checkBatchSize(batchSize);
  return selectInOrder(count, batchSize);
}

function* selectInOrder(count: number, batchSize: number): Generator<Selection> {
  for (let first = 0; first < count; first += batchSize) yield firstExamples(Math.min(batchSize, count - first), first);
}

/** `count` examples in their order, from `first` on. */
export function firstExamples(count: number, first = 0): Selection {
  const numbers = new Int32Array(count);
  for (let k = 0; k < count; k++) numbers[k] = first + k;
  return { numbers };
}
