// Weight and structure gradients of the approximate convolution from the gradients H_j = Σ_positions x[j]·g of the
// activation's bit planes.
// All planes at once: for one input channel the positions are sorted by code once (a counting sort); a run of equal
// codes sums its cotangent rows in registers, S_v = Σ_{x = v} g, for every tap of the window by shifting the rows; then
// H_j = Σ_{v: bit j} S_v. That is one vector addition per multiplication, for all planes together, and positions with
// code 0 (half of them after a ReLU) cost nothing.
// With few positions the 256 runs would be too short; then each half of the code is a digit of its own: two sorts with
// 16 runs each.
//   dw = xScale·(Σ_j 2^j H_j − xZero·H_1), H_1 = Σ_valid g;   dm[i,j] = −2^(i+j)·xScale·Σ wScale[o]·w[i]·H_j
// Steps: the operands (./approximate-operands); the gradients, a part owning four input channels and a slice of tiles;
// the sum of the parts' dm.
// Stride s, dilation d: an input row iy meets the window rows ky·d ≡ iy + padding (mod s) only, so positions are sorted
// per residue class, whose window rows are s / gcd(s, d) apart. On small images many positions of a class lie outside
// the image for a given tap; if there are many outputs, sorting per tap leaves them out.

import { AxmGradients, ROW, tilesOf } from './approximate-operands';
import { ceilDivide, Geometry, tapStep } from './geometry';
import { storeLanes, sumLanes } from './lanes';

/** Input channels of a part. */
const CHANNELS = 4;

/**
 * One part per CHANNELS input channels of a group and slice of output tiles: the channels share the cotangent tile in
 * cache.
 * Scratch: buckets (a row per code, 16 at least) | per channel: ends [2][272], H [taps][tiles of the slice][8][16] |
 * lists [channel][digit].
 */
export function axmGradients(args: AxmGradients, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const channels = geometry.channels / geometry.groups;
  const bundles = ceilDivide(channels, CHANNELS);
  const bundle = part / args.slices;
  const group = bundle / bundles;
  const first = (bundle % bundles) * CHANNELS;
  const count = min(CHANNELS, channels - first);
  const tiles = tilesOf(geometry);
  const perSlice = ceilDivide(tiles, args.slices);
  const tile0 = min(tiles, (part % args.slices) * perSlice);
  const tile1 = min(tiles, tile0 + perSlice);
  const tapBytes = <usize>(tile1 - tile0) * 8 * ROW;
  const endsBytes: usize = ROW * 17;
  // Taps that share a sorted list follow each other at these distances.
  const stepY = args.sortPerTap ? geometry.kernelHeight : tapStep(geometry.strideY, geometry.dilationY);
  const stepX = args.sortPerTap ? geometry.kernelWidth : tapStep(geometry.strideX, geometry.dilationX);
  const digits = ceilDivide(args.activationBits, args.digitBits);
  const channelBytes: usize = 2 * endsBytes + <usize>(geometry.kernelHeight * geometry.kernelWidth) * tapBytes;
  const image = <usize>(args.tileHeight * args.tileWidth) * ROW;

  const buckets = scratch;
  const states = buckets + (ROW << max(args.activationBits, 4));
  const lists = states + <usize>count * channelBytes;
  const listBytes = <usize>(args.imagesPerBlock * geometry.height * geometry.width) * 4;
  memory.fill(states, 0, <usize>count * channelBytes);

  for (let n0 = 0; n0 < geometry.batch; n0 += args.imagesPerBlock) {
    const images = min(args.imagesPerBlock, geometry.batch - n0);
    for (let ry = 0; ry < min(stepY, geometry.kernelHeight); ++ry) {
      for (let rx = 0; rx < min(stepX, geometry.kernelWidth); ++rx) {
        for (let c = 0; c < count; ++c) {
          for (let digit = 0; digit < digits; ++digit) {
            const ends = states + <usize>c * channelBytes + <usize>digit * endsBytes;
            const list = lists + <usize>(c * digits + digit) * listBytes;
            sortCodes(args, group * channels + first + c, digit * args.digitBits, n0, images, ry, rx, ends, list);
          }
        }
        for (let tile = tile0; tile < tile1; ++tile) {
          const cotangent = args.tiled + <usize>((group * tiles + tile) * geometry.batch + n0) * image;
          for (let c = 0; c < count; ++c) {
            const ends = states + <usize>c * channelBytes;
            for (let ky = ry; ky < geometry.kernelHeight; ky += stepY) {
              for (let kx = rx; kx < geometry.kernelWidth; kx += stepX) {
                const shifted = cotangent + <usize>tapShift(args, ky, kx) * ROW;
                const tap = <usize>(ky * geometry.kernelWidth + kx);
                const planes = ends + 2 * endsBytes + tap * tapBytes + <usize>(tile - tile0) * 8 * ROW;
                for (let digit = 0; digit < digits; ++digit) {
                  const bit = digit * args.digitBits;
                  const list = lists + <usize>(c * digits + digit) * listBytes;
                  const bits = min(args.digitBits, args.activationBits - bit);
                  addPlanes(planes + <usize>bit * ROW, shifted, ends + <usize>digit * endsBytes, list, buckets, bits);
                }
              }
            }
          }
        }
      }
    }
  }
  const share = buckets;
  memory.fill(share, 0, 64 * 16);
  for (let c = 0; c < count; ++c) {
    writeGradients(args, group, first + c, tile0, tile1, states + <usize>c * channelBytes + 2 * endsBytes, share);
  }
  const out = args.structures + <usize>part * 256;
  for (let at: usize = 0; at < 64; ++at) store<f32>(out + (at << 2), sumLanes(v128.load(share + (at << 4))));
}

