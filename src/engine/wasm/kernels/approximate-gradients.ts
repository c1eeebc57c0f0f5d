// Weight and structure gradients of the approximate convolution from the gradients H_j = Σ_positions x[j]·g of the
// activation's bit planes.
// All planes at once: for one input channel the positions are sorted by code once (a counting sort); a run of equal
// codes sums its cotangent rows in registers, S_v = Σ_{x = v} g, for every tap of the window by shifting the rows; then
// H_j = Σ_{v: bit j} S_v. That is one vector addition per multiplication, for all planes together, and positions with
// code 0 (half of them after a ReLU) cost nothing. Three taps side by side at stride 1 are summed together: their rows
// follow each other in memory.
// With few positions the 256 runs would be too short; then each half of the code is a digit of its own: two sorts with
// 16 runs each.
//   dw = xScale·(Σ_j 2^j H_j − xZero·H_1), H_1 = Σ_valid g;   dm[i,j] = −2^(i+j)·xScale·Σ wScale[o]·w[i]·H_j
// Steps: the operands (./approximate-operands); the gradients, a part owning four input channels and a slice of tiles;
// the sum of the parts' dm.
// Stride s, dilation d: an input row iy meets the window rows ky·d ≡ iy + padding (mod s) only, so positions are sorted
// per residue class, whose window rows are s / gcd(s, d) apart. On small images many positions of a class lie outside
// the image for a given tap; if there are many outputs, sorting per tap leaves them out.

import { AxmGradients, ROW, tilesOf } from './approximate-operands';
import { foldPlanes, sumRuns, sumTriples } from './approximate-runs';
import { ceilDivide, Geometry, tapStep } from './geometry';
import { storeLanes, sumLanes } from './lanes';

/** Input channels of a part. */
const CHANNELS = 4;
/** Bytes of the runs of a sorted list, and of all that sorting needs beside it: counts and places of 256 values. */
const RUNS_BYTES: usize = 256 * 8;
const HEAD_BYTES: usize = RUNS_BYTES + 2 * 1024;

/**
 * One part per CHANNELS input channels of a group and slice of output tiles: the channels share the cotangent tile in
 * cache.
 * Scratch: buckets (a row per code and tap of a row, 64 at least) | per channel: heads of two lists, H [taps][tiles
 * of the slice][8][16] |
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
  // Taps that share a sorted list follow each other at these distances.
  const stepY = args.sortPerTap ? geometry.kernelHeight : tapStep(geometry.strideY, geometry.dilationY);
  const stepX = args.sortPerTap ? geometry.kernelWidth : tapStep(geometry.strideX, geometry.dilationX);
  const digits = ceilDivide(args.activationBits, args.digitBits);
  const channelBytes: usize = 2 * HEAD_BYTES + <usize>(geometry.kernelHeight * geometry.kernelWidth) * tapBytes;
  const image = <usize>(args.tileHeight * args.tileWidth) * ROW;

  const buckets = scratch;
  const states = buckets + ((<usize>args.tapsPerRow * ROW) << max(args.activationBits, 4));
  const lists = states + <usize>count * channelBytes;
  const listBytes = <usize>(args.imagesPerBlock * geometry.height * geometry.width) * 4;
  memory.fill(states, 0, <usize>count * channelBytes);

  for (let n0 = 0; n0 < geometry.batch; n0 += args.imagesPerBlock) {
    const images = min(args.imagesPerBlock, geometry.batch - n0);
    for (let ry = 0; ry < min(stepY, geometry.kernelHeight); ++ry) {
      for (let rx = 0; rx < min(stepX, geometry.kernelWidth); ++rx) {
        for (let c = 0; c < count; ++c) {
          for (let digit = 0; digit < digits; ++digit) {
            const runs = states + <usize>c * channelBytes + <usize>digit * HEAD_BYTES;
            const list = lists + <usize>(c * digits + digit) * listBytes;
            sortCodes(args, group * channels + first + c, digit * args.digitBits, n0, images, ry, rx, runs, list);
          }
        }
        for (let tile = tile0; tile < tile1; ++tile) {
          const cotangent = args.tiled + <usize>((group * tiles + tile) * geometry.batch + n0) * image;
          if (args.imagesPerBlock < geometry.batch) fetchLines(cotangent, <usize>images * image, buckets);
          for (let c = 0; c < count; ++c) {
            const heads = states + <usize>c * channelBytes;
            for (let ky = ry; ky < geometry.kernelHeight; ky += stepY) {
              for (let kx = rx; kx < geometry.kernelWidth; kx += stepX * args.tapsPerRow) {
                const last = kx + args.tapsPerRow - 1;
                const shifted = cotangent + <usize>tapShift(args, ky, last) * ROW;
                const tap = <usize>(ky * geometry.kernelWidth + last);
                const planes = heads + 2 * HEAD_BYTES + tap * tapBytes + <usize>(tile - tile0) * 8 * ROW;
                for (let digit = 0; digit < digits; ++digit) {
                  const bit = digit * args.digitBits;
                  const bits = min(args.digitBits, args.activationBits - bit);
                  const list = lists + <usize>(c * digits + digit) * listBytes;
                  const runs = heads + <usize>digit * HEAD_BYTES;
                  if (args.tapsPerRow == 3) sumTriples(shifted, runs, list, buckets, bits);
                  else sumRuns(shifted, runs, list, buckets, bits);
                  for (let k = 0; k < args.tapsPerRow; ++k) {
                    const ofTap = planes - <usize>k * tapBytes + <usize>bit * ROW;
                    foldPlanes(ofTap, buckets + ((<usize>k * ROW) << bits), bits);
                  }
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
    const planes = states + <usize>c * channelBytes + 2 * HEAD_BYTES;
    writeGradients(args, group, first + c, tile0, tile1, planes);
    addShare(args, group, first + c, tile0, tile1, planes, share);
  }
  const out = args.structures + <usize>part * 256;
  for (let at: usize = 0; at < 64; ++at) store<f32>(out + (at << 2), sumLanes(v128.load(share + (at << 4))));
}

/**
 * Reads a tile line by line, before runs of equal codes pick its rows in no order that the processor foresees; `to`
 * takes what keeps the reads from being left out.
 */
