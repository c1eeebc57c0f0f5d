// The shape of a convolution as the kernels read it: a record of i32 words.
// Layouts: x [batch, height, width, channels], out [batch, outHeight, outWidth, outputs], w [kernelHeight, kernelWidth,
// channels / groups, outputs].
// A tap is one position of the kernel window, numbered ky · kernelWidth + kx.

@unmanaged
export class Geometry {
  batch: i32;
  height: i32;
  width: i32;
  channels: i32;
  outHeight: i32;
  outWidth: i32;
  outputs: i32;
  kernelHeight: i32;
  kernelWidth: i32;
  strideY: i32;
  strideX: i32;
  paddingY: i32;
  paddingX: i32;
  /** Pixels from one tap to the next; 1 is dense. */
  dilationY: i32;
  dilationX: i32;
  groups: i32;
}

@inline
export function ceilDivide(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

/**
 * First output index along an axis whose tap `offset` pixels into the window falls inside the input: o·stride + offset
 * ≥ padding.
 */
@inline
export function firstValid(offset: i32, stride: i32, padding: i32): i32 {
  return padding > offset ? ceilDivide(padding - offset, stride) : 0;
}

/**
 * One past the last output index along an axis whose tap `offset` pixels into the window falls inside the input of the
 * given extent.
 */
@inline
export function endValid(offset: i32, stride: i32, padding: i32, extent: i32, outExtent: i32): i32 {
  const last = extent - 1 + padding - offset;
  return last < 0 ? 0 : min(outExtent, last / stride + 1);
}

/** First tap along an axis that falls inside the input, for a window that begins at `start`, which may be negative. */
@inline
export function firstTap(start: i32, dilation: i32): i32 {
  return start >= 0 ? 0 : dilation == 1 ? -start : ceilDivide(-start, dilation);
}

/** One past the last tap along an axis that falls inside the input of the given extent; at most `taps`. */
@inline
export function endTap(start: i32, dilation: i32, extent: i32, taps: i32): i32 {
  const last = extent - 1 - start;
  return last >= (taps - 1) * dilation ? taps : last < 0 ? 0 : last / dilation + 1;
}

/**
 * Taps whose offsets leave the same remainder modulo the stride follow each other at this distance: stride /
 * gcd(stride, dilation).
 */
export function tapStep(stride: i32, dilation: i32): i32 {
  let a = stride;
  let b = dilation;
  while (b != 0) {
    const rest = a % b;
    a = b;
    b = rest;
  }
  return stride / a;
}
