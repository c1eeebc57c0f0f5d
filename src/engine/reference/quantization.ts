// The uniform asymmetric quantiser, its range and their gradients (paper, section on quantisation; OmniQuant's learned
// clipping): q = clamp(round(x/s) + z, 0, 2^B − 1), x_fq = (q − z)·s; x/s is a float32 quotient, so codes are the same
// on every backend. A scale or minimum of shape [] serves the whole tensor, [C] the last axis. A zero point between two
// codes, z = k + f, moves the grid by f of a step: q = clamp(round(x/s + f) + k, …).

import { clamp, groups, type Kernels, roundHalfEven } from './kernel.ts';

/** No scale is below this, float32's epsilon. */
export const SMALLEST_SCALE = 2 ** -23;
const LEARNED_SCALE_RANGE = [1e-5, 1e4] as const;
const LARGEST_ZERO_POINT = 1e4;

/**
 * Rounded to float32: near 1 the slope σ(1 − σ) of learned clipping depends on it, and this is what the published
 * program computes.
 */
const sigmoid = (x: number): number => Math.fround(1 / (1 + Math.exp(-x)));

/** Scale and zero point of the range [min, max] for 2^bits levels. */
export function scaleOfRange(min: number, max: number, bits: number): { scale: number; zero: number } {
  const scale = Math.max((max - min) / (2 ** bits - 1), SMALLEST_SCALE);
  return { scale, zero: roundHalfEven(-min / scale) };
}

/** What a float32 number becomes whole by, half to even, when it is added and taken off in double precision. */
const ROUNDING = 1.5 * 2 ** 52;

/** The code of a quotient x/s before the clamp; whole as codes are, wherever the zero point is. */
export function roundedCode(quotient: number, zero: number): number {
  const whole = Math.floor(zero);
  return Math.fround(Math.fround(quotient) + (zero - whole)) + ROUNDING - ROUNDING + whole;
}

/** Learned clipping before its limits: the raw scale and the lower end of the range. */
function learnedRange(min: number, max: number, upper: number, lower: number, bits: number) {
  const low = sigmoid(lower) * min;
  const raw = (sigmoid(upper) * max - low) / (2 ** bits - 1);
  return { low, raw, scale: clamp(raw, ...LEARNED_SCALE_RANGE) };
}

export const quantization: Kernels<
  | 'clipSearch'
  | 'rangeToScale'
  | 'clipScale'
  | 'clipScaleGradient'
  | 'quantize'
  | 'quantizeGradient'
  | 'dequantize'
  | 'lookUp'
> = {
  clipSearch: ([x, min, max], [factor], { bits, granularity, steps, shrink, exponent }) => {
    const count = groups(x!, granularity);
    let best = Number.POSITIVE_INFINITY;
    for (let step = 0; step < steps; step++) {
      const candidate = 1 - shrink * step;
      const ranges = Array.from({ length: count }, (_, c) =>
        scaleOfRange(candidate * min!.data[c]!, candidate * max!.data[c]!, bits),
      );
      let total = 0;
      for (let i = 0; i < x!.data.length; i++) {
        const { scale, zero } = ranges[i % count]!;
        const code = clamp(roundHalfEven(Math.fround(x!.data[i]! / scale)) + zero, 0, 2 ** bits - 1);
        total += Math.abs(x!.data[i]! - (code - zero) * scale) ** exponent;
      }
      if (total < best) {
        best = total;
        factor!.data[0] = candidate;
      }
    }
  },
  rangeToScale: ([min, max, factor], [scale, zero], { bits }) => {
    const f = factor!.data[0]!;
    for (let c = 0; c < scale!.data.length; c++) {
      const range = scaleOfRange(f * min!.data[c]!, f * max!.data[c]!, bits);
      scale!.data[c] = range.scale;
      zero!.data[c] = range.zero;
    }
  },
  clipScale: ([min, max, upper, lower], [scale, zero], { bits }) => {
    for (let c = 0; c < scale!.data.length; c++) {
      const range = learnedRange(min!.data[c]!, max!.data[c]!, upper!.data[c]!, lower!.data[c]!, bits);
      scale!.data[c] = range.scale;
      zero!.data[c] = roundHalfEven(clamp(-range.low / range.scale, -LARGEST_ZERO_POINT, LARGEST_ZERO_POINT));
    }
  },
  clipScaleGradient: ([gScale, min, max, upper, lower], [dmin, dmax, dupper, dlower], { bits }) => {
    for (let c = 0; c < gScale!.data.length; c++) {
      const { raw, scale } = learnedRange(min!.data[c]!, max!.data[c]!, upper!.data[c]!, lower!.data[c]!, bits);
      const g = raw === scale ? gScale!.data[c]! / (2 ** bits - 1) : 0;
      const up = sigmoid(upper!.data[c]!);
      const low = sigmoid(lower!.data[c]!);
      dmax!.data[c] = g * up;
      dmin!.data[c] = -g * low;
      dupper!.data[c] = g * up * (1 - up) * max!.data[c]!;
      dlower!.data[c] = -g * low * (1 - low) * min!.data[c]!;
    }
  },
  quantize: ([x, scale, zero], [codes], { bits, granularity }) => {
    const count = groups(x!, granularity);
    for (let i = 0; i < x!.data.length; i++) {
      const rounded = roundedCode(x!.data[i]! / scale!.data[i % count]!, zero!.data[i % count]!);
      codes!.data[i] = clamp(rounded, 0, 2 ** bits - 1);
    }
  },
  quantizeGradient: ([g, x, scale, zero], [dx, dscale], { bits, granularity }) => {
    const count = groups(x!, granularity);
    const sums = new Float64Array(count);
    for (let i = 0; i < x!.data.length; i++) {
      const at = i % count;
      const ratio = x!.data[i]! / scale!.data[at]!;
      const rounded = roundedCode(ratio, zero!.data[at]!);
      const code = clamp(rounded, 0, 2 ** bits - 1);
      const inside = code === rounded;
      dx!.data[i] = inside ? g!.data[i]! : 0;
      sums[at]! += g!.data[i]! * (code - zero!.data[at]! - (inside ? ratio : 0));
    }
    dscale!.data.set(sums);
  },
  lookUp: ([codes, table], [x]) => {
    for (let i = 0; i < x!.data.length; i++) x!.data[i] = table!.data[codes!.data[i]!]!;
  },
  dequantize: ([codes, scale, zero], [x], { granularity }) => {
    const count = groups(codes!, granularity);
    for (let i = 0; i < x!.data.length; i++) {
      x!.data[i] = (codes!.data[i]! - zero!.data[i % count]!) * scale!.data[i % count]!;
    }
  },
};