@inline
function fetchLines(tile: usize, bytes: usize, to: usize): void {
  let any = i32x4.splat(0);
  for (let at = tile, end = tile + bytes; at < end; at += 64) any = v128.or(any, v128.load(at));
  v128.store(to, any);
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
 * offsets into a tile of cotangents, run by run. Runs of equal length stand together, so that the loops over them are
 * foreseen by the processor. `runs` has a pair of words per value of the digit in that order: one past the run's last
 * entry (in bytes of list) and the value's row of buckets (in bytes). The run of value 0 is empty.
 */
function sortCodes(
  args: AxmGradients,
  channel: i32,
  bit: i32,
  n0: i32,
  images: i32,
  ry: i32,
  rx: i32,
  runs: usize,
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
  const counts = runs + RUNS_BYTES;
  memory.fill(counts, 0, 256 * 4);
  const imageBytes = <usize>(height * width);
  const rowStep = <usize>(strideY * width);
  const first = codes + <usize>(iy0 * width + ix0);
  const bytesPerRow = <usize>max(0, ix1 - ix0);
  for (let n: usize = 0; n < <usize>images; ++n) {
    let row = first + n * imageBytes;
    for (let iy = iy0; iy < iy1; iy += strideY, row += rowStep) {
      for (let at = row, end = row + bytesPerRow; at < end; at += strideX) {
        const count = counts + <usize>(((<i32>load<u8>(at) >> bit) & mask) << 2);
        store<i32>(count, load<i32>(count) + 4);
      }
    }
  }
  store<i32>(counts, 0);
  const others = orderRuns(runs, counts, <usize>1 << min(args.digitBits, args.activationBits - bit));
  // Positions of value 0 go behind all runs: to write them is faster than to tell them apart.
  store<u32>(counts, others);
  // Entries of a row follow each other in the tile, for they are one stride apart in the image; so do rows.
  const tileRow = (iy0 + paddingY) / strideY - paddingY / strideY;
  const tileColumn = (ix0 + paddingX) / strideX - paddingX / strideX;
  const entryStep = args.tileWidth * <i32>ROW;
  for (let n = 0; n < images; ++n) {
    let row = first + <usize>n * imageBytes;
    let firstEntry = ((n * args.tileHeight + tileRow) * args.tileWidth + tileColumn) * <i32>ROW;
    for (let iy = iy0; iy < iy1; iy += strideY, row += rowStep, firstEntry += entryStep) {
      let entry = firstEntry;
      for (let from = row, end = row + bytesPerRow; from < end; from += strideX, entry += <i32>ROW) {
        const start = counts + <usize>(((<i32>load<u8>(from) >> bit) & mask) << 2);
        const at = load<i32>(start);
        store<i32>(list + at, entry);
        store<i32>(start, at + 4);
      }
    }
  }
}

/**
 * Writes the runs of all values in the order of their lengths, and in place of each value's count where it starts;
 * returns where they end.
 */
function orderRuns(runs: usize, counts: usize, values: usize): u32 {
  // Long runs need no order among themselves: what is foreseen wrongly is little of them.
  const places = counts + 1024;
  memory.fill(places, 0, 1024);
  for (let at = counts, end = counts + (values << 2); at < end; at += 4) {
    const place = places + <usize>min<u32>(load<u32>(at), 1020);
    store<u32>(place, load<u32>(place) + 1);
  }
  let first: u32 = 0;
  for (let place = places, end = places + 1024; place < end; place += 4) {
    const count = load<u32>(place);
    store<u32>(place, first);
    first += count;
  }
  for (let v: usize = 0; v < values; ++v) {
    const place = places + <usize>min<u32>(load<u32>(counts + (v << 2)), 1020);
    const at = load<u32>(place);
    store<u32>(place, at + 1);
    store<u32>(runs + (<usize>at << 3), <u32>(v * ROW), 4);
  }
  let start: u32 = 0;
  for (let run = runs, end = runs + (values << 3); run < end; run += 8) {
    const count = counts + (load<u32>(run, 4) >> 4);
    const length = load<u32>(count);
    store<u32>(count, start);
    start += length;
    store<u32>(run, start);
  }
  return start;
}

/** dw of one channel's weights. */
function writeGradients(
  args: AxmGradients,
  group: i32,
  channel: i32,
  tile0: i32,
  tile1: i32,
  planes: usize,
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
      }
    }
  }
}

