// Forward convolution with an approximate multiplier: out = xScale·wScale·Σ_valid taps ((wq − wZero)(xq − xZero) +
// E(wq, xq)).
// One skeleton, three kinds of product rows. A row holds, for one tap and channel and one pattern of activation bits,
// the products with the weights of a tile of output channels: 64 bytes, one cache line. An output is a sum of rows
// picked by the activation codes.
//   f32: weights centred (wq − wZero), for real removal matrices, 16 outputs per row. The product is linear in the
//   activation's bits, so
//        all rows are sums of the single bits' rows. 2^activationBits rows per channel, or 16 rows for each half of a
//        code where there are too few positions to repay building 256.
//   i16: a code's low and high half have 16 rows each, 32 outputs per row, exact integers Σ_j (w − G_j(w)) 2^(j mod 4)
//   x[j] ≤ 255·15, not
//        centred; rows of a tile with up to 16 outputs are half as long. 16 channels are summed in 16 bits (16·3825 <
//        2^16), then widened: the sum of low halves plus 16 times that of high halves.
//   i32: any product table: 2^activationBits rows per channel, 16 outputs each, exact.
// All rows are zero for the pattern 0. The terms that the rows leave out come at the end: −xZero Σ_valid (wq − wZero)
// from a sum per tap (with xZero = 0, as behind a ReLU, it is 0 and no tap is summed), and −wZero Σ_valid xq (i16, i32)
// from the sums over the channels of each pixel. The integer kinds finish in f64, so the value before scaling is exact.
// Tiling: a part owns one tile of outputs and a run of output rows (`rowsPerPart`). Its sums stay in scratch; for each
// tap and block of channels it builds the rows (i16: 32 KB, first-level cache; else at most 128 KB, second-level) and
// passes once over its positions.
// Where a code's halves have rows of their own and the window has several taps, a part first lists, for each pixel and
// block of channels, where the rows of its codes begin. Codes of 0, half of them behind a ReLU, are not in the lists:
// to add their rows of zeros changes no sum, which begins with +0 and never becomes −0.
// Three taps side by side (stride and dilation 1), 32-bit kinds with a row per code: a row holds all three, 192 bytes
// in a run, for a block of four channels (192 KB). A pass goes over all pixels of a line and keeps three positions'
// sums in registers; what falls beside the image goes to two places of its own. The block's codes are packed first.
// Alternatives: for f32, two halves as for i16 take a quarter longer where positions are many (measured; the loads
// bound the loop). A plane product with i32x4.dot_i16x8_s has twice the rate of the f32 product but makes a pass per
// plane, eight in place of one.
// Scratch: sums | rows | one correction per tap and output lane | lists of codes.

import { AxmForward, buildRows, channelBytes, ROW, TRIPLE } from './approximate-rows';
import {
  gatherHalves,
  gatherInteger,
  gatherListedHalves,
  gatherListedInteger,
  gatherListedNarrow,
  gatherNarrow,
  gatherReal,
  gatherRealTriples,
  gatherTable,
  gatherTableTriples,
  listBytes,
  listCodes,
} from './approximate-sums';
import { ceilDivide, endTap, endValid, firstTap, firstValid, Geometry } from './geometry';
import { storeLanes, storeTransposed, upperHalf } from './lanes';

@unmanaged
export class CodeBlocks {
  x: usize;
  /** u8 [groups][blocks of 4 channels][pixels][4]; channels that are not there are 0. */
  out: usize;
  pixels: i32;
  groups: i32;
  channelsPerGroup: i32;
  pixelsPerPart: i32;
}

