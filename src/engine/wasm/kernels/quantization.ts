// The uniform quantiser q = clamp(round(x / scale) + zero, 0, levels), half to even, its inverse and its gradient (of a
// zero point between two codes the fraction is added before rounding); the range observers' small per-channel formulas.
// Tensors are matrices [rows, channels]; a scale per tensor is a single value (perChannel = 0), and then the matrix is
// any view of the elements. The quotient is rounded to f32 as in the reference, so codes are the same on every backend.

import { storeLanes } from './lanes';
import { highPair, lowPair, padded } from './reduction';

const SMALLEST_SCALE: f64 = 1.1920928955078125e-7;

@unmanaged
export class Quantizer {
  x: usize;
  codes: usize;
  scale: usize;
  zero: usize;
  g: usize;
  out: usize;
  /**
   * f64 [part][2][padded channels] with the layout of ./reduction: kind 0 is the gradient of the scale, kind 1 is
   * unused.
   */
  partials: usize;
  rows: i32;
  channels: i32;
  rowsPerPart: i32;
  perChannel: i32;
  levels: f32;
}

@inline
function parameter(pointer: usize, offset: usize, perChannel: i32): v128 {
  return perChannel ? v128.load(pointer + offset) : v128.load32_splat(pointer);
}

/** Rounded quotient plus zero point, before the clamp. */
@inline
function rounded(x: v128, scale: v128, zero: v128): v128 {
  const whole = f32x4.floor(zero);
  return f32x4.add(f32x4.nearest(f32x4.add(f32x4.div(x, scale), f32x4.sub(zero, whole))), whole);
}

/** NaN stays NaN, and −0 −0: `min` and `max`, which order zeros, take several instructions on some machines. */
@inline
function clamped(code: v128, levels: f32): v128 {
  return f32x4.pmin(f32x4.pmax(code, f32x4.splat(0)), f32x4.splat(levels));
}

export function quantize(args: Quantizer, part: i32, scratch: usize): void {
  if (args.perChannel) quantizeChannels(args, part);
  else quantizeElements(args, part);
}

@inline
function codesOf(x: v128, scale: v128, zero: v128, levels: f32): v128 {
  return i32x4.trunc_sat_f32x4_s(clamped(rounded(x, scale, zero), levels));
}

/** The low bytes of four codes. */
@inline
function bytesOf(codes: v128): i32 {
  const words = i16x8.narrow_i32x4_s(codes, codes);
  return i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0);
}

function quantizeElements(args: Quantizer, part: i32): void {
  const first = part * args.rowsPerPart;
  const scale = v128.load32_splat(args.scale);
  const zero = v128.load32_splat(args.zero);
  const levels = args.levels;
  let x = args.x + (<usize>(first * args.channels) << 2);
  let out = args.codes + <usize>(first * args.channels);
  let left = min(args.rowsPerPart, args.rows - first) * args.channels;
  for (; left >= 16; left -= 16) {
    const a = codesOf(v128.load(x), scale, zero, levels);
    const b = codesOf(v128.load(x, 16), scale, zero, levels);
    const c = codesOf(v128.load(x, 32), scale, zero, levels);
    const d = codesOf(v128.load(x, 48), scale, zero, levels);
    v128.store(out, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
    x += 64;
    out += 16;
  }
  for (; left > 0; left -= 4) {
    storeBytes(out, bytesOf(codesOf(v128.load(x), scale, zero, levels)), left);
    x += 16;
    out += 4;
  }
}

function quantizeChannels(args: Quantizer, part: i32): void {
  const bytes = <usize>args.channels << 2;
  const first = part * args.rowsPerPart;
  let x = args.x + <usize>first * bytes;
  let out = args.codes + <usize>(first * args.channels);
  for (let row = min(args.rowsPerPart, args.rows - first); row > 0; --row) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const codes = codesOf(v128.load(x + c), v128.load(args.scale + c), v128.load(args.zero + c), args.levels);
      storeBytes(out + (c >> 2), bytesOf(codes), <i32>((bytes - c) >> 2));
    }
    x += bytes;
    out += <usize>args.channels;
  }
}

