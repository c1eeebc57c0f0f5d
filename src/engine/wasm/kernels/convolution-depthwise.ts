// f32 depthwise convolution (one input and one output channel per group): forward, data gradient, weight gradient. Lanes run over the
// channels of both operands, w [taps][channels]; every product is one vector multiplication with nothing packed.
// Parts: output rows (forward), input rows (data gradient), or taps times 16 channels (weight gradient, summed row by row).

import { ceilDivide, endValid, firstValid, Geometry } from './geometry';
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
  const top = (part % geometry.outHeight) * geometry.stride - geometry.padding;
  const ky0 = max(0, -top);
  const ky1 = min(geometry.kernelHeight, geometry.height - top);
  let out = args.out + <usize>(part * geometry.outWidth) * bytes;
  for (let ox = 0; ox < geometry.outWidth; ++ox) {
    const left = ox * geometry.stride - geometry.padding;
    const kx0 = max(0, -left);
    const kx1 = min(geometry.kernelWidth, geometry.width - left);
    for (let c: usize = 0; c < bytes; c += 16) {
      let sum = f32x4.splat(0);
      for (let ky = ky0; ky < ky1; ++ky) {
        let x = args.x + <usize>((image * geometry.height + top + ky) * geometry.width + left + kx0) * bytes + c;
        let w = args.w + <usize>(ky * geometry.kernelWidth + kx0) * bytes + c;
        for (let kx = kx0; kx < kx1; ++kx) {
          sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(w)));
          x += bytes;
          w += bytes;
        }
      }
      storeLanes(out + c, sum, <i32>((bytes - c) >> 2));
    }
    out += bytes;
  }
}

export function depthwiseInputGradient(args: Depthwise, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const stride = geometry.stride;
  const bytes = <usize>geometry.channels << 2;
  const image = part / geometry.height;
  const y = (part % geometry.height) + geometry.padding;
  let out = args.out + <usize>(part * geometry.width) * bytes;
  for (let ix = 0; ix < geometry.width; ++ix) {
    const x = ix + geometry.padding;
    for (let c: usize = 0; c < bytes; c += 16) {
      let sum = f32x4.splat(0);
      // Window rows with y − ky = oy·stride for an output row.
      for (let ky = y % stride; ky < min(geometry.kernelHeight, y + 1); ky += stride) {
        const oy = (y - ky) / stride;
        if (oy >= geometry.outHeight) continue;
        for (let kx = x % stride; kx < min(geometry.kernelWidth, x + 1); kx += stride) {
          const ox = (x - kx) / stride;
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
  const stride = geometry.stride;
  const padding = geometry.padding;
  const bytes = <usize>geometry.channels << 2;
  const bundles = ceilDivide(geometry.channels, 16);
  const tap = part / bundles;
  const ky = tap / geometry.kernelWidth;
  const kx = tap % geometry.kernelWidth;
  const x0 = firstValid(kx, stride, padding);
  const x1 = endValid(kx, stride, padding, geometry.width, geometry.outWidth);
  const first = <usize>(part % bundles) << 6;
  for (let c = first; c < min(bytes, first + 64); c += 16) {
    let total = f32x4.splat(0);
    for (let row = 0; row < geometry.batch * geometry.outHeight; ++row) {
      const iy = (row % geometry.outHeight) * stride + ky - padding;
      if (iy < 0 || iy >= geometry.height) continue;
      const pixel = ((row / geometry.outHeight) * geometry.height + iy) * geometry.width + x0 * stride + kx - padding;
      let x = args.x + <usize>pixel * bytes + c;
      let g = args.g + <usize>(row * geometry.outWidth + x0) * bytes + c;
      let sum = f32x4.splat(0);
      for (let ox = x0; ox < x1; ++ox) {
        sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(g)));
        x += <usize>stride * bytes;
        g += bytes;
      }
      total = f32x4.add(total, sum);
    }
    storeLanes(args.out + <usize>tap * bytes + c, total, <i32>((bytes - c) >> 2));
  }
}
