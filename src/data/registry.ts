// The data sets that a user can name: `digits`, `cifar10:DIR`, `csv:FILE`, `idx:DIR`, or just a path whose content
// tells what it is. One list, from which the help text and the error for an unknown name are made.

import { statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { unknownName } from '../tensor/names.ts';
import { cifar10Folder, openCifar10 } from './cifar10.ts';
import { openCsv, openDigits } from './csv.ts';
import type { Dataset, DatasetOptions, ImageSize } from './dataset.ts';
import { isIdx, openIdx } from './idx.ts';

interface Source {
  readonly name: string;
  /** How it is written on a command line. */
  readonly usage: string;
  readonly summary: string;
  readonly open: (location: string, options: DatasetOptions) => Dataset | Promise<Dataset>;
}

export const sources: readonly Source[] = [
  {
    name: 'digits',
    usage: 'digits',
    summary: '1797 handwritten digits, 8x8x1, shipped with the program',
    open: openDigits,
  },
  { name: 'cifar10', usage: 'cifar10:DIR', summary: 'CIFAR-10, binary version, 32x32x3', open: openCifar10 },
  { name: 'csv', usage: 'csv:FILE', summary: 'one image per line, with its label; .csv or .csv.gz', open: openCsv },
  { name: 'idx', usage: 'idx:DIR', summary: 'MNIST and relatives, IDX files, plain or .gz', open: openIdx },
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
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile()) return /\.[ct]sv(\.gz)?$/i.test(path) ? 'csv' : undefined;
  if (stats?.isDirectory() && cifar10Folder(path) !== undefined) return 'cifar10';
  return isIdx(path) ? 'idx' : undefined;
}

/** What a user may say of some sources alone. */
const optionsOfSources = { label: ['csv'], testFile: ['csv'], classes: ['csv', 'idx'] } as const satisfies Partial<
  Record<keyof DatasetOptions, readonly string[]>
>;
const optionNames = { label: '--label', testFile: '--test-data', classes: '--classes' } as const;

function refuseForeignOptions({ name }: Source, options: DatasetOptions): void {
  for (const key of Object.keys(optionsOfSources) as (keyof typeof optionsOfSources)[]) {
    const takers: readonly string[] = optionsOfSources[key];
    if (options[key] === undefined || takers.includes(name)) continue;
    throw new UserError(
      `${optionNames[key]} is '${options[key]}', but ${name} data have their own; leave it out (it is for ${takers.join(' and ')})`,
    );
  }
}

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
  return location === '' || isAbsolute(location) ? spec : `${prefix}${join(directory, location)}`;
}

/**
 * Opens the data set that `spec` names: NAME, NAME:LOCATION, or a path. Throws a UserError for an unknown name (with
 * the valid ones and the nearest), a missing location, and anything wrong in the files.
 */
export async function openDataset(spec: string, options: DatasetOptions = {}): Promise<Dataset> {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const named = sources.find((source) => source.name === name);
  const detected = named ? undefined : detect(spec);
  const source = named ?? sources.find((candidate) => candidate.name === detected);
  if (source === undefined) {
    throw unknownName(
      'data set',
      name,
      sources.map((known) => known.name),
      [...sources.map((known) => known.usage), 'or a path to such data'],
    );
  }
  const location = named === undefined ? spec : spec.slice(name.length + 1);
  if (source.usage.includes(':') && location === '') {
    throw new UserError(`the data set '${spec}' lacks its location; write ${source.usage}`);
  }
  if (!source.usage.includes(':') && location !== '') {
    throw new UserError(`the data set '${name}' takes no location, got '${location}'; write ${source.usage}`);
  }
  refuseForeignOptions(source, options);
  const dataset = await source.open(location, options);
  checkSize(spec, dataset, options);
  return options.augment ? { ...dataset, augment: options.augment } : dataset;
}
