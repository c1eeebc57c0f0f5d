// A data set of image files: listed, chosen from, looked into for the size of an image, and hashed. How its images are
// read is in image-sources.ts.
// Invariant: the hash covers what a run can see of the files; whoever has test images among the training images is
// told.

import { resolve } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { readBytes, sha256, statOf } from '../tensor/files.ts';
import { formatBytes } from '../tensor/numbers.ts';
import { noAugmentation } from './augment.ts';
import { choose } from './choice.ts';
import { type FileList, type Listing, listImages, takeFiles } from './class-folders.ts';
import { completeDataset, type Dataset, type DatasetOptions, isKnown, statedNormalisation } from './dataset.ts';
import type { Extent } from './framing.ts';
import { all, type Decoding, type FolderOptions, nameOfBad, pathOf, sourcesOf } from './image-sources.ts';
import { BadPicture, pictureSize } from './picture.ts';
import { sameExtent, usualShorterSide } from './view.ts';

/** Contents that the hash of a set covers whole, in bytes; of a larger set it covers some files, and all sizes. */
const HASHED = 2 ** 30;
/** Files that are looked into for the size of an image. */
const PROBED = 64;
const USUAL_SIZE = 224;
/** The share of them, of training and of test, that may have another size than all others. */
const FEW = 0.1;

/** Opens a folder of images by class. */
export async function openImageFolder(location: string, options: FolderOptions): Promise<Dataset> {
  const { tell } = options;
  const folder = resolve(location);
  const listed = listImages(folder, { testFolder: options.testFile, testLabels: options.testLabels });
  const { listing, note } = chosenOf(listed, location, options);
  const probe = await probeOf(listing, options);
  const decoding = decodingOf(probe, options);
  const { key, shared } = hashOf(listing, decoding, tell);
  const sources = await sourcesOf(listing, decoding, key, options);
  const { train, test, bad } = sources;
  const hash = bad.length === 0 ? key : sha256(key, ...bad);
  const { height, width, channels } = decoding.size;
  const { mean, deviation } = statedNormalisation(options, { channels, scale: 255 });
  const stated = mean && deviation && { mean, deviation };
  const measured = stated ?? (isKnown(hash, options.known) ? options.known : await sources.measure());
  const notes = [
    ...listing.notes,
    ...(note === undefined ? [] : [note]),
    ...(probe.sizes === undefined ? [] : [probe.sizes]),
    ...(decoding.asTheyAre
      ? []
      : [`shorter sides are resized to ${decoding.shorter} pixels, and the centre of ${height}×${width} is used`]),
    ...(bad.length === 0
      ? []
      : [
          `${bad.length} files cannot be decoded and are left out: ${bad.slice(0, 3).join(', ')}${bad.length > 3 ? ', …' : ''}`,
        ]),
    ...sharedNote(
      listing,
      shared.filter(({ test: number }) => !bad.includes(nameOfBad(1, listing.test.files[number]!))),
      test.count,
    ),
    ...sources.notes,
  ];
  const dataset = completeDataset(
    {
      ...{ height, width, channels, classes: listing.classNames.length, classNames: listing.classNames, scale: 255 },
      ...{ train, test, split: listing.split, labels: listing.labels, notes },
      name: 'images',
      location: `images:${location}`,
      augment: noAugmentation,
    },
    { ...measured, sha256: () => hash },
  );
  return bad.length === 0 ? dataset : { ...dataset, badImages: bad };
}

function chosenOf(listing: Listing, location: string, options: DatasetOptions) {
  const { train, test, classNames } = listing;
  const find = () => {
    const numbers = new Map<string, number | null>();
    const add = (name: string, k: number) => numbers.set(name, numbers.has(name) ? null : k);
    train.files.forEach((path, k) => {
      const parts = path.split('/');
      // Any end of the path that names one image alone.
      for (let from = 0; from < parts.length; from++) add(parts.slice(from).join('/'), k);
    });
    const numberOf = (text: string) => {
      const path = text.replaceAll('\\', '/');
      const parts = path.split('/');
      for (let from = 0; from < parts.length; from++) {
        const number = numbers.get(parts.slice(from).join('/'));
        if (number === undefined || number === null) continue;
        // What stands before that must not say another folder: dog/1.jpg is not cat/1.jpg.
        const whole = train.files[number]!;
        return from === 0 || path.endsWith(`/${whole}`) ? number : undefined;
      }
      return undefined;
    };
    // Behind a path may stand its class; a path may hold blanks and commas itself.
    return (line: string) => numberOf(line) ?? numberOf(line.split(/[\s,]/)[0]!);
  };
  const chosen = choose(
    {
      ...{ name: location, classes: classNames.length, classNames, train, test },
      ...(options.sampleList === undefined ? {} : { find: find() }),
    },
    options,
  );
  if (!chosen) return { listing, note: undefined };
  const take = (list: FileList, numbers: Int32Array): FileList => {
    const taken = takeFiles(list, numbers);
    return { ...taken, labels: taken.labels.map((label) => chosen.classOf[label]!) };
  };
  const kept = { train: take(train, chosen.train), test: take(test, chosen.test), classNames: chosen.classNames! };
  return { listing: { ...listing, ...kept }, note: chosen.note };
}

interface Probe {
  /** The size that nearly all files have that were looked into: the others are resized to it. */
  readonly uniform?: Extent;
  readonly channels: number;
  /** "files of 30×35 to 35×40 pixels", where they differ. */
  readonly sizes?: string;
}

