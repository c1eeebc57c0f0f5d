// Batch normalisation over the rows of a matrix [rows, channels], and the other operations with one value per channel.
// The sums over rows are those of ./reduction (f64); here they become per-channel coefficients, and those are applied
// to the elements.
// A part of an applying kernel is a run of rows.

import { storeLanes } from './lanes';
import { total } from './reduction';

@unmanaged
export class Normalization {
  /** From `sums` over (x, x) or (g, x). */
  partials: usize;
  parts: i32;
  rows: i32;
  channels: i32;
  rowsPerPart: i32;
  g: usize;
  x: usize;
  gamma: usize;
  beta: usize;
  mean: usize;
  variance: usize;
  out: usize;
  gammaGradient: usize;
  betaGradient: usize;
  /** f32 [3][channels]: factors of the elements. */
  coefficients: usize;
  epsilon: f32;
}

@inline
function inverseDeviation(args: Normalization, variance: f64): f64 {
  return 1 / Math.sqrt(variance + <f64>args.epsilon);
}

/** Batch mean and biased variance, and the factor gamma/√(variance + ε). One part. */
export function batchStatistics(args: Normalization, part: i32, scratch: usize): void {
  const count = <f64>args.rows;
  for (let c = 0; c < args.channels; ++c) {
    const at = <usize>c << 2;
    const mean = total(args.partials, args.parts, 0, args.channels, c) / count;
    const variance = max(total(args.partials, args.parts, 1, args.channels, c) / count - mean * mean, 0);
    store<f32>(args.mean + at, <f32>mean);
    store<f32>(args.variance + at, <f32>variance);
    store<f32>(args.coefficients + at, <f32>(<f64>load<f32>(args.gamma + at) * inverseDeviation(args, variance)));
  }
}

/** The factor gamma/√(variance + ε) of given statistics. One part. */
export function givenStatistics(args: Normalization, part: i32, scratch: usize): void {
  for (let at: usize = 0; at < <usize>args.channels << 2; at += 4) {
    const inverse = inverseDeviation(args, <f64>load<f32>(args.variance + at));
    store<f32>(args.coefficients + at, <f32>(<f64>load<f32>(args.gamma + at) * inverse));
  }
}

/** out = (x − mean)·factor + beta */
export function normalize(args: Normalization, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  const first = part * args.rowsPerPart;
  let at = <usize>first * bytes;
  for (let row = min(args.rowsPerPart, args.rows - first); row > 0; --row) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const centred = f32x4.sub(v128.load(args.x + at + c), v128.load(args.mean + c));
      const y = f32x4.add(f32x4.mul(centred, v128.load(args.coefficients + c)), v128.load(args.beta + c));
      storeLanes(args.out + at + c, y, <i32>((bytes - c) >> 2));
    }
    at += bytes;
  }
}

/** dgamma, dbeta and the three coefficients of dx. One part. */
export function normalizationSums(args: Normalization, part: i32, scratch: usize): void {
  const count = <f64>args.rows;
  const bytes = <usize>args.channels << 2;
  for (let c = 0; c < args.channels; ++c) {
    const at = <usize>c << 2;
    const inverse = inverseDeviation(args, <f64>load<f32>(args.variance + at));
    const sumG = total(args.partials, args.parts, 0, args.channels, c);
    const sumGx = (total(args.partials, args.parts, 1, args.channels, c) - <f64>load<f32>(args.mean + at) * sumG) * inverse;
    store<f32>(args.betaGradient + at, <f32>sumG);
    store<f32>(args.gammaGradient + at, <f32>sumGx);
    store<f32>(args.coefficients + at, <f32>(<f64>load<f32>(args.gamma + at) * inverse));
    store<f32>(args.coefficients + bytes + at, <f32>(sumG / count));
    store<f32>(args.coefficients + 2 * bytes + at, <f32>((sumGx * inverse) / count));
  }
}

/** out = factor·(g − mean of g − (x − mean)·slope) */
export function normalizeGradient(args: Normalization, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  const first = part * args.rowsPerPart;
  let at = <usize>first * bytes;
  for (let row = min(args.rowsPerPart, args.rows - first); row > 0; --row) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const coefficients = args.coefficients + c;
      const centred = f32x4.sub(v128.load(args.x + at + c), v128.load(args.mean + c));
      const constant = f32x4.sub(v128.load(args.g + at + c), v128.load(coefficients + bytes));
      const inner = f32x4.sub(constant, f32x4.mul(centred, v128.load(coefficients + 2 * bytes)));
      storeLanes(args.out + at + c, f32x4.mul(v128.load(coefficients), inner), <i32>((bytes - c) >> 2));
    }
    at += bytes;
  }
}

@unmanaged
export class Channelwise {
  x: usize;
  scale: usize;
  offset: usize;
  out: usize;
  rows: i32;
  channels: i32;
  rowsPerPart: i32;
}

/** x + offset[c] */
export function bias(args: Channelwise, part: i32, scratch: usize): void {
  const bytes = <usize>args.channels << 2;
  const first = part * args.rowsPerPart;
  let at = <usize>first * bytes;
  for (let row = min(args.rowsPerPart, args.rows - first); row > 0; --row) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const sum = f32x4.add(v128.load(args.x + at + c), v128.load(args.offset + c));
      storeLanes(args.out + at + c, sum, <i32>((bytes - c) >> 2));
    }
    at += bytes;
  }
}

/** u8 x·scale[c] + offset[c] */
export function imageToFloat(args: Channelwise, part: i32, scratch: usize): void {
  const first = part * args.rowsPerPart;
  let at = first * args.channels;
  for (let row = min(args.rowsPerPart, args.rows - first); row > 0; --row) {
    for (let c: usize = 0; c < <usize>args.channels << 2; c += 4) {
      const value = <f32>load<u8>(args.x + at) * load<f32>(args.scale + c) + load<f32>(args.offset + c);
      store<f32>(args.out + (<usize>at << 2), value);
      ++at;
    }
  }
}
