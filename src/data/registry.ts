// The data sets that a user can name: `digits`, `cifar10:DIR`, `csv:FILE`, …, or just a path whose content tells what
// it is. One list, from which the help text and the error for an unknown name are made. What is left out of a data set,
// and a normalisation that was given, are the same for all sources: they are applied here.

import { readdirSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { sha256, statOf } from '../tensor/files.ts';
import { nearestName, unknownName } from '../tensor/names.ts';
import { type Choosable, choose } from './choice.ts';
import { cifarAt, openCifar } from './cifar.ts';
import { holdsClassFolders } from './class-folders.ts';
import { openCsv, openDigits } from './csv.ts';
import {
  completeDataset,
  type Dataset,
  type DatasetOptions,
  finishDataset,
  type ImageSize,
  normalisedHash,
  statedNormalisation,
  takeArrays,
} from './dataset.ts';
import { isIdx, openIdx } from './idx.ts';
import { openImageFolder } from './image-folder.ts';
import { type ImageSplit, type MemorySplit, pickedSplit } from './image-split.ts';
import { openNpz } from './npz.ts';
import { openProcedural } from './procedural.ts';

interface Source {
  readonly name: string;
  /** How it is written on a command line. */
  readonly usage: string;
  readonly summary: string;
  readonly open: (location: string, options: DatasetOptions) => Dataset | Promise<Dataset>;
  /** It leaves out by itself what the user does not want, before anything is decoded. */
  readonly chooses?: true;
  /** Its location is no path. */
  readonly isFormula?: true;
}

export const sources: readonly Source[] = [
  {
    name: 'digits',
    usage: 'digits',
    summary: '1797 handwritten digits, 8x8x1, shipped with the program',
    open: openDigits,
  },
  {
    name: 'cifar10',
    usage: 'cifar10:DIR',
    summary: 'CIFAR-10, binary or Python version, 32x32x3; its folder or .tar.gz',
    open: (location, options) => openCifar('cifar10', location, options),
  },
  {
    name: 'cifar100',
    usage: 'cifar100:DIR',
    summary: 'CIFAR-100 likewise; --label coarse for its 20 groups',
    open: (location, options) => openCifar('cifar100', location, options),
  },
  { name: 'csv', usage: 'csv:FILE', summary: 'one image per line, with its label; .csv or .csv.gz', open: openCsv },
  { name: 'idx', usage: 'idx:DIR', summary: 'MNIST and relatives, IDX files, plain or .gz', open: openIdx },
  { name: 'npz', usage: 'npz:FILE', summary: 'NumPy arrays of images and labels', open: openNpz },
  {
    name: 'images',
    usage: 'images:DIR',
    summary: 'PNG, JPEG or WebP files in a folder for each class, also ImageNet and TinyImageNet',
    open: openImageFolder,
    chooses: true,
  },
  {
    name: 'procedural',
    usage: 'procedural:HxWxC,classes=N',
    summary: 'stripes made by a formula, of any size and number',
    open: openProcedural,
    isFormula: true,
  },
];

/** Parses an image size like '8x8x1'. */
export function parseImageSize(text: string): ImageSize {
  const match = /^(\d+)[x×](\d+)[x×](\d+)$/.exec(text.trim());
  const [height = 0, width = 0, channels = 0] = match?.slice(1).map(Number) ?? [];
  if (height < 1 || width < 1 || channels < 1) {
    throw new UserError(`the image size '${text}' is not HEIGHTxWIDTHxCHANNELS, for example 8x8x1`);
  }
  return { height, width, channels };
}

/** The source's name for a bare path, found from what lies there. */
function detect(path: string): string | undefined {
  const stats = statOf(path);
  if (stats?.isFile() && /\.[ct]sv(\.gz)?$/i.test(path)) return 'csv';
  if (stats?.isFile() && /\.npz$/i.test(path)) return 'npz';
  const cifar = cifarAt(path);
  if (cifar !== undefined) return cifar;
  if (isIdx(path)) return 'idx';
  return holdsClassFolders(path) ? 'images' : undefined;
}

/** What a user may say of some sources alone. */
const optionsOfSources = {
  label: ['csv', 'cifar100'],
  testFile: ['csv', 'npz', 'images'],
  classes: ['csv', 'idx', 'npz'],
  split: ['idx'],
  testLabels: ['images'],
  resize: ['images'],
  badImages: ['images'],
  imageCache: ['images'],
} as const satisfies Partial<Record<keyof DatasetOptions, readonly string[]>>;
const optionNames: Record<keyof typeof optionsOfSources, string> = {
  label: '--label',
  testFile: '--test-data',
  classes: '--classes',
  split: '--split',
  testLabels: '--test-labels',
  resize: '--resize',
  badImages: '--bad-images',
  imageCache: '--image-cache',
};

function refuseForeignOptions({ name }: Source, options: DatasetOptions): void {
  for (const key of Object.keys(optionsOfSources) as (keyof typeof optionsOfSources)[]) {
    const takers: readonly string[] = optionsOfSources[key];
    if (options[key] === undefined || takers.includes(name)) continue;
    throw new UserError(
      `${optionNames[key]} is '${options[key]}', but ${name} data have their own; leave it out (it is for ${listed(takers)})`,
    );
  }
}

/** "csv, npz and images". */
const listed = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;

/** A source that knows its size and its range is not told another. */
function checkSize(
  spec: string,
  { height, width, channels, scale }: Dataset,
  { image, maximum }: DatasetOptions,
): void {
  const text = (size: ImageSize) => `${size.height}x${size.width}x${size.channels}`;
  const own = { height, width, channels };
  if (image && text(image) !== text(own)) {
    throw new UserError(`--image is ${text(image)}, but the images of ${spec} are ${text(own)}; leave it out`);
  }
  if (maximum !== undefined && maximum !== scale && !(maximum === 1 && scale === 255)) {
    throw new UserError(`--maximum is ${maximum}, but the values of ${spec} go up to ${scale}; leave it out`);
  }
}

/** The same data set with a relative location taken from `directory` instead of the working directory. */
export function relocate(spec: string, directory: string): string {
  const source = sources.find(({ name }) => spec === name || spec.startsWith(`${name}:`));
  const prefix = source ? `${source.name}:` : '';
  const location = spec.slice(prefix.length);
  return location === '' || isAbsolute(location) || source?.isFormula ? spec : `${prefix}${join(directory, location)}`;
}

/**
 * Opens the data set that `spec` names: NAME, NAME:LOCATION, or a path. Throws a UserError for an unknown name (with
 * the valid ones and the nearest), a missing location, and anything wrong in the files.
 */
export async function openDataset(spec: string, options: DatasetOptions = {}): Promise<Dataset> {
  const { source, name, location } = sourceOf(spec);
  if (source === undefined) throw unknownData(spec, name);
  if (source.usage.includes(':') && location === '') {
    throw new UserError(`the data set '${spec}' lacks its location; write ${source.usage}`);
  }
  if (!source.usage.includes(':') && location !== '') {
    throw new UserError(`the data set '${name}' takes no location, got '${location}'; write ${source.usage}`);
  }
  refuseForeignOptions(source, options);
  const opened = await source.open(location, options);
  const dataset = withNormalisation(source.chooses ? opened : reduced(opened, options), options);
  checkSize(spec, dataset, options);
  return options.augment ? { ...dataset, augment: options.augment } : dataset;
}

/** The source that a text names, or that a bare path holds; `name` is what stands where a source's name would. */
function sourceOf(spec: string): { source: Source | undefined; name: string; location: string } {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const named = sources.find((source) => source.name === name);
  if (named) return { source: named, name, location: spec.slice(name.length + 1) };
  const detected = detect(spec);
  return { source: sources.find((candidate) => candidate.name === detected), name, location: spec };
}

/** Whether there is anything where a text says that data are: what is built in, or made by a formula, is everywhere. */
export function isHere(spec: string): boolean {
  const { source, location } = sourceOf(spec);
  const isPath = source ? source.usage.includes(':') && !source.isFormula : true;
  return !isPath || location === '' || statOf(location) !== undefined;
}

/** Whether a data set is of image files, of which some may be damaged. */
export function hasImageFiles(spec: string): boolean {
  const takers: readonly string[] = optionsOfSources.badImages;
  return takers.includes(sourceOf(spec).source?.name ?? '');
}

/**
 * Throws the UserError for a word that is no data set's name, leads nowhere from here and cannot be meant as a path: it
 * is nearly a name (`cifra10:DIR`), or has neither a slash nor a dot.
 */
export function refuseMisspelt(spec: string): void {
  const { source, name } = sourceOf(spec);
  if (source === undefined && !statOf(spec) && !isMeantAsPath(spec, name)) throw unknownData(spec, name);
}

const isMeantAsPath = (spec: string, name: string): boolean => !isNearlyName(name) && /[/\\.]/.test(spec);

/** `name` is what stands where a source's name would. */
const isNearlyName = (name: string): boolean => {
  const names = sources.map((source) => source.name);
  return !/[/\\]/.test(name) && nearestName(name, names) !== undefined;
};

/** The error for what is neither a data set's name nor a path that holds one. */
function unknownData(spec: string, name: string): UserError {
  const names = sources.map((source) => source.name);
  const usages = [...sources.map(({ usage }) => usage), 'or a path to such data'];
  if (statOf(spec)) {
    return new UserError(
      `${spec} holds no data that are known: images in folders named as their classes, CIFAR, IDX, .csv or .npz files were expected; valid: ${usages.join(', ')}`,
    );
  }
  const folder = dirname(spec);
  const beside =
    isNearlyName(name) || !statOf(folder)?.isDirectory() ? undefined : nearestName(basename(spec), readdirSync(folder));
  if (beside !== undefined || isMeantAsPath(spec, name)) {
    const question = beside === undefined ? '' : ` did you mean '${join(folder, beside)}'?`;
    return new UserError(
      `the data ${spec}: no such file or folder;${question} check the path (or write ${usages.join(', ')})`,
    );
  }
  return unknownName('data set', name, names, usages);
}

/** The data set without what the user leaves out. */
function reduced(dataset: Dataset, options: DatasetOptions): Dataset {
  const chosen = choose(dataset satisfies Choosable, options);
  if (!chosen) return dataset;
  const { train, test } = dataset;
  const { classes, note } = chosen;
  const parts = {
    ...dataset,
    ...{ classes, notes: [...dataset.notes, note] },
    ...(chosen.classNames ? { classNames: chosen.classNames } : {}),
  };
  const labelsOf = (labels: Int32Array) => labels.map((label) => chosen.classOf[label]!);
  if (isInMemory(train) && isInMemory(test)) {
    const take = (split: MemorySplit, numbers: Int32Array) => {
      const taken = takeArrays(split, dataset, numbers);
      return { ...taken, labels: labelsOf(taken.labels) };
    };
    return finishDataset({ ...parts, train: take(train, chosen.train), test: take(test, chosen.test) });
  }
  const take = (split: ImageSplit, numbers: Int32Array) =>
    pickedSplit(split, numbers, labelsOf(numbers.map((number) => split.labels[number]!)));
  const { mean, deviation } = dataset;
  const choice = JSON.stringify([[...chosen.train], [...chosen.test], [...chosen.classOf]]);
  return completeDataset(
    { ...parts, train: take(train, chosen.train), test: take(test, chosen.test) },
    { mean, deviation, sha256: () => sha256(dataset.sha256, choice) },
  );
}

const isInMemory = (split: ImageSplit): split is MemorySplit => split.images !== undefined;

/** Another normalisation than the measured one is part of what a run can see. */
function withNormalisation(dataset: Dataset, options: DatasetOptions): Dataset {
  const { isOfCheckpoint, mean, deviation } = statedNormalisation(options, dataset);
  if (!mean && !deviation) return dataset;
  const own = { mean: mean ?? dataset.mean, deviation: deviation ?? dataset.deviation };
  const note = `normalised as the model's published weights expect it (mean ${own.mean.join(', ')}); for weights of your own say --mean and --std`;
  return {
    ...{ ...dataset, ...own, sha256: normalisedHash(dataset.sha256, own) },
    notes: isOfCheckpoint ? [...dataset.notes, note] : dataset.notes,
  };
}
