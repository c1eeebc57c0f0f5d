// Sums, extremes and counts over all rows of a matrix [rows, channels], per channel or merged over the channels as
// well.
// A tensor that is reduced as a whole is viewed as a matrix of up to 16 columns. A part owns a run of rows and writes
// its partial results [part][kind][padded channels], channels padded to a multiple of 4; a second step combines the
// parts in order. Sums are kept in f64.
// The last vector of a row may reach beyond its channels: those lanes hold neighbours' values and are never read.

import { upperHalf } from './lanes';

@unmanaged
export class Reduction {
  a: usize;
  b: usize;
  partials: usize;
  rows: i32;
  channels: i32;
  rowsPerPart: i32;
}

@inline
export function padded(channels: i32): i32 {
  return (channels + 3) & ~3;
}

@inline
export function lowPair(value: v128): v128 {
  return f64x2.promote_low_f32x4(value);
}

@inline
export function highPair(value: v128): v128 {
  return f64x2.promote_low_f32x4(upperHalf(value));
}

/** Σ a and Σ a·b: f64 partials [part][2][padded]. */
export function sums(args: Reduction, part: i32, scratch: usize): void {
  const first = part * args.rowsPerPart;
  const rows = min(args.rowsPerPart, args.rows - first);
  const step = <usize>args.channels << 2;
  const width = padded(args.channels);
  let out = args.partials + (<usize>(part * 2 * width) << 3);
  for (let c = 0; c < args.channels; c += 4) {
    let sumLow = f64x2.splat(0);
    let sumHigh = sumLow;
    let dotLow = sumLow;
    let dotHigh = sumLow;
    let at = <usize>first * step + (<usize>c << 2);
    for (let row = 0; row < rows; ++row) {
      const a = v128.load(args.a + at);
      const b = v128.load(args.b + at);
      const low = lowPair(a);
      const high = highPair(a);
      sumLow = f64x2.add(sumLow, low);
      sumHigh = f64x2.add(sumHigh, high);
      dotLow = f64x2.add(dotLow, f64x2.mul(low, lowPair(b)));
      dotHigh = f64x2.add(dotHigh, f64x2.mul(high, highPair(b)));
      at += step;
    }
    v128.store(out, sumLow);
    v128.store(out, sumHigh, 16);
    v128.store(out + (<usize>width << 3), dotLow);
    v128.store(out + (<usize>width << 3), dotHigh, 16);
    out += 32;
  }
}

@unmanaged
export class FinishSums {
  partials: usize;
  parts: i32;
  channels: i32;
  /** 0: Σ a, 1: Σ a·b. */
  kind: i32;
  /** Whether the channels are summed too. */
  merge: i32;
  out: usize;
  /** Partials to subtract, or 0. */
  minus: usize;
  minusParts: i32;
}

/** Total of one channel over the parts, in their order. */
export function total(partials: usize, parts: i32, kind: i32, channels: i32, channel: i32): f64 {
  const width = padded(channels);
  let sum: f64 = 0;
  for (let part = 0; part < parts; ++part) sum += load<f64>(partials + (<usize>((part * 2 + kind) * width + channel) << 3));
  return sum;
}

export function finishSums(args: FinishSums, part: i32, scratch: usize): void {
  let merged: f64 = 0;
  for (let c = 0; c < args.channels; ++c) {
    let sum = total(args.partials, args.parts, args.kind, args.channels, c);
    if (args.minus != 0) sum -= total(args.minus, args.minusParts, args.kind, args.channels, c);
    if (args.merge) merged += sum;
    else store<f32>(args.out + (<usize>c << 2), <f32>sum);
  }
  if (args.merge) store<f32>(args.out, <f32>merged);
}

/** Minimum and maximum: f32 partials [part][2][padded]. */
export function extremes(args: Reduction, part: i32, scratch: usize): void {
  const first = part * args.rowsPerPart;
  const rows = min(args.rowsPerPart, args.rows - first);
  const step = <usize>args.channels << 2;
  const width = padded(args.channels);
  const out = args.partials + (<usize>(part * 2 * width) << 2);
  for (let c: usize = 0; c < step; c += 16) {
    let low = f32x4.splat(Infinity);
    let high = f32x4.splat(-Infinity);
    let at = args.a + <usize>first * step + c;
    for (let row = 0; row < rows; ++row) {
      const a = v128.load(at);
      low = f32x4.min(low, a);
      high = f32x4.max(high, a);
      at += step;
    }
    v128.store(out + c, low);
    v128.store(out + (<usize>width << 2) + c, high);
  }
}

