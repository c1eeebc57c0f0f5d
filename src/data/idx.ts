// MNIST and its relatives in the IDX format (Y. LeCun's MNIST page): big-endian magic number, extents, then bytes, of
// labels also 32-bit numbers (idx1-int); plain or gzip, with '-' or '.' before "idx". Both splits are read: train-… and
// t10k-… or test-…, with or without a name before them (EMNIST: emnist-letters-train-…); where a folder holds several,
// FOLDER/NAME or --split says which. Grey images only. EMNIST stores its images with rows and columns exchanged
// (Cohen et al., 2017, keep the order of their MATLAB files): they are put upright.

import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { statOf } from '../tensor/files.ts';
import { unknownName } from '../tensor/names.ts';
import { type Dataset, type DatasetOptions, finishDataset, type ImageSize } from './dataset.ts';
import type { ImageArrays } from './image-split.ts';
import { numberClasses } from './labels.ts';
import { readMaybeGzip } from './raw.ts';

/** What a file holds: its elements' code in the magic number, their name in the file's, and their size. */
const elements = { ubyte: { code: 0x08, bytes: 1 }, int: { code: 0x0c, bytes: 4 } } as const;
type ElementName = keyof typeof elements;

function findFile(folder: string, stem: string, kind: string): string | undefined {
  const names = ['-', '.'].flatMap((separator) => ['', '.gz'].map((suffix) => `${stem}${separator}${kind}${suffix}`));
  return names.map((name) => join(folder, name)).find((path) => existsSync(path));
}

/** What stands before "train-images" in the names of a folder's sets: '' for MNIST's own, 'emnist-letters-'. */
function prefixesIn(folder: string): string[] {
  if (!statOf(folder)?.isDirectory()) return [];
  const found = readdirSync(folder).map((name) => /^(.*?)train-images[-.]idx3-ubyte(\.gz)?$/.exec(name)?.[1]);
  return [...new Set(found.filter((prefix) => prefix !== undefined))].sort();
}

/** A folder, or what torchvision puts into it. */
function rawFolder(folder: string): string {
  const names = ['MNIST', 'FashionMNIST', 'KMNIST', 'QMNIST', 'EMNIST'];
  const inside = ['raw', ...names.map((name) => join(name, 'raw'))].map((name) => join(folder, name));
  const found = prefixesIn(folder).length > 0 ? [] : inside.filter((path) => prefixesIn(path).length > 0);
  return found.length === 1 ? found[0]! : folder;
}

/** Whether a path names an IDX data set. */
export function isIdx(path: string): boolean {
  return prefixesIn(rawFolder(path)).length > 0 || prefixesIn(dirname(path)).includes(`${basename(path)}-`);
}

/** The folder and the prefix of the set that a location names. */
function findSet(location: string, split: string | undefined): { folder: string; prefix: string } {
  const folder = rawFolder(location);
  const prefixes = prefixesIn(folder);
  const sets = prefixes.map((prefix) => prefix.replace(/-$/, ''));
  if (split !== undefined) {
    const at = sets.findIndex((set) => set === split || set.endsWith(`-${split}`));
    if (at >= 0) return { folder, prefix: prefixes[at]! };
    throw unknownName(
      `set of ${folder}`,
      split,
      sets.filter((set) => set !== '').map((set) => set.split('-').at(-1)!),
    );
  }
  if (prefixes.includes('') || prefixes.length === 1) {
    return { folder, prefix: prefixes.includes('') ? '' : prefixes[0]! };
  }
  if (sets.length > 0) {
    const [first] = sets;
    throw new UserError(
      `${folder} holds ${sets.length} data sets (${sets.join(', ')}); name one: idx:${join(folder, first!)}, or --split ${first!.split('-').at(-1)}`,
    );
  }
  const named = `${basename(location)}-`;
  return prefixesIn(dirname(location)).includes(named)
    ? { folder: dirname(location), prefix: named }
    : { folder: location, prefix: '' };
}

const digitNames = [...'0123456789'];
const upperCase = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
/** What the classes of EMNIST's sets are, by the sets' names. */
const emnistNames: Readonly<Record<string, readonly string[]>> = {
  byclass: [...digitNames, ...upperCase, ...upperCase.map((letter) => letter.toLowerCase())],
  bymerge: [...digitNames, ...upperCase, ...'abdefghnqrt'],
  balanced: [...digitNames, ...upperCase, ...'abdefghnqrt'],
  letters: upperCase,
  digits: digitNames,
  mnist: digitNames,
};

