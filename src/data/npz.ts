// Images as NumPy arrays in a .npz file: an array of images [N, H, W], [N, H, W, C] or [N, C, H, W] and one of labels
// [N] or [N, 1], for training and perhaps for testing, under the names that are usual (see `pairs`).
// Bytes are raw values 0 … 255; floats that all lie within 0 … 1 become the nearest of 255 steps, as in csv files;
// whole numbers 0 … 255 of any type are raw values; anything else is refused.

import { basename } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { readBytes } from '../tensor/files.ts';
import { type NpyArray, npyElements, readNpyArray } from '../tensor/npy.ts';
import { isZip, unzip } from '../tensor/zip.ts';
import { noAugmentation } from './augment.ts';
import { type Dataset, type DatasetOptions, finishDataset, holdBack, type ImageSize } from './dataset.ts';
import type { ImageArrays } from './image-split.ts';
import { numberClasses } from './labels.ts';
import { MAX_BYTES } from './raw.ts';

/** Names of an array of images and the one of its labels, the more telling first. */
const pairs = {
  train: [
    ['x_train', 'y_train'],
    ['X_train', 'y_train'],
    ['train_images', 'train_labels'],
    ['train_x', 'train_y'],
    ['images', 'labels'],
    ['data', 'labels'],
    ['x', 'y'],
    ['X', 'y'],
    ['data', 'target'],
  ],
  test: [
    ['x_test', 'y_test'],
    ['X_test', 'y_test'],
    ['test_images', 'test_labels'],
    ['test_x', 'test_y'],
    ['x_val', 'y_val'],
    ['val_images', 'val_labels'],
  ],
} as const;

/** The most elements of an array. */
const MOST = 2 ** 30;

interface Arrays {
  readonly file: string;
  readonly members: ReadonlyMap<string, Uint8Array>;
}

function openFile(path: string): Arrays {
  const bytes = readBytes(path, 2 * MAX_BYTES);
  if (!isZip(bytes)) throw new UserError(`${path} is no .npz file; numpy.savez writes one`);
  const members = Object.entries(unzip(bytes, path, 2 * MAX_BYTES)).map(([name, content]) => {
    return [name.replace(/\.npy$/, ''), content] as const;
  });
  return { file: path, members: new Map(members) };
}

/** The arrays of a split as they are, with what is needed to read them; undefined where they are not there. */
function findPair({ file, members }: Arrays, split: keyof typeof pairs) {
  const found = pairs[split].find(([images, labels]) => members.has(images) && members.has(labels));
  if (!found) return undefined;
  const [images, labels] = found.map((name) => {
    const limits = { most: MOST, what: 'elements', elements: 'integers, float32 or float64' };
    const array = readNpyArray(members.get(name)!, `${file}: ${name}`, limits);
    if (array.isFortran && array.shape.length > 1) {
      throw new UserError(`${file}: ${name} is in Fortran order; save numpy.ascontiguousarray of it`);
    }
    return { name, array };
  }) as [Named, Named];
  return { file, images, labels };
}

interface Named {
  readonly name: string;
  readonly array: NpyArray;
}
type Pair = NonNullable<ReturnType<typeof findPair>>;

interface Layout extends ImageSize {
  readonly count: number;
  readonly isPlanar: boolean;
}

function layoutOf({ file, images: { name, array } }: Pair): Layout {
  const { shape } = array;
  const [count = 0, a = 0, b = 0, c = 1] = shape;
  const isChannels = (extent: number) => extent === 1 || extent === 3;
  if (shape.length === 3 || (shape.length === 4 && isChannels(c))) {
    return { count, height: a, width: b, channels: c, isPlanar: false };
  }
  if (shape.length === 4 && isChannels(a)) return { count, height: b, width: c, channels: a, isPlanar: true };
  throw new UserError(
    `${file}: ${name} has the shape [${shape.join(', ')}]; [images, height, width], with channels (1 or 3) behind or before height and width, was expected`,
  );
}

/** Whether the values are fractions of 1: floats within 0 … 1. A UserError where they are no raw values either. */
function isFractions({ file, images: { name, array } }: Pair): boolean {
  if (array.type === 'u1') return false;
  const value = npyElements(array);
  const isFloat = array.type.startsWith('f');
  let [isWhole, most] = [true, 0];
  for (let k = 0; k < array.count; k++) {
    const one = value(k);
    if (!(one >= 0 && one <= 255)) {
      throw new UserError(
        `${file}: ${name} holds the value ${one}; 0 to 255, or floats from 0 to 1, were expected (values that are normalised already have to be turned back)`,
      );
    }
    isWhole &&= Number.isInteger(one);
    most = Math.max(most, one);
  }
  if (isFloat && most <= 1) return true;
  if (isWhole) return false;
  throw new UserError(
    `${file}: ${name} holds fractions up to ${most}; whole numbers from 0 to 255, or floats from 0 to 1, were expected`,
  );
}

