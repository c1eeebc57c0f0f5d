// The shape of a convolution as the kernels read it: a record of i32 words.
// Layouts: x [batch, height, width, channels], out [batch, outHeight, outWidth, outputs], w [kernelHeight, kernelWidth, channels / groups, outputs].
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
  stride: i32;
  padding: i32;
  groups: i32;
}

@inline
export function ceilDivide(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

/** First output index along an axis whose window position `k` falls inside the input: o·stride + k − padding ≥ 0. */
@inline
export function firstValid(k: i32, stride: i32, padding: i32): i32 {
  return padding > k ? ceilDivide(padding - k, stride) : 0;
}

/** One past the last output index along an axis whose window position `k` falls inside the input of the given extent. */
@inline
export function endValid(k: i32, stride: i32, padding: i32, extent: i32, outExtent: i32): i32 {
  const last = extent - 1 + padding - k;
  return last < 0 ? 0 : min(outExtent, last / stride + 1);
}
