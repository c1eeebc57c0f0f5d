// A data set of image files: listed, chosen from, decoded. Where all images together are small they are decoded once
// into memory; otherwise each batch decodes its own, or reads it from a cache of decoded pictures.
// Invariant: a batch depends on its selection alone, whichever of the three ways its images are had; a file that cannot
// be decoded is named, and left out only where the user said so, before anything is trained on.

import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { readBytes, sha256 } from '../tensor/files.ts';
import { formatBytes } from '../tensor/numbers.ts';
import { copyShifted, drawShift, noAugmentation } from './augment.ts';
import { choose } from './choice.ts';
import { type FileList, type Listing, listImages, takeFiles } from './class-folders.ts';
import {
  completeDataset,
  type Dataset,
  type DatasetOptions,
  isKnown,
  type Normalisation,
  RawHistogram,
  statedNormalisation,
} from './dataset.ts';
import { drawFrame, type Extent, resizedTo } from './framing.ts';
import type { ImageSize } from './image.ts';
import { type ImageSplit, memorySplit, streamedSplit } from './image-split.ts';
import { BadPicture, decodeWhole, pictureSize, readPicture, viewOfRaw } from './picture.ts';
import { DamagedCopy, PictureCache } from './picture-cache.ts';
import type { Selection } from './split.ts';
import { bytesOf, centredView, framedView, sameExtent, unlessSized, usualShorterSide, type ViewOf } from './view.ts';

/** Decoded images of both splits that are kept in memory, in bytes. */
const KEPT = 2 ** 30;
/** Contents that the hash of a set covers whole, in bytes; of a larger set it covers some files, and all sizes. */
const HASHED = 2 ** 30;
/** Files that are looked into for the size of an image. */
const PROBED = 64;
/** Images that mean and deviation are measured on, at most. */
const MEASURED = 50_000;
const USUAL_SIZE = 224;

const pathOf = ({ root, files }: FileList, number: number): string => join(root, files[number]!);

/** How a network's image is had of a file. */
interface Decoding {
  readonly size: ImageSize;
  /** The shorter side before the centre is cut out. */
  readonly shorter: number;
  /** Whether pictures that have the image's size already are taken as they are, rather than resized as all others. */
  readonly asTheyAre: boolean;
}

/** What of a picture is seen in evaluation. */
const middleOf = ({ size, shorter, asTheyAre }: Decoding): ViewOf =>
  asTheyAre ? unlessSized(size, centredView(size, shorter)) : centredView(size, shorter);

/** What is to be seen of an image. */
interface Sight {
  readonly viewOf: ViewOf;
  /** dy, dx, and 1 where it is mirrored (augment.ts). */
  readonly shift?: Int32Array;
}

interface FolderOptions extends DatasetOptions {
  /** Bytes of decoded images that are kept in memory at most; default 1 GiB. */
  readonly inMemory?: number;
}

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
  /** The size that all files that were looked into have. */
  readonly uniform?: Extent;
  readonly channels: number;
  /** "files of 30×35 to 35×40 pixels", where they differ. */
  readonly sizes?: string;
}