/** Rows and columns exchanged. */
function transposed({ count, images, labels }: ImageArrays, { height, width }: ImageSize): ImageArrays {
  const turned = new Uint8Array(images.length);
  for (let image = 0, to = 0; image < count; image++) {
    const from = image * height * width;
    for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) turned[to++] = images[from + y * width + x]!;
  }
  return { count, images: turned, labels };
}

/** The extents and the bytes of one IDX file of that rank. */
function readIdx(folder: string, stem: string, rank: number, element: ElementName) {
  const { code, bytes: size } = elements[element];
  const magic = (code << 8) | rank;
  const kind = `idx${rank}-${element}`;
  const path = findFile(folder, stem, kind);
  if (path === undefined)
    throw new UserError(`no ${stem}-${kind} (or .gz) in ${folder}; an IDX data set has four files`);
  const bytes = readMaybeGzip(path);
  const headerLength = 4 + 4 * rank;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < headerLength || view.getUint32(0) !== magic) {
    throw new UserError(
      `${path} is not an IDX file of ${rank}-dimensional ${element === 'ubyte' ? 'bytes' : '32-bit numbers'}: the magic number ${magic} was expected`,
    );
  }
  const extents = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = extents.reduce((product, extent) => product * extent, 1);
  const data = bytes.subarray(headerLength);
  if (data.length !== size * expected) {
    const times = size === 1 ? '' : `${size}×`;
    throw new UserError(
      `${path} holds ${data.length} bytes behind its header; ${times}${extents.join('×')} = ${size * expected} were expected`,
    );
  }
  return { path, extents, data };
}

function readLabels(folder: string, stem: string): { path: string; extents: number[]; labels: Int32Array } {
  const wide = findFile(folder, stem, 'idx1-int') !== undefined && !findFile(folder, stem, 'idx1-ubyte');
  const { data, ...file } = readIdx(folder, stem, 1, wide ? 'int' : 'ubyte');
  if (!wide) return { ...file, labels: Int32Array.from(data) };
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return { ...file, labels: Int32Array.from({ length: data.length / 4 }, (_, k) => view.getInt32(4 * k)) };
}

function readSplit(folder: string, prefix: string): { split: ImageArrays; size: ImageSize } {
  const images = readIdx(folder, `${prefix}-images`, 3, 'ubyte');
  const labels = readLabels(folder, `${prefix}-labels`);
  const [count, height, width] = images.extents as [number, number, number];
  if (labels.extents[0] !== count) {
    throw new UserError(`${labels.path} holds ${labels.extents[0]} labels for ${count} images`);
  }
  if (count === 0) throw new UserError(`${images.path} holds no images`);
  return { split: { count, images: images.data, labels: labels.labels }, size: { height, width, channels: 1 } };
}

/** Opens the four IDX files of a folder. */
export function openIdx(location: string, options: DatasetOptions): Dataset {
  const { folder, prefix } = findSet(location, options.split);
  const { split: train, size } = readSplit(folder, `${prefix}train`);
  const testStem = findFile(folder, `${prefix}test-images`, 'idx3-ubyte') ? 'test' : 't10k';
  const { split: test, size: testSize } = readSplit(folder, `${prefix}${testStem}`);
  if (size.height !== testSize.height || size.width !== testSize.width) {
    throw new UserError(
      `the training images in ${folder} are ${size.height}x${size.width}, the test images ${testSize.height}x${testSize.width}`,
    );
  }
  const seen = [...new Set([...train.labels, ...test.labels])].sort((a, b) => a - b);
  const labels = seen.map((label) => ({ text: String(label), at: `${folder}: the label '${label}'` }));
  const classes = numberClasses(labels, options.classes);
  const emnist = /^emnist-(\w+)-$/.exec(prefix)?.[1];
  const renumber = (split: ImageArrays): ImageArrays => ({
    ...(emnist === undefined ? split : transposed(split, size)),
    labels: split.labels.map((label) => classes.of.get(String(label))!),
  });
  const names = emnistNames[emnist ?? ''];
  const upright = emnist === undefined ? size : { height: size.width, width: size.height, channels: 1 };
  return finishDataset({
    ...upright,
    ...(names?.length === classes.count ? { classNames: names } : {}),
    name: 'idx',
    location: `idx:${location}`,
    classes: classes.count,
    train: renumber(train),
    test: renumber(test),
    scale: 255,
    augment: { pad: 2, flip: false },
    split: `the images of ${prefix}${testStem}-images`,
    labels: `the files ${prefix}…-labels${classes.rule}`,
    notes: [
      ...classes.notes,
      ...(emnist === undefined ? [] : ['the images are stored on their side and were put upright']),
    ],
  });
}
