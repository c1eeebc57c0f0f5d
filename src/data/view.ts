// What of a picture becomes a network's image: a part of it, resized, and cut out of that; decided from its size before
// a pixel is decoded. Geometry is framing.ts's; here it is put into the steps that a decoder takes.

import { type Box, cropOf, type Extent, evaluationFrame, type Frame, usualCrop } from './framing.ts';
import type { ImageSize } from './image.ts';

export interface View {
  /** The part that is resized, in whole pixels of the upright picture; default: all of it. */
  readonly part?: Box;
  /** The size that it is resized to, without regard to its proportions. */
  readonly resized: Extent;
  /** Where the network's image is cut out of the resized part, in whole pixels; it lies inside. */
  readonly crop: Pick<Box, 'top' | 'left'>;
}

/** The view of a picture of this size, by whatever was drawn for it. */
export type ViewOf = (picture: Extent) => View;

/** The shorter side before the centre is cut out, by the usual 256 for 224. */
export function usualShorterSide({ height, width }: Extent): number {
  return Math.round((Math.max(height, width) * 256) / 224);
}

/**
 * The centre of a picture whose shorter side was resized to `shorter` pixels, which is at least the image's longer one.
 */
export function centredView(target: Extent, shorter: number): ViewOf {
  return (picture) => {
    const { size, box } = evaluationFrame(picture, shorter, target);
    return { resized: size, crop: box };
  };
}

/** A picture that has the image's size already as it is, others by their view. */
export function unlessSized(target: Extent, viewOf: ViewOf): ViewOf {
  return (picture) => (sameExtent(picture, target) ? { resized: target, crop: noCorner } : viewOf(picture));
}

/** The random box that a frame draws in a picture, of at least this share of its area, resized to the image. */
export function framedView(target: Extent, frame: Frame, area: number): ViewOf {
  const options = { ...usualCrop, area: [area, 1] } as const;
  return (picture) => ({ part: cropOf(frame, picture, options), resized: target, crop: noCorner });
}

const noCorner = { top: 0, left: 0 };

export const sameExtent = (a: Extent, b: Extent): boolean => a.height === b.height && a.width === b.width;

/** Bytes of an image. */
export function bytesOf({ height, width, channels }: ImageSize): number {
  return height * width * channels;
}
