// A data set from arrays in memory, for callers of the library: checked as a file's would be.

import { UserError } from '../tensor/errors.ts';
import { type AugmentOptions, noAugmentation } from './augment.ts';
import { type Dataset, finishDataset, holdBack } from './dataset.ts';
import type { ImageSize } from './image.ts';
import type { ImageArrays, MemorySplit } from './image-split.ts';
import { MOST_CLASSES } from './labels.ts';

/** Images with their labels. */
export interface LabelledImages {
  /** Raw 8-bit values, [count, height, width, channels], row by row: the channel varies fastest. */
  readonly images: Uint8Array;
  /** One class number per image, 0 … classes − 1. */
  readonly labels: ArrayLike<number>;
}

export interface MemoryDataset extends ImageSize {
  /** Names the data in runs and reports. */
  readonly name: string;
  readonly train: LabelledImages;
  /** Without it a fifth of each class of `train` is held back, the same fifth every time. */
  readonly test?: LabelledImages;
  /** Default: the largest label + 1. */
  readonly classes?: number;
  /** The raw value that means 1.0, 1 … 255; default 255. */
  readonly maximum?: number;
  /** Of training images; default: none. */
  readonly augment?: AugmentOptions;
}

/** A data set of images in memory, for `runFlow`. Throws a UserError for arrays that do not fit together. */
export function datasetOf(given: MemoryDataset): Dataset<MemorySplit> {
  const { name, height, width, channels, maximum = 255, augment = noAugmentation } = given;
  if (!/^[\w.-]+$/.test(name)) {
    throw new UserError(`the data set's name is '${name}'; letters, digits, '.', '_' and '-' were expected`);
  }
  for (const [what, value] of Object.entries({ height, width, channels, maximum })) {
    const most = what === 'maximum' ? 255 : 2 ** 16;
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new UserError(`the data set ${name} has ${what} ${value}; a whole number from 1 to ${most} was expected`);
    }
  }
  const { classes } = given;
  if (classes !== undefined && !(Number.isInteger(classes) && classes >= 2 && classes <= MOST_CLASSES)) {
    throw new UserError(
      `the data set ${name} has ${classes} classes; a whole number from 2 to ${MOST_CLASSES} was expected`,
    );
  }
  const size = { height, width, channels };
  const all = splitOf(name, 'train', size, given.train);
  const tested = given.test ? splitOf(name, 'test', size, given.test) : undefined;
  const largest = [all, ...(tested ? [tested] : [])].reduce(
    (most, { labels }) => labels.reduce((a, b) => Math.max(a, b), most),
    0,
  );
  return finishDataset({
    ...{ name, ...size, scale: maximum, augment, classes: classes ?? largest + 1 },
    ...(tested ? { train: all, test: tested } : holdBack(all, size, Math.ceil(all.count / 5))),
  });
}

function splitOf(
  name: string,
  which: string,
  { height, width, channels }: ImageSize,
  given: LabelledImages,
): ImageArrays {
  const count = given.labels.length;
  const length = height * width * channels;
  if (given.images.length !== count * length) {
    throw new UserError(
      `the data set ${name} has ${given.images.length} raw values and ${count} labels under ${which}; ${length} values per image of ${height}×${width}×${channels} were expected`,
    );
  }
  const labels = Int32Array.from(given.labels);
  const bad = labels.findIndex((label, at) => label !== given.labels[at] || label < 0 || label >= MOST_CLASSES);
  if (bad >= 0) {
    throw new UserError(
      `the data set ${name} has the label ${given.labels[bad]} at image ${bad} of ${which}; a whole number from 0 to ${MOST_CLASSES - 1} was expected`,
    );
  }
  return { count, images: given.images, labels };
}
