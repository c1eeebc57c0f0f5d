// What a labelled image data set is once it has been opened: two splits of raw 8-bit images (NHWC), and how raw values
// become network inputs: x = (raw / scale − mean[channel]) / deviation[channel]. Invariant: mean and deviation come
// from the training split alone, sha256 covers everything that a run can see, and there are two classes at least to
// tell apart. Where images come from is the sources' business.

import { UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { Random, streams } from '../tensor/random.ts';
import type { AugmentOptions } from './augment.ts';
import type { ImageSize } from './image.ts';
import { type ImageArrays, type ImageSplit, type MemorySplit, memorySplit } from './image-split.ts';

export type { ImageSize } from './image.ts';

export interface Dataset<S extends ImageSplit = ImageSplit> extends ImageSize {
  readonly name: string;
  readonly classes: number;
  readonly train: S;
  readonly test: S;
  /** The raw value that means 1.0: 16 for digits, usually 255. */
  readonly scale: number;
  /** Per channel, of raw / scale over the training split. */
  readonly mean: readonly number[];
  /** Standard deviation likewise; 1 for a channel that is constant. */
  readonly deviation: readonly number[];
  /** Images of each class, training and test together. */
  readonly classCounts: readonly number[];
  /** How the test images were chosen, for people: "a fifth of each class held back". */
  readonly split: string;
  /**
   * Where the labels come from and how they became class numbers: "the column label", "column 1, class = label − 1".
   */
  readonly labels: string;
  /** What was taken in a way that its owner should know. */
  readonly notes: readonly string[];
  /** Of the sizes, the scale, and the images and labels of both splits. */
  readonly sha256: string;
  /** The augmentation that suits the data, unless the user asks for another. */
  readonly augment: AugmentOptions;
}

/** What a user may say about a data set beside its name. */
export interface DatasetOptions {
  /** csv: the size of an image; needed when its values are no square. For others it must be what they hold. */
  readonly image?: ImageSize;
  /** csv: the raw value that means 1.0, 1 … 255; default 255. */
  readonly maximum?: number;
  /** csv: the column of the label: its name in the header, its number from 1, `first` or `last`. */
  readonly label?: string;
  /** csv, idx: the number of classes, when not every one appears in the files. */
  readonly classes?: number;
  /** csv: a second file that is the test split; without it a fifth of each class is held back. */
  readonly testFile?: string;
  /** Replaces the data set's own augmentation. */
  readonly augment?: AugmentOptions;
}

/** What a source of images in memory gives: everything of a data set but what follows from the images. */
export interface DatasetParts extends ImageSize {
  readonly name: string;
  /** How messages name it: "csv:faces.csv"; default: its name. */
  readonly location?: string;
  readonly classes: number;
  readonly train: ImageArrays;
  readonly test: ImageArrays;
  readonly scale: number;
  readonly augment: AugmentOptions;
  /** Default: "as given". */
  readonly split?: string;
  /** Default: "as given". */
  readonly labels?: string;
  readonly notes?: readonly string[];
}

/**
 * Completes a data set with its normalisation, its class counts and its hash. Throws a UserError for fewer than two
 * classes.
 */
export function finishDataset({ location, ...parts }: DatasetParts): Dataset<MemorySplit> {
  const { height, width, channels, classes, scale, train, test, labels = 'as given', split = 'as given' } = parts;
  const source = location ?? parts.name;
  const splits = { train: memorySplit(train, parts), test: memorySplit(test, parts) };
  const trained = countClasses(train, classes, source);
  const tested = countClasses(test, classes, source);
  const present = trained.flatMap((count, label) => (count > 0 ? [label] : []));
  if (present.length < 2) {
    const what =
      present.length === 0
        ? 'no training images'
        : `one class: all ${train.count} training images are of class ${present[0]}`;
    throw new UserError(`the data set ${source} has ${what} (labels: ${labels}); at least two classes were expected`);
  }
  if (test.count === 0) throw new UserError(`the data set ${source} has no test images; at least one was expected`);
  const empty = trained.flatMap((count, label) => (count === 0 ? [label] : []));
  const sizes = { height, width, channels, classes, scale, train: train.count, test: test.count };
  const labelled = [train, test].flatMap(({ images, labels }) => [images, labelBytes(labels, classes)]);
  return {
    ...parts,
    ...splits,
    ...normalisation(train.images, channels, scale),
    classCounts: trained.map((count, label) => count + tested[label]!),
    split,
    labels,
    notes: [...(parts.notes ?? []), ...(empty.length > 0 ? [describeEmpty(empty, classes)] : [])],
    sha256: sha256(JSON.stringify(sizes), ...labelled),
  };
}

/**
 * Labels as the hash takes them: a byte each while that is enough, so that a data set keeps the hash that older runs
 * know it by.
 */
function labelBytes(labels: Int32Array, classes: number): Uint8Array {
  return classes <= 256 ? Uint8Array.from(labels) : littleEndian(labels);
}

function littleEndian(values: Int32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, k) => void view.setInt32(4 * k, value, true));
  return new Uint8Array(view.buffer);
}

