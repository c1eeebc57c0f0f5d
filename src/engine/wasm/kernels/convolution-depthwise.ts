// f32 depthwise convolution (one input and one output channel per group): forward, data gradient, weight gradient.
// Lanes run over the channels of both operands, w [taps][channels]; every product is one vector multiplication with
// nothing packed.
// Parts: output rows (forward), input rows (data gradient), or taps times 16 channels (weight gradient, summed row by
// row).

import { ceilDivide, endTap, endValid, firstTap, firstValid, Geometry, tapStep } from './geometry';
import { storeLanes } from './lanes';

@unmanaged
export class Depthwise {
  geometry: Geometry;
  x: usize;
  w: usize;
  g: usize;
  out: usize;
}

export function depthwiseForward(args: Depthwise, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const bytes = <usize>geometry.channels << 2;
  const image = part / geometry.outHeight;
  const top = (part % geometry.outHeight) * geometry.strideY - geometry.paddingY;
  const ky0 = firstTap(top, geometry.dilationY);
  const ky1 = endTap(top, geometry.dilationY, geometry.height, geometry.kernelHeight);
  const step = <usize>geometry.dilationX * bytes;
  let out = args.out + <usize>(part * geometry.outWidth) * bytes;
  for (let ox = 0; ox < geometry.outWidth; ++ox) {
    const left = ox * geometry.strideX - geometry.paddingX;
    const kx0 = firstTap(left, geometry.dilationX);
    const kx1 = endTap(left, geometry.dilationX, geometry.width, geometry.kernelWidth);
    for (let c: usize = 0; c < bytes; c += 16) {
      let sum = f32x4.splat(0);
      for (let ky = ky0; ky < ky1; ++ky) {
        const line = (image * geometry.height + top + ky * geometry.dilationY) * geometry.width;
        let x = args.x + <usize>(line + left + kx0 * geometry.dilationX) * bytes + c;
        let w = args.w + <usize>(ky * geometry.kernelWidth + kx0) * bytes + c;
        for (let kx = kx0; kx < kx1; ++kx) {
          sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(w)));
          x += step;
          w += bytes;
        }
      }
      storeLanes(out + c, sum, <i32>((bytes - c) >> 2));
    }
    out += bytes;
  }
}

/**
 * First tap whose window position can lie `at` pixels into the padded image: (at − k·dilation) divides by the stride;
 * `taps` if none.
 */
@inline
export function firstMeeting(at: i32, stride: i32, dilation: i32, step: i32, taps: i32): i32 {
  if (dilation == 1) return at % stride;
  for (let k = 0; k < min(step, taps); ++k) if ((at - k * dilation) % stride == 0) return k;
  return taps;
}

/** One past the last tap whose window can begin inside the padded image. */
@inline
export function endMeeting(at: i32, dilation: i32, taps: i32): i32 {
  return min(taps, (dilation == 1 ? at : at / dilation) + 1);
}

export function depthwiseInputGradient(args: Depthwise, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const strideY = geometry.strideY;
  const strideX = geometry.strideX;
  const dilationY = geometry.dilationY;
  const dilationX = geometry.dilationX;
  const stepY = tapStep(strideY, dilationY);
  const stepX = tapStep(strideX, dilationX);
  const bytes = <usize>geometry.channels << 2;
  const image = part / geometry.height;
  const y = (part % geometry.height) + geometry.paddingY;
  const ky0 = firstMeeting(y, strideY, dilationY, stepY, geometry.kernelHeight);
  const ky1 = endMeeting(y, dilationY, geometry.kernelHeight);
  let out = args.out + <usize>(part * geometry.width) * bytes;
  for (let ix = 0; ix < geometry.width; ++ix) {
    const x = ix + geometry.paddingX;
    const kx0 = firstMeeting(x, strideX, dilationX, stepX, geometry.kernelWidth);
    const kx1 = endMeeting(x, dilationX, geometry.kernelWidth);
    for (let c: usize = 0; c < bytes; c += 16) {
      let sum = f32x4.splat(0);
      // Window rows with y − ky·dilation = oy·stride for an output row.
      for (let ky = ky0; ky < ky1; ky += stepY) {
        const oy = (y - ky * dilationY) / strideY;
        if (oy >= geometry.outHeight) continue;
        for (let kx = kx0; kx < kx1; kx += stepX) {
          const ox = (x - kx * dilationX) / strideX;
          if (ox >= geometry.outWidth) continue;
          const g = args.g + <usize>((image * geometry.outHeight + oy) * geometry.outWidth + ox) * bytes + c;
          const w = args.w + <usize>(ky * geometry.kernelWidth + kx) * bytes + c;
          sum = f32x4.add(sum, f32x4.mul(v128.load(g), v128.load(w)));
        }
      }
      storeLanes(out + c, sum, <i32>((bytes - c) >> 2));
    }
    out += bytes;
  }
}

export function depthwiseWeightGradient(args: Depthwise, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const strideX = geometry.strideX;
  const paddingX = geometry.paddingX;
  const bytes = <usize>geometry.channels << 2;
  const bundles = ceilDivide(geometry.channels, 16);
  const tap = part / bundles;
  const offsetY = (tap / geometry.kernelWidth) * geometry.dilationY - geometry.paddingY;
  const offsetX = (tap % geometry.kernelWidth) * geometry.dilationX;
  const x0 = firstValid(offsetX, strideX, paddingX);
  const x1 = endValid(offsetX, strideX, paddingX, geometry.width, geometry.outWidth);
  const first = <usize>(part % bundles) << 6;
  for (let c = first; c < min(bytes, first + 64); c += 16) {
    let total = f32x4.splat(0);
    for (let row = 0; row < geometry.batch * geometry.outHeight; ++row) {
      const iy = (row % geometry.outHeight) * geometry.strideY + offsetY;
      if (iy < 0 || iy >= geometry.height) continue;
      const ix = x0 * strideX + offsetX - paddingX;
      const pixel = ((row / geometry.outHeight) * geometry.height + iy) * geometry.width + ix;
      let x = args.x + <usize>pixel * bytes + c;
      let g = args.g + <usize>(row * geometry.outWidth + x0) * bytes + c;
      let sum = f32x4.splat(0);
      for (let ox = x0; ox < x1; ++ox) {
        sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(g)));
        x += <usize>strideX * bytes;
        g += bytes;
      }
      total = f32x4.add(total, sum);
    }
    storeLanes(args.out + <usize>tap * bytes + c, total, <i32>((bytes - c) >> 2));
  }
}
