// Which part of a photograph a network sees: in training a box of random size, proportions and place, resampled to the
// network's size (random-resized-crop; Szegedy et al., 2015, section 6, as torchvision draws it); in evaluation the
// middle of the image after its shorter side was resized. Geometry alone: whoever decodes images resamples them.
// Invariant: a frame is drawn before anything is decoded, as two random words of the batch's own stream, so that what
// is seen depends neither on the size of an image nor on when or where it is read.

import { Random } from '../tensor/random.ts';
import type { Selection } from './split.ts';

/** Pixels: height and width. */
export interface Extent {
  readonly height: number;
  readonly width: number;
}

/** A rectangle of whole pixels inside an image. */
export interface Box extends Extent {
  readonly top: number;
  readonly left: number;
}

/** How random boxes are drawn. */
export interface BoxOptions {
  /** Least and greatest share of the image's area. */
  readonly area: readonly [least: number, most: number];
  /** Least and greatest width over height; the logarithm is uniform between them. */
  readonly ratio: readonly [least: number, most: number];
}

/** Of random-resized-crop: 8 % to all of the area, 3:4 to 4:3. */
export const usualCrop: BoxOptions = { area: [0.08, 1], ratio: [3 / 4, 4 / 3] };

/** What is drawn for one image of a training batch: plain data, for a worker too. */
export interface Frame {
  /** Names the stream of random numbers from which the box follows once the image's size is known. */
  readonly stream: readonly [number, number];
  /** Whether the box is mirrored left to right. */
  readonly mirrored: boolean;
}

/** The frame of the next image of a batch; always takes the same number of draws. Undefined without augmentation. */
export function drawFrame(augmentation: Selection['augmentation']): Frame | undefined {
  if (!augmentation) return undefined;
  const { options, random } = augmentation;
  const stream = [random.bits(), random.bits()] as const;
  return { stream, mirrored: random.integer(2) === 1 && options.flip };
}

const TRIES = 10;

/**
 * The box of a frame in an image of this size: the first of ten draws that fits in, else the largest box in the middle
 * whose proportions are allowed.
 */
export function cropOf({ stream }: Pick<Frame, 'stream'>, image: Extent, options = usualCrop): Box {
  const random = new Random(...stream);
  const box = drawBox(image, options, random);
  if (box) return box;
  const { height, width } = image;
  const [narrow, wide] = options.ratio;
  const ratio = width / height;
  if (ratio < narrow) return centred(image, { width, height: Math.max(1, Math.round(width / narrow)) });
  if (ratio > wide) return centred(image, { height, width: Math.max(1, Math.round(height * wide)) });
  return { top: 0, left: 0, height, width };
}

/** A random box of an image, undefined where none of ten draws fits in. */
export function drawBox({ height, width }: Extent, { area, ratio }: BoxOptions, random: Random): Box | undefined {
  const between = ([least, most]: readonly [number, number]) => least + (most - least) * random.uniform();
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const pixels = height * width * between(area);
    const proportions = Math.exp(between([Math.log(ratio[0]), Math.log(ratio[1])]));
    const box = {
      height: Math.round(Math.sqrt(pixels / proportions)),
      width: Math.round(Math.sqrt(pixels * proportions)),
    };
    if (box.width < 1 || box.height < 1 || box.width > width || box.height > height) continue;
    return { ...box, top: random.integer(height - box.height + 1), left: random.integer(width - box.width + 1) };
  }
  return undefined;
}

/** The middle of an image. */
export function centred(image: Extent, { height, width }: Extent): Box {
  return {
    top: halfEven((image.height - height) / 2),
    left: halfEven((image.width - width) / 2),
    height,
    width,
  };
}

/** Rounded, halves to the even neighbour, as Python rounds them. */
function halfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/** The size of an image whose shorter side is resized to so many pixels (the longer one rounded down). */
export function resizedTo({ height, width }: Extent, shorter: number): Extent {
  return height <= width
    ? { height: shorter, width: Math.max(shorter, Math.floor((shorter * width) / height)) }
    : { height: Math.max(shorter, Math.floor((shorter * height) / width)), width: shorter };
}

/**
 * Evaluation: the size that the image is resized to, and the box of that which is seen. `shorter` is at least the sides
 * of `target`; 256 for 224 is usual.
 */
export function evaluationFrame(image: Extent, shorter: number, target: Extent): { size: Extent; box: Box } {
  const size = resizedTo(image, shorter);
  return { size, box: centred(size, target) };
}
