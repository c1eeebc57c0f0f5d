// Which images make a batch, and how each is moved and mirrored: the images themselves are gathered from a split by the host
// (`gatherImages` below) or by a device that keeps the split (the operation of that name). Invariant: the order of an epoch is a function
// of (seed, epoch) and the augmentation of a batch of (seed, epoch, step), so a run resumed at any step sees the same bytes as one that
// was never interrupted. The last batch may be partial: `count` says how many images are valid, the rest are black, label −1.

import { invariant, UserError } from '../tensor/errors.ts';
import { Random, streams } from '../tensor/random.ts';
import { type AugmentOptions, copyShifted, drawShift } from './augment.ts';
import type { Dataset, ImageSize, Split } from './dataset.ts';

export interface Batch {
  /** For each image its number in the split, dy, dx, and 1 where it is mirrored (see gatherImages in engine/graph/ops.ts); number −1 behind the last valid one. [batchSize, 4] */
  readonly picks: Int32Array;
  /** Class numbers, [batchSize]; −1 behind the last valid image. */
  readonly labels: Int32Array;
  /** Number of valid images, 1 … batchSize. */
  count: number;
}

export interface TrainingOptions {
  readonly seed: number;
  readonly epoch: number;
  readonly batchSize: number;
  /** The data set's own augmentation unless given. */
  readonly augment?: AugmentOptions;
  /** Leaves out a partial last batch; default true. */
  readonly dropLast?: boolean;
  /** The step of the epoch to begin with; default 0. */
  readonly firstStep?: number;
  /** A buffer to fill instead of a new one. */
  readonly into?: Batch;
}

/** An empty buffer for batches. */
export function createBatch(batchSize: number): Batch {
  return { picks: new Int32Array(4 * batchSize), labels: new Int32Array(batchSize), count: 0 };
}

/** Number of batches that `count` images make. */
export function batchesPerEpoch(count: number, batchSize: number, dropLast: boolean): number {
  return dropLast ? Math.floor(count / batchSize) : Math.ceil(count / batchSize);
}

function checkBatchSize(batchSize: number): void {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new UserError(`the batch size is ${batchSize}; a whole number of at least 1 was expected`);
  }
}

/** Marks what lies behind the last valid image. */
function finish(batch: Batch, count: number): Batch {
  for (let k = count; k < batch.labels.length; k++) batch.picks.set([-1, 0, 0, 0], 4 * k);
  batch.labels.fill(-1, count);
  batch.count = count;
  return batch;
}

/**
 * The batches of one training epoch, from `firstStep` on, each in the same buffer. Throws a UserError when the training split
 * has fewer images than one batch and partial batches are dropped.
 */
export function trainingBatches(dataset: Dataset, options: TrainingOptions): IterableIterator<Batch> {
  const { batchSize, dropLast = true } = options;
  checkBatchSize(batchSize);
  if (dropLast && batchSize > dataset.train.count) {
    throw new UserError(
      `the batch size ${batchSize} exceeds the ${dataset.train.count} training images of ${dataset.name}; choose a smaller one`,
    );
  }
  const batch = options.into ?? createBatch(batchSize);
  invariant(batch.labels.length === batchSize, `a buffer of ${batch.labels.length} images for batches of ${batchSize}`);
  return fillTraining(dataset, options, dropLast, batch);
}

function* fillTraining(dataset: Dataset, options: TrainingOptions, dropLast: boolean, batch: Batch): Generator<Batch> {
  const { seed, epoch, batchSize, augment = dataset.augment, firstStep = 0 } = options;
  const { count, labels } = dataset.train;
  const order = new Random(seed, streams.order, epoch).permutation(count);
  const steps = batchesPerEpoch(count, batchSize, dropLast);
  const augmented = augment.pad > 0 || augment.flip;
  for (let step = firstStep; step < steps; step++) {
    const random = new Random(seed, streams.augmentation, epoch, step);
    const numbers = order.subarray(step * batchSize, (step + 1) * batchSize);
    numbers.forEach((number, k) => {
      batch.picks.set([number, 0, 0, 0], 4 * k);
      if (augmented) drawShift(batch.picks, 4 * k + 1, augment, random);
      batch.labels[k] = labels[number]!;
    });
    yield finish(batch, numbers.length);
  }
}

/** All images of a split in their order, without augmentation; the last batch may be partial. */
export function evaluationBatches(split: Split, batchSize: number): IterableIterator<Batch> {
  checkBatchSize(batchSize);
  return fillEvaluation(split, createBatch(batchSize));
}

function* fillEvaluation(split: Split, batch: Batch): Generator<Batch> {
  const batchSize = batch.labels.length;
  for (let first = 0; first < split.count; first += batchSize) {
    const count = Math.min(batchSize, split.count - first);
    for (let k = 0; k < count; k++) batch.picks.set([first + k, 0, 0, 0], 4 * k);
    batch.labels.set(split.labels.subarray(first, first + count));
    yield finish(batch, count);
  }
}

/** Gathers the images of `picks` from a split into `target`, [picks, height, width, channels]: the operation `gatherImages` on the host. */
export function gatherImages({ images }: Split, size: ImageSize, picks: Int32Array, target: Uint8Array): void {
  const length = size.height * size.width * size.channels;
  for (let k = 0; 4 * k < picks.length; k++) {
    const [number, dy, dx, mirrored] = picks.subarray(4 * k, 4 * k + 4) as unknown as [number, number, number, number];
    if (number < 0) target.fill(0, k * length, (k + 1) * length);
    else copyShifted(images, number * length, target, k * length, size, dy, dx, mirrored === 1);
  }
}
