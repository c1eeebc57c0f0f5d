// What learned step sizes begin at, from counted values: weights are signed and symmetric, their zero point in the
// middle of the codes or between the two that lie there, whatever range they were seen in; activations have their
// range. With the observer `mse` it is the step of the least mean squared error: at three or four bits far from the
// extremes, and nearer to where learning ends than LSQ's own 2·mean|x|/√Q.

import { roundedCode, scaleOfRange } from '../engine/reference/quantization.ts';
import {
  type Bins,
  type Histogram,
  type ObserverName,
  type ObserverOptions,
  observedRange,
  type Range,
} from './observers.ts';

/** A quantiser as it is stored. */
export interface Start {
  readonly scale: number;
  readonly zero: number;
}

/** From one candidate to the next a step is so much smaller; the search ends when so many are no better. */
const SHRINK = 0.97;
const PATIENCE = 12;
/** Bins to a code of those that the error is taken over. */
const BINS_PER_CODE = 64;
/** From how many bits on the one code more that negative numbers have is no matter. */
const MANY_BITS = 5;

/**
 * Where weights have their 0: at a code, in the middle of the codes or one below, or between these two, with as many
 * numbers on either side. The codes have one number more on one side of 0; of few bits `code` has it where it helps.
 */
export const weightZeroNames = ['code', 'middle', 'below', 'between'] as const;
export type WeightZero = (typeof weightZeroNames)[number];

/** The zero points that weights may have; several: each channel one of them. */
export function weightZeros(bits: number, where: WeightZero): readonly number[] {
  const middle = 2 ** (bits - 1);
  const choices = { middle: [middle], below: [middle - 1], between: [middle - 0.5] };
  if (where !== 'code') return choices[where];
  return bits < MANY_BITS ? [middle, middle - 1] : [middle];
}

/** Of the weights of a layer or a channel. */
export function weightStart(
  name: ObserverName,
  histogram: Histogram,
  options: ObserverOptions,
  weightZero: WeightZero = 'code',
): Start {
  const { bits } = options;
  const zeros = weightZeros(bits, weightZero);
  const { min, max } = name === 'mse' ? histogram : observedRange(name, histogram, options);
  const bins = name === 'mse' ? histogram.bins({ most: BINS_PER_CODE * 2 ** bits }) : undefined;
  const starts = zeros.map((zero) => {
    const whole = { zero, scale: Math.max(scaleAround(min, max, zero, bits), Number.MIN_VALUE) };
    return bins ? shrunk(bins, whole, bits) : { ...whole, error: whole.scale };
  });
  const { scale, zero } = starts.reduce((best, next) => (next.error < best.error ? next : best));
  return { scale: Math.max(scale, SMALLEST), zero };
}

/** The least scale, as observers have it (float32's epsilon). */
const SMALLEST = scaleOfRange(0, 0, 1).scale;

/** The step with which the codes around a zero point reach over a range. */
function scaleAround(min: number, max: number, zero: number, bits: number): number {
  const [below, above] = [zero, 2 ** bits - 1 - zero];
  return Math.max(below > 0 ? -min / below : 0, above > 0 ? max / above : 0);
}

/** Of the activations of a layer. */
export function inputStart(name: ObserverName, histogram: Histogram, options: ObserverOptions): Start {
  const { bits, holdsZero } = options;
  const startOf = ({ min, max }: Range): Start => scaleOfRange(min, max, bits);
  if (name !== 'mse') return startOf(observedRange(name, histogram, options));
  const bins = histogram.bins({ most: BINS_PER_CODE * 2 ** bits });
  let range = observedRange('min-max', histogram, options);
  // Both ends together, then each by itself: those of GELU or of a layer norm are of different sizes.
  for (const [low, high] of [
    [1, 1],
    [1, 0],
    [0, 1],
  ] as const) {
    if ((low === 1 && high === 0 && range.min === 0) || (low === 0 && range.max === 0)) continue;
    const from = range;
    const candidate = (factor: number): Range => ({
      min: low === 1 && (holdsZero || from.min < 0) ? from.min * factor : from.min,
      max: high === 1 && (holdsZero || from.max > 0) ? from.max * factor : from.max,
    });
    const errorOf = (factor: number, least: number) => meanError(bins, startOf(candidate(factor)), bits, least);
    range = candidate(leastFactor(errorOf).factor);
  }
  return startOf(range);
}

function shrunk(bins: Bins, { scale, zero }: Start, bits: number): Start & { readonly error: number } {
  const { factor, error } = leastFactor((by, least) => meanError(bins, { scale: scale * by, zero }, bits, least));
  return { scale: scale * factor, zero, error };
}

/**
 * The factor 1, SHRINK, SHRINK², … of the least error, up to where it no longer falls. `errorOf` may give any number
 * that is no less than `least` where the error is not.
 */
function leastFactor(errorOf: (factor: number, least: number) => number): {
  readonly factor: number;
  readonly error: number;
} {
  let best = { factor: 1, error: errorOf(1, Number.POSITIVE_INFINITY) };
  for (let factor = SHRINK, worse = 0; worse < PATIENCE; factor *= SHRINK) {
    const error = errorOf(factor, best.error);
    worse = error < best.error ? 0 : worse + 1;
    if (worse === 0) best = { factor, error };
  }
  return best;
}

/** Σ (x − x_fq)² over the counted values, or a part of it that is no less than `least`. */
function meanError({ middles, counts }: Bins, { scale, zero }: Start, bits: number, least: number): number {
  const most = 2 ** bits - 1;
  let sum = 0;
  // No term is below 0: once it is as large, the sum stays so.
  for (let at = 0; at < middles.length && !(sum >= least); at++) {
    const x = middles[at]!;
    const code = Math.min(Math.max(roundedCode(x / scale, zero), 0), most);
    sum += counts[at]! * (x - (code - zero) * scale) ** 2;
  }
  return sum;
}
