// Forward convolution with an approximate multiplier: out = xScale·wScale·Σ_valid taps ((wq − wZero)(xq − xZero) + E(wq, xq)).
// One skeleton, three kinds of product rows. A row holds, for one tap and channel and one pattern of activation bits, the products with
// the weights of a tile of output channels: 64 bytes, one cache line. An output is a sum of rows picked by the activation codes.
//   f32: weights centred (wq − wZero), for real removal matrices, 16 outputs per row. The product is linear in the activation's bits, so
//        all rows are sums of the single bits' rows. 2^activationBits rows per channel, or 16 rows for each half of a code where there
//        are too few positions to repay building 256.
//   i16: a code's low and high half have 16 rows each, 32 outputs per row, exact integers Σ_j (w − G_j(w)) 2^(j mod 4) x[j] ≤ 255·15, not
//        centred. 16 channels are summed in 16 bits (16·3825 < 2^16), then widened: the sum of low halves plus 16 times that of high halves.
//   i32: any product table: 2^activationBits rows per channel, 16 outputs each, exact.
// All rows are zero for the pattern 0. The terms that the rows leave out come at the end: −xZero Σ_valid (wq − wZero) from a sum per
// tap, and −wZero Σ_valid xq (i16, i32) from the sums over the channels of each pixel. The integer kinds finish in f64, so the value
// before scaling is exact.
// Tiling: a part owns one tile of outputs and a run of output rows (`rowsPerPart`). Its sums stay in scratch; for each tap and block of
// channels it builds the rows (i16: 32 KB, first-level cache; else at most 128 KB, second-level) and passes once over its positions.
// Measured alternatives for f32: two halves as for i16 take 30 % longer (the loads bound the loop); a plane product with i32x4.dot_i16x8_s
// is three times slower.
// Scratch: sums | rows | one correction per tap and output lane.

import { ceilDivide, endValid, firstValid, Geometry } from './geometry';
import { storeLanes, storeTransposed } from './lanes';

const ROW: usize = 64;
const HALF: usize = 16 * ROW;

@unmanaged
export class AxmForward {
  geometry: Geometry;
  x: usize;
  w: usize;
  out: usize;
  xScale: usize;
  xZero: usize;
  wScale: usize;
  wZero: usize;
  /** f32: [2^weightBits][8] f32 and i16: the same in i16, from planeCoefficients…; i32: the error table. */
  products: usize;
  /** Σ of the codes of a pixel over the channels of a group, i32 [batch·height·width, groups]; integer kinds only. */
  pixelSums: usize;
  rowsPerPart: i32;
  activationBits: i32;
  /** f32: bits of a code that share a row, 8 (a row per code) or 4 (a row per half). */
  digitBits: i32;
}

@unmanaged
export class PlaneCoefficients {
  matrix: usize;
  out: usize;
  weightBits: i32;
  activationBits: i32;
}

/** (w − Σ_i m[i,j] 2^i w[i])·2^j for every weight code and activation bit: [2^weightBits][8] f32, 0 beyond activationBits. */
export function planeCoefficientsReal(args: PlaneCoefficients, part: i32, scratch: usize): void {
  for (let w = 0; w < 1 << args.weightBits; ++w) {
    for (let j = 0; j < 8; ++j) {
      const value = j < args.activationBits ? remaining(args, w, j) * f32(1 << j) : 0;
      store<f32>(args.out + (((w << 3) + j) << 2), value);
    }
  }
}

/** The same for a matrix of zeros and ones (none: matrix = 0), in i16 and scaled by 2^(j mod 4): at most 255·8. */
export function planeCoefficientsInteger(args: PlaneCoefficients, part: i32, scratch: usize): void {
  for (let w = 0; w < 1 << args.weightBits; ++w) {
    for (let j = 0; j < 8; ++j) {
      const value = j < args.activationBits ? <i32>remaining(args, w, j) << (j & 3) : 0;
      store<i16>(args.out + (((w << 3) + j) << 1), <i16>value);
    }
  }
}

