// What a labelled image data set is once it has been opened: two splits of raw 8-bit images (NHWC), and how raw values
// become network inputs: x = (raw / scale − mean[channel]) / deviation[channel]. Invariant: mean and deviation come
// from the training split alone, sha256 covers everything that a run can see, and there are two classes at least to
// tell apart. Where images come from is the sources' business.

import { UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { given } from '../tensor/given.ts';
import type { AugmentOptions } from './augment.ts';
import { type ChoiceOptions, stratified } from './choice.ts';
import type { ImageSize } from './image.ts';
import { type ImageArrays, type ImageSplit, type MemorySplit, memorySplit } from './image-split.ts';

export type { ImageSize } from './image.ts';

export interface Dataset<S extends ImageSplit = ImageSplit> extends ImageSize {
  readonly name: string;
  readonly classes: number;
  /** Names of the classes in the order of their numbers, where the source says them. */
  readonly classNames?: readonly string[];
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
  /** Of everything that decides what a run can see of the data: sizes, images, labels, choices. */
  readonly sha256: string;
  /** Files that were left out because they cannot be decoded, where that was allowed. */
  readonly badImages?: readonly string[];
  /** The augmentation that suits the data, unless the user asks for another. */
  readonly augment: AugmentOptions;
}

/** What a user may say about a data set beside its name. */
export interface DatasetOptions extends ChoiceOptions {
  /** csv, images: the size of an image; needed when values are no square. For others it must be what they hold. */
  readonly image?: ImageSize;
  /** csv: the raw value that means 1.0, 1 … 255; default 255. */
  readonly maximum?: number;
  /**
   * csv: the column of the label: its name in the header, its number from 1, `first` or `last`; cifar100: `fine`
   * (default) or `coarse`.
   */
  readonly label?: string;
  /** csv, idx: the number of classes, when not every one appears in the files. */
  readonly classes?: number;
  /** csv, npz, images: where the test images are; default: what the data say, else a fifth of each class. */
  readonly testFile?: string;
  /** images: a file that says the classes of test images that lie in one folder. */
  readonly testLabels?: string;
  /** idx: which set of a folder that holds several, such as `letters`. */
  readonly split?: string;
  /** images: the shorter side in pixels before the centre is cut out; default: 256 for 224. */
  readonly resize?: number;
  /** images: what becomes of files that cannot be decoded; default: `refuse`. */
  readonly badImages?: 'refuse' | 'skip';
  /** images: a folder where decoded images are kept. */
  readonly imageCache?: string;
  /** Per channel, of raw / scale; default: measured on the training images. */
  readonly mean?: readonly number[];
  readonly deviation?: readonly number[];
  /** The normalisation that a checkpoint was published with, for images of as many channels; others are measured. */
  readonly ofCheckpoint?: Normalisation;
  /** Replaces the data set's own augmentation. */
  readonly augment?: AugmentOptions;
  /** images: the size where pictures have different ones; default 224. */
  readonly usualSize?: number;
  /** What was found when the data were opened before: nothing is measured again where they are the same. */
  readonly known?: KnownData;
  /** images: is told why a file that is left out cannot be decoded, by its name in `badImages`. */
  readonly tellBad?: (name: string, reason: string) => void;
  /** Is told what takes long. */
  readonly tell?: (text: string) => void;
}

/** Facts of a data set that take a pass over its images. */
export interface KnownData {
  readonly sha256: string;
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  readonly badImages?: readonly string[] | undefined;
}

/** What a source of images in memory gives: everything of a data set but what follows from the images. */
export interface DatasetParts extends ImageSize {
  readonly name: string;
  /** How messages name it: "csv:faces.csv"; default: its name. */
  readonly location?: string;
  readonly classes: number;
  readonly classNames?: readonly string[];
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
export function finishDataset(parts: DatasetParts): Dataset<MemorySplit> {
  const { height, width, channels, classes, scale, train, test } = parts;
  const sizes = { height, width, channels, classes, scale, train: train.count, test: test.count };
  return completeDataset(
    { ...parts, train: memorySplit(train, parts), test: memorySplit(test, parts) },
    {
      ...normalisation(train.images, channels, scale),
      sha256: () => {
        const labelled = [train, test].flatMap(({ images, labels }) => [images, labelBytes(labels, classes)]);
        return sha256(JSON.stringify(sizes), ...labelled);
      },
    },
  );
}

/** A data set whose splits may be anywhere, with what follows from its labels. Throws as `finishDataset`. */
export function completeDataset<S extends ImageSplit>(
  { location, ...parts }: Omit<DatasetParts, 'train' | 'test'> & { readonly train: S; readonly test: S },
  facts: { readonly mean: readonly number[]; readonly deviation: readonly number[]; readonly sha256: () => string },
): Dataset<S> {
  const { classes, train, test, labels = 'as given', split = 'as given' } = parts;
  const source = location ?? parts.name;
  const trained = countClasses(train.labels, classes, source);
  const tested = countClasses(test.labels, classes, source);
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
  return {
    ...parts,
    ...{ mean: facts.mean, deviation: facts.deviation },
    classCounts: trained.map((count, label) => count + tested[label]!),
    ...{ split, labels },
    notes: [...(parts.notes ?? []), ...(empty.length > 0 ? [describeEmpty(empty, classes)] : [])],
    sha256: facts.sha256(),
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

function countClasses(labels: Int32Array, classes: number, source: string): number[] {
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

/** Mean and standard deviation per channel of raw / scale. */
function normalisation(images: Uint8Array, channels: number, scale: number): Normalisation {
  const histogram = new RawHistogram(channels);
  histogram.add(images);
  return histogram.normalisation(scale);
}

export interface Normalisation {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/**
 * The normalisation that is not measured: the user's, which may be a mean or a deviation alone, else the one that a
 * checkpoint was published with, where the images are of its kind.
 */
export function statedNormalisation(
  { mean, deviation, ofCheckpoint }: DatasetOptions,
  { channels, scale }: Pick<Dataset, 'channels' | 'scale'>,
): Partial<Normalisation> & { readonly isOfCheckpoint: boolean } {
  const isOfCheckpoint =
    !mean && !deviation && ofCheckpoint !== undefined && ofCheckpoint.mean.length === channels && scale === 255;
  if (isOfCheckpoint) return { ...ofCheckpoint, isOfCheckpoint };
  const perChannel = (name: string, values: readonly number[]) => {
    if (values.length === channels) return values;
    if (values.length === 1) return new Array<number>(channels).fill(values[0]!);
    throw new UserError(
      `${name} has ${values.length} values, but the images have ${channels} channels; give one for each`,
    );
  };
  const own = given({
    mean: mean && perChannel('--mean', mean),
    deviation: deviation && perChannel('--std', deviation),
  });
  const bad = own.deviation?.find((value) => !(value > 0));
  if (bad !== undefined) throw new UserError(`--std holds ${bad}; numbers above 0 were expected`);
  const large = own.mean?.find((value) => !(value >= 0 && value <= 1)) ?? own.deviation?.find((value) => value > 1);
  if (large !== undefined) {
    throw new UserError(
      `--mean and --std hold ${large}, but values are from 0 to 1 when they are normalised; divide what is meant for 0 to 255 by 255`,
    );
  }
  return { ...own, isOfCheckpoint };
}

/** The hash of a data set that has another normalisation than the measured one. */
export function normalisedHash(hash: string, { mean, deviation }: Normalisation): string {
  return sha256(hash, JSON.stringify({ mean, deviation }));
}

/** Whether what was found before was found of these data. */
export function isKnown(hash: string, known: KnownData | undefined): known is KnownData {
  return known !== undefined && [hash, normalisedHash(hash, known)].includes(known.sha256);
}

/** Pixels that are counted for one channel after the other while they are in the cache. */
const PIXELS = 1 << 14;

/** How often each of the 256 raw values occurs, by channel: sums are exact, in whatever order images are added. */
export class RawHistogram {
  /** Of each channel four tables by turns: neighbours are often alike, and one count would wait for the other. */
  readonly #tables: readonly Float64Array[];

  constructor(channels: number) {
    this.#tables = Array.from({ length: channels }, () => new Float64Array(4 * 256));
  }

  /** Raw values of whole pixels, the channel fastest. */
  add(images: Uint8Array): void {
    const channels = this.#tables.length;
    for (let first = 0; first < images.length; first += PIXELS * channels) {
      const block = images.subarray(first, first + PIXELS * channels);
      this.#tables.forEach((table, channel) => void countEvery(channels, block.subarray(channel), table));
    }
  }

  /** Of raw / scale; the deviation is divided by n, and 1 for a constant channel. */
  normalisation(scale: number): Normalisation {
    const moments = this.#tables.map((table) => {
      const counts = table
        .subarray(0, 256)
        .map((_, raw) => table[raw]! + table[256 + raw]! + table[512 + raw]! + table[768 + raw]!);
      const pixels = counts.reduce((total, count) => total + count, 0);
      const average = counts.reduce((total, count, raw) => total + count * raw, 0) / pixels;
      const variance = counts.reduce((total, count, raw) => total + count * (raw - average) ** 2, 0) / pixels;
      return { mean: average / scale, deviation: variance > 0 ? Math.sqrt(variance) / scale : 1 };
    });
    return { mean: moments.map(({ mean }) => mean), deviation: moments.map(({ deviation }) => deviation) };
  }
}

/** Counts every `step`th value, from the first, in four tables by turns. */
function countEvery(step: number, values: Uint8Array, tables: Float64Array): void {
  const { length } = values;
  let at = 0;
  for (; at + 3 * step < length; at += 4 * step) {
    tables[values[at]!]!++;
    tables[256 + values[at + step]!]!++;
    tables[512 + values[at + 2 * step]!]!++;
    tables[768 + values[at + 3 * step]!]!++;
  }
  for (; at < length; at += step) tables[values[at]!]!++;
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
  const isTest = stratified(all.labels, testCount, seed);
  return {
    train: pickArrays(all, size, (index) => isTest[index] === 0),
    test: pickArrays(all, size, (index) => isTest[index] === 1),
  };
}

function pickArrays(all: ImageArrays, size: ImageSize, wanted: (index: number) => boolean): ImageArrays {
  return takeArrays(all, size, Array.from({ length: all.count }, (_, index) => index).filter(wanted));
}

/** The images of these numbers, in this order. */
export function takeArrays(
  all: ImageArrays,
  { height, width, channels }: ImageSize,
  numbers: ArrayLike<number>,
): ImageArrays {
  const length = height * width * channels;
  const images = new Uint8Array(numbers.length * length);
  const indices = Array.from(numbers);
  indices.forEach((index, k) => {
    images.set(all.images.subarray(index * length, (index + 1) * length), k * length);
  });
  return { count: indices.length, images, labels: Int32Array.from(indices, (index) => all.labels[index]!) };
}
