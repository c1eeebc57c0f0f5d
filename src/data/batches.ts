// Batches of raw images in a buffer that is filled again and again. Invariant: the order of an epoch is a function of (seed,
// epoch) and the augmentation of a batch of (seed, epoch, step), so a run resumed at any step sees the same bytes as one that
// was never interrupted. The last batch may be partial: `count` says how many images are valid, the rest are black, label −1.

import { invariant, UserError } from '../tensor/errors.ts';
import { Random, streams } from '../tensor/random.ts';
import { type AugmentOptions, copyAugmented } from './augment.ts';
import type { Dataset, ImageSize, Split } from './dataset.ts';

export interface Batch {
  /** Raw 8-bit values, [batchSize, height, width, channels]. */
  readonly images: Uint8Array;
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

/** An empty buffer for batches of a data set's images. */
export function createBatch({ height, width, channels }: ImageSize, batchSize: number): Batch {
  return {
    images: new Uint8Array(batchSize * height * width * channels),
    labels: new Int32Array(batchSize),
    count: 0,
  };
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
  const imageLength = batch.images.length / batch.labels.length;
  batch.images.fill(0, count * imageLength);
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
  const batch = options.into ?? createBatch(dataset, batchSize);
  invariant(batch.labels.length === batchSize, `a buffer of ${batch.labels.length} images for batches of ${batchSize}`);
  return fillTraining(dataset, options, dropLast, batch);
}

function* fillTraining(dataset: Dataset, options: TrainingOptions, dropLast: boolean, batch: Batch): Generator<Batch> {
  const { seed, epoch, batchSize, augment = dataset.augment, firstStep = 0 } = options;
  const { count, images, labels } = dataset.train;
  const length = dataset.height * dataset.width * dataset.channels;
  const order = new Random(seed, streams.order, epoch).permutation(count);
  const steps = batchesPerEpoch(count, batchSize, dropLast);
  const augmented = augment.pad > 0 || augment.flip;
  for (let step = firstStep; step < steps; step++) {
    const random = new Random(seed, streams.augmentation, epoch, step);
    const indices = order.subarray(step * batchSize, (step + 1) * batchSize);
    indices.forEach((index, k) => {
      if (augmented) copyAugmented(images, index * length, batch.images, k * length, dataset, augment, random);
      else batch.images.set(images.subarray(index * length, (index + 1) * length), k * length);
      batch.labels[k] = labels[index]!;
    });
    yield finish(batch, indices.length);
  }
}

/** All images of a split in their order, without augmentation; the last batch may be partial. */
export function evaluationBatches(split: Split, batchSize: number, into?: Batch): IterableIterator<Batch> {
  checkBatchSize(batchSize);
  const length = split.images.length / split.count;
  const batch = into ?? createBatch({ height: 1, width: 1, channels: length }, batchSize);
  invariant(batch.labels.length === batchSize, `a buffer of ${batch.labels.length} images for batches of ${batchSize}`);
  return fillEvaluation(split, length, batchSize, batch);
}

function* fillEvaluation(split: Split, length: number, batchSize: number, batch: Batch): Generator<Batch> {
  for (let first = 0; first < split.count; first += batchSize) {
    const count = Math.min(batchSize, split.count - first);
    batch.images.set(split.images.subarray(first * length, (first + count) * length));
    batch.labels.set(split.labels.subarray(first, first + count));
    yield finish(batch, count);
  }
}
