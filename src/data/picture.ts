// PNG, JPEG and WebP files decoded to raw 8-bit images of the wanted size and channels, by sharp (libvips).
// Invariant: a picture is decoded whole or refused with the decoder's reason; what is damaged never becomes black or
// grey pixels. Pixels are those that Python's PIL gives with convert('RGB') or convert('L'): turned upright by EXIF,
// alpha and colour profiles ignored, the high byte of 16 bits.
// Decoding runs on the threads of Node's own pool; a few jobs at a time, so that others of the pool get their turn.

import { readFile } from 'node:fs/promises';
import type { Sharp, SharpOptions } from 'sharp';
import { UserError } from '../tensor/errors.ts';
import { fileError } from '../tensor/files.ts';
import type { Extent } from './framing.ts';
import type { ImageSize } from './image.ts';
import type { ViewOf } from './view.ts';

type Decoder = (input: Uint8Array, options: SharpOptions) => Sharp;

/** The largest picture that is decoded, in pixels; a file may claim any size. */
const MOST_PIXELS = 2 ** 28;
const FORMATS = ['jpeg', 'png', 'webp'];

/** A file that cannot be used as a picture, and why: the user chooses what becomes of it. */
export class BadPicture extends Error {}

let loading: Promise<Decoder> | undefined;

/** Loads the decoder, once. Throws a UserError that says what to install where it cannot be loaded. */
function decoder(): Promise<Decoder> {
  loading ??= import('sharp').then(
    ({ default: sharp }) => {
      // Pictures are decoded side by side; a thread each is most of what can be had.
      sharp.concurrency(1);
      sharp.cache(false);
      return sharp as Decoder;
    },
    (error: unknown) => {
      loading = undefined;
      throw new UserError(
        `PNG, JPEG and WebP files are decoded by the package sharp, which cannot be loaded here (${(error as Error).message.split('\n')[0]}); npm install --include=optional sharp@0.35.5`,
      );
    },
  );
  return loading;
}

/** Threads of Node's pool, less one for files and devices. */
const atOnce = Math.max(1, Number(process.env.UV_THREADPOOL_SIZE || 4) - 1);
let running = 0;
let isAlone = false;
const waiting: { readonly go: () => void; readonly alone: boolean }[] = [];

function letGo(): void {
  for (let [first] = waiting; first && !isAlone && running < (first.alone ? 1 : atOnce); [first] = waiting) {
    waiting.shift();
    running++;
    isAlone = first.alone;
    first.go();
  }
}

/** Runs a job when fewer than `atOnce` others run, or none. */
async function inTurn<Result>(job: () => Promise<Result>, alone: boolean): Promise<Result> {
  await new Promise<void>((go) => {
    waiting.push({ go, alone });
    letGo();
  });
  try {
    return await job();
  } finally {
    running--;
    if (alone) isAlone = false;
    letGo();
  }
}

/** Decodes; where that fails once more, alone: the decoder has one text of errors for all threads. */
async function decoding<Result>(job: () => Promise<Result>): Promise<Result> {
  try {
    return await inTurn(job, false);
  } catch (error) {
    if (!(error instanceof BadPicture)) throw error;
    return await inTurn(job, true);
  }
}

const options: SharpOptions = { failOn: 'warning', limitInputPixels: MOST_PIXELS, ignoreIcc: true };

/** Decodes the view of a file into `target`, [height, width, channels]. Throws BadPicture with the reason. */
export async function readPicture(path: string, viewOf: ViewOf, size: ImageSize, target: Uint8Array): Promise<void> {
  const sharp = await decoder();
  await decoding(async () => toSize(sharp, await contentOf(path), viewOf, size, target));
}

/** The size of a picture, upright, and its channels: 1 for grey ones, else 3. Throws BadPicture with the reason. */
export async function pictureSize(path: string): Promise<ImageSize> {
  const sharp = await decoder();
  return decoding(async () => {
    const { extent, isGrey } = await headerOf(sharp, await contentOf(path));
    return { ...extent, channels: isGrey ? 1 : 3 };
  });
}

/** The whole picture as it is stored in a cache: its shorter side resized, [height, width, channels]. */
export async function decodeWhole(
  path: string,
  resizedOf: (picture: Extent) => Extent,
  channels: number,
): Promise<{ readonly extent: Extent; readonly pixels: Uint8Array }> {
  const sharp = await decoder();
  return decoding(async () => {
    const bytes = await contentOf(path);
    const { extent } = await headerOf(sharp, bytes);
    const resized = resizedOf(extent);
    const pixels = new Uint8Array(resized.height * resized.width * channels);
    const view: ViewOf = () => ({ resized, crop: { top: 0, left: 0 } });
    await toSize(sharp, bytes, view, { ...resized, channels }, pixels);
    return { extent: resized, pixels };
  });
}

