// Decoded pictures in files, so that a large set is decoded once: parts of a few hundred pictures each, every one with
// its size and a checksum in the head of its part. A part is written whole or not at all, so that whoever was
// interrupted goes on with the next; a picture whose checksum does not hold is refused when it is read.
// A cache belongs to one list of files and one way of decoding (its key); another has another folder.

import { type FileHandle, open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { UserError } from '../tensor/errors.ts';
import { makeFolder, writeFileAtomic } from '../tensor/files.ts';
import { formatBytes } from '../tensor/numbers.ts';
import type { Extent } from './framing.ts';

/** Pictures in a part. */
const PART = 256;
const MAGIC = 0x5452414d;
const VERSION = 1;
/** Magic, version, pictures, channels; then height, width and checksum of each. */
const FIELDS = 4;
const headLength = (count: number): number => 4 * (FIELDS + 3 * count);

/** What is kept of a picture is not what was written; the picture itself may be well. */
export class DamagedCopy extends Error {}

export interface Decoded {
  readonly extent: Extent;
  readonly pixels: Uint8Array;
}

interface Place extends Extent {
  readonly part: string;
  readonly offset: number;
  readonly checksum: number;
}

export interface CacheOptions {
  /** The folder that the caches are in; this one is a folder of it. */
  readonly folder: string;
  /** Names what is decoded, and how. */
  readonly key: string;
  readonly count: number;
  readonly channels: number;
  /** Bytes that are expected, for the check of the disk. */
  readonly expectedBytes: number;
  /** Decodes a picture; undefined for one that is left out. */
  readonly decode: (number: number) => Promise<Decoded | undefined>;
  readonly tell?: ((text: string) => void) | undefined;
}

export class PictureCache {
  readonly #places: readonly (Place | undefined)[];
  readonly #channels: number;

  private constructor(places: readonly (Place | undefined)[], channels: number) {
    this.#places = places;
    this.#channels = channels;
  }

  /** Opens a cache, decoding what it lacks. Throws a UserError where the disk has no room for it. */
  static async open(options: CacheOptions): Promise<PictureCache> {
    const { count, channels, tell, expectedBytes } = options;
    const folder = join(options.folder, options.key.slice(0, 16));
    const parts = Array.from({ length: Math.ceil(count / PART) }, (_, part) => {
      const first = part * PART;
      return {
        first,
        count: Math.min(PART, count - first),
        path: join(folder, `part-${String(part).padStart(6, '0')}.raw`),
      };
    });
    const heads = await Promise.all(parts.map((part) => readHead(part.path, part.count, channels)));
    const missing = parts.filter((_, k) => !heads[k]);
    if (missing.length > 0) {
      makeFolder(folder);
      const bytes = (expectedBytes * missing.length) / parts.length;
      const { bavail, bsize } = await statfs(folder);
      const text = `${missing.reduce((sum, part) => sum + part.count, 0)} pictures, about ${formatBytes(bytes)}, into ${folder}`;
      if (bytes > bavail * bsize) {
        throw new UserError(
          `cannot cache ${text}: the disk has ${formatBytes(bavail * bsize)} free; free some, name another folder with --image-cache, or leave it out`,
        );
      }
      tell?.(`decoding ${text}`);
    }
    const places: (Place | undefined)[] = [];
    for (const [k, part] of parts.entries()) {
      places.push(...(heads[k] ?? (await writePart(part, options))));
    }
    return new PictureCache(places, channels);
  }

  /** Whether a picture was left out. */
  isMissing(number: number): boolean {
    return this.#places[number] === undefined;
  }

  /** A picture, [height, width, channels]. Throws DamagedCopy where what is there is not what was written. */
  async read(number: number): Promise<Decoded> {
    const { part, offset, height, width, checksum } = this.#places[number]!;
    const pixels = new Uint8Array(height * width * this.#channels);
    const file = await open(part, 'r');
    try {
      await readWhole(file, pixels, offset, part);
    } finally {
      await file.close();
    }
    if (crc32(pixels) !== checksum) {
      throw new DamagedCopy(`its copy in ${part} is damaged; remove that file, and it is made again`);
    }
    return { extent: { height, width }, pixels };
  }
}

async function readWhole(file: FileHandle, into: Uint8Array, offset: number, path: string): Promise<void> {
  for (let read = 0; read < into.length; ) {
    const { bytesRead } = await file.read(into, read, into.length - read, offset + read);
    if (bytesRead === 0) throw new DamagedCopy(`${path} ends too early; remove it, and it is made again`);
    read += bytesRead;
  }
}

/** The places of a part's pictures; undefined where the part is not there, or is not whole. */
async function readHead(path: string, count: number, channels: number): Promise<(Place | undefined)[] | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return undefined;
  try {
    const head = new Uint8Array(headLength(count));
    const { size } = await file.stat();
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    const view = new DataView(head.buffer);
    const fields = [MAGIC, VERSION, count, channels];
    if (bytesRead < head.length || fields.some((field, k) => view.getUint32(4 * k, true) !== field)) return undefined;
    const { places, end } = placesOf(path, view, count, channels);
    return end === size ? places : undefined;
  } finally {
    await file.close();
  }
}

function placesOf(part: string, view: DataView, count: number, channels: number) {
  let end = headLength(count);
  const places = Array.from({ length: count }, (_, k) => {
    const [height, width, checksum] = [0, 1, 2].map((field) => view.getUint32(4 * (FIELDS + 3 * k + field), true));
    const place = { part, offset: end, height: height!, width: width!, checksum: checksum! };
    end += height! * width! * channels;
    return height === 0 ? undefined : place;
  });
  return { places, end };
}

async function writePart(
  { first, count, path }: { readonly first: number; readonly count: number; readonly path: string },
  { decode, channels }: CacheOptions,
): Promise<(Place | undefined)[]> {
  const pictures = await Promise.all(Array.from({ length: count }, (_, k) => decode(first + k)));
  const length = pictures.reduce((sum, picture) => sum + (picture?.pixels.length ?? 0), headLength(count));
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  [MAGIC, VERSION, count, channels].forEach((field, k) => void view.setUint32(4 * k, field, true));
  let at = headLength(count);
  pictures.forEach((picture, k) => {
    if (!picture) return;
    const { extent, pixels } = picture;
    [extent.height, extent.width, crc32(pixels)].forEach((field, j) => {
      view.setUint32(4 * (FIELDS + 3 * k + j), field, true);
    });
    bytes.set(pixels, at);
    at += pixels.length;
  });
  writeFileAtomic(path, bytes);
  return placesOf(path, view, count, channels).places;
}
