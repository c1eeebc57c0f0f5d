// What happens to a batch of images once they are gathered: boxes erased in them (random erasing, Zhong et al., 2017;
// cutout, DeVries and Taylor, 2017), and pairs mixed, as a whole (mixup, Zhang et al., 2017) or by a box (CutMix, Yun
// et al., 2019). Only numbers are drawn here: boxes and shares, which the operation `mixImages` and the loss work with
// (engine/graph/ops.ts). A batch has one share, as in the authors' programs, and the partner of an image is the one
// half a batch further, so that images repeated side by side are not mixed with themselves.

import type { Random } from '../tensor/random.ts';
import type { AugmentOptions } from './augment.ts';
import { drawBox, type Extent } from './framing.ts';

/** Area and proportions of what is erased, as in the paper. */
const ERASED = { area: [0.02, 0.33], ratio: [0.3, 1 / 0.3] } as const;

export const erases = ({ erase = 0, cutout = 0 }: AugmentOptions): boolean => erase > 0 || cutout > 0;
export const mixes = ({ mixup = 0, cutmix = 0 }: AugmentOptions): boolean => mixup > 0 || cutmix > 0;

/** For each row of a batch: −1, and the box that is erased, empty where nothing is. [rows, 5] */
export function drawErased(image: Extent, options: AugmentOptions, rows: number, random: Random): Int32Array {
  const { erase = 0, cutout = 0 } = options;
  const boxes = new Int32Array(5 * rows);
  for (let row = 0; row < rows; row++) {
    boxes[5 * row] = -1;
    if (cutout > 0) {
      boxes.set([...squareAround(random.integer(image.height), random.integer(image.width), cutout)], 5 * row + 1);
    } else if (random.uniform() < erase) {
      const box = drawBox(image, ERASED, random);
      if (box) boxes.set([box.top, box.left, box.height, box.width], 5 * row + 1);
    }
  }
  return boxes;
}

/** A square with its middle there; what lies outside the image is not seen. */
function squareAround(y: number, x: number, side: number): readonly number[] {
  return [y - (side >> 1), x - (side >> 1), side, side];
}

export interface Mixture {
  /** For each row its partner and the box that is the partner's. [rows, 5] */
  readonly boxes: Int32Array;
  /** Of the image's own pixels outside the box, 0 … 1. */
  readonly share: number;
  /** Of the image's own label, 0 … 1. */
  readonly ownLabel: number;
}

/** How the rows of a batch are mixed: by mixup or by CutMix, each every second time where both are wanted. */
export function drawMixture(image: Extent, options: AugmentOptions, rows: number, random: Random): Mixture {
  const { mixup = 0, cutmix = 0 } = options;
  const byBox = mixup > 0 && cutmix > 0 ? random.integer(2) === 1 : cutmix > 0;
  const share = drawBeta(byBox ? cutmix : mixup, random);
  const box = byBox ? boxOf(image, share, random) : [0, 0, 0, 0];
  const boxes = new Int32Array(5 * rows);
  for (let row = 0; row < rows; row++) boxes.set([(row + (rows >> 1)) % rows, ...box], 5 * row);
  const [, , high, wide] = box as [number, number, number, number];
  const ownLabel = byBox ? 1 - (high * wide) / (image.height * image.width) : share;
  return { boxes, share: byBox ? 1 : share, ownLabel };
}

/** A box anywhere in the image of 1 − share of its area, less what would lie outside: top, left, height, width. */
function boxOf({ height, width }: Extent, share: number, random: Random): readonly number[] {
  const side = Math.sqrt(1 - share);
  const [high, wide] = [Math.floor(height * side), Math.floor(width * side)];
  const [y, x] = [random.integer(height), random.integer(width)];
  const [above, before] = [y - (high >> 1), x - (wide >> 1)];
  const [top, left] = [Math.max(0, above), Math.max(0, before)];
  const [bottom, right] = [Math.min(height, above + high), Math.min(width, before + wide)];
  return [top, left, bottom - top, right - left];
}

/** Beta(α, α) by two gamma variates. */
export function drawBeta(alpha: number, random: Random): number {
  const [a, b] = [drawGamma(alpha, random), drawGamma(alpha, random)];
  return a + b > 0 ? a / (a + b) : 0.5;
}

/** Gamma(shape, 1): Marsaglia and Tsang, 2000; below 1 by way of shape + 1. */
export function drawGamma(shape: number, random: Random): number {
  if (shape < 1) return drawGamma(shape + 1, random) * (1 - random.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
