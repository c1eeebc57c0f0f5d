// What of a picture becomes a network's image: a part of it, resized, and cut out of that. Pure geometry in pixels of
// the upright picture, decided before a pixel is decoded; no pixels are touched here.
// Rounding is torchvision's (Resize of the shorter side, CenterCrop), so that published figures can be met.

import type { ImageSize } from './image.ts';

export interface Extent {
  readonly height: number;
  readonly width: number;
}

export interface Corner {
  readonly top: number;
  readonly left: number;
}

export interface View {
  /** The part that is resized, in whole pixels of the upright picture; default: all of it. */
  readonly part?: Corner & Extent;
  /** The size that it is resized to, without regard to its proportions. */
  readonly resized: Extent;
  /** Where the network's image is cut out of the resized part, in whole pixels; it lies inside. */
  readonly crop: Corner;
}

/** The view of a picture of this size, by whatever was drawn for it. */
export type ViewOf = (picture: Extent) => View;

/** The shorter side before the centre is cut out, by the usual 256 for 224. */
export function usualShorterSide({ height, width }: Extent): number {
  return Math.round((Math.min(height, width) * 256) / 224);
}

/**
 * The centre of a picture whose shorter side was resized to `shorter` pixels, which is the image's size at least. A
 * picture that has the image's size already is taken as it is.
 */
export function centredView(size: Extent, shorter: number): ViewOf {
  return (picture) => {
    if (picture.height === size.height && picture.width === size.width) return { resized: size, crop: noCorner };
    const resized = resizedShorter(picture, shorter, size);
    return { resized, crop: centredCrop(resized, size) };
  };
}

const noCorner: Corner = { top: 0, left: 0 };

/** The picture's size with its shorter side at `shorter`; neither side becomes less than `least`. */
export function resizedShorter({ height, width }: Extent, shorter: number, least: Extent): Extent {
  const resized =
    width <= height
      ? { width: shorter, height: Math.floor((shorter * height) / width) }
      : { height: shorter, width: Math.floor((shorter * width) / height) };
  return { height: Math.max(resized.height, least.height), width: Math.max(resized.width, least.width) };
}

/** The corner of a centred crop, halves rounded to even as Python rounds them. */
function centredCrop(from: Extent, { height, width }: Extent): Corner {
  return { top: roundHalfEven((from.height - height) / 2), left: roundHalfEven((from.width - width) / 2) };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/** Bytes of an image. */
export function bytesOf({ height, width, channels }: ImageSize): number {
  return height * width * channels;
}
