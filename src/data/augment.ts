// Augmentation of raw 8-bit images (NHWC): which changes there are, and the first of them, a random crop after zero
// padding and a random horizontal flip, as is usual for CIFAR-10 (He et al., 2016, section 4.2). Works on raw values,
// where 0 is black, before any normalisation; writes into a buffer of the caller and allocates nothing.
// What computes pixels anew is in pixels.ts, what is erased and mixed in mixing.ts, the text of it in transforms.ts.

import type { Random } from '../tensor/random.ts';
import type { ImageSize } from './image.ts';

/** Which changes a batch of training images is drawn from. What is absent or 0 is not done. */
export interface AugmentOptions {
  /** Pixels of zero padding on each side before cropping back to the original size; 0 for no crop. */
  readonly pad: number;
  /** Whether half of the images are mirrored left to right. */
  readonly flip: boolean;
  /** A random box is resized to the image's size: the least share of the area that it has, up to 1 (framing.ts). */
  readonly resizedCrop?: number;
  /** Rotations by up to so many degrees either way, 0 … 180. */
  readonly rotate?: number;
  /** Brightness, contrast and saturation change by factors from 1 − jitter to 1 + jitter, 0 … 1. */
  readonly jitter?: number;
  /** Share of the images in which a random box is erased, 0 … 1 (mixing.ts). */
  readonly erase?: number;
  /** Side in pixels of a square that is erased somewhere in every image. */
  readonly cutout?: number;
  /** α of the Beta distribution of a share by which pairs of images are mixed; of two kinds a batch has one. */
  readonly mixup?: number;
  /** α of the Beta distribution of the share that a box of another image leaves. */
  readonly cutmix?: number;
  /** How often an image is in a batch, changed in other ways; an epoch then has so many times fewer images. */
  readonly repeat?: number;
}

export const noAugmentation: AugmentOptions = { pad: 0, flip: false };

/** Whether anything is drawn for a batch. */
export const isAugmented = ({ repeat: _, ...changes }: AugmentOptions): boolean => Object.values(changes).some(Boolean);

/** Whether pixels are computed anew, which the host does, rather than moved, erased or mixed. */
export const changesPixels = ({ resizedCrop = 0, rotate = 0, jitter = 0 }: AugmentOptions): boolean =>
  resizedCrop > 0 || rotate > 0 || jitter > 0;

/**
 * Copies the image at `sourceOffset` to `targetOffset`, shifted so that output pixel (y, x) shows input pixel (y + dy,
 * x + dx) of the (possibly mirrored) crop, and 0 where that lies outside the image. `flip` mirrors the cropped result.
 */
export function copyShifted(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  { height, width, channels }: ImageSize,
  dy: number,
  dx: number,
  flip: boolean,
): void {
  const row = width * channels;
  if (dy === 0 && dx === 0 && !flip) {
    target.set(source.subarray(sourceOffset, sourceOffset + height * row), targetOffset);
    return;
  }
  const firstX = Math.max(0, -dx);
  const lastX = Math.min(width, width - dx);
  for (let y = 0; y < height; y++) {
    const out = targetOffset + y * row;
    const inside = y + dy >= 0 && y + dy < height && firstX < lastX;
    if (!inside || firstX > 0 || lastX < width) target.fill(0, out, out + row);
    if (!inside) continue;
    const from = sourceOffset + (y + dy) * row + dx * channels;
    if (flip) {
      for (let x = firstX; x < lastX; x++) {
        const to = out + (width - 1 - x) * channels;
        for (let channel = 0; channel < channels; channel++)
          target[to + channel] = source[from + x * channels + channel]!;
      }
    } else {
      for (let k = firstX * channels; k < lastX * channels; k++) target[out + k] = source[from + k]!;
    }
  }
}

/**
 * Writes a random shift within ±pad (dy, dx) and a random mirroring (0 or 1) to `into`; always takes the same number of
 * random draws.
 */
export function drawShift(into: Int32Array, at: number, { pad, flip }: AugmentOptions, random: Random): void {
  into[at] = random.integer(2 * pad + 1) - pad;
  into[at + 1] = random.integer(2 * pad + 1) - pad;
  into[at + 2] = random.integer(2) === 1 && flip ? 1 : 0;
}