function remaining(args: PlaneCoefficients, w: i32, j: i32): f32 {
  let value = f32(w);
  if (args.matrix == 0) return value;
  for (let i = 0; i < args.weightBits; ++i) {
    if ((w >> i) & 1) value -= f32(1 << i) * load<f32>(args.matrix + ((i * args.activationBits + j) << 2));
  }
  return value;
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
    let total = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
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

/** Bytes of one channel's rows: two halves, or a row per code (16 at least, for the single bits' rows of a half). */
@inline
function channelBytes<T>(activationBits: i32): usize {
  return sizeof<T>() == 2 ? 2 * HALF : ROW << max(activationBits, 4);
}

/** Channels whose rows are built and used together. */
@inline
function blockOf<T>(): i32 {
  return sizeof<T>() == 2 ? 16 : 8;
}

function forward<T>(args: AxmForward, part: i32, scratch: usize): void {
  const geometry = args.geometry;
  const stride = geometry.stride;
  const padding = geometry.padding;
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
  const codeStep = <usize>(stride * geometry.channels);

  const sums = scratch;
  const table = sums + <usize>args.rowsPerPart * outWidth * sumBytes;
  const corrections = table + <usize>blockOf<T>() * channelBytes<T>(args.activationBits);
  memory.fill(sums, 0, <usize>rows * outWidth * sumBytes);

  for (let ky = 0; ky < geometry.kernelHeight; ++ky) {
    for (let kx = 0; kx < geometry.kernelWidth; ++kx) {
      const tap = ky * geometry.kernelWidth + kx;
      const from = firstValid(kx, stride, padding);
      const count = endValid(kx, stride, padding, geometry.width, outWidth) - from;
      for (let channel = 0; channel < channels; channel += blockOf<T>()) {
        const taps = min(blockOf<T>(), channels - channel);
        const weights = args.w + <usize>(tap * channels + channel) * geometry.outputs + firstOutput;
        buildRows<T>(args, table, weights, taps, firstOutput, lanes);
        for (let r = 0; r < rows; ++r) {
          const row = firstRow + r;
          const iy = (row % geometry.outHeight) * stride + ky - padding;
          if (iy < 0 || iy >= geometry.height) continue;
          const pixel = ((row / geometry.outHeight) * geometry.height + iy) * geometry.width + from * stride + kx - padding;
          const codes = args.x + <usize>pixel * geometry.channels + group * channels + channel;
          const at = sums + <usize>(r * outWidth + from) * sumBytes;
          if (isFloat<T>()) {
            if (args.digitBits == 4) gatherHalves(at, codes, codeStep, count, table, taps);
            else gatherReal(at, codes, codeStep, count, table, taps, channelBytes<T>(args.activationBits));
          } else if (sizeof<T>() == 2) gatherInteger(at, codes, codeStep, count, table, taps);
          else gatherTable(at, codes, codeStep, count, table, taps, channelBytes<T>(args.activationBits));
        }
      }
      weightSums(args, corrections + <usize>tap * (lanesOf<T>() << 3), tap, firstOutput, lanes);
    }
  }
  finish<T>(args, sums, corrections, group, firstOutput, lanes, firstRow, rows);
}

// ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Lanes beyond the last output repeat it; they are summed like the others and never stored. */
@inline
function code(weights: usize, lane: i32, lanes: i32): usize {
  return <usize>load<u8>(weights + <usize>min(lane, lanes - 1));
}

function buildRows<T>(args: AxmForward, table: usize, weights: usize, taps: i32, firstOutput: i32, lanes: i32): void {
  const outputs: usize = args.geometry.outputs;
  for (let t = 0; t < taps; ++t) {
    if (isFloat<T>()) buildReal(args, table, weights, firstOutput, lanes);
    else if (sizeof<T>() == 2) buildInteger(args, table, weights, lanes);
    else buildTable(args, table, weights, lanes);
    weights += outputs;
    table += isFloat<T>() && args.digitBits == 4 ? 2 * HALF : channelBytes<T>(args.activationBits);
  }
}

/** Rows of the single bits by transposition, then every other row as the sum of its highest bit's row and an earlier row. */
function buildReal(args: AxmForward, table: usize, weights: usize, firstOutput: i32, lanes: i32): void {
  const byCode = args.digitBits == 8;
  for (let quad = 0; quad < 16; quad += 4) {
    const at = table + (quad << 2);
    for (let half = 0; half < args.activationBits; half += 4) {
      const bits = f32x4.mul(f32x4(1, 2, 4, 8), f32x4.splat(half ? 16 : 1));
      const rows = byCode ? at : at + (<usize>half << 2) * ROW;
      const bit = byCode ? ROW << half : ROW;
      storeTransposed(
        centred(args, weights, firstOutput, quad, lanes, half, bits),
        centred(args, weights, firstOutput, quad + 1, lanes, half, bits),
        centred(args, weights, firstOutput, quad + 2, lanes, half, bits),
        centred(args, weights, firstOutput, quad + 3, lanes, half, bits),
        rows + bit,
        rows + 2 * bit,
        rows + 4 * bit,
        rows + 8 * bit,
      );
      if (!byCode) completeRows(rows, 4);
    }
    if (byCode) completeRows(at, args.activationBits);
  }
}

/** Four lanes of all 2^bits rows from those of the single bits. */
@inline
function completeRows(rows: usize, bits: i32): void {
  v128.store(rows, f32x4.splat(0));
  for (let bit: usize = 2 * ROW, end = ROW << bits; bit < end; bit <<= 1) {
    const top = v128.load(rows + bit);
    for (let low: usize = ROW; low < bit; low += ROW) v128.store(rows + bit + low, f32x4.add(top, v128.load(rows + low)));
  }
}

/** Four coefficients of one weight, less its zero point. */
@inline
function centred(args: AxmForward, weights: usize, firstOutput: i32, lane: i32, lanes: i32, half: i32, bits: v128): v128 {
  const zero = load<f32>(args.wZero + (<usize>(firstOutput + min(lane, lanes - 1)) << 2));
  const coefficients = v128.load(args.products + (code(weights, lane, lanes) << 5) + (<usize>half << 2));
  // Bits that the activation does not have keep coefficient zero only if nothing is subtracted; their rows are never picked.
  return f32x4.sub(coefficients, f32x4.mul(f32x4.splat(zero), bits));
}

function buildInteger(args: AxmForward, table: usize, weights: usize, lanes: i32): void {
  for (let octet = 0; octet < 32; octet += 8) {
    const at = table + (octet << 1);
    transposeIntoBitRows(args, weights, octet, lanes, at);
    for (let half: usize = 0; half < 2; ++half) {
      const rows = at + half * HALF;
      v128.store(rows, i16x8.splat(0));
      for (let high: usize = 2; high < 16; high <<= 1) {
        const top = v128.load(rows + high * ROW);
        for (let low: usize = 1; low < high; ++low) {
          v128.store(rows + (high + low) * ROW, i16x8.add(top, v128.load(rows + low * ROW)));
        }
      }
    }
  }
}

/** Eight coefficients of eight lanes, transposed into the rows of the single bits of both halves. */
function transposeIntoBitRows(args: AxmForward, weights: usize, lane: i32, lanes: i32, at: usize): void {
  const products = args.products;
  const a = v128.load(products + (code(weights, lane, lanes) << 4));
  const b = v128.load(products + (code(weights, lane + 1, lanes) << 4));
  const c = v128.load(products + (code(weights, lane + 2, lanes) << 4));
  const d = v128.load(products + (code(weights, lane + 3, lanes) << 4));
  const e = v128.load(products + (code(weights, lane + 4, lanes) << 4));
  const f = v128.load(products + (code(weights, lane + 5, lanes) << 4));
  const g = v128.load(products + (code(weights, lane + 6, lanes) << 4));
  const h = v128.load(products + (code(weights, lane + 7, lanes) << 4));
  // Pairs of lanes: each 32-bit element holds one coefficient of two neighbouring lanes.
  const ab = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  const cd = v128.shuffle<i16>(c, d, 0, 8, 1, 9, 2, 10, 3, 11);
  const ef = v128.shuffle<i16>(e, f, 0, 8, 1, 9, 2, 10, 3, 11);
  const gh = v128.shuffle<i16>(g, h, 0, 8, 1, 9, 2, 10, 3, 11);
  storeTransposed(ab, cd, ef, gh, at + ROW, at + 2 * ROW, at + 4 * ROW, at + 8 * ROW);
  const AB = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  const CD = v128.shuffle<i16>(c, d, 4, 12, 5, 13, 6, 14, 7, 15);
  const EF = v128.shuffle<i16>(e, f, 4, 12, 5, 13, 6, 14, 7, 15);
  const GH = v128.shuffle<i16>(g, h, 4, 12, 5, 13, 6, 14, 7, 15);
  const high = at + HALF;
  storeTransposed(AB, CD, EF, GH, high + ROW, high + 2 * ROW, high + 4 * ROW, high + 8 * ROW);
}

function buildTable(args: AxmForward, table: usize, weights: usize, lanes: i32): void {
  const bits: usize = args.activationBits;
  for (let quad = 0; quad < 16; quad += 4) {
    const a = code(weights, quad, lanes);
    const b = code(weights, quad + 1, lanes);
    const c = code(weights, quad + 2, lanes);
    const d = code(weights, quad + 3, lanes);
    let at = table + (quad << 2);
    for (let x: usize = 0; x < <usize>1 << bits; x += 4) {
      const codes = i32x4.add(i32x4.splat(<i32>x), i32x4(0, 1, 2, 3));
      storeTransposed(
        product(args.products, a, x, bits, codes),
        product(args.products, b, x, bits, codes),
        product(args.products, c, x, bits, codes),
        product(args.products, d, x, bits, codes),
        at,
        at + ROW,
        at + 2 * ROW,
        at + 3 * ROW,
      );
      at += 4 * ROW;
    }
  }
}

/** w·x + E(w, x) for four consecutive activation codes. */
@inline
function product(errors: usize, w: usize, x: usize, bits: usize, codes: v128): v128 {
  return i32x4.add(v128.load(errors + (((w << bits) + x) << 2)), i32x4.mul(i32x4.splat(<i32>w), codes));
}

// ── sums ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
// The loops below keep few loads in flight per basic block on purpose: the compiler hoists all loads of a block to its top, and more
// than fifteen live vectors would be spilled.

export function gatherReal(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32, rowsBytes: usize): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const row = rows + (<usize>load<u8>(code) << 6);
      a = f32x4.add(a, v128.load(row));
      b = f32x4.add(b, v128.load(row, 16));
      c = f32x4.add(c, v128.load(row, 32));
      d = f32x4.add(d, v128.load(row, 48));
      rows += rowsBytes;
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    sums += 64;
    codes += step;
  }
}