/** The codes of four channels side by side: what a pass reads of the activation then stays in the cache. */
export function packCodes(args: CodeBlocks, part: i32, scratch: usize): void {
  const first = part * args.pixelsPerPart;
  const end = min(args.pixels, first + args.pixelsPerPart);
  const channels = args.channelsPerGroup;
  const blockBytes = <usize>args.pixels << 2;
  const pixelBytes = <usize>(args.groups * channels);
  let squares = first;
  if (channels % 16 == 0) {
    squares += (end - first) & ~3;
    for (let c: usize = 0; c < pixelBytes; c += 16) {
      let x = args.x + <usize>first * pixelBytes + c;
      let to = args.out + (c >> 2) * blockBytes + (<usize>first << 2);
      for (let pixel = first; pixel < squares; pixel += 4) {
        const next = x + 2 * pixelBytes;
        storeTransposed(
          v128.load(x),
          v128.load(x + pixelBytes),
          v128.load(next),
          v128.load(next + pixelBytes),
          to,
          to + blockBytes,
          to + 2 * blockBytes,
          to + 3 * blockBytes,
        );
        x += 4 * pixelBytes;
        to += 16;
      }
    }
  }
  let x = args.x + <usize>squares * pixelBytes;
  for (let pixel = squares; pixel < end; ++pixel) {
    let to = args.out + (<usize>pixel << 2);
    for (let group = 0; group < args.groups; ++group) {
      let c = 0;
      for (; c + 4 <= channels; c += 4) {
        store<u32>(to, load<u32>(x + c));
        to += blockBytes;
      }
      if (c < channels) {
        let codes: u32 = load<u8>(x + c);
        if (c + 1 < channels) codes |= <u32>load<u8>(x + c, 1) << 8;
        if (c + 2 < channels) codes |= <u32>load<u8>(x + c, 2) << 16;
        store<u32>(to, codes);
        to += blockBytes;
      }
      x += channels;
    }
  }
}

@unmanaged
export class PixelSums {
  x: usize;
  out: usize;
  pixels: i32;
  groups: i32;
  channelsPerGroup: i32;
  pixelsPerPart: i32;
}

export function pixelSums(args: PixelSums, part: i32, scratch: usize): void {
  const first = part * args.pixelsPerPart * args.groups;
  const end = min(args.pixels, (part + 1) * args.pixelsPerPart) * args.groups;
  const channels = args.channelsPerGroup;
  let x = args.x + <usize>first * channels;
  for (let at = first; at < end; ++at) {
    let sum = i32x4.splat(0);
    let c = 0;
    for (; c + 16 <= channels; c += 16) {
      sum = i32x4.add(sum, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(v128.load(x + c))));
    }
    let total = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1);
    total += i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    for (; c < channels; ++c) total += <i32>load<u8>(x + c);
    store<i32>(args.out + (<usize>at << 2), total);
    x += channels;
  }
}

export function axmForwardReal(args: AxmForward, part: i32, scratch: usize): void {
  forward<f32>(args, part, scratch);
}
export function axmForwardInteger(args: AxmForward, part: i32, scratch: usize): void {
  forward<i16>(args, part, scratch);
}
export function axmForwardTable(args: AxmForward, part: i32, scratch: usize): void {
  forward<i32>(args, part, scratch);
}

@inline
function lanesOf<T>(): i32 {
  return sizeof<T>() == 2 ? 32 : 16;
}

/** Channels whose rows are built and used together. */
@inline
function blockOf<T>(tapsPerRow: i32): i32 {
  return sizeof<T>() == 2 ? 16 : tapsPerRow == 3 ? 4 : 8;
}

/**
 * The input row `offset` rows into the window of an output row, within its image; rows are numbered through all
 * images.
 */
@inline
function inputRow(geometry: Geometry, row: i32, offset: i32): i32 {
  const image = row / geometry.outHeight;
  const at = (row - image * geometry.outHeight) * geometry.strideY - geometry.paddingY + offset;
  return image * geometry.height + min(max(at, 0), geometry.height);
}

/** Places of a row of sums. */
@inline
function placesOf(args: AxmForward): i32 {
  return args.tapsPerRow == 3 ? args.geometry.width + 2 : args.geometry.outWidth;
}

