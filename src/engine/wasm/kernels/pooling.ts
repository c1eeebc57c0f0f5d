// Pooling over windows of an NHWC image, lanes over the channels. Padding never wins a maximum and counts as zeros in
// an average.
// A part owns output rows (forward), input rows (average gradient) or whole images (maximum gradient, whose windows may
// overlap).

import { storeLanes } from './lanes';

@unmanaged
export class Pooling {
  x: usize;
  g: usize;
  out: usize;
  batch: i32;
  height: i32;
  width: i32;
  channels: i32;
  outHeight: i32;
  outWidth: i32;
  sizeY: i32;
  sizeX: i32;
  strideY: i32;
  strideX: i32;
  paddingY: i32;
  paddingX: i32;
}

@inline
function pixel(args: Pooling, image: i32, y: i32, x: i32): usize {
  return <usize>(((image * args.height + y) * args.width + x) * args.channels) << 2;
}

export function maxPool(args: Pooling, part: i32, scratch: usize): void {
  pool(args, part, true);
}

export function averagePool(args: Pooling, part: i32, scratch: usize): void {
  pool(args, part, false);
}

/** One part per output row. */
@inline
function pool(args: Pooling, part: i32, maximum: bool): void {
  const image = part / args.outHeight;
  const top = (part % args.outHeight) * args.strideY - args.paddingY;
  const y0 = max(0, top);
  const y1 = min(args.height, top + args.sizeY);
  const bytes = <usize>args.channels << 2;
  const area = f32x4.splat(<f32>(args.sizeY * args.sizeX));
  let out = args.out + <usize>(part * args.outWidth) * bytes;
  for (let ox = 0; ox < args.outWidth; ++ox) {
    const left = ox * args.strideX - args.paddingX;
    const x0 = max(0, left);
    const x1 = min(args.width, left + args.sizeX);
    for (let c: usize = 0; c < bytes; c += 16) {
      let result = f32x4.splat(maximum ? -Infinity : 0);
      for (let y = y0; y < y1; ++y) {
        let at = args.x + pixel(args, image, y, x0) + c;
        for (let x = x0; x < x1; ++x) {
          result = maximum ? f32x4.max(result, v128.load(at)) : f32x4.add(result, v128.load(at));
          at += bytes;
        }
      }
      storeLanes(out + c, maximum ? result : f32x4.div(result, area), <i32>((bytes - c) >> 2));
    }
    out += bytes;
  }
}

/** One part per image: each output's gradient goes to the first maximum of its window in row-major order. */
export function maxPoolGradient(args: Pooling, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  memory.fill(args.out + pixel(args, part, 0, 0), 0, <usize>(args.height * args.width) * bytes);
  for (let oy = 0; oy < args.outHeight; ++oy) {
    const top = oy * args.strideY - args.paddingY;
    const y0 = max(0, top);
    const y1 = min(args.height, top + args.sizeY);
    for (let ox = 0; ox < args.outWidth; ++ox) {
      const left = ox * args.strideX - args.paddingX;
      const x0 = max(0, left);
      const x1 = min(args.width, left + args.sizeX);
      const g = args.g + <usize>((part * args.outHeight + oy) * args.outWidth + ox) * bytes;
      for (let c: usize = 0; c < bytes; c += 16) {
        const start = pixel(args, part, y0, x0) + c;
        let best = v128.load(args.x + start);
        let place = i32x4.splat(<i32>start);
        for (let y = y0; y < y1; ++y) {
          let at = pixel(args, part, y, x0) + c;
          for (let x = x0; x < x1; ++x) {
            const value = v128.load(args.x + at);
            const first = v128.andnot(f32x4.ne(value, value), f32x4.ne(best, best)); // a first NaN
            const greater = v128.or(f32x4.gt(value, best), first);
            best = v128.bitselect(value, best, greater);
            place = v128.bitselect(i32x4.splat(<i32>at), place, greater);
            at += bytes;
          }
        }
        const lanes = <i32>((bytes - c) >> 2);
        scatter(args.out + <usize>i32x4.extract_lane(place, 0), g + c);
        if (lanes > 1) scatter(args.out + <usize>i32x4.extract_lane(place, 1) + 4, g + c + 4);
        if (lanes > 2) scatter(args.out + <usize>i32x4.extract_lane(place, 2) + 8, g + c + 8);
        if (lanes > 3) scatter(args.out + <usize>i32x4.extract_lane(place, 3) + 12, g + c + 12);
      }
    }
  }
}

@inline
function scatter(to: usize, g: usize): void {
  store<f32>(to, load<f32>(to) + load<f32>(g));
}

/** One part per input row: an input pixel collects from every window that contains it. */
export function averagePoolGradient(args: Pooling, part: i32, scratch: usize): void {
  const image = part / args.height;
  const y = (part % args.height) + args.paddingY;
  const bytes = <usize>args.channels << 2;
  const area = f32x4.splat(<f32>(args.sizeY * args.sizeX));
  const oy0 = y < args.sizeY ? 0 : (y - args.sizeY) / args.strideY + 1;
  const oy1 = min(args.outHeight, y / args.strideY + 1);
  for (let ix = 0; ix < args.width; ++ix) {
    const x = ix + args.paddingX;
    const ox0 = x < args.sizeX ? 0 : (x - args.sizeX) / args.strideX + 1;
    const ox1 = min(args.outWidth, x / args.strideX + 1);
    const out = args.out + <usize>(part * args.width + ix) * bytes;
    for (let c: usize = 0; c < bytes; c += 16) {
      let sum = f32x4.splat(0);
      for (let oy = oy0; oy < oy1; ++oy) {
        let at = args.g + <usize>((image * args.outHeight + oy) * args.outWidth + ox0) * bytes + c;
        for (let ox = ox0; ox < ox1; ++ox) {
          sum = f32x4.add(sum, v128.load(at));
          at += bytes;
        }
      }
      storeLanes(out + c, f32x4.div(sum, area), <i32>((bytes - c) >> 2));
    }
  }
}
