// Pooling over windows of an NHWC image, lanes over the channels. Padding never wins a maximum; in an average it counts
// as zeros or not at all, and what lies beyond it never does.
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
  /** Averages: what every window is divided by, or 0 where that depends on the window. */
  area: i32;
  /** Averages of windows with areas of their own: whether padding counts. */
  countPadding: i32;
}

/** Taps that an average counts along an axis, of a window that begins at `start`; `inside`: those inside the image. */
@inline
function counted(start: i32, inside: i32, size: i32, extent: i32, padding: i32, countPadding: i32): i32 {
  return countPadding ? min(size, extent + padding - start) : inside;
}

@inline
function countedRows(args: Pooling, oy: i32): i32 {
  const top = oy * args.strideY - args.paddingY;
  const inside = min(args.height, top + args.sizeY) - max(0, top);
  return counted(top, inside, args.sizeY, args.height, args.paddingY, args.countPadding);
}

@inline
function countedColumns(args: Pooling, ox: i32): i32 {
  const left = ox * args.strideX - args.paddingX;
  const inside = min(args.width, left + args.sizeX) - max(0, left);
  return counted(left, inside, args.sizeX, args.width, args.paddingX, args.countPadding);
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
  const rows = maximum || args.area ? 0 : countedRows(args, part % args.outHeight);
  let out = args.out + <usize>(part * args.outWidth) * bytes;
  for (let ox = 0; ox < args.outWidth; ++ox) {
    const left = ox * args.strideX - args.paddingX;
    const x0 = max(0, left);
    const x1 = min(args.width, left + args.sizeX);
    const area = f32x4.splat(<f32>(rows ? rows * countedColumns(args, ox) : args.area));
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

/** One part per input row: an input pixel collects from every window that contains it, each with its area. */
export function averagePoolGradient(args: Pooling, part: i32, scratch: usize): void {
  const image = part / args.height;
  const y = (part % args.height) + args.paddingY;
  const bytes = <usize>args.channels << 2;
  const area = f32x4.splat(<f32>args.area);
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
        const rows = args.area ? 0 : countedRows(args, oy);
        for (let ox = ox0; ox < ox1; ++ox) {
          const g = v128.load(at);
          sum = f32x4.add(sum, rows ? f32x4.div(g, f32x4.splat(<f32>(rows * countedColumns(args, ox)))) : g);
          at += bytes;
        }
      }
      storeLanes(out + c, args.area ? f32x4.div(sum, area) : sum, <i32>((bytes - c) >> 2));
    }
  }
}