function forward<T>(args: AxmForward, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const strideX = geometry.strideX;
  const paddingX = geometry.paddingX;
  const outWidth = geometry.outWidth;
  const channels = geometry.channels / geometry.groups;
  const outputs = geometry.outputs / geometry.groups;
  const tiles = ceilDivide(outputs, lanesOf<T>());
  const tile = part % (tiles * geometry.groups);
  const group = tile / tiles;
  const firstLane = (tile % tiles) * lanesOf<T>();
  const lanes = min(lanesOf<T>(), outputs - firstLane);
  const firstOutput = group * outputs + firstLane;
  const firstRow = (part / (tiles * geometry.groups)) * args.rowsPerPart;
  const rows = min(args.rowsPerPart, geometry.batch * geometry.outHeight - firstRow);
  const sumBytes = <usize>lanesOf<T>() * 4;

  const tapsPerRow = args.tapsPerRow;
  const places = placesOf(args);
  const blockChannels = blockOf<T>(tapsPerRow);
  const pitch = tapsPerRow == 3 ? TRIPLE : sizeof<T>() == 2 && lanes <= 16 ? ROW / 2 : ROW;
  const blocks = ceilDivide(channels, blockChannels);
  const pixels = <usize>(geometry.batch * geometry.height * geometry.width);
  const listed = args.listed != 0;
  const pixelBytes: usize = listed ? listBytes(blockChannels) : tapsPerRow == 3 ? 4 : geometry.channels;
  const codeStep = <usize>strideX * pixelBytes;
  const rowsBytes = channelBytes<T>(args.activationBits, pitch);

  const sums = scratch;
  const table = sums + <usize>args.rowsPerPart * places * sumBytes;
  const corrections = table + <usize>blockChannels * rowsBytes;
  const lists = corrections + <usize>(geometry.kernelHeight * geometry.kernelWidth + 4) * (lanesOf<T>() << 3);
  const isShifted = load<f32>(args.xZero) != 0;
  memory.fill(sums, 0, <usize>rows * places * sumBytes);

  // Whole sums come to the same in any order: block by block, so that only one block's lists are there at a time.
  const span = sizeof<T>() == 2 ? blockChannels : channels;
  const firstListed = inputRow(geometry, firstRow, 0) * geometry.width;
  const endListed = inputRow(geometry, firstRow + rows - 1, (geometry.kernelHeight - 1) * geometry.dilationY + 1) * geometry.width;
  const listedBytes = <usize>max(0, endListed - firstListed) * pixelBytes;
  for (let outer = 0; outer < channels; outer += span) {
    const inner = min(channels, outer + span);
    if (listed) {
      for (let channel = outer; channel < inner; channel += blockChannels) {
        const codes = args.x + <usize>firstListed * geometry.channels + group * channels + channel;
        const list = lists + <usize>((channel - outer) / blockChannels) * listedBytes;
        listCodes(codes, geometry.channels, endListed - firstListed, min(blockChannels, channels - channel), pitch, list, pixelBytes);
      }
    }
    for (let ky = 0; ky < geometry.kernelHeight; ++ky) {
      const offsetY = ky * geometry.dilationY - geometry.paddingY;
      for (let kx = 0; kx < geometry.kernelWidth; kx += tapsPerRow) {
        const tap = ky * geometry.kernelWidth + kx;
        const offsetX = kx * geometry.dilationX;
        // Three taps pass over all pixels and leave what falls outside in places of their own.
        const from = tapsPerRow == 3 ? 0 : firstValid(offsetX, strideX, paddingX);
        const end = tapsPerRow == 3 ? geometry.width : endValid(offsetX, strideX, paddingX, geometry.width, outWidth);
        const firstPixel = tapsPerRow == 3 ? 0 : from * strideX + offsetX - paddingX;
        for (let channel = outer; channel < inner; channel += blockChannels) {
          const taps = min(blockChannels, channels - channel);
          const block = <usize>(group * blocks + channel / blockChannels) * pixels;
          let first = args.x + group * channels + channel;
          if (tapsPerRow == 3) first = args.codeBlocks + block * pixelBytes;
          if (listed) first = lists + <usize>((channel - outer) / blockChannels) * listedBytes - <usize>firstListed * pixelBytes;
          for (let k = 0; k < tapsPerRow; ++k) {
            const weights = args.w + <usize>((tap + k) * channels + channel) * geometry.outputs + firstOutput;
            buildRows<T>(args, table + <usize>k * ROW, pitch, weights, taps, firstOutput, lanes);
          }
          if (tapsPerRow == 3) {
            // Channels that are not there have code 0.
            for (let c = taps; c < blockChannels; ++c) memory.fill(table + <usize>c * rowsBytes, 0, TRIPLE);
          }
          let image = firstRow / geometry.outHeight;
          let oy = firstRow - image * geometry.outHeight;
          for (let r = 0; r < rows; ++r, ++oy) {
            if (oy == geometry.outHeight) {
              oy = 0;
              ++image;
            }
            const iy = oy * geometry.strideY + offsetY;
            if (iy < 0 || iy >= geometry.height) continue;
            const pixel = (image * geometry.height + iy) * geometry.width + firstPixel;
            const codes = first + <usize>pixel * pixelBytes;
            const at = sums + <usize>(r * places + from) * sumBytes;
            const count = end - from;
            if (isFloat<T>()) {
              if (tapsPerRow == 3) gatherRealTriples(at, codes, count, table, rowsBytes);
              else if (listed) gatherListedHalves(at, codes, codeStep, count, table);
              else if (args.digitBits == 4) gatherHalves(at, codes, codeStep, count, table, taps);
              else gatherReal(at, codes, codeStep, count, table, taps, rowsBytes);
            } else if (sizeof<T>() == 2) {
              if (listed) {
                if (pitch == ROW) gatherListedInteger(at, codes, codeStep, count, table);
                else gatherListedNarrow(at, codes, codeStep, count, table);
              } else if (pitch == ROW) gatherInteger(at, codes, codeStep, count, table, taps);
              else gatherNarrow(at, codes, codeStep, count, table, taps);
            } else if (tapsPerRow == 3) gatherTableTriples(at, codes, count, table, rowsBytes);
            else gatherTable(at, codes, codeStep, count, table, taps, rowsBytes);
          }
        }
        for (let k = tap; isShifted && outer == 0 && k < tap + tapsPerRow; ++k) {
          weightSums(args, corrections + <usize>k * (lanesOf<T>() << 3), k, firstOutput, lanes);
        }
      }
    }
  }
  finish<T>(args, sums, corrections, group, firstOutput, lanes, firstRow, rows);
}