@inline
function storeBytes(at: usize, bytes: i32, lanes: i32): void {
  if (lanes >= 4) {
    store<i32>(at, bytes);
    return;
  }
  for (let lane = 0; lane < lanes; ++lane) store<u8>(at + lane, <u8>(bytes >> (lane << 3)));
}

export function dequantize(args: Quantizer, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  const first = part * args.rowsPerPart;
  let out = args.out + <usize>first * bytes;
  let codes = args.codes + <usize>(first * args.channels);
  for (let row = min(args.rowsPerPart, args.rows - first); row > 0; --row) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const scale = parameter(args.scale, c, args.perChannel);
      const zero = parameter(args.zero, c, args.perChannel);
      const code = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(codes + (c >> 2))));
      const value = f32x4.mul(f32x4.sub(f32x4.convert_i32x4_s(code), zero), scale);
      storeLanes(out + c, value, <i32>((bytes - c) >> 2));
    }
    out += bytes;
    codes += <usize>args.channels;
  }
}

/**
 * dx = g inside the range, else 0; partial sums of g·(code − zero − (inside ? x / scale : 0)), the gradient of the
 * scale.
 */
export function quantizeGradient(args: Quantizer, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  const first = part * args.rowsPerPart;
  const rows = min(args.rowsPerPart, args.rows - first);
  let partial = args.partials + (<usize>(part * 2 * padded(args.channels)) << 3);
  for (let c: usize = 0; c < bytes; c += 16) {
    const scale = parameter(args.scale, c, args.perChannel);
    const zero = parameter(args.zero, c, args.perChannel);
    const scaleLow = lowPair(scale);
    const scaleHigh = highPair(scale);
    const lanes = <i32>((bytes - c) >> 2);
    let sumLow = f64x2.splat(0);
    let sumHigh = sumLow;
    let at = <usize>first * bytes + c;
    for (let row = 0; row < rows; ++row) {
      const x = v128.load(args.x + at);
      const g = v128.load(args.g + at);
      const unclamped = rounded(x, scale, zero);
      const code = clamped(unclamped, args.levels);
      const inside = f32x4.eq(unclamped, code);
      const centred = f32x4.sub(code, zero);
      const passed = v128.and(x, inside);
      const low = f64x2.sub(lowPair(centred), f64x2.div(lowPair(passed), scaleLow));
      const high = f64x2.sub(highPair(centred), f64x2.div(highPair(passed), scaleHigh));
      sumLow = f64x2.add(sumLow, f64x2.mul(lowPair(g), low));
      sumHigh = f64x2.add(sumHigh, f64x2.mul(highPair(g), high));
      storeLanes(args.out + at, v128.and(g, inside), lanes);
      at += bytes;
    }
    v128.store(partial, sumLow);
    v128.store(partial, sumHigh, 16);
    partial += 32;
  }
}

@unmanaged
export class Range {
  low: usize;
  high: usize;
  /** rangeToScale: the clip factor; else the learned upper and lower clip (before the sigmoid). */
  upper: usize;
  lower: usize;
  scale: usize;
  zero: usize;
  scaleGradient: usize;
  lowGradient: usize;
  highGradient: usize;
  upperGradient: usize;
  lowerGradient: usize;
  channels: i32;
  levels: f32;
}

/** scale = max(f·(max − min) / levels, ε), zero = round(−f·min / scale). One part. */
export function rangeToScale(args: Range, part: i32, scratch: usize): void {
  const factor = <f64>load<f32>(args.upper);
  for (let at: usize = 0; at < <usize>args.channels << 2; at += 4) {
    const low = factor * <f64>load<f32>(args.low + at);
    const scale = rangeScale(low, factor * <f64>load<f32>(args.high + at), <f64>args.levels);
    store<f32>(args.scale + at, <f32>scale);
    store<f32>(args.zero + at, <f32>nearest(-low / scale));
  }
}

@inline
function rangeScale(low: f64, high: f64, levels: f64): f64 {
  return max((high - low) / levels, SMALLEST_SCALE);
}

