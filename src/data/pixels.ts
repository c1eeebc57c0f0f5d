// Changes of an image that compute its pixels anew, on the host: a box resized to the whole, rotation, and jitter of
// brightness, contrast and saturation. Images are u8 [height, width, channels]. What is drawn for an image is plain
// data, so that an image may be changed anywhere; each step rounds to 8 bits, half up.

import { Random } from '../tensor/random.ts';
import { type AugmentOptions, changesPixels } from './augment.ts';
import { type Box, cropOf, type Extent, usualCrop } from './framing.ts';
import type { ImageSize } from './image.ts';
import type { Selection } from './split.ts';

/** Of an image, which changes and the stream of random numbers that they are drawn from. */
export interface Alteration {
  readonly options: AugmentOptions;
  readonly stream: readonly [number, number];
}

/** The alteration of the next image of a batch: two draws, or none where no pixels are computed anew. */
export function drawAlteration(augmentation: Selection['augmentation']): Alteration | undefined {
  if (!augmentation || !changesPixels(augmentation.options)) return undefined;
  const { options, random } = augmentation;
  return { options, stream: [random.bits(), random.bits()] };
}

/** Changes an image in place. */
export function alter(image: Uint8Array, size: ImageSize, { options, stream }: Alteration): void {
  const { resizedCrop = 0, rotate = 0, jitter = 0 } = options;
  if (resizedCrop > 0) {
    const box = cropOf({ stream }, size, { ...usualCrop, area: [resizedCrop, 1] });
    resize(Uint8Array.from(image), size, box, image, size);
  }
  const random = new Random(...stream, 1);
  const within = (most: number) => (2 * random.uniform() - 1) * most;
  if (rotate > 0) rotated(Uint8Array.from(image), size, within(rotate), image);
  if (jitter > 0) recolour(image, size, 1 + within(jitter), 1 + within(jitter), 1 + within(jitter));
}

/** The pixel between four, 0 or the nearest outside the image: `[channel]` of the place (y, x). */
function sample(image: Uint8Array, size: ImageSize, y: number, x: number, channel: number, outside: 0 | 'nearest') {
  const { height, width, channels } = size;
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const at = (row: number, column: number): number => {
    const [near, beside] = [Math.min(Math.max(row, 0), height - 1), Math.min(Math.max(column, 0), width - 1)];
    if (outside === 0 && (near !== row || beside !== column)) return 0;
    return image[(near * width + beside) * channels + channel]!;
  };
  const [down, right] = [y - top, x - left];
  const above = (1 - right) * at(top, left) + right * at(top, left + 1);
  const below = (1 - right) * at(top + 1, left) + right * at(top + 1, left + 1);
  return (1 - down) * above + down * below;
}

const rounded = (value: number): number => Math.min(255, Math.max(0, Math.floor(value + 0.5)));

/** A box of an image resized to `target` by linear interpolation between the centres of pixels. */
export function resize(image: Uint8Array, size: ImageSize, box: Box, target: Uint8Array, to: Extent): void {
  const { channels } = size;
  const inside = crop(image, size, box);
  const boxSize = { height: box.height, width: box.width, channels };
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++) {
      const fromY = ((y + 0.5) * box.height) / to.height - 0.5;
      const fromX = ((x + 0.5) * box.width) / to.width - 0.5;
      for (let c = 0; c < channels; c++) {
        target[(y * to.width + x) * channels + c] = rounded(sample(inside, boxSize, fromY, fromX, c, 'nearest'));
      }
    }
  }
}

function crop(image: Uint8Array, { width, channels }: ImageSize, box: Box): Uint8Array {
  const row = box.width * channels;
  const inside = new Uint8Array(box.height * row);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.top + y) * width + box.left) * channels;
    inside.set(image.subarray(from, from + row), y * row);
  }
  return inside;
}

/** Turned about its middle, counter-clockwise, by linear interpolation; black where nothing comes to lie. */
export function rotated(image: Uint8Array, size: ImageSize, degrees: number, target: Uint8Array): void {
  const { height, width, channels } = size;
  const angle = (degrees * Math.PI) / 180;
  // Sums of small angles' errors must not push a corner outside.
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)].map((value) => Math.round(value * 2 ** 40) / 2 ** 40) as [
    number,
    number,
  ];
  const [middleY, middleX] = [(height - 1) / 2, (width - 1) / 2];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [dy, dx] = [y - middleY, x - middleX];
      const fromY = middleY + cos * dy + sin * dx;
      const fromX = middleX + cos * dx - sin * dy;
      for (let c = 0; c < channels; c++) {
        target[(y * width + x) * channels + c] = rounded(sample(image, size, fromY, fromX, c, 0));
      }
    }
  }
}

/** Luma of a pixel (ITU-R BT.601); with other channels than three their mean. */
function grey(image: Uint8Array, at: number, channels: number): number {
  if (channels === 3) return 0.299 * image[at]! + 0.587 * image[at + 1]! + 0.114 * image[at + 2]!;
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += image[at + c]!;
  return sum / channels;
}

/**
 * Brightness multiplies; contrast takes pixels away from the image's mean grey by its factor, saturation from their
 * own grey (of one channel there is none).
 */
export function recolour(
  image: Uint8Array,
  { channels }: ImageSize,
  brightness: number,
  contrast: number,
  saturation: number,
): void {
  for (let k = 0; k < image.length; k++) image[k] = rounded(brightness * image[k]!);
  let mean = 0;
  for (let at = 0; at < image.length; at += channels) mean += grey(image, at, channels);
  mean /= image.length / channels;
  for (let k = 0; k < image.length; k++) image[k] = rounded(mean + contrast * (image[k]! - mean));
  if (channels === 1) return;
  for (let at = 0; at < image.length; at += channels) {
    const own = grey(image, at, channels);
    for (let c = 0; c < channels; c++) image[at + c] = rounded(own + saturation * (image[at + c]! - own));
  }
}