/** −xZero·Σ_channels (wq − wZero) of one tap for each lane, in f64. */
function weightSums(args: AxmForward, out: usize, tap: i32, firstOutput: i32, lanes: i32): void {
  const geometry = args.geometry;
  const channels = geometry.channels / geometry.groups;
  const xZero = <f64>load<f32>(args.xZero);
  const weights = args.w + <usize>(tap * channels) * geometry.outputs + firstOutput;
  for (let lane = 0; lane < lanes; ++lane) {
    let sum = 0;
    for (let c = 0; c < channels; ++c) sum += <i32>load<u8>(weights + <usize>c * geometry.outputs + lane);
    const centredSum = <f64>sum - <f64>channels * <f64>load<f32>(args.wZero + (<usize>(firstOutput + lane) << 2));
    store<f64>(out + (<usize>lane << 3), -xZero * centredSum);
  }
}

/** Adds the corrections of the valid taps to the sums of a part, scales, and writes its outputs. */
function finish<T>(
  args: AxmForward,
  sums: usize,
  corrections: usize,
  group: i32,
  firstOutput: i32,
  lanes: i32,
  firstRow: i32,
  rows: i32,
): void {
  const geometry = args.geometry;
  const taps = geometry.kernelHeight * geometry.kernelWidth;
  const laneBytes = <usize>lanesOf<T>() << 3;
  const whole = corrections + <usize>taps * laneBytes;
  const partial = whole + laneBytes;
  const scales = partial + laneBytes;
  const zeros = scales + laneBytes;
  for (let lane: usize = 0; lane < <usize>lanes; ++lane) {
    const output = <usize>firstOutput + lane;
    store<f64>(scales + (lane << 3), <f64>load<f32>(args.xScale) * <f64>load<f32>(args.wScale + (output << 2)));
    store<f64>(zeros + (lane << 3), isFloat<T>() ? 0 : <f64>load<f32>(args.wZero + (output << 2)));
  }
  // Of three taps, the first reaches two places further right than the last.
  const firstPlace = args.tapsPerRow == 3 ? 2 - geometry.paddingX : 0;
  const tapBytes = <usize>(geometry.dilationX * geometry.groups) << 2;
  const isShifted = load<f32>(args.xZero) != 0;
  if (isShifted) sumTaps(geometry, corrections, whole, laneBytes, lanes, 0, geometry.kernelHeight, 0, geometry.kernelWidth);
  else memory.fill(whole, 0, laneBytes);

  for (let r = 0; r < rows; ++r) {
    const row = firstRow + r;
    const top = (row % geometry.outHeight) * geometry.strideY - geometry.paddingY;
    const ky0 = firstTap(top, geometry.dilationY);
    const ky1 = endTap(top, geometry.dilationY, geometry.height, geometry.kernelHeight);
    let at = sums + <usize>(r * placesOf(args) + firstPlace) * lanesOf<T>() * 4;
    for (let ox = 0; ox < geometry.outWidth; ++ox) {
      const left = ox * geometry.strideX - geometry.paddingX;
      const kx0 = firstTap(left, geometry.dilationX);
      const kx1 = endTap(left, geometry.dilationX, geometry.width, geometry.kernelWidth);
      let correction = whole;
      if (isShifted && (ky0 > 0 || kx0 > 0 || ky1 < geometry.kernelHeight || kx1 < geometry.kernelWidth)) {
        correction = partial;
        sumTaps(geometry, corrections, partial, laneBytes, lanes, ky0, ky1, kx0, kx1);
      }
      let codes = 0;
      if (isInteger<T>()) {
        const image = (row / geometry.outHeight) * geometry.height;
        for (let ky = ky0; ky < ky1; ++ky) {
          const first = (image + top + ky * geometry.dilationY) * geometry.width + left + kx0 * geometry.dilationX;
          let pixel = args.pixelSums + (<usize>(first * geometry.groups + group) << 2);
          for (let kx = kx0; kx < kx1; ++kx) {
            codes += load<i32>(pixel);
            pixel += tapBytes;
          }
        }
      }
      const out = args.out + (<usize>((row * geometry.outWidth + ox) * geometry.outputs + firstOutput) << 2);
      if (isFloat<T>() && !isShifted) scalePosition(at, scales, out, lanes);
      else finishPosition<T>(at, correction, scales, zeros, <f64>codes, out, lanes);
      at += lanesOf<T>() << 2;
    }
  }
}