async function probeOf({ train, test }: Listing, { image }: DatasetOptions): Promise<Probe> {
  const lookInto = async (list: FileList) => {
    const step = Math.max(1, Math.floor(list.files.length / PROBED));
    const paths = list.files.flatMap((_, k) => (k % step === 0 ? [pathOf(list, k)] : []));
    const found = await Promise.all(
      paths.map((path) =>
        pictureSize(path).catch((error: unknown) => {
          if (error instanceof BadPicture) return undefined;
          throw error;
        }),
      ),
    );
    return found.filter((size) => size !== undefined);
  };
  const parts = await Promise.all([train, test].map(lookInto));
  const sizes = parts.flat();
  const [first] = sizes;
  if (!first) {
    if (image) return { channels: image.channels };
    throw new UserError(`no image below ${train.root} can be decoded; the first is ${pathOf(train, 0)}`);
  }
  const channels = sizes.every((size) => size.channels === 1) ? 1 : 3;
  const others = (of: readonly Extent[], size: Extent): number => of.filter((one) => !sameExtent(one, size)).length;
  const { height, width } = sizes.reduce((usual, size) => (others(sizes, size) < others(sizes, usual) ? size : usual));
  const size = { height, width };
  // Where test images are of other sizes than training images, all are resized, so that both are seen alike.
  if (parts.every((part) => others(part, size) <= FEW * part.length)) {
    const odd = others(sizes, size);
    const counted = `${odd} of ${sizes.length} files that were looked into have another size than ${height}×${width} pixels`;
    return { channels, uniform: size, ...(odd > 0 && { sizes: counted }) };
  }
  const inOrder = sizes.toSorted((a, b) => a.height * a.width - b.height * b.width);
  const [least, most] = [inOrder[0]!, inOrder.at(-1)!].map(({ height, width }) => `${height}×${width}`);
  return { channels, sizes: `files of ${least} to ${most} pixels, of ${sizes.length} that were looked into` };
}

function decodingOf({ uniform, channels }: Probe, { image, resize, usualSize = USUAL_SIZE }: DatasetOptions): Decoding {
  const size = image ?? { ...(uniform ?? { height: usualSize, width: usualSize }), channels };
  if (size.channels !== 1 && size.channels !== 3) {
    throw new UserError(`--image has ${size.channels} channels; 1 (grey) or 3 (colour) were expected for image files`);
  }
  const least = Math.max(size.height, size.width);
  const shorter = resize ?? usualShorterSide(size);
  if (!(shorter >= least)) throw new UserError(`--resize is ${shorter}, less than the image's ${least} pixels`);
  // A shorter side that was asked for is that of all pictures.
  const asTheyAre = resize === undefined && uniform !== undefined && sameExtent(uniform, size);
  return { size, shorter, asTheyAre };
}

/** A test image, and a training image that is the same file. */
interface Shared {
  readonly test: number;
  readonly train: number;
}

/**
 * What a run can see of the files: names, classes, sizes and contents, and how they are decoded. Of more than HASHED
 * bytes the contents are covered that evenly spaced files hold. And the test images whose contents, as far as they
 * were looked at, a training image has too.
 */
function hashOf(
  { classNames, train, test }: Listing,
  { size, shorter, asTheyAre }: Decoding,
  tell: DatasetOptions['tell'],
): { readonly key: string; readonly shared: readonly Shared[] } {
  const lists = [train, test].map((list) => {
    const sizes = list.files.map((_, k) => statOf(pathOf(list, k))?.size ?? 0);
    return { list, sizes };
  });
  const total = lists.reduce((sum, { sizes }) => sizes.reduce((a, b) => a + b, sum), 0);
  const every = Math.ceil(total / HASHED);
  if (every > 1)
    tell?.(
      `the images are ${formatBytes(total)}: one in ${every} is covered by the data set's hash, and the sizes of all`,
    );
  const { height, width, channels } = size;
  const hashed = lists.map(({ list, sizes }) => {
    const numbers = all(list).filter((k) => k % every === 0 && sizes[k]! > 0);
    return numbers.map((number) => ({ number, ...contentOf(pathOf(list, number)) }));
  });
  const facts = lists.flatMap(({ list, sizes }, k) => [
    list.files.map((name, at) => `${name}\n${list.labels[at]} ${sizes[at]}`).join('\n'),
    ...hashed[k]!.map(({ hash }) => hash),
  ]);
  const [trained, tested] = hashed.map((list) => list.filter(({ isRead }) => isRead));
  const inTraining = new Map(trained!.map(({ hash, number }) => [hash, number]));
  return {
    key: sha256(JSON.stringify(['images 2', height, width, channels, shorter, asTheyAre, classNames]), ...facts),
    shared: tested!.flatMap(({ number, hash }) => {
      const same = inTraining.get(hash);
      return same === undefined ? [] : [{ test: number, train: same }];
    }),
  };
}

/** Accuracy on images that were trained on tells nothing: whoever has them has to know. */
function sharedNote({ train, test }: Listing, shared: readonly Shared[], tested: number): string[] {
  const [first] = shared;
  if (!first) return [];
  const otherwise = shared.filter((one) => test.labels[one.test] !== train.labels[one.train]).length;
  const classes = otherwise > 0 ? `, ${otherwise} of them in another class` : '';
  return [
    `${shared.length} of ${tested} test images are training images too${classes}: ${test.files[first.test]} is ${train.files[first.train]}`,
  ];
}

function contentOf(path: string): { readonly hash: string; readonly isRead: boolean } {
  try {
    return { hash: sha256(readBytes(path)), isRead: true };
  } catch (error) {
    // A folder with the name of an image, a file without permission: named when it is decoded.
    return { hash: (error as Error).name, isRead: false };
  }
}