/** σ rounded to f32, as the reference does: near 1 the slope σ(1 − σ) depends on it. */
@inline
function sigmoid(x: f32): f64 {
  return <f64>(<f32>(1 / (1 + Math.exp(-(<f64>x)))));
}

@inline
function learnedScale(args: Range, at: usize): f64 {
  const low = sigmoid(load<f32>(args.lower + at)) * <f64>load<f32>(args.low + at);
  return (sigmoid(load<f32>(args.upper + at)) * <f64>load<f32>(args.high + at) - low) / <f64>args.levels;
}

/** Learned clipping: scale limited to [1e-5, 1e4], zero = round(clamp(−σ(lower)·min / scale)). One part. */
export function clipScale(args: Range, part: i32, scratch: usize): void {
  for (let at: usize = 0; at < <usize>args.channels << 2; at += 4) {
    const low = sigmoid(load<f32>(args.lower + at)) * <f64>load<f32>(args.low + at);
    const scale = min(max(learnedScale(args, at), 1e-5), 1e4);
    store<f32>(args.scale + at, <f32>scale);
    store<f32>(args.zero + at, <f32>nearest(min(max(-low / scale, -1e4), 1e4)));
  }
}

export function clipScaleGradient(args: Range, part: i32, scratch: usize): void {
  for (let at: usize = 0; at < <usize>args.channels << 2; at += 4) {
    const scale = learnedScale(args, at);
    const free = scale >= 1e-5 && scale <= 1e4;
    const g = free ? <f64>load<f32>(args.scaleGradient + at) / <f64>args.levels : 0;
    const upper = sigmoid(load<f32>(args.upper + at));
    const lower = sigmoid(load<f32>(args.lower + at));
    store<f32>(args.highGradient + at, <f32>(g * upper));
    store<f32>(args.lowGradient + at, <f32>(-g * lower));
    store<f32>(args.upperGradient + at, <f32>(g * upper * (1 - upper) * <f64>load<f32>(args.high + at)));
    store<f32>(args.lowerGradient + at, <f32>(-g * lower * (1 - lower) * <f64>load<f32>(args.low + at)));
  }
}

@unmanaged
export class ClipSearch {
  x: usize;
  low: usize;
  high: usize;
  out: usize;
  /** f64 [steps]: the candidates. */
  factors: usize;
  /** f32 [steps][2][padded channels]: scale and zero point of each candidate. */
  ranges: usize;
  /** f64 [part][steps] */
  partials: usize;
  rows: i32;
  channels: i32;
  rowsPerPart: i32;
  perChannel: i32;
  steps: i32;
  parts: i32;
  levels: f32;
  exponent: f32;
}

/** Scales and zero points of all candidates. One part. */
export function clipRanges(args: ClipSearch, part: i32, scratch: usize): void {
  const width = padded(args.channels);
  for (let step = 0; step < args.steps; ++step) {
    const factor = load<f64>(args.factors + (<usize>step << 3));
    for (let c = 0; c < args.channels; ++c) {
      const from = args.perChannel ? <usize>c << 2 : 0;
      const low = factor * <f64>load<f32>(args.low + from);
      const scale = rangeScale(low, factor * <f64>load<f32>(args.high + from), <f64>args.levels);
      const to = args.ranges + (<usize>(step * 2 * width + c) << 2);
      store<f32>(to, <f32>scale);
      store<f32>(to + (<usize>width << 2), <f32>nearest(-low / scale));
    }
  }
}

