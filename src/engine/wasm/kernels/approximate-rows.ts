// Product rows of the approximate convolution: for one tap, a block of channels and a tile of outputs, what each
// pattern of activation bits adds to the outputs' sums. The kinds of rows and their use are described in
// ./approximate-forward; here they are made, from per-weight coefficients (one per activation bit) or from a product
// table, by transposing lanes and adding earlier rows.

import { Geometry } from './geometry';
import { storeTransposed } from './lanes';

/** Bytes of a row: 16 outputs in 32 bits or 32 in 16; rows of up to 16 outputs in 16 bits have half of them. */
export const ROW: usize = 64;
/** Bytes of the rows of three taps side by side. */
export const TRIPLE: usize = 3 * ROW;

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
  /** Rows by halves: whether the codes of a pixel are listed first, without those that are 0, for several taps. */
  listed: i32;
  /** f32 and i32, a row per code: 3 where three taps stand side by side in a row (stride and dilation 1), else 1. */
  tapsPerRow: i32;
  /** Three taps: the codes of four channels side by side, from packCodes. */
  codeBlocks: usize;
}

@unmanaged
export class PlaneCoefficients {
  matrix: usize;
  out: usize;
  weightBits: i32;
  activationBits: i32;
}

/**
 * (w − Σ_i m[i,j] 2^i w[i])·2^j for every weight code and activation bit: [2^weightBits][8] f32, 0 beyond
 * activationBits.
 */
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

/** Bytes of one channel's rows, `pitch` apart: two halves of 16 rows, or a row per code (16 at least). */
@inline
export function channelBytes<T>(activationBits: i32, pitch: usize): usize {
  return sizeof<T>() == 2 ? 32 * pitch : pitch << max(activationBits, 4);
}

/** Lanes beyond the last output repeat it; they are summed like the others and never stored. */
@inline
function code(weights: usize, lane: i32, lanes: i32): usize {
  return <usize>load<u8>(weights + <usize>min(lane, lanes - 1));
}

/** Rows of `taps` channels for one tap, `pitch` bytes from row to row. */
export function buildRows<T>(
  args: AxmForward,
  table: usize,
  pitch: usize,
  weights: usize,
  taps: i32,
  firstOutput: i32,
  lanes: i32,
): void {
  const outputs: usize = args.geometry.outputs;
  for (let t = 0; t < taps; ++t) {
    if (isFloat<T>()) buildReal(args, table, pitch, weights, firstOutput, lanes);
    else if (sizeof<T>() == 2) buildInteger(args, table, pitch, weights, lanes);
    else buildTable(args, table, pitch, weights, lanes);
    weights += outputs;
    table += isFloat<T>() && args.digitBits == 4 ? 32 * ROW : channelBytes<T>(args.activationBits, pitch);
  }
}

/**
 * By halves of a code: the 16 sums of each. A row per code: rows of the single bits by transposition, then every other
 * row as the sum of its highest bit's row and an earlier row. Bits that the activation does not have get no rows: there
 * is room for 2^activationBits only, so theirs go where the row of zeros will be.
 */
function buildReal(args: AxmForward, table: usize, pitch: usize, weights: usize, firstOutput: i32, lanes: i32): void {
  for (let half = 0; half < args.activationBits; half += 4) {
    const bits = f32x4.mul(f32x4(1, 2, 4, 8), f32x4.splat(half ? 16 : 1));
    const present = min(4, args.activationBits - half);
    const bit = pitch << half;
    for (let quad = 0; quad < 16; quad += 4) {
      const at = table + (<usize>quad << 2);
      const a = centred(args, weights, firstOutput, quad, lanes, half, bits);
      const b = centred(args, weights, firstOutput, quad + 1, lanes, half, bits);
      const c = centred(args, weights, firstOutput, quad + 2, lanes, half, bits);
      const d = centred(args, weights, firstOutput, quad + 3, lanes, half, bits);
      if (args.digitBits == 4) storeSums<f32>(a, b, c, d, at + (<usize>half << 2) * ROW, ROW);
      else {
        const second = at + (present > 1 ? 2 * bit : 0);
        const third = at + (present > 2 ? 4 * bit : 0);
        storeTransposed(a, b, c, d, at + bit, second, third, at + (present > 3 ? 8 * bit : 0));
      }
    }
  }
  if (args.digitBits == 8) completeRows(table, pitch, args.activationBits);
}

/**
 * The 16 rows of half a code: all sums of the four columns of the matrix with rows a, b, c, d; to each the column of
 * its highest bit is added last.
 */
