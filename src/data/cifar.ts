// CIFAR-10 and CIFAR-100 (A. Krizhevsky, 2009) in their official layouts: binary records of label bytes and three 32×32
// planes (red, green, blue), or Python pickles of the same planes; in a folder, or in the tar.gz as it is published.
// The planes become interleaved channels.
// Any whole number of images per file is accepted, so that excerpts work too; nothing is downloaded.

import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { readBytes, statOf } from '../tensor/files.ts';
import type { Pickled } from '../tensor/pickle.ts';
import { type Dataset, type DatasetOptions, finishDataset } from './dataset.ts';
import type { ImageArrays } from './image-split.ts';
import { PickledArray, readPickledDictionary, textOf } from './numpy-pickle.ts';
import { MAX_BYTES } from './raw.ts';
import { tarMembers } from './tar.ts';

const size = { height: 32, width: 32, channels: 3 };
const plane = size.height * size.width;
const imageLength = plane * size.channels;

/** One kind of label that the images have. */
interface Labels {
  readonly name: string;
  readonly classes: number;
  /** Its byte in a binary record, and its key in a pickle. */
  readonly byte: number;
  readonly key: string;
  /** Where names of the classes stand, by layout. */
  readonly names: { readonly binary: string; readonly python: readonly [file: string, key: string] };
}

interface Version {
  readonly name: 'cifar10' | 'cifar100';
  readonly title: string;
  readonly labelBytes: number;
  /** The first is the default. */
  readonly labels: readonly Labels[];
  readonly train: readonly string[];
  readonly test: string;
  /** Folders in which the layouts are published. */
  readonly folders: Readonly<Record<Layout, string>>;
}

type Layout = 'binary' | 'python';

const tenClasses = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');