/** The view of raw pixels, [height, width, channels], into `target`; exact where nothing is resized. */
export async function viewOfRaw(
  pixels: Uint8Array,
  extent: Extent,
  viewOf: ViewOf,
  size: ImageSize,
  target: Uint8Array,
): Promise<void> {
  const view = viewOf(extent);
  const { channels } = size;
  const part = view.part ?? { top: 0, left: 0, ...extent };
  if (part.height === view.resized.height && part.width === view.resized.width) {
    for (let y = 0; y < size.height; y++) {
      const from = ((part.top + view.crop.top + y) * extent.width + part.left + view.crop.left) * channels;
      target.set(pixels.subarray(from, from + size.width * channels), y * size.width * channels);
    }
    return;
  }
  const sharp = await decoder();
  const raw = { ...extent, channels: channels as 1 | 3 };
  await decoding(async () => {
    const image = sharp(pixels, { ...options, raw });
    copyPixels(await viewed(image, extent, viewOf, size).raw().toBuffer(), size, target);
  });
}

async function contentOf(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > 0) return bytes;
  } catch (error) {
    throw new BadPicture(fileError('read', path, error).message.replace(`cannot read ${path}: `, ''));
  }
  throw new BadPicture('the file is empty');
}

async function headerOf(sharp: Decoder, bytes: Uint8Array) {
  const header = await attempt(() => sharp(bytes, options).metadata());
  if (!FORMATS.includes(header.format)) throw new BadPicture(`it is ${header.format}, not PNG, JPEG or WebP`);
  const { width, height } = header.autoOrient;
  if (width * height > MOST_PIXELS) throw new BadPicture(`it has ${width}×${height} pixels, too many to decode`);
  const isGrey = header.space === 'b-w' || header.space === 'grey16';
  return { extent: { height, width }, isGrey, hasAlpha: header.hasAlpha };
}

async function attempt<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw new BadPicture((error as Error).message.split('\n')[0]!.replace(/^Vips(\w+): /, '$1: '));
  }
}

async function toSize(
  sharp: Decoder,
  bytes: Uint8Array,
  viewOf: ViewOf,
  size: ImageSize,
  target: Uint8Array,
): Promise<void> {
  const { extent, hasAlpha } = await headerOf(sharp, bytes);
  // Resizing weighs colours with alpha; taking alpha away first keeps the colours as they are stored.
  const opaque = async () => {
    const upright = sharp(bytes, options).autoOrient().toColourspace('srgb').removeAlpha();
    const { data, info } = await upright.raw().toBuffer({ resolveWithObject: true });
    return sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
  };
  const pixels = await attempt(async () => {
    const upright = hasAlpha ? await opaque() : sharp(bytes, options).autoOrient();
    return viewed(upright, extent, viewOf, size).toColourspace('srgb').raw().toBuffer();
  });
  copyPixels(pixels, size, target);
}

function viewed(image: Sharp, extent: Extent, viewOf: ViewOf, { height, width }: Extent): Sharp {
  const { part, resized, crop } = viewOf(extent);
  const taken = part ? image.extract(part) : image;
  const from = part ?? extent;
  const isResized = from.height !== resized.height || from.width !== resized.width;
  // The triangle kernel, widened where the picture shrinks: bilinear with antialiasing, as torchvision's.
  const sized = isResized ? taken.resize({ ...resized, fit: 'fill', kernel: 'linear' }) : taken;
  return resized.height === height && resized.width === width ? sized : sized.extract({ ...crop, height, width });
}

/** Decoded pixels, of three channels or one, as those of the wanted channels. */
function copyPixels(pixels: Uint8Array, { height, width, channels }: ImageSize, target: Uint8Array): void {
  const count = height * width;
  const found = pixels.length / count;
  if (found === channels) target.set(pixels);
  else if (channels === 1 && found === 3) {
    for (let k = 0; k < count; k++) target[k] = luma(pixels[3 * k]!, pixels[3 * k + 1]!, pixels[3 * k + 2]!);
  } else if (channels === 3 && found === 1) {
    for (let k = 0; k < count; k++) target.fill(pixels[k]!, 3 * k, 3 * k + 3);
  } else throw new BadPicture(`it was decoded to ${found} channels`);
}

/** ITU-R 601-2 luma in 16 bits, as PIL computes it. */
function luma(red: number, green: number, blue: number): number {
  return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
}