/** How far below the list's row of a cotangent tile the tap's output row lies. */
@inline
function tapShift(args: AxmGradients, ky: i32, kx: i32): i32 {
  const geometry = args.geometry;
  const down = below(ky, geometry.kernelHeight, geometry.strideY, geometry.dilationY);
  return down * args.tileWidth + below(kx, geometry.kernelWidth, geometry.strideX, geometry.dilationX);
}

@inline
function below(k: i32, kernel: i32, stride: i32, dilation: i32): i32 {
  return ((kernel - 1) * dilation) / stride - (k * dilation) / stride;
}

/**
 * First input row (column) that meets a window row `offset` pixels into the window: iy + padding ≡ offset (mod stride).
 */
@inline
function firstOfClass(offset: i32, stride: i32, padding: i32): i32 {
  return (((offset - padding) % stride) + stride) % stride;
}

/**
 * Sorts the positions of one channel in one residue class (or of one tap) by a digit of their code: list holds byte
 * offsets into a tile of cotangents, word v + 1 of ends is one past the last entry of digit v (in bytes of list). Digit
 * 0 is left out.
 */
function sortCodes(
  args: AxmGradients,
  channel: i32,
  bit: i32,
  n0: i32,
  images: i32,
  ry: i32,
  rx: i32,
  ends: usize,
  list: usize,
): void {
  const geometry = args.geometry;
  const strideY = geometry.strideY;
  const strideX = geometry.strideX;
  const paddingY = geometry.paddingY;
  const paddingX = geometry.paddingX;
  const offsetY = ry * geometry.dilationY;
  const offsetX = rx * geometry.dilationX;
  const height = geometry.height;
  const width = geometry.width;
  const codes = args.planar + <usize>channel * geometry.batch * height * width + <usize>n0 * height * width;
  let iy0 = firstOfClass(offsetY, strideY, paddingY);
  let ix0 = firstOfClass(offsetX, strideX, paddingX);
  let iy1 = height;
  let ix1 = width;
  if (args.sortPerTap) {
    iy0 = max(iy0, offsetY - paddingY);
    ix0 = max(ix0, offsetX - paddingX);
    iy1 = min(height, (geometry.outHeight - 1) * strideY + offsetY - paddingY + 1);
    ix1 = min(width, (geometry.outWidth - 1) * strideX + offsetX - paddingX + 1);
  }
  const mask = (1 << args.digitBits) - 1;
  memory.fill(ends, 0, 257 * 4);
  for (let n = 0; n < images; ++n) {
    for (let iy = iy0; iy < iy1; iy += strideY) {
      const row = codes + <usize>((n * height + iy) * width);
      for (let ix = ix0; ix < ix1; ix += strideX) {
        const count = ends + <usize>(((<i32>load<u8>(row + ix) >> bit) & mask) << 2);
        store<i32>(count, load<i32>(count, 4) + 4, 4);
      }
    }
  }
  // Word v + 1 counts digit v. It becomes the start of the digit; the scatter below moves it to its end.
  let start = 0;
  store<i32>(ends, 0, 4);
  for (let v: usize = 2; v <= <usize>mask + 1; ++v) {
    const count = load<i32>(ends + (v << 2));
    store<i32>(ends + (v << 2), start);
    start += count;
  }
  const firstRow = paddingY / strideY;
  const firstColumn = paddingX / strideX;
  for (let n = 0; n < images; ++n) {
    for (let iy = iy0; iy < iy1; iy += strideY) {
      const row = codes + <usize>((n * height + iy) * width);
      const tileRow = (n * args.tileHeight + (iy + paddingY) / strideY - firstRow) * args.tileWidth;
      // Entries of a row follow each other in the tile, for they are one stride apart in the image.
      let entry = (tileRow + (ix0 + paddingX) / strideX - firstColumn) * <i32>ROW;
      for (let ix = ix0; ix < ix1; ix += strideX, entry += <i32>ROW) {
        const digit = (<i32>load<u8>(row + ix) >> bit) & mask;
        if (digit == 0) continue;
        const end = ends + <usize>(digit << 2);
        const at = load<i32>(end, 4);
        store<i32>(list + at, entry);
        store<i32>(end, at + 4, 4);
      }
    }
  }
}

