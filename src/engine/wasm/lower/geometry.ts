// A convolution's extents as the kernels' Geometry record (../kernels/geometry.ts).

import type { Shape } from '../../../tensor/tensor.ts';
import { convOutputShape } from '../../graph/inference.ts';
import type { ConvGeometry } from '../../graph/ops.ts';
import { COUNTS, oneOrSeveral } from '../../graph/paths.ts';
import type { Geometry } from './records.ts';

/** Positions of an image up to which it counts as small. */
export const SMALL_IMAGE = 64;
/** Longest row that a pointwise convolution is cut into. */
const LONGEST_ROW = 1024;

/**
 * Geometry of a convolution with input x [N,H,W,I] and weights w [kh,kw,I/groups,O]. A pointwise convolution (and with
 * it every linear layer) has no neighbours, so its pixels are arranged in few long rows, which the kernels prefer.
 */
export function convolution(x: Shape, w: Shape, conv: ConvGeometry): Geometry {
  const [n, h, wide, channels] = x as [number, number, number, number];
  const [kernelHeight, kernelWidth, , outputs] = w as [number, number, number, number];
  const [strideY, strideX] = conv.stride;
  const [paddingY, paddingX] = conv.padding;
  // A single tap has no distance to the next.
  const [dilationY, dilationX] = [kernelHeight, kernelWidth].map((taps, at) => (taps === 1 ? 1 : conv.dilation[at]!));
  const window = { kernelHeight, kernelWidth, strideY, strideX, paddingY, paddingX, dilationY, dilationX };
  const common = { channels, outputs, ...window, groups: conv.groups };
  const [pointwise, dense] = [kernelHeight * kernelWidth === 1, strideY * strideX === 1];
  if (pointwise && dense && paddingY + paddingX === 0) {
    const pixels = n * h * wide;
    let width = Math.min(pixels, LONGEST_ROW);
    while (pixels % width !== 0) width--;
    return { ...common, batch: pixels / width, height: 1, width, outHeight: 1, outWidth: width };
  }
  const [, outHeight, outWidth] = convOutputShape(x, w, conv) as [number, number, number, number];
  return { ...common, batch: n, height: h, width: wide, outHeight, outWidth };
}

export const taps = (geometry: Geometry): number => geometry.kernelHeight * geometry.kernelWidth;
export const pixels = (geometry: Geometry): number => geometry.batch * geometry.height * geometry.width;
export const positions = (geometry: Geometry): number => geometry.batch * geometry.outHeight * geometry.outWidth;
export const outputsPerGroup = (geometry: Geometry): number => geometry.outputs / geometry.groups;
export const channelsPerGroup = (geometry: Geometry): number => geometry.channels / geometry.groups;

/**
 * What of a geometry makes kernels step otherwise: several pixels from one position of the window, or from one tap, to
 * the next.
 */
export const steps = { stride: COUNTS, dilation: COUNTS } as const;
export const stepsOf = (geometry: Geometry) => ({
  stride: oneOrSeveral(Math.max(geometry.strideY, geometry.strideX)),
  dilation: oneOrSeveral(Math.max(geometry.dilationY, geometry.dilationX)),
});