/**
 * Adds to `share`, [8][8] vectors of partial sums, what the weights of one channel add to dm: Σ wScale·w[i]·H_j, with
 * the sums of one bit of the weights in registers.
 */
function addShare(
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
  for (let i = 0; i < args.weightBits; ++i) {
    let a = v128.load(share);
    let b = v128.load(share, 16);
    let c = v128.load(share, 32);
    let d = v128.load(share, 48);
    let e = v128.load(share, 64);
    let f = v128.load(share, 80);
    let g = v128.load(share, 96);
    let h = v128.load(share, 112);
    let tileOfTap = planes;
    for (let tap = 0; tap < taps; ++tap) {
      const row = (tap * channels + channel) * geometry.outputs;
      for (let tile = tile0; tile < tile1; ++tile) {
        const end = group * perGroup + min(perGroup, (tile + 1) * 16);
        let plane = tileOfTap;
        for (let output = group * perGroup + tile * 16; output < end; output += 4) {
          const scale = scalesOfBit(args, row + output, output, end - output, i);
          a = f32x4.add(a, f32x4.mul(scale, v128.load(plane)));
          b = f32x4.add(b, f32x4.mul(scale, v128.load(plane, 64)));
          // No address meets these; more loads at once would spill.
          if (plane == 1) break;
          c = f32x4.add(c, f32x4.mul(scale, v128.load(plane, 128)));
          d = f32x4.add(d, f32x4.mul(scale, v128.load(plane, 192)));
          if (plane == 2) break;
          e = f32x4.add(e, f32x4.mul(scale, v128.load(plane, 256)));
          f = f32x4.add(f, f32x4.mul(scale, v128.load(plane, 320)));
          if (plane == 3) break;
          g = f32x4.add(g, f32x4.mul(scale, v128.load(plane, 384)));
          h = f32x4.add(h, f32x4.mul(scale, v128.load(plane, 448)));
          plane += 16;
        }
        tileOfTap += 8 * ROW;
      }
    }
    v128.store(share, a);
    v128.store(share, b, 16);
    v128.store(share, c, 32);
    v128.store(share, d, 48);
    v128.store(share, e, 64);
    v128.store(share, f, 80);
    v128.store(share, g, 96);
    v128.store(share, h, 112);
    share += 8 * 16;
  }
}

/** Of four weights the scale where bit i is set, else 0; 0 beyond the last output. */
@inline
function scalesOfBit(args: AxmGradients, weight: i32, output: i32, lanes: i32, i: i32): v128 {
  const codes = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(args.w + weight)));
  const bit = i32x4.shr_s(i32x4.shl(codes, 31 - i), 31);
  const there = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(lanes));
  return v128.and(v128.load(args.wScale + (<usize>output << 2)), v128.and(bit, there));
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