/**
 * Adds the plane gradients of one digit, block, tap and tile to `planes` [bits][16]; `buckets` has a row per value of
 * the digit.
 */
export function addPlanes(planes: usize, cotangent: usize, ends: usize, list: usize, buckets: usize, bits: i32): void {
  let at = list;
  let bucket = buckets;
  for (let end = ends + 4, last = ends + (4 << bits); end <= last; end += 4) {
    const stop = list + load<u32>(end);
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    for (; at + 8 <= stop; at += 8) {
      const row = cotangent + load<u32>(at);
      const next = cotangent + load<u32>(at, 4);
      a = f32x4.add(a, f32x4.add(v128.load(row), v128.load(next)));
      b = f32x4.add(b, f32x4.add(v128.load(row, 16), v128.load(next, 16)));
      c = f32x4.add(c, f32x4.add(v128.load(row, 32), v128.load(next, 32)));
      d = f32x4.add(d, f32x4.add(v128.load(row, 48), v128.load(next, 48)));
    }
    if (at < stop) {
      const row = cotangent + load<u32>(at);
      a = f32x4.add(a, v128.load(row));
      b = f32x4.add(b, v128.load(row, 16));
      c = f32x4.add(c, v128.load(row, 32));
      d = f32x4.add(d, v128.load(row, 48));
      at += 4;
    }
    v128.store(bucket, a);
    v128.store(bucket, b, 16);
    v128.store(bucket, c, 32);
    v128.store(bucket, d, 48);
    bucket += ROW;
  }
  foldPlanes(planes, buckets, <usize>1 << bits);
}

/** planes[j] += Σ_{v: bit j} buckets[v], by halving: the upper half is one plane and then joins the lower half. */
export function foldPlanes(planes: usize, buckets: usize, codes: usize): void {
  let plane: usize = planes + ctz(codes) * ROW;
  for (let half = codes >> 1; half > 0; half >>= 1) {
    plane -= ROW;
    for (let lane: usize = 0; lane < ROW; lane += 16) {
      let sum = v128.load(plane + lane);
      let lower = buckets + lane;
      for (let v: usize = 0; v < half; ++v) {
        const upper = v128.load(lower + half * ROW);
        sum = f32x4.add(sum, upper);
        v128.store(lower, f32x4.add(v128.load(lower), upper));
        lower += ROW;
      }
      v128.store(plane + lane, sum);
    }
  }
}

/**
 * dw of one channel's weights, and their share of dm, Σ wScale·w[i]·H_j, added to `share`: [8][8] vectors of partial
 * sums.
 */
