// What a labelled image data set is once it has been opened: two splits of raw 8-bit images (NHWC) in memory, and how raw
// values become network inputs: x = (raw / scale − mean[channel]) / std[channel]. Invariant: mean and std come from the
// training split alone, and sha256 covers everything that a run can see. Where images come from is the sources' business.

import { invariant } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { Random, streams } from '../tensor/random.ts';
import type { AugmentOptions } from './augment.ts';
import type { ImageSize } from './image.ts';

export type { ImageSize } from './image.ts';

export interface Split {
  readonly count: number;
  /** Raw 8-bit values, [count, height, width, channels]. */
  readonly images: Uint8Array;
  /** One class number per image, 0 … classes − 1. */
  readonly labels: Uint8Array;
}

export interface Dataset extends ImageSize {
  readonly name: string;
  readonly classes: number;
  readonly train: Split;
  readonly test: Split;
  /** The raw value that means 1.0: 16 for digits, usually 255. */
  readonly scale: number;
  /** Per channel, of raw / scale over the training split. */
  readonly mean: readonly number[];
  /** Standard deviation likewise; 1 for a channel that is constant. */
  readonly std: readonly number[];
  /** Of the sizes, the scale, and the images and labels of both splits. */
  readonly sha256: string;
  /** The augmentation that suits the data, unless the user asks for another. */
  readonly augment: AugmentOptions;
}

/** What a user may say about a data set beside its name. */
export interface DatasetOptions {
  /** csv: the size of an image. */
  readonly image?: ImageSize;
  /** csv: the raw value that means 1.0, 1 … 255; default 255. */
  readonly maximum?: number;
  /** csv: the number of classes, when not every one appears in the file. */
  readonly classes?: number;
  /** csv: a second file that is the test split; without it a fifth of each class is held back. */
  readonly testFile?: string;
  /** Replaces the data set's own augmentation. */
  readonly augment?: AugmentOptions;
}

export interface DatasetParts extends ImageSize {
  readonly name: string;
  readonly classes: number;
  readonly train: Split;
  readonly test: Split;
  readonly scale: number;
  readonly augment: AugmentOptions;
}

/** Completes a data set with its normalisation and its hash. */
export function finishDataset(parts: DatasetParts): Dataset {
  const { height, width, channels, classes, scale, train, test } = parts;
  for (const { count, images, labels } of [train, test]) {
    invariant(images.length === count * height * width * channels, `${images.length} raw values for ${count} images`);
    invariant(labels.length === count, `${labels.length} labels for ${count} images`);
  }
  const sizes = { height, width, channels, classes, scale, train: train.count, test: test.count };
  const hash = sha256(JSON.stringify(sizes), train.images, train.labels, test.images, test.labels);
  return { ...parts, ...normalisation(train.images, channels, scale), sha256: hash };
}

/** Mean and standard deviation per channel of raw / scale, by way of a histogram of the 256 raw values. */
function normalisation(images: Uint8Array, channels: number, scale: number): { mean: number[]; std: number[] } {
  const mean: number[] = [];
  const std: number[] = [];
  const pixels = images.length / channels;
  for (let channel = 0; channel < channels; channel++) {
    const counts = new Float64Array(256);
    for (let k = channel; k < images.length; k += channels) counts[images[k]!]! += 1;
    const sum = counts.reduce((total, count, raw) => total + count * raw, 0);
    const average = sum / pixels;
    const variance = counts.reduce((total, count, raw) => total + count * (raw - average) ** 2, 0) / pixels;
    mean.push(average / scale);
    std.push(variance > 0 ? Math.sqrt(variance) / scale : 1);
  }
  return { mean, std };
}

/**
 * Divides images into a training and a test split in which every class has the same share (largest remainders, ties to the
 * lower class). Which images of a class are tested depends on `seed` alone; both splits keep the original order.
 */
export function stratifiedSplit(
  all: Split,
  size: ImageSize,
  testCount: number,
  seed: number,
): { train: Split; test: Split } {
  const members: number[][] = [];
  all.labels.forEach((label, index) => {
    members[label] ??= [];
    members[label].push(index);
  });
  const classes = members.flatMap((indices, label) => {
    const exact = (indices.length * testCount) / all.count;
    return [{ label, indices, quota: Math.floor(exact), remainder: exact % 1 }];
  });
  let missing = testCount - classes.reduce((sum, { quota }) => sum + quota, 0);
  for (const entry of classes.toSorted((a, b) => b.remainder - a.remainder || a.label - b.label)) {
    if (missing-- > 0) entry.quota++;
  }
  const isTest = new Uint8Array(all.count);
  for (const { label, indices, quota } of classes) {
    const order = new Random(seed, streams.split, label).permutation(indices.length);
    for (const k of order.subarray(0, quota)) isTest[indices[k]!] = 1;
  }
  return {
    train: select(all, size, (index) => isTest[index] === 0),
    test: select(all, size, (index) => isTest[index] === 1),
  };
}

function select(all: Split, { height, width, channels }: ImageSize, wanted: (index: number) => boolean): Split {
  const indices = Array.from({ length: all.count }, (_, index) => index).filter(wanted);
  const length = height * width * channels;
  const images = new Uint8Array(indices.length * length);
  indices.forEach((index, k) => {
    images.set(all.images.subarray(index * length, (index + 1) * length), k * length);
  });
  return { count: indices.length, images, labels: Uint8Array.from(indices, (index) => all.labels[index]!) };
}