async function probeOf({ train, test }: Listing, { image }: DatasetOptions): Promise<Probe> {
  const paths = [train, test].flatMap((list) => {
    const step = Math.max(1, Math.floor(list.files.length / PROBED));
    return list.files.flatMap((_, k) => (k % step === 0 ? [pathOf(list, k)] : []));
  });
  const sizes = (
    await Promise.all(
      paths.map((path) =>
        pictureSize(path).catch((error: unknown) => {
          if (error instanceof BadPicture) return undefined;
          throw error;
        }),
      ),
    )
  ).filter((size) => size !== undefined);
  const [first] = sizes;
  if (!first) {
    if (image) return { channels: image.channels };
    throw new UserError(`no image below ${train.root} can be decoded; the first is ${paths[0]}`);
  }
  const channels = sizes.every((size) => size.channels === 1) ? 1 : 3;
  if (sizes.every((size) => sameExtent(size, first))) {
    return { channels, uniform: { height: first.height, width: first.width } };
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
    const sizes = list.files.map((_, k) => statSync(pathOf(list, k), { throwIfNoEntry: false })?.size ?? 0);
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

interface Sources {
  readonly train: ImageSplit;
  readonly test: ImageSplit;
  readonly bad: readonly string[];
  readonly notes: readonly string[];
  readonly measure: () => Promise<Normalisation>;
}

/** Both splits, decoded in the way that suits their size. */
async function sourcesOf(listing: Listing, decoding: Decoding, key: string, options: FolderOptions): Promise<Sources> {
  const { train, test } = listing;
  const { size } = decoding;
  const total = (train.files.length + test.files.length) * bytesOf(size);
  if (options.imageCache !== undefined) return cached(listing, decoding, key, options.imageCache, options);
  return total <= (options.inMemory ?? KEPT)
    ? inMemory(listing, decoding, options)
    : onDemand(listing, decoding, key, options);
}

/** Decodes images one after another, some side by side; those that cannot be are told by name. */
async function eachImage(
  list: FileList,
  numbers: readonly number[],
  read: (number: number) => Promise<void>,
  tell: DatasetOptions['tell'],
): Promise<Map<number, string>> {
  const bad = new Map<number, string>();
  let next = 0;
  let done = 0;
  let told = Date.now();
  const worker = async () => {
    while (next < numbers.length) {
      const number = numbers[next++]!;
      try {
        await read(number);
      } catch (error) {
        if (error instanceof DamagedCopy) {
          throw new UserError(`cannot read the image ${pathOf(list, number)}: ${error.message}`);
        }
        if (!(error instanceof BadPicture)) throw error;
        bad.set(number, error.message);
      }
      done++;
      if (Date.now() - told < SILENCE) continue;
      told = Date.now();
      tell?.(`decoded ${done} of ${numbers.length} images in ${list.root}`);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
  return new Map([...bad].sort(([a], [b]) => a - b));
}

const SIDE_BY_SIDE = 8;
/** Milliseconds between words about progress. */
const SILENCE = 5000;

const all = ({ files }: FileList): number[] => files.map((_, k) => k);

/** How a bad file is remembered, wherever the data lie: "train/cat/1.jpg". */
const nameOfBad = (split: number, file: string): string => `${split === 0 ? 'train' : 'test'}/${file}`;

/** What was found bad in the training images and in the test images. */
interface Looked {
  readonly list: FileList;
  readonly bad: ReadonlyMap<number, string>;
}

/** Names of bad files; a UserError where they are not to be left out. */
function judged(looked: readonly Looked[], { badImages = 'refuse', tell }: DatasetOptions): string[] {
  const found = looked.flatMap(({ list, bad }, split) =>
    [...bad].map(([k, reason]) => ({
      ...{ path: pathOf(list, k), reason },
      name: nameOfBad(split, list.files[k]!),
    })),
  );
  if (found.length > 0 && badImages === 'refuse') {
    const [first, second] = found.map(({ path, reason }) => `${path} (${reason})`);
    const count = looked.reduce((sum, { list }) => sum + list.files.length, 0);
    const shown = [first, ...(second ? [second] : []), ...(found.length > 2 ? [`and ${found.length - 2} more`] : [])];
    throw new UserError(
      `${found.length} of ${count} images cannot be decoded: ${shown.join(', ')}; --bad-images skip leaves them out`,
    );
  }
  for (const { path, reason } of found.slice(0, MOST_TOLD)) tell?.(`${path} cannot be decoded: ${reason}`);
  return found.map(({ name }) => name);
}

/** Bad files that are told one by one. */
const MOST_TOLD = 50;

async function inMemory({ train, test }: Listing, decoding: Decoding, options: DatasetOptions): Promise<Sources> {
  const { size } = decoding;
  const length = bytesOf(size);
  const view = middleOf(decoding);
  const decoded = await Promise.all(
    [train, test].map(async (list) => {
      const images = new Uint8Array(list.files.length * length);
      const read = (k: number) =>
        readPicture(pathOf(list, k), view, size, images.subarray(k * length, (k + 1) * length));
      return { list, images, bad: await eachImage(list, all(list), read, options.tell) };
    }),
  );
  const bad = judged(decoded, options);
  const splits = decoded.map(({ list, images, bad: left }) => {
    const kept = all(list).filter((k) => !left.has(k));
    const files = takeFiles(list, kept);
    const pixels = left.size === 0 ? images : new Uint8Array(kept.length * length);
    if (left.size > 0) {
      kept.forEach((k, at) => void pixels.set(images.subarray(k * length, (k + 1) * length), at * length));
    }
    const split = memorySplit({ count: kept.length, images: pixels, labels: files.labels }, size);
    const pictures = streamedFiles(files, decoding, fileReader(files, size));
    // What is kept is the middle; a random box may lie outside of it.
    const read: ImageSplit['read'] = (selection, rows, signal) =>
      (seesBoxes(selection.augmentation) ? pictures : split).read(selection, rows, signal);
    return { ...split, read };
  });
  return {
    ...{ train: splits[0]!, test: splits[1]!, bad, notes: [] },
    measure: async () => {
      const histogram = new RawHistogram(size.channels);
      histogram.add(splits[0]!.images);
      return histogram.normalisation(255);
    },
  };
}

type ReadSight = (number: number, viewOf: ViewOf, target: Uint8Array) => Promise<void>;

/** Whether random boxes are seen, which are taken of the pictures themselves. */
const seesBoxes = (augmentation: Selection['augmentation']): boolean => (augmentation?.options.resizedCrop ?? 0) > 0;

function sightOf(augmentation: Selection['augmentation'], decoding: Decoding): Sight {
  if (!augmentation) return { viewOf: middleOf(decoding) };
  const { options, random } = augmentation;
  const shift = new Int32Array(3);
  if (!seesBoxes(augmentation)) {
    drawShift(shift, 0, options, random);
    return { viewOf: middleOf(decoding), shift };
  }
  const frame = drawFrame(augmentation)!;
  drawShift(shift, 0, { ...options, flip: false }, random);
  shift[2] = frame.mirrored ? 1 : 0;
  return { viewOf: framedView(decoding.size, frame, options.resizedCrop!), shift };
}

function streamedFiles(list: FileList, decoding: Decoding, read: ReadSight): ImageSplit {
  return streamedSplit<Sight>(
    {
      labels: list.labels,
      nameOf: (number) => pathOf(list, number),
      draw: (augmentation) => sightOf(augmentation, decoding),
      read: async (number, { viewOf, shift }, target, signal) => {
        signal.throwIfAborted();
        const image = shift ? new Uint8Array(target.length) : target;
        await read(number, viewOf, image).catch((error: unknown) => {
          if (!(error instanceof BadPicture)) throw error;
          throw new Error(`${error.message}; --bad-images skip leaves such files out`);
        });
        if (shift) copyShifted(image, 0, target, 0, decoding.size, shift[0]!, shift[1]!, shift[2] === 1);
      },
    },
    decoding.size,
  );
}

const fileReader =
  (list: FileList, size: ImageSize): ReadSight =>
  (number, viewOf, target) =>
    readPicture(pathOf(list, number), viewOf, size, target);

/** Normalisation over training images that are read one by one: all, or an even share of many. */
async function measured(
  list: FileList,
  decoding: Decoding,
  read: ReadSight,
  tell: DatasetOptions['tell'],
): Promise<Normalisation> {
  const histogram = new RawHistogram(decoding.size.channels);
  const view = middleOf(decoding);
  const every = Math.ceil(list.files.length / MEASURED);
  const one = async (number: number) => {
    const image = new Uint8Array(bytesOf(decoding.size));
    await read(number, view, image);
    histogram.add(image);
  };
  const bad = await eachImage(
    list,
    all(list).filter((k) => k % every === 0),
    one,
    tell,
  );
  for (const [number, reason] of bad) throw badOne(list, number, reason);
  return histogram.normalisation(255);
}

function badOne(list: FileList, number: number, reason: string): UserError {
  return new UserError(
    `cannot read the image ${pathOf(list, number)}: ${reason}; --bad-images skip leaves such files out`,
  );
}

async function onDemand(listing: Listing, decoding: Decoding, key: string, options: DatasetOptions): Promise<Sources> {
  const { size } = decoding;
  const lists = [listing.train, listing.test];
  const reader = (list: FileList) => fileReader(list, size);
  const [kept, bad] = options.badImages === 'skip' ? await sifted(lists, decoding, key, options) : [lists, []];
  const [train, test] = kept as [FileList, FileList];
  return {
    train: streamedFiles(train, decoding, reader(train)),
    test: streamedFiles(test, decoding, reader(test)),
    bad,
    notes: ['images are decoded when a batch asks for them (--image-cache DIR keeps them decoded)'],
    measure: () => measured(train, decoding, reader(train), options.tell),
  };
}

/** The lists without files that cannot be decoded; what is known to be bad is not looked for again. */
async function sifted(
  lists: readonly FileList[],
  decoding: Decoding,
  key: string,
  options: DatasetOptions,
): Promise<[FileList[], string[]]> {
  const without = (bad: ReadonlySet<string>) =>
    lists.map((list, split) =>
      takeFiles(
        list,
        all(list).filter((k) => !bad.has(nameOfBad(split, list.files[k]!))),
      ),
    );
  const { known, tell } = options;
  const told = known?.badImages ?? [];
  if (isKnown(told.length === 0 ? key : sha256(key, ...told), known)) return [without(new Set(told)), [...told]];
  const { size } = decoding;
  const view = middleOf(decoding);
  const image = new Uint8Array(bytesOf(size));
  const looked = [];
  for (const list of lists) {
    looked.push({
      list,
      bad: await eachImage(list, all(list), (k) => readPicture(pathOf(list, k), view, size, image), tell),
    });
  }
  const bad = judged(looked, options);
  return [without(new Set(bad)), bad];
}

/** Pictures are kept with their shorter side resized, so that any part of them can still be seen. */
async function cached(
  listing: Listing,
  decoding: Decoding,
  key: string,
  folder: string,
  options: DatasetOptions,
): Promise<Sources> {
  const { size, shorter, asTheyAre } = decoding;
  const resizedOf = (picture: Extent) =>
    asTheyAre && sameExtent(picture, size) ? picture : resizedTo(picture, shorter);
  const { train, test } = listing;
  const trained = train.files.length;
  const count = trained + test.files.length;
  const placeOf = (number: number) =>
    number < trained ? ({ list: train, at: number } as const) : ({ list: test, at: number - trained } as const);
  const bad = [new Map<number, string>(), new Map<number, string>()];
  const cache = await PictureCache.open({
    ...{ folder, key, count, channels: size.channels, tell: options.tell },
    expectedBytes: count * (await typicalBytes(train, resizedOf, size)),
    decode: async (number) => {
      const { list, at } = placeOf(number);
      try {
        return await decodeWhole(pathOf(list, at), resizedOf, size.channels);
      } catch (error) {
        if (!(error instanceof BadPicture)) throw error;
        if (options.badImages !== 'skip') throw badOne(list, at, error.message);
        return undefined;
      }
    },
  });
  for (let number = 0; number < count; number++) {
    if (cache.isMissing(number)) bad[number < trained ? 0 : 1]!.set(placeOf(number).at, 'it could not be decoded');
  }
  const left = judged(
    [
      { list: train, bad: bad[0]! },
      { list: test, bad: bad[1]! },
    ],
    options,
  );
  const [keptTrain, keptTest] = [train, test].map((list, k) => all(list).filter((at) => !bad[k]!.has(at))) as [
    number[],
    number[],
  ];
  const reader =
    (numbers: readonly number[], first: number): ReadSight =>
    async (number, viewOf, target) => {
      const { extent, pixels } = await cache.read(first + numbers[number]!);
      await viewOfRaw(pixels, extent, viewOf, size, target);
    };
  const lists = [takeFiles(train, keptTrain), takeFiles(test, keptTest)] as const;
  const read = [reader(keptTrain, 0), reader(keptTest, trained)] as const;
  return {
    train: streamedFiles(lists[0], decoding, read[0]),
    test: streamedFiles(lists[1], decoding, read[1]),
    bad: left,
    notes: [`decoded images are kept in ${folder}`],
    measure: () => measured(lists[0], decoding, read[0], options.tell),
  };
}

/** Bytes of a kept picture, as the first few files have them. */
async function typicalBytes(
  list: FileList,
  resizedOf: (picture: Extent) => Extent,
  { channels }: ImageSize,
): Promise<number> {
  const some = list.files.slice(0, 16).map((_, k) => pictureSize(pathOf(list, k)).catch(() => undefined));
  const sizes = (await Promise.all(some)).flatMap((size) => (size ? [resizedOf(size)] : []));
  const pixels = sizes.reduce((sum, { height, width }) => sum + height * width, 0) / Math.max(1, sizes.length);
  return pixels * channels;
}