function writeGradients(
  args: AxmGradients,
  group: i32,
  channel: i32,
  tile0: i32,
  tile1: i32,
  planes: usize,
  share: usize,
): void {
  const geometry = args.geometry;
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  const channels = geometry.channels / geometry.groups;
  const perGroup = geometry.outputs / geometry.groups;
  const tiles = tilesOf(geometry);
  const xScale = load<f32>(args.xScale);
  const xZero = load<f32>(args.xZero);

  for (let tap = 0; tap < taps; ++tap) {
    for (let tile = tile0; tile < tile1; ++tile) {
      const at = planes + <usize>(tap * (tile1 - tile0) + tile - tile0) * 8 * ROW;
      for (let lane = 0; lane < 16; lane += 4) {
        const lanes = min(4, perGroup - tile * 16 - lane);
        if (lanes <= 0) break;
        const output = group * perGroup + tile * 16 + lane;
        const weight = (tap * channels + channel) * geometry.outputs + output;
        const plane = at + (<usize>lane << 2);
        let sum = f32x4.splat(0);
        if (xZero != 0) {
          const ones = args.ones + (<usize>(((group * tiles + tile) * taps + tap) * 16 + lane) << 2);
          sum = f32x4.mul(v128.load(ones), f32x4.splat(-xZero));
        }
        for (let j = 0; j < args.activationBits; ++j) {
          sum = f32x4.add(sum, f32x4.mul(v128.load(plane + <usize>j * ROW), f32x4.splat(f32(1 << j))));
        }
        storeLanes(args.dw + (<usize>weight << 2), f32x4.mul(sum, f32x4.splat(xScale)), lanes);
        addShare(args, share, weight, output, lanes, plane);
      }
    }
  }
}

@inline
function addShare(args: AxmGradients, share: usize, weight: i32, output: i32, lanes: i32, plane: usize): void {
  // Lanes beyond the last output take code 0, so that they add nothing.
  let codes = i32x4.splat(<i32>load<u8>(args.w + weight));
  let scales = f32x4.splat(load<f32>(args.wScale + (<usize>output << 2)));
  codes = i32x4.replace_lane(codes, 1, lanes > 1 ? <i32>load<u8>(args.w + weight, 1) : 0);
  codes = i32x4.replace_lane(codes, 2, lanes > 2 ? <i32>load<u8>(args.w + weight, 2) : 0);
  codes = i32x4.replace_lane(codes, 3, lanes > 3 ? <i32>load<u8>(args.w + weight, 3) : 0);
  if (lanes == 4) scales = v128.load(args.wScale + (<usize>output << 2));
  else {
    if (lanes > 1) scales = f32x4.replace_lane(scales, 1, load<f32>(args.wScale + (<usize>output << 2), 4));
    if (lanes > 2) scales = f32x4.replace_lane(scales, 2, load<f32>(args.wScale + (<usize>output << 2), 8));
  }
  for (let i = 0; i < args.weightBits; ++i) {
    // −1 where bit i of the weight is set, else 0.
    const mask = i32x4.neg(v128.and(i32x4.shr_u(codes, i), i32x4.splat(1)));
    const scale = v128.and(scales, mask);
    for (let j = 0; j < args.activationBits; ++j) {
      const at = share + (<usize>((i << 3) + j) << 4);
      v128.store(at, f32x4.add(v128.load(at), f32x4.mul(scale, v128.load(plane + <usize>j * ROW))));
    }
  }
}

/** dm from the parts' shares, in the order of the parts. One part. */
export function structureGradient(args: AxmGradients, part: i32, scratch: usize): void {
  const xScale = <f64>load<f32>(args.xScale);
  const geometry = args.geometry;
  const parts = geometry.groups * ceilDivide(geometry.channels / geometry.groups, CHANNELS) * args.slices;
  for (let i = 0; i < args.weightBits; ++i) {
    for (let j = 0; j < args.activationBits; ++j) {
      let sum: f64 = 0;
      for (let p = 0; p < parts; ++p) sum += <f64>load<f32>(args.structures + (<usize>((p << 6) + (i << 3) + j) << 2));
      store<f32>(args.dm + (<usize>(i * args.activationBits + j) << 2), <f32>(-xScale * <f64>(1 << (i + j)) * sum));
    }
  }
}