function countClasses({ labels }: ImageArrays, classes: number, source: string): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) {
    if (label < 0 || label >= classes)
      throw new UserError(`the data set ${source} has a label ${label}, but ${classes} classes`);
    counts[label]!++;
  }
  return counts;
}

function describeEmpty(empty: readonly number[], classes: number): string {
  const shown = empty.length > 8 ? [...empty.slice(0, 8), '…'] : empty;
  const which = empty.length === 1 ? `class ${empty[0]}` : `${empty.length} of ${classes} classes: ${shown.join(', ')}`;
  return `no training image of ${which}`;
}

/** What a manifest keeps of a data set, as far as it is told. */
export interface DataFacts {
  readonly image: ImageSize;
  readonly trainImages: number;
  readonly testImages: number;
  readonly classes: number;
  readonly classCounts: readonly number[];
  readonly split: string;
}

function factsOf(dataset: Dataset): DataFacts {
  const { train, test } = dataset;
  return { ...dataset, image: dataset, trainImages: train.count, testImages: test.count };
}

/** "4000 images 28×28×1, 10 classes (400 each); 3200 train, 800 test (a fifth of each class held back)". */
export function describeData(data: Dataset | DataFacts): string {
  const { image, trainImages, testImages, classes, classCounts, split } = 'image' in data ? data : factsOf(data);
  const { height, width, channels } = image;
  const least = classCounts.reduce((a, b) => Math.min(a, b));
  const most = classCounts.reduce((a, b) => Math.max(a, b));
  const each = least === most ? `${least} each` : `${least} to ${most} each`;
  const images = `${trainImages + testImages} images ${height}×${width}×${channels}`;
  return `${images}, ${classes} classes (${each}); ${trainImages} train, ${testImages} test (${split})`;
}

/** Mean and standard deviation per channel of raw / scale, by way of a histogram of the 256 raw values. */
function normalisation(images: Uint8Array, channels: number, scale: number): { mean: number[]; deviation: number[] } {
  const mean: number[] = [];
  const deviation: number[] = [];
  const pixels = images.length / channels;
  for (let channel = 0; channel < channels; channel++) {
    const counts = new Float64Array(256);
    for (let k = channel; k < images.length; k += channels) counts[images[k]!]! += 1;
    const sum = counts.reduce((total, count, raw) => total + count * raw, 0);
    const average = sum / pixels;
    const variance = counts.reduce((total, count, raw) => total + count * (raw - average) ** 2, 0) / pixels;
    mean.push(average / scale);
    deviation.push(variance > 0 ? Math.sqrt(variance) / scale : 1);
  }
  return { mean, deviation };
}

/**
 * The split of data that come without one: the same share of each class, and the same images whatever a run's seed, or
 * they would leak.
 */
export function holdBack(
  all: ImageArrays,
  size: ImageSize,
  testCount: number,
): { readonly train: ImageArrays; readonly test: ImageArrays; readonly split: string } {
  return { ...stratifiedSplit(all, size, testCount, 0), split: 'a fifth of each class held back' };
}

/**
 * Divides images into a training and a test split in which every class has the same share (largest remainders, ties to
 * the lower class). Which images of a class are tested depends on `seed` alone; both splits keep the original order.
 */
export function stratifiedSplit(
  all: ImageArrays,
  size: ImageSize,
  testCount: number,
  seed: number,
): { train: ImageArrays; test: ImageArrays } {
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

function select(
  all: ImageArrays,
  { height, width, channels }: ImageSize,
  wanted: (index: number) => boolean,
): ImageArrays {
  const indices = Array.from({ length: all.count }, (_, index) => index).filter(wanted);
  const length = height * width * channels;
  const images = new Uint8Array(indices.length * length);
  indices.forEach((index, k) => {
    images.set(all.images.subarray(index * length, (index + 1) * length), k * length);
  });
  return { count: indices.length, images, labels: Int32Array.from(indices, (index) => all.labels[index]!) };
}