function imagesOf({ images: { array } }: Pair, layout: Layout, fractions: boolean): Uint8Array {
  const { count, height, width, channels, isPlanar } = layout;
  if (array.type === 'u1' && !isPlanar) return array.data;
  const value = npyElements(array);
  const raw = (k: number) => (fractions ? Math.round(255 * value(k)) : value(k));
  if (!isPlanar) return Uint8Array.from({ length: array.count }, (_, k) => raw(k));
  const images = new Uint8Array(array.count);
  const plane = height * width;
  for (let image = 0, to = 0; image < count; image++) {
    for (let pixel = 0; pixel < plane; pixel++) {
      for (let c = 0; c < channels; c++) images[to++] = raw((image * channels + c) * plane + pixel);
    }
  }
  return images;
}

/** Texts of the labels of a split. */
function labelsOf({ file, labels: { name, array } }: Pair, { count }: Layout): string[] {
  const { shape } = array;
  if (shape[0] !== count || array.count !== count) {
    const hint =
      shape.length === 2 && shape[0] === count ? '; save numpy.argmax(labels, axis=1) where they are one-hot' : '';
    throw new UserError(`${file}: ${name} has the shape [${shape.join(', ')}]; [${count}] was expected${hint}`);
  }
  const value = npyElements(array);
  return Array.from({ length: count }, (_, k) => String(value(k)));
}

/** Opens a .npz file; `options.testFile` is another whose images are the test split. */
export function openNpz(file: string, options: DatasetOptions): Dataset {
  const arrays = openFile(file);
  const train = findPair(arrays, 'train');
  if (!train) {
    const names = [...arrays.members.keys()].slice(0, 12).join(', ');
    throw new UserError(
      `${file} holds ${arrays.members.size} arrays (${names}); images with labels under names such as x_train and y_train, or images and labels, were expected`,
    );
  }
  const other = options.testFile === undefined ? undefined : openFile(options.testFile.replace(/^npz:/, ''));
  const test = other ? (findPair(other, 'test') ?? findPair(other, 'train')) : findPair(arrays, 'test');
  if (other && !test) throw new UserError(`${other.file} holds no images with labels under the usual names`);
  const all = [train, ...(test ? [test] : [])];
  const layouts = all.map(layoutOf);
  const [size] = layouts as [Layout];
  const text = ({ height, width, channels }: ImageSize) => `${height}x${width}x${channels}`;
  const odd = layouts.find((layout) => text(layout) !== text(size));
  if (odd) throw new UserError(`${file}: the training images are ${text(size)}, the test images ${text(odd)}`);
  const fractions = all.map(isFractions);
  if (fractions.some((one) => one !== fractions[0])) {
    throw new UserError(`${file}: the training images and the test images are not of one kind; save both as bytes`);
  }
  const texts = all.map((pair, k) => labelsOf(pair, layouts[k]!));
  const seen = all.flatMap(({ file: from, labels: { name } }, k) =>
    [...new Set(texts[k])].map((label) => ({ text: label, at: `${from}: ${name}: the label '${label}'` })),
  );
  const classes = numberClasses(seen, options.classes);
  const splits = all.map(
    (pair, k): ImageArrays => ({
      count: layouts[k]!.count,
      images: imagesOf(pair, layouts[k]!, fractions[0]!),
      labels: Int32Array.from(texts[k]!, (label) => classes.of.get(label)!),
    }),
  );
  const { height, width, channels } = size;
  const [first, second] = splits as [ImageArrays, ImageArrays?];
  const where = test && `${other ? `${basename(other.file)}: ` : ''}${test.images.name}`;
  return finishDataset({
    ...{ height, width, channels },
    ...(second
      ? { train: first, test: second, split: `the images of ${where}` }
      : holdBack(first, size, Math.ceil(first.count / 5))),
    name: 'npz',
    location: `npz:${file}`,
    classes: classes.count,
    scale: 255,
    augment: noAugmentation,
    labels: `the array ${train.labels.name}${classes.rule}`,
    notes: [...classes.notes, ...(fractions[0] ? ['the values are fractions of 1 and were rounded to 255ths'] : [])],
  });
}