const versions: Readonly<Record<Version['name'], Version>> = {
  cifar10: {
    name: 'cifar10',
    title: 'CIFAR-10',
    labelBytes: 1,
    labels: [
      {
        ...{ name: 'label', classes: 10, byte: 0, key: 'labels' },
        names: { binary: 'batches.meta.txt', python: ['batches.meta', 'label_names'] },
      },
    ],
    train: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}`),
    test: 'test_batch',
    folders: { binary: 'cifar-10-batches-bin', python: 'cifar-10-batches-py' },
  },
  cifar100: {
    name: 'cifar100',
    title: 'CIFAR-100',
    labelBytes: 2,
    labels: [
      {
        ...{ name: 'fine', classes: 100, byte: 1, key: 'fine_labels' },
        names: { binary: 'fine_label_names.txt', python: ['meta', 'fine_label_names'] },
      },
      {
        ...{ name: 'coarse', classes: 20, byte: 0, key: 'coarse_labels' },
        names: { binary: 'coarse_label_names.txt', python: ['meta', 'coarse_label_names'] },
      },
    ],
    train: ['train'],
    test: 'test',
    folders: { binary: 'cifar-100-binary', python: 'cifar-100-python' },
  },
};

/** Where a layout's files are read from. */
interface Found {
  readonly layout: Layout;
  /** The folder or the archive. */
  readonly path: string;
  readonly isArchive: boolean;
}

const ending = (layout: Layout): string => (layout === 'binary' ? '.bin' : '');

function folderOf(version: Version, folder: string): Found | undefined {
  for (const layout of ['binary', 'python'] as const) {
    // A folder called test is no pickle.
    const holds = (path: string) =>
      statOf(join(path, `${version.test}${ending(layout)}`))?.isFile() &&
      (layout === 'binary' || existsSync(join(path, version.labels[0]!.names.python[0])));
    const path = [folder, join(folder, version.folders[layout])].find(holds);
    if (path !== undefined) return { layout, path, isArchive: false };
  }
  return undefined;
}

function archiveOf(version: Version, path: string): Found | undefined {
  const name = /^cifar-(100?)-(binary|python)(\.tar(\.gz)?|\.tgz)$/.exec(basename(path));
  if (!name || `cifar${name[1]}` !== version.name) return undefined;
  return { layout: name[2] as Layout, path, isArchive: true };
}

function find(version: Version, location: string): Found | undefined {
  const stats = statOf(location);
  if (stats?.isFile()) return archiveOf(version, location);
  if (!stats?.isDirectory()) return undefined;
  const archives = () => readdirSync(location).flatMap((name) => archiveOf(version, join(location, name)) ?? []);
  return folderOf(version, location) ?? archives()[0];
}

/** Which CIFAR lies at a path: in the folder, in its published subfolder or archive, or as that archive. */
export function cifarAt(path: string): Version['name'] | undefined {
  return Object.values(versions).find((version) => find(version, path))?.name;
}

type Files = ReadonlyMap<string, Uint8Array>;

/** The files of a split and those of the names; a file of images that is not there is a UserError. */
async function readFiles(version: Version, found: Found): Promise<Files> {
  const { layout, path } = found;
  const images = [...version.train, version.test].map((name) => name + ending(layout));
  const names = version.labels.map(({ names }) => (layout === 'binary' ? names.binary : names.python[0]));
  if (!found.isArchive) {
    const present = names.filter((name) => existsSync(join(path, name)));
    return new Map([...images, ...present].map((name) => [name, readBytes(join(path, name), MAX_BYTES)]));
  }
  const wanted = new Set([...images, ...names]);
  const members = await tarMembers(path, (name) => wanted.has(basename(name)), MAX_BYTES);
  const files = new Map([...members].map(([name, bytes]) => [basename(name), bytes]));
  const missing = images.find((name) => !files.has(name));
  if (missing !== undefined) {
    throw new UserError(`${path} holds no ${missing}; is it the published archive of ${version.title}? fetch it again`);
  }
  return files;
}

/** One file's planes, [count, 3, 32, 32], with its labels. */
interface Planes {
  readonly count: number;
  /** Where the planes of an image begin. */
  readonly at: (image: number) => number;
  readonly bytes: Uint8Array;
  readonly label: (image: number) => number;
}

function binaryPlanes(bytes: Uint8Array, path: string, version: Version, labels: Labels): Planes {
  const { labelBytes } = version;
  const record = labelBytes + imageLength;
  if (bytes.length === 0 || bytes.length % record !== 0) {
    const what = labelBytes === 1 ? 'label' : 'labels';
    throw new UserError(
      `${path} has ${bytes.length} bytes; a multiple of ${record} (${what} and 32x32x3 image) was expected; fetch it again`,
    );
  }
  return {
    count: bytes.length / record,
    at: (image) => image * record + labelBytes,
    bytes,
    label: (image) => bytes[image * record + labels.byte]!,
  };
}

function pickledPlanes(bytes: Uint8Array, path: string, labels: Labels): Planes {
  const fail = (detail: string) => new UserError(`${path}: ${detail}; is it a batch of the Python version?`);
  const batch = readPickledDictionary(bytes, path, fail);
  const data = batch.get('data');
  if (!(data instanceof PickledArray && data.values instanceof Uint8Array))
    throw fail('its data are no array of bytes');
  const [count = 0, length = 0] = data.shape;
  if (length !== imageLength || count === 0) {
    throw fail(`its data have the shape [${data.shape.join(', ')}], [images, ${imageLength}] was expected`);
  }
  const classes = numbersOf(batch.get(labels.key) ?? null);
  if (classes?.length !== count) throw fail(`it has ${classes?.length ?? 'no'} ${labels.key} for ${count} images`);
  return { count, at: (image) => image * imageLength, bytes: data.values, label: (image) => classes[image]! };
}

function numbersOf(value: Pickled): readonly number[] | undefined {
  if (value instanceof PickledArray) return Array.from(value.values);
  if (!Array.isArray(value)) return undefined;
  return value.map((one) => (typeof one === 'number' ? one : Number.NaN));
}

function join32(parts: readonly { readonly path: string; readonly planes: Planes }[], classes: number): ImageArrays {
  const count = parts.reduce((sum, { planes }) => sum + planes.count, 0);
  const images = new Uint8Array(count * imageLength);
  const labels = new Int32Array(count);
  const words = new Int32Array(images.buffer);
  // Planes in a file begin at odd places.
  const one = new Uint8Array(imageLength);
  const [red, green, blue] = [0, 1, 2].map((colour) => new Int32Array(one.buffer, colour * plane, plane / 4));
  const colours = [red!, green!, blue!] as const;
  let image = 0;
  for (const { path, planes } of parts) {
    const { bytes } = planes;
    for (let record = 0; record < planes.count; record++, image++) {
      const label = planes.label(record);
      if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
        throw new UserError(`${path}: the label of record ${record + 1} is ${label}; 0 to ${classes - 1} was expected`);
      }
      labels[image] = label;
      const from = planes.at(record);
      one.set(bytes.subarray(from, from + imageLength));
      interleave(colours, words, (image * imageLength) / 4);
    }
  }
  return { count, images, labels };
}

/** Four pixels at a time, a word of each plane to three words from `first` on, their first byte the lowest. */
function interleave(
  [red, green, blue]: readonly [Int32Array, Int32Array, Int32Array],
  words: Int32Array,
  first: number,
): void {
  for (let at = 0, to = first; at < red.length; at++, to += 3) {
    const r = red[at]!;
    const g = green[at]!;
    const b = blue[at]!;
    words[to] = (r & 0xff) | ((g & 0xff) << 8) | ((b & 0xff) << 16) | ((r & 0xff00) << 16);
    words[to + 1] = ((g >>> 8) & 0xff) | (b & 0xff00) | (r & 0xff0000) | ((g & 0xff0000) << 8);
    words[to + 2] = ((b >>> 16) & 0xff) | ((r >>> 16) & 0xff00) | ((g >>> 8) & 0xff0000) | (b & 0xff000000);
  }
}

/** The names of the classes, where a file says them; undefined where they are not as many as the classes. */
function namesOf(files: Files, layout: Layout, { names, classes }: Labels): readonly string[] | undefined {
  const read = () => {
    if (layout === 'binary') {
      const bytes = files.get(names.binary);
      return bytes && new TextDecoder().decode(bytes).split(/\s+/);
    }
    const [file, key] = names.python;
    const bytes = files.get(file);
    const list = bytes && readPickledDictionary(bytes, file, (detail) => new UserError(`${file}: ${detail}`)).get(key);
    return Array.isArray(list) ? list.map((name) => textOf(name as Pickled)) : undefined;
  };
  const found = read()?.filter((name) => name !== '');
  return found?.length === classes ? found : classes === 10 ? tenClasses : undefined;
}

function labelsOf(version: Version, asked: string | undefined): Labels {
  const labels = version.labels.find(({ name }) => name === (asked ?? version.labels[0]!.name));
  if (labels) return labels;
  throw new UserError(
    `--label is '${asked}', but the labels of ${version.title} are ${version.labels.map(({ name }) => name).join(' and ')}`,
  );
}

/** Opens CIFAR-10 or CIFAR-100 from the folder of its files, the folder above, or its published archive. */
export async function openCifar(
  name: Version['name'],
  location: string,
  { label: asked }: DatasetOptions = {},
): Promise<Dataset> {
  const version = versions[name];
  const labels = labelsOf(version, asked);
  const found = find(version, location);
  if (found === undefined) {
    const [first, last] = [version.train[0], version.train.at(-1)];
    const bins = first === last ? `${first}.bin` : `${first}.bin … ${last}.bin`;
    throw new UserError(
      `no ${version.title} in ${location}: expected ${bins} and ${version.test}.bin (the binary version of ` +
        `https://www.cs.toronto.edu/~kriz/cifar.html) there or in its ${version.folders.binary}, the same of the Python ` +
        `version, or one of the two archives (cifar-${name.slice(5)}-binary.tar.gz)`,
    );
  }
  const { layout, path } = found;
  const files = await readFiles(version, found);
  const read = (names: readonly string[]) =>
    join32(
      names.map((stem) => {
        const file = stem + ending(layout);
        const at = found.isArchive ? `${path}: ${file}` : join(path, file);
        const bytes = files.get(file)!;
        const planes =
          layout === 'binary' ? binaryPlanes(bytes, at, version, labels) : pickledPlanes(bytes, at, labels);
        return { path: at, planes };
      }),
      labels.classes,
    );
  const classNames = namesOf(files, layout, labels);
  const ordinal = ['first', 'second'][labels.byte];
  return finishDataset({
    ...size,
    name,
    location: `${name}:${path}`,
    classes: labels.classes,
    ...(classNames ? { classNames } : {}),
    train: read(version.train),
    test: read([version.test]),
    scale: 255,
    augment: { pad: 4, flip: true },
    split: `the images of ${version.test}${ending(layout)}`,
    labels: layout === 'binary' ? `the ${ordinal} byte of each record` : `${labels.key} of each batch`,
  });
}