/** Σ |x − x_fq|^exponent of a run of rows for every candidate. */
export function clipErrors(args: ClipSearch, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  const width = <usize>padded(args.channels) << 2;
  const first = part * args.rowsPerPart;
  const rows = min(args.rowsPerPart, args.rows - first);
  for (let step = 0; step < args.steps; ++step) {
    const scales = args.ranges + <usize>(step * 2) * width;
    let total: f64 = 0;
    let x = args.x + <usize>first * bytes;
    for (let row = 0; row < rows; ++row) {
      let sum = f32x4.splat(0);
      for (let c: usize = 0; c < bytes; c += 16) {
        const value = v128.load(x + c);
        const scale = v128.load(scales + c);
        const zero = v128.load(scales + width + c);
        const code = clamped(rounded(value, scale, zero), args.levels);
        const error = f32x4.abs(f32x4.sub(value, f32x4.mul(f32x4.sub(code, zero), scale)));
        const lanes = <i32>((bytes - c) >> 2);
        const power = powerOf(error, args.exponent);
        sum = f32x4.add(sum, lanes >= 4 ? power : v128.and(power, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(lanes))));
      }
      total += <f64>f32x4.extract_lane(sum, 0) + <f64>f32x4.extract_lane(sum, 1);
      total += <f64>f32x4.extract_lane(sum, 2) + <f64>f32x4.extract_lane(sum, 3);
      x += bytes;
    }
    store<f64>(args.partials + (<usize>(part * args.steps + step) << 3), total);
  }
}

/** The first candidate with the least sum. One part. */
export function clipBest(args: ClipSearch, part: i32, scratch: usize): void {
  let least: f64 = Infinity;
  for (let step = 0; step < args.steps; ++step) {
    let total: f64 = 0;
    for (let p = 0; p < args.parts; ++p) total += load<f64>(args.partials + (<usize>(p * args.steps + step) << 3));
    if (total < least) {
      least = total;
      store<f32>(args.out, <f32>load<f64>(args.factors + (<usize>step << 3)));
    }
  }
}

/**
 * a^exponent for a ≥ 0, relative error about 1e-6 for |exponent·log2 a| < 40: log2 by the series of atanh around 1, 2^y
 * by a polynomial. A result below 2^-126 is 0.
 */
@inline
function powerOf(a: v128, exponent: f32): v128 {
  // a = 2^e·m with m in [√½, √2).
  const shifted = i32x4.sub(a, i32x4.splat(0x3f3504f3));
  const e = i32x4.shr_s(shifted, 23);
  const m = i32x4.sub(a, i32x4.shl(e, 23));
  const s = f32x4.div(f32x4.sub(m, f32x4.splat(1)), f32x4.add(m, f32x4.splat(1)));
  const t = f32x4.mul(s, s);
  // 2/ln 2 · (s + s³/3 + s⁵/5 + s⁷/7 + s⁹/9)
  let series = f32x4.add(f32x4.mul(t, f32x4.splat(0.32059889)), f32x4.splat(0.41219858));
  series = f32x4.add(f32x4.mul(t, series), f32x4.splat(0.57707802));
  series = f32x4.add(f32x4.mul(t, series), f32x4.splat(0.96179669));
  series = f32x4.add(f32x4.mul(t, series), f32x4.splat(2.88539008));
  // The whole part of the product is kept apart, so that the fraction keeps its bits.
  const whole = f32x4.mul(f32x4.convert_i32x4_s(e), f32x4.splat(exponent));
  const wholeInteger = f32x4.nearest(whole);
  const rest = f32x4.add(f32x4.sub(whole, wholeInteger), f32x4.mul(f32x4.mul(s, series), f32x4.splat(exponent)));
  const carry = f32x4.nearest(rest);
  const y = f32x4.sub(rest, carry);
  let power = f32x4.add(f32x4.mul(y, f32x4.splat(1.5403530e-4)), f32x4.splat(1.3333558e-3));
  power = f32x4.add(f32x4.mul(y, power), f32x4.splat(9.6181291e-3));
  power = f32x4.add(f32x4.mul(y, power), f32x4.splat(5.5504109e-2));
  power = f32x4.add(f32x4.mul(y, power), f32x4.splat(2.4022651e-1));
  power = f32x4.add(f32x4.mul(y, power), f32x4.splat(6.9314718e-1));
  power = f32x4.add(f32x4.mul(y, power), f32x4.splat(1));
  const biased = i32x4.add(i32x4.trunc_sat_f32x4_s(f32x4.add(wholeInteger, carry)), i32x4.splat(127));
  return f32x4.mul(power, i32x4.shl(i32x4.max_s(biased, i32x4.splat(0)), 23));
}
