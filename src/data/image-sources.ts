// The images of a data set of files, in one of three ways: decoded once into memory where all together are small, read
// from a cache of decoded pictures, or decoded when a batch asks for them.
// Invariant: a batch depends on its selection alone, whichever of the three ways its images are had; a file that cannot
// be decoded is named, and left out only where the user said so, before anything is trained on.

import { join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { copyShifted, drawShift } from './augment.ts';
import { type FileList, type Listing, takeFiles } from './class-folders.ts';
import { type DatasetOptions, isKnown, type Normalisation, RawHistogram } from './dataset.ts';
import { drawFrame, type Extent, resizedTo } from './framing.ts';
import type { ImageSize } from './image.ts';
import { type ImageSplit, memorySplit, streamedSplit } from './image-split.ts';
import { BadPicture, decodeWhole, pictureSize, readPicture, viewOfRaw } from './picture.ts';
import { DamagedCopy, PictureCache } from './picture-cache.ts';
import type { Selection } from './split.ts';
import { bytesOf, centredView, framedView, sameExtent, unlessSized, type ViewOf } from './view.ts';

/** Decoded images of both splits that are kept in memory, in bytes. */
const KEPT = 2 ** 30;
/** Images that mean and deviation are measured on, at most. */
const MEASURED = 50_000;

/** The path of a file of a list. */
export const pathOf = ({ root, files }: FileList, number: number): string => join(root, files[number]!);

/** How a network's image is had of a file. */
export interface Decoding {
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

export interface FolderOptions extends DatasetOptions {
  /** Bytes of decoded images that are kept in memory at most; default 1 GiB. */
  readonly inMemory?: number;
}

/** Both splits, what was left out of them, and how their normalisation is measured. */
export interface Sources {
  readonly train: ImageSplit;
  readonly test: ImageSplit;
  readonly bad: readonly string[];
  readonly notes: readonly string[];
  readonly measure: () => Promise<Normalisation>;
}

/** Both splits, decoded in the way that suits their size. */
export function sourcesOf(listing: Listing, decoding: Decoding, key: string, options: FolderOptions): Promise<Sources> {
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

/** The numbers of a list's files. */
export const all = ({ files }: FileList): number[] => files.map((_, k) => k);

/** How a bad file is remembered, wherever the data lie: "train/cat/1.jpg". */
export const nameOfBad = (split: number, file: string): string => `${split === 0 ? 'train' : 'test'}/${file}`;

/** What was found bad in the training images and in the test images. */
interface Looked {
  readonly list: FileList;
  readonly bad: ReadonlyMap<number, string>;
}

/** Names of bad files; a UserError where they are not to be left out. */
function judged(looked: readonly Looked[], { badImages = 'refuse', tell, tellBad }: DatasetOptions): string[] {
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
  for (const { name, reason } of found) tellBad?.(name, reason);
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
  const reasons = new Map<number, string>();
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
        reasons.set(number, error.message);
        return undefined;
      }
    },
  });
  for (let number = 0; number < count; number++) {
    if (!cache.isMissing(number)) continue;
    const reason = reasons.get(number) ?? 'it could not be decoded when the cache was made';
    bad[number < trained ? 0 : 1]!.set(placeOf(number).at, reason);
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