@inline
function storeSums<T>(a: v128, b: v128, c: v128, d: v128, at: usize, pitch: usize): void {
  const abLow = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const cdLow = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const abHigh = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cdHigh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  const bit0 = v128.shuffle<i32>(abLow, cdLow, 0, 1, 4, 5);
  const bit1 = v128.shuffle<i32>(abLow, cdLow, 2, 3, 6, 7);
  const bit2 = v128.shuffle<i32>(abHigh, cdHigh, 0, 1, 4, 5);
  const bit3 = v128.shuffle<i32>(abHigh, cdHigh, 2, 3, 6, 7);
  const row3 = v128.add<T>(bit1, bit0);
  const row5 = v128.add<T>(bit2, bit0);
  const row6 = v128.add<T>(bit2, bit1);
  const row7 = v128.add<T>(bit2, row3);
  v128.store(at, i32x4.splat(0));
  v128.store(at + pitch, bit0);
  v128.store(at + 2 * pitch, bit1);
  v128.store(at + 3 * pitch, row3);
  v128.store(at + 4 * pitch, bit2);
  v128.store(at + 5 * pitch, row5);
  v128.store(at + 6 * pitch, row6);
  v128.store(at + 7 * pitch, row7);
  const upper = at + 8 * pitch;
  v128.store(upper, bit3);
  v128.store(upper + pitch, v128.add<T>(bit3, bit0));
  v128.store(upper + 2 * pitch, v128.add<T>(bit3, bit1));
  v128.store(upper + 3 * pitch, v128.add<T>(bit3, row3));
  v128.store(upper + 4 * pitch, v128.add<T>(bit3, bit2));
  v128.store(upper + 5 * pitch, v128.add<T>(bit3, row5));
  v128.store(upper + 6 * pitch, v128.add<T>(bit3, row6));
  v128.store(upper + 7 * pitch, v128.add<T>(bit3, row7));
}

/** All 2^bits rows from those of the single bits. */
function completeRows(rows: usize, pitch: usize, bits: i32): void {
  memory.fill(rows, 0, ROW);
  for (let bit: usize = 2 * pitch, end = pitch << bits; bit < end; bit <<= 1) {
    const a = v128.load(rows + bit);
    const b = v128.load(rows + bit, 16);
    const c = v128.load(rows + bit, 32);
    const d = v128.load(rows + bit, 48);
    for (let low = pitch; low < bit; low += pitch) {
      const from = rows + low;
      const to = from + bit;
      v128.store(to, f32x4.add(a, v128.load(from)));
      v128.store(to, f32x4.add(b, v128.load(from, 16)), 16);
      v128.store(to, f32x4.add(c, v128.load(from, 32)), 32);
      v128.store(to, f32x4.add(d, v128.load(from, 48)), 48);
    }
  }
}

/** Four coefficients of one weight, less its zero point. */
@inline
function centred(args: AxmForward, weights: usize, firstOutput: i32, lane: i32, lanes: i32, half: i32, bits: v128): v128 {
  const zero = load<f32>(args.wZero + (<usize>(firstOutput + min(lane, lanes - 1)) << 2));
  const coefficients = v128.load(args.products + (code(weights, lane, lanes) << 5) + (<usize>half << 2));
  return f32x4.sub(coefficients, f32x4.mul(f32x4.splat(zero), bits));
}

/** Eight coefficients of eight outputs at a time, transposed, as the rows of both halves. */
function buildInteger(args: AxmForward, table: usize, pitch: usize, weights: usize, lanes: i32): void {
  const products = args.products;
  for (let lane = 0; lane < <i32>(pitch >> 1); lane += 8) {
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
    const AB = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    const CD = v128.shuffle<i16>(c, d, 4, 12, 5, 13, 6, 14, 7, 15);
    const EF = v128.shuffle<i16>(e, f, 4, 12, 5, 13, 6, 14, 7, 15);
    const GH = v128.shuffle<i16>(g, h, 4, 12, 5, 13, 6, 14, 7, 15);
    const at = table + (<usize>lane << 1);
    storeSums<i16>(ab, cd, ef, gh, at, pitch);
    storeSums<i16>(AB, CD, EF, GH, at + 16 * pitch, pitch);
  }
}

function buildTable(args: AxmForward, table: usize, pitch: usize, weights: usize, lanes: i32): void {
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
        at + pitch,
        at + 2 * pitch,
        at + 3 * pitch,
      );
      at += 4 * pitch;
    }
  }
}

/** w·x + E(w, x) for four consecutive activation codes. */
@inline
function product(errors: usize, w: usize, x: usize, bits: usize, codes: v128): v128 {
  return i32x4.add(v128.load(errors + (((w << bits) + x) << 2)), i32x4.mul(i32x4.splat(<i32>w), codes));
}