export function gatherHalves(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const x = <usize>load<u8>(code);
      const low = rows + ((x & 15) << 6);
      const high = rows + ((x >> 4) << 6);
      a = f32x4.add(a, f32x4.add(v128.load(low), v128.load(high, 1024)));
      b = f32x4.add(b, f32x4.add(v128.load(low, 16), v128.load(high, 1040)));
      c = f32x4.add(c, f32x4.add(v128.load(low, 32), v128.load(high, 1056)));
      d = f32x4.add(d, f32x4.add(v128.load(low, 48), v128.load(high, 1072)));
      rows += 2048;
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    sums += 64;
    codes += step;
  }
}

export function gatherInteger(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32): void {
  for (let p = 0; p < count; ++p) {
    let a = i16x8.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let highA = a;
    let highB = a;
    let highC = a;
    let highD = a;
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const x = <usize>load<u8>(code);
      const low = rows + ((x & 15) << 6);
      const high = rows + ((x >> 4) << 6);
      a = i16x8.add(a, v128.load(low));
      b = i16x8.add(b, v128.load(low, 16));
      c = i16x8.add(c, v128.load(low, 32));
      d = i16x8.add(d, v128.load(low, 48));
      highA = i16x8.add(highA, v128.load(high, 1024));
      highB = i16x8.add(highB, v128.load(high, 1040));
      highC = i16x8.add(highC, v128.load(high, 1056));
      highD = i16x8.add(highD, v128.load(high, 1072));
      rows += 2048;
    }
    widen(sums, a, highA);
    widen(sums + 32, b, highB);
    widen(sums + 64, c, highC);
    widen(sums + 96, d, highD);
    sums += 128;
    codes += step;
  }
}