function sumTaps(
  geometry: Geometry,
  corrections: usize,
  out: usize,
  tapBytes: usize,
  lanes: i32,
  ky0: i32,
  ky1: i32,
  kx0: i32,
  kx1: i32,
): void {
  const bytes = <usize>lanes << 3;
  memory.fill(out, 0, tapBytes);
  for (let ky = ky0; ky < ky1; ++ky) {
    for (let kx = kx0; kx < kx1; ++kx) {
      const tap = corrections + <usize>(ky * geometry.kernelWidth + kx) * tapBytes;
      for (let at: usize = 0; at < bytes; at += 16) {
        v128.store(out + at, f64x2.add(v128.load(out + at), v128.load(tap + at)));
      }
    }
  }
}

@inline
function finishPosition<T>(
  sums: usize,
  correction: usize,
  scales: usize,
  zeros: usize,
  codes: f64,
  out: usize,
  lanes: i32,
): void {
  for (let lane = 0; lane < lanes; lane += 4) {
    const sum = v128.load(sums + (<usize>lane << 2));
    const at = <usize>lane << 3;
    const next = at + 16;
    const first = finishPair(widened<T>(sum), correction + at, scales + at, zeros + at, codes);
    const second = finishPair(widened<T>(upperHalf(sum)), correction + next, scales + next, zeros + next, codes);
    const value = v128.shuffle<i32>(f32x4.demote_f64x2_zero(first), f32x4.demote_f64x2_zero(second), 0, 1, 4, 5);
    storeLanes(out + (<usize>lane << 2), value, lanes - lane);
  }
}

/** The same of real sums that nothing is to be added to. */
@inline
function scalePosition(sums: usize, scales: usize, out: usize, lanes: i32): void {
  for (let lane = 0; lane < lanes; lane += 4) {
    const sum = v128.load(sums + (<usize>lane << 2));
    const at = scales + (<usize>lane << 3);
    const first = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.promote_low_f32x4(sum), v128.load(at)));
    const second = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.promote_low_f32x4(upperHalf(sum)), v128.load(at, 16)));
    storeLanes(out + (<usize>lane << 2), v128.shuffle<i32>(first, second, 0, 1, 4, 5), lanes - lane);
  }
}

/** Lanes 0 and 1 as f64. */
@inline
function widened<T>(sum: v128): v128 {
  return isFloat<T>() ? f64x2.promote_low_f32x4(sum) : f64x2.convert_low_i32x4_s(sum);
}

@inline
function finishPair(sum: v128, correction: usize, scales: usize, zeros: usize, codes: f64): v128 {
  const centredSum = f64x2.sub(f64x2.add(sum, v128.load(correction)), f64x2.mul(v128.load(zeros), f64x2.splat(codes)));
  return f64x2.mul(centredSum, v128.load(scales));
}