@unmanaged
export class Extremes {
  reduction: Reduction;
  parts: i32;
  merge: i32;
  low: usize;
  high: usize;
  lowGradient: usize;
  highGradient: usize;
  counts: usize;
  out: usize;
  /** finishExtremes: the range starts at 0 instead of empty. */
  holdsZero: i32;
}

export function finishExtremes(args: Extremes, part: i32, scratch: usize): void {
  const channels = args.reduction.channels;
  const width = padded(channels);
  const start: f32 = args.holdsZero ? 0 : Infinity;
  let mergedLow = start;
  let mergedHigh = -start;
  for (let c = 0; c < channels; ++c) {
    let low = start;
    let high = -start;
    for (let p = 0; p < args.parts; ++p) {
      const at = args.reduction.partials + (<usize>(p * 2 * width + c) << 2);
      low = min(low, load<f32>(at));
      high = max(high, load<f32>(at + (<usize>width << 2)));
    }
    if (args.merge) {
      mergedLow = min(mergedLow, low);
      mergedHigh = max(mergedHigh, high);
    } else {
      store<f32>(args.low + (<usize>c << 2), low);
      store<f32>(args.high + (<usize>c << 2), high);
    }
  }
  if (args.merge) {
    store<f32>(args.low, mergedLow);
    store<f32>(args.high, mergedHigh);
  }
}

@inline
function perChannel(pointer: usize, offset: usize, merge: i32): v128 {
  return merge ? v128.load32_splat(pointer) : v128.load(pointer + offset);
}

/** How many elements attain the minimum and the maximum: i32 partials [part][2][padded]. */
export function countExtremes(args: Extremes, part: i32, scratch: usize): void {
  const matrix = args.reduction;
  const first = part * matrix.rowsPerPart;
  const rows = min(matrix.rowsPerPart, matrix.rows - first);
  const step = <usize>matrix.channels << 2;
  const width = padded(matrix.channels);
  const out = matrix.partials + (<usize>(part * 2 * width) << 2);
  for (let c: usize = 0; c < step; c += 16) {
    const low = perChannel(args.low, c, args.merge);
    const high = perChannel(args.high, c, args.merge);
    let lows = i32x4.splat(0);
    let highs = lows;
    let at = matrix.a + <usize>first * step + c;
    for (let row = 0; row < rows; ++row) {
      // A comparison gives −1 where it holds.
      lows = i32x4.sub(lows, f32x4.eq(v128.load(at), low));
      highs = i32x4.sub(highs, f32x4.eq(v128.load(at), high));
      at += step;
    }
    v128.store(out + c, lows);
    v128.store(out + (<usize>width << 2) + c, highs);
  }
}

/** Each extreme's gradient divided by its count: f32 [2][padded], or [2] values repeated for a merged reduction. */
export function shareExtremes(args: Extremes, part: i32, scratch: usize): void {
  const channels = args.reduction.channels;
  const width = padded(channels);
  for (let kind = 0; kind < 2; ++kind) {
    const gradient = kind == 0 ? args.lowGradient : args.highGradient;
    let merged = 0;
    for (let c = 0; c < channels; ++c) {
      let count = 0;
      for (let p = 0; p < args.parts; ++p) {
        count += load<i32>(args.reduction.partials + (<usize>((p * 2 + kind) * width + c) << 2));
      }
      merged += count;
      const at = args.counts + (<usize>(kind * width + c) << 2);
      if (!args.merge) store<f32>(at, <f32>(<f64>load<f32>(gradient + (<usize>c << 2)) / <f64>count));
    }
    if (!args.merge) continue;
    const share = <f32>(<f64>load<f32>(gradient) / <f64>merged);
    for (let c = 0; c < width; ++c) store<f32>(args.counts + (<usize>(kind * width + c) << 2), share);
  }
}

export function extremesGradient(args: Extremes, part: i32, scratch: usize): void {
  const matrix = args.reduction;
  const first = part * matrix.rowsPerPart;
  const rows = min(matrix.rowsPerPart, matrix.rows - first);
  const channels = matrix.channels;
  const highShares = args.counts + (<usize>padded(channels) << 2);
  let at = <usize>(first * channels) << 2;
  for (let row = 0; row < rows; ++row) {
    for (let c: usize = 0; c < <usize>channels << 2; c += 4) {
      const value = load<f32>(matrix.a + at);
      const bound: usize = args.merge ? 0 : c;
      const low = value == load<f32>(args.low + bound) ? load<f32>(args.counts + c) : 0;
      const high = value == load<f32>(args.high + bound) ? load<f32>(highShares + c) : 0;
      store<f32>(args.out + at, low + high);
      at += 4;
    }
  }
}