/** sums += low + 16·high, eight unsigned 16-bit lanes into 32 bits. */
@inline
function widen(sums: usize, low: v128, high: v128): void {
  const first = i32x4.add(i32x4.extend_low_i16x8_u(low), i32x4.shl(i32x4.extend_low_i16x8_u(high), 4));
  const second = i32x4.add(i32x4.extend_high_i16x8_u(low), i32x4.shl(i32x4.extend_high_i16x8_u(high), 4));
  v128.store(sums, i32x4.add(v128.load(sums), first));
  v128.store(sums, i32x4.add(v128.load(sums, 16), second), 16);
}

export function gatherTable(sums: usize, codes: usize, step: usize, count: i32, table: usize, taps: i32, rowsBytes: usize): void {
  for (let p = 0; p < count; ++p) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    let c = v128.load(sums, 32);
    let d = v128.load(sums, 48);
    let rows = table;
    for (let code = codes, end = codes + taps; code < end; ++code) {
      const row = rows + (<usize>load<u8>(code) << 6);
      a = i32x4.add(a, v128.load(row));
      b = i32x4.add(b, v128.load(row, 16));
      c = i32x4.add(c, v128.load(row, 32));
      d = i32x4.add(d, v128.load(row, 48));
      rows += rowsBytes;
    }
    v128.store(sums, a);
    v128.store(sums, b, 16);
    v128.store(sums, c, 32);
    v128.store(sums, d, 48);
    sums += 64;
    codes += step;
  }
}

