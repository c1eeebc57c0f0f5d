// Windows that slide over an image: the geometry of convolutions and pooling along each axis, its extents, and the one
// walk over a window's taps (kernels of a device walk by themselves: `convolution` and `pooling` in their folders). A
// tap is a position of the window; one that lies outside of the image is padding, and is never visited.

import type { Shape } from '../../tensor/tensor.ts';
import type { AverageGeometry, ConvGeometry, Pair, PoolGeometry } from './ops.ts';

/** What one number says for both axes, or a pair for each. */
export type PerAxis = number | Pair;

export const pair = (value: PerAxis): Pair => (typeof value === 'number' ? [value, value] : value);

/**
 * The geometry of a convolution from what differs from a dense one with stride 1 and no padding; a number goes for both
 * axes.
 */
export function square({
  stride = 1,
  padding = 0,
  dilation = 1,
  groups = 1,
}: {
  readonly stride?: PerAxis;
  readonly padding?: PerAxis;
  readonly dilation?: PerAxis;
  readonly groups?: number;
} = {}): ConvGeometry {
  return { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), groups };
}

/** The same for pooling; windows beyond the padded image only where asked for. */
export function squareWindow(size: PerAxis, stride: PerAxis, padding: PerAxis = 0, ceil = false): PoolGeometry {
  return { size: pair(size), stride: pair(stride), padding: pair(padding), ...(ceil && { ceil }) };
}

/** The geometry alone of an operation's attributes. */
export const convGeometryOf = ({ stride, padding, dilation, groups }: ConvGeometry): ConvGeometry => ({
  stride,
  padding,
  dilation,
  groups,
});

/** A window along one axis of an image. */
export interface Axis {
  readonly extent: number;
  /** Taps of the window. */
  readonly size: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  /** Whether a last window may reach beyond the padded image. */
  readonly ceil?: boolean;
}

/** The axes of a window of `size` over an image [N,H,W,C]. */
export function axesOf(
  [, height, width]: Shape,
  size: Pair,
  {
    stride,
    padding,
    dilation = [1, 1],
    ceil = false,
  }: Pick<ConvGeometry, 'stride' | 'padding'> & { readonly dilation?: Pair; readonly ceil?: boolean },
): readonly [rows: Axis, columns: Axis] {
  const axis = (at: 0 | 1, extent: number): Axis => ({
    extent,
    size: size[at],
    stride: stride[at],
    padding: padding[at],
    dilation: dilation[at],
    ceil,
  });
  return [axis(0, height!), axis(1, width!)];
}

/**
 * Positions of the window along an axis; not above 0 where it does not fit into the padded image. With `ceil` a last
 * one that reaches beyond it, if it begins before the padding behind the image (PyTorch's ceil_mode).
 */
export function outputsOf({ extent, size, stride, padding, dilation, ceil }: Axis): number {
  const steps = (extent + 2 * padding - dilation * (size - 1) - 1) / stride;
  const outputs = Math.floor(steps) + 1;
  const more = ceil && steps >= 0 && !Number.isInteger(steps) && outputs * stride < extent + padding;
  return more ? outputs + 1 : outputs;
}

/** What the mean of each position of the window divides by, along an axis: taps inside the image, or also padding. */
export function countsAlong(axis: Axis, countPadding: boolean): readonly number[] {
  const { extent, size, stride, padding } = axis;
  if (!countPadding) return tapsAlong(axis).map(({ length }) => length);
  return Array.from({ length: outputsOf(axis) }, (_, output) => Math.min(size, extent + 2 * padding - output * stride));
}

/** What the means over all windows on an image divide by, or 0 where that is not one number. */
export function commonArea(x: Shape, geometry: AverageGeometry): number {
  const { size, countPadding = true } = geometry;
  const counts = axesOf(x, size, geometry).map((axis) => new Set(countsAlong(axis, countPadding)));
  return counts.every(({ size }) => size === 1) ? counts.reduce((area, [count]) => area * count!, 1) : 0;
}

/** A tap inside the image: its number in the window, and the position of the image that it lies on. */
export interface Tap {
  readonly tap: number;
  readonly at: number;
}

/** Along an axis, for each position of the window: its taps inside the image, in order. */
export function tapsAlong(axis: Axis): readonly (readonly Tap[])[] {
  const { extent, size, stride, padding, dilation } = axis;
  return Array.from({ length: outputsOf(axis) }, (_, output) => {
    const taps = Array.from({ length: size }, (_, tap) => ({ tap, at: output * stride + tap * dilation - padding }));
    return taps.filter(({ at }) => at >= 0 && at < extent);
  });
}

/** The same seen from the image: for each of its positions the taps that lie on it, in order, `at` the window's. */
export function tapsOnto(axis: Axis): readonly (readonly Tap[])[] {
  const onto = Array.from({ length: axis.extent }, (): Tap[] => []);
  const along = tapsAlong(axis);
  for (let tap = 0; tap < axis.size; tap++) {
    for (const [output, taps] of along.entries()) {
      const met = taps.find((one) => one.tap === tap);
      if (met) onto[met.at]!.push({ tap, at: output });
    }
  }
  return onto;
}

/** The taps of a window of `size` over an image [N,H,W,C], along each axis. */
export function windowTaps(x: Shape, size: Pair, geometry: ConvGeometry | PoolGeometry) {
  const [rows, columns] = axesOf(x, size, geometry);
  return { rows: tapsAlong(rows), columns: tapsAlong(columns) };
}

/** The taps of a convolution of x [N,H,W,I] with w [kh,kw,I/groups,O], along each axis. */
export const convolutionTaps = (x: Shape, [kh, kw]: Shape, geometry: ConvGeometry) =>
  windowTaps(x, [kh!, kw!], geometry);
