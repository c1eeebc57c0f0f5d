// Augmentation of raw 8-bit images (NHWC): a random crop after zero padding and a random horizontal flip, as is usual
// for CIFAR-10 (He et al., 2016, section 4.2). Works on raw values, where 0 is black, before any normalisation; writes
// into a buffer of the caller and allocates nothing. Not a general image library.

import type { Random } from '../tensor/random.ts';
import type { ImageSize } from './image.ts';

/** Which changes a batch of training images is drawn from. */
export interface AugmentOptions {
  /** Pixels of zero padding on each side before cropping back to the original size; 0 for no crop. */
  readonly pad: number;
  /** Whether half of the images are mirrored left to right. */
  readonly flip: boolean;
}

export const noAugmentation: AugmentOptions = { pad: 0, flip: false };

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