// ── finish ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

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
  sumTaps(geometry, corrections, whole, laneBytes, 0, geometry.kernelHeight, 0, geometry.kernelWidth);

  for (let r = 0; r < rows; ++r) {
    const row = firstRow + r;
    const top = (row % geometry.outHeight) * geometry.stride - geometry.padding;
    const ky0 = max(0, -top);
    const ky1 = min(geometry.kernelHeight, geometry.height - top);
    for (let ox = 0; ox < geometry.outWidth; ++ox) {
      const left = ox * geometry.stride - geometry.padding;
      const kx0 = max(0, -left);
      const kx1 = min(geometry.kernelWidth, geometry.width - left);
      let correction = whole;
      if (ky0 > 0 || kx0 > 0 || ky1 < geometry.kernelHeight || kx1 < geometry.kernelWidth) {
        correction = partial;
        sumTaps(geometry, corrections, partial, laneBytes, ky0, ky1, kx0, kx1);
      }
      let codes = 0;
      if (isInteger<T>()) {
        const image = (row / geometry.outHeight) * geometry.height;
        for (let ky = ky0; ky < ky1; ++ky) {
          for (let kx = kx0; kx < kx1; ++kx) {
            const pixel = (image + top + ky) * geometry.width + left + kx;
            codes += load<i32>(args.pixelSums + (<usize>(pixel * geometry.groups + group) << 2));
          }
        }
      }
      const out = args.out + (<usize>((row * geometry.outWidth + ox) * geometry.outputs + firstOutput) << 2);
      finishPosition<T>(sums, correction, scales, zeros, <f64>codes, out, lanes);
      sums += lanesOf<T>() << 2;
    }
  }
}

function sumTaps(geometry: Geometry, corrections: usize, out: usize, bytes: usize, ky0: i32, ky1: i32, kx0: i32, kx1: i32): void {
  memory.fill(out, 0, bytes);
  for (let ky = ky0; ky < ky1; ++ky) {
    for (let kx = kx0; kx < kx1; ++kx) {
      const tap = corrections + <usize>(ky * geometry.kernelWidth + kx) * bytes;
      for (let at: usize = 0; at < bytes; at += 16) {
        v128.store(out + at, f64x2.add(v128.load(out + at), v128.load(tap + at)));
      }
    }
  }
}

@inline
function finishPosition<T>(sums: usize, correction: usize, scales: usize, zeros: usize, codes: f64, out: usize, lanes: i32): void {
  for (let lane = 0; lane < lanes; lane += 4) {
    const sum = v128.load(sums + (<usize>lane << 2));
    const upper = v128.shuffle<i32>(sum, sum, 2, 3, 2, 3);
    const at = <usize>lane << 3;
    const first = finishPair(isFloat<T>() ? f64x2.promote_low_f32x4(sum) : f64x2.convert_low_i32x4_s(sum), correction + at, scales + at, zeros + at, codes);
    const second = finishPair(isFloat<T>() ? f64x2.promote_low_f32x4(upper) : f64x2.convert_low_i32x4_s(upper), correction + at + 16, scales + at + 16, zeros + at + 16, codes);
    const value = v128.shuffle<i32>(f32x4.demote_f64x2_zero(first), f32x4.demote_f64x2_zero(second), 0, 1, 4, 5);
    storeLanes(out + (<usize>lane << 2), value, lanes - lane);
  }
}

@inline
function finishPair(sum: v128, correction: usize, scales: usize, zeros: usize, codes: f64): v128 {
  const centredSum = f64x2.sub(f64x2.add(sum, v128.load(correction)), f64x2.mul(v128.load(zeros), f64x2.splat(codes)));
  return f64x2.mul(centredSum, v128.load(scales));
}
