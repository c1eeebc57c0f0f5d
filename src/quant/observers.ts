// Observers: which range of values a quantiser covers, from what was seen of them. A range that is narrower than the
// extremes clamps a few values and gives all others finer steps; each observer weighs that in its own way (min-max,
// moving average, percentile: Jacob et al., 2018, and common practice; mean error: OMSE, Choukroun et al., 2019;
// entropy: Migacz, 2017).
// Values are counted once, in bins whose width is a power of two and doubles when values fall outside: counts are those
// of a single pass over all values, whatever the order and the size of the batches.

import { scaleOfRange } from '../engine/reference/quantization.ts';
import { UserError } from '../tensor/errors.ts';
import { CLIP_SEARCH, RANGE_MOMENTUM } from './quantized.ts';

export const observerNames = ['mse', 'min-max', 'moving-average', 'percentile', 'entropy'] as const;
export type ObserverName = (typeof observerNames)[number];

/** Values from `min` to `max`. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Bins that hold something, from the lowest. */
export interface Bins {
  readonly middles: Float64Array;
  readonly counts: Float64Array;
}

/** Bins for the observer `entropy`, as Migacz has it; of few values fewer, but so many to a code. */
const MOST_BINS = 2048;
const VALUES_PER_BIN = 16;
const BINS_PER_CODE = 8;

/** Bins on either side of 0. */
const SIDE = 4096;

/** The extremes of values; `name` is for the UserError where one is not a number. */
function extremesOf(values: ArrayLike<number>, name: string): Range {
  const { length } = values;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < length; k++) {
    // Hundreds of millions of values come here, and all but a few leave at once, by fours; what is not finite does not.
    while (k + 3 < length) {
      const a = values[k]!;
      const b = values[k + 1]!;
      const c = values[k + 2]!;
      const d = values[k + 3]!;
      if (!(a >= min && a <= max && b >= min && b <= max && c >= min && c <= max && d >= min && d <= max)) break;
      k += 4;
    }
    if (k === length) break;
    const value = values[k]!;
    if (value >= min && value <= max) continue;
    if (!Number.isFinite(value)) {
      throw new UserError(
        `${name} holds ${value}; finite values were expected: look at the weights of the float model`,
      );
    }
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

/** From how many values on a table more is worth its own counting. */
const MANY_VALUES = 8 * SIDE;

/** Counts values in bins whose width is a power of two; gives how many of them are 0. */
function countInBins(values: ArrayLike<number>, width: number, counts: Float64Array): number {
  const { length } = values;
  // Of a power of two the inverse is exact, and so are products with it.
  const bins = 1 / width;
  // Neighbours are often in one bin, as those that are 0: in two tables by turns they do not wait for each other.
  const others = length < MANY_VALUES ? counts : new Float64Array(2 * SIDE);
  let zeros = 0;
  let at = 0;
  for (; at + 1 < length; at += 2) {
    const value = values[at]!;
    const other = values[at + 1]!;
    zeros += Number(value === 0) + Number(other === 0);
    counts[(Math.floor(value * bins) | 0) + SIDE]!++;
    others[(Math.floor(other * bins) | 0) + SIDE]!++;
  }
  if (at < length) {
    const value = values[at]!;
    zeros += Number(value === 0);
    counts[(Math.floor(value * bins) | 0) + SIDE]!++;
  }
  if (others !== counts) for (let bin = 0; bin < counts.length; bin++) counts[bin]! += others[bin]!;
  return zeros;
}

/** What a histogram has counted, as data: bin k is element k + SIDE of its counts. */
export interface Counted extends Range {
  readonly width: number;
  readonly counts: Float64Array;
  readonly count: number;
  readonly zeros: number;
}

/** Values in bins: bin k counts those from k·width to (k + 1)·width, k from −SIDE to SIDE − 1. */
export class Histogram {
  /** At first the least one. */
  width = 2 ** -40;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  /** Moving average of the extremes of what was added at once. */
  average: Range | undefined;
  #counts = new Float64Array(2 * SIDE);
  /** Of all values, and of those that are 0. */
  count = 0;
  #zeros = 0;

  /** Counts values; `name` is for the error where one is not a number. */
  add(values: ArrayLike<number>, name: string): void {
    const { min: low, max: high } = extremesOf(values, name);
    if (!this.average) this.width = Math.max(this.width, 2 ** Math.floor(Math.log2(Math.max(-low, high) / SIDE)));
    while (low < -SIDE * this.width || high >= SIDE * this.width) this.#widen();
    this.#zeros += countInBins(values, this.width, this.#counts);
    this.#counted(values.length, low, high);
  }

  /** The counts of values that were added at once. */
  static countsOf(values: ArrayLike<number>, name: string): Counted {
    const histogram = new Histogram();
    histogram.add(values, name);
    const { width, min, max, count } = histogram;
    return { width, min, max, count, counts: histogram.#counts, zeros: histogram.#zeros };
  }

  /** Adds values that were counted elsewhere; the same as if they were added here. */
  merge({ width, min, max, counts, count, zeros }: Counted): void {
    while (this.width < width) this.#widen();
    const own = this.#counts;
    const ratio = width / this.width;
    const end = Math.floor(max / width) + 1;
    for (let bin = Math.floor(min / width); bin < end; bin++) {
      own[(Math.floor(bin * ratio) | 0) + SIDE]! += counts[bin + SIDE]!;
    }
    this.#zeros += zeros;
    this.#counted(count, min, max);
  }

  #counted(count: number, low: number, high: number): void {
    this.count += count;
    this.min = Math.min(this.min, low);
    this.max = Math.max(this.max, high);
    const { average } = this;
    const moved = (old: number, seen: number) => (1 - RANGE_MOMENTUM) * old + RANGE_MOMENTUM * seen;
    this.average = average ? { min: moved(average.min, low), max: moved(average.max, high) } : { min: low, max: high };
  }

  #widen(): void {
    this.width *= 2;
    if (this.count === 0) return;
    const wider = new Float64Array(2 * SIDE);
    this.#counts.forEach((count, at) => {
      wider[Math.floor((at - SIDE) / 2) + SIDE]! += count;
    });
    this.#counts = wider;
  }

  /**
   * The bins that hold something, from the lowest; wider ones where these would be more than `most`. `withZeros`: also
   * the values that are 0.
   */
  bins({ most = 2 * SIDE, withZeros = true } = {}): Bins {
    let shift = 0;
    while ((this.max - this.min) / (2 ** shift * this.width) > most) shift++;
    const wide = 2 ** shift * this.width;
    const seen = this.#counts;
    const [first, end] = [Math.floor(this.min / this.width), Math.floor(this.max / this.width) + 1];
    const length = Math.max(Math.min(end - first, this.count), 0);
    const [middles, counts] = [new Float64Array(length), new Float64Array(length)];
    let found = 0;
    let last = Number.NEGATIVE_INFINITY;
    for (let at = first; at < end; at++) {
      const count = withZeros || at !== 0 ? seen[at + SIDE]! : seen[SIDE]! - this.#zeros;
      if (count === 0) continue;
      const bin = at >> shift;
      if (bin !== last) {
        last = bin;
        // The extremes are known exactly: no middle lies beyond them.
        middles[found++] = within((bin + 0.5) * wide, this);
      }
      counts[found - 1]! += count;
    }
    return { middles: middles.subarray(0, found), counts: counts.subarray(0, found) };
  }
}

const within = (value: number, { min, max }: Range) => Math.min(Math.max(value, min), max);

export interface ObserverOptions {
  readonly bits: number;
  /** Share of the values inside the range of the observer `percentile`, in percent; above 50, at most 100. */
  readonly percentile: number;
  /** Whether a range always holds 0, so that the zero point is a code. */
  readonly holdsZero: boolean;
}

/** The range that an observer takes for what was counted. */
export function observedRange(name: ObserverName, histogram: Histogram, options: ObserverOptions): Range {
  const chosen = chosenRange(name, histogram, options);
  return options.holdsZero ? { min: Math.min(chosen.min, 0), max: Math.max(chosen.max, 0) } : chosen;
}

function chosenRange(name: ObserverName, histogram: Histogram, options: ObserverOptions): Range {
  const { min, max } = histogram;
  const all = options.holdsZero ? { min: Math.min(min, 0), max: Math.max(max, 0) } : { min, max };
  switch (name) {
    case 'min-max':
      return all;
    case 'moving-average':
      return histogram.average!;
    case 'percentile':
      return percentileRange(histogram, options.percentile);
    case 'mse': {
      const bins = histogram.bins();
      return best(shrunk(all, 1, 1), (range) => clippingError(bins, range, options.bits));
    }
    case 'entropy': {
      // With finer bins than samples, chance would look like information; values that are 0 are a code of every range,
      // and lose none: half of those behind a ReLU, they would pull the range to where their code has one bin.
      const most = Math.max(BINS_PER_CODE * 2 ** options.bits, Math.min(MOST_BINS, histogram.count / VALUES_PER_BIN));
      const coarse = histogram.bins({ most, withZeros: false });
      const loss = (range: Range) => informationLoss(coarse, range, options.bits);
      // One end after the other: those of GELU or of a layer norm are of different sizes.
      return best(shrunk(best(shrunk(all, 0, 1), loss), 1, 0), loss);
    }
  }
}

/** The candidates of the clip search: the range with one end, or both together, shrunk step by step. */
function shrunk({ min, max }: Range, low: 0 | 1, high: 0 | 1): Range[] {
  return Array.from({ length: CLIP_SEARCH.steps }, (_, step) => ({
    min: min * (1 - low * CLIP_SEARCH.shrink * step),
    max: max * (1 - high * CLIP_SEARCH.shrink * step),
  }));
}

/** The first of the candidates with the least loss. */
function best(candidates: readonly Range[], lossOf: (range: Range) => number): Range {
  let [found, least] = [candidates[0]!, Number.POSITIVE_INFINITY];
  for (const candidate of candidates) {
    const loss = lossOf(candidate);
    if (loss < least) [found, least] = [candidate, loss];
  }
  return found;
}

/** Leaves out the same share of the values at either end. */
function percentileRange(histogram: Histogram, percentile: number): Range {
  const { middles, counts } = histogram.bins();
  const total = counts.reduce((sum, count) => sum + count, 0);
  const outside = (total * (1 - percentile / 100)) / 2;
  const half = histogram.width / 2;
  const end = (order: readonly number[]): number => {
    let left = 0;
    for (const at of order) {
      left += counts[at]!;
      if (left > outside) return at;
    }
    return order.at(-1)!;
  };
  const order = [...middles.keys()];
  const [low, high] = [end(order), end(order.toReversed())];
  // The bin that holds the percentile belongs to the range as a whole.
  return { min: within(middles[low]! - half, histogram), max: within(middles[high]! + half, histogram) };
}

/** The code of a value in a range, without its zero point's offset: what it is rounded to. */
function quantizer({ min, max }: Range, bits: number) {
  const { scale, zero } = scaleOfRange(min, max, bits);
  const most = 2 ** bits - 1;
  const codeOf = (value: number) => Math.min(Math.max(Math.round(value / scale) + zero, 0), most);
  return { codeOf, decoded: (code: number) => (code - zero) * scale };
}

/** Σ |x − x_fq|^2.4, as the clip search of the published program weighs it. */
function clippingError({ middles, counts }: Bins, range: Range, bits: number): number {
  const { codeOf, decoded } = quantizer(range, bits);
  let sum = 0;
  for (const [at, x] of middles.entries()) {
    sum += counts[at]! * Math.abs(x - decoded(codeOf(x))) ** CLIP_SEARCH.exponent;
  }
  return sum;
}

/**
 * What is lost between the distribution of the values and that of their codes: Σ P·log(P/Q), P the clamped values, Q
 * those inside the range, the values of one code spread evenly over the bins that it has some in. Both are shares of
 * all values, so that what was clamped is missing in Q: otherwise a range of a single bin would lose nothing.
 */
function informationLoss({ middles, counts }: Bins, range: Range, bits: number): number {
  const { codeOf } = quantizer(range, bits);
  const first = middles.findIndex((x) => x >= range.min);
  const last = middles.findLastIndex((x) => x <= range.max);
  if (first < 0 || last < first) return Number.POSITIVE_INFINITY;
  const mass = (from: number, to: number) => counts.subarray(from, to).reduce((sum, count) => sum + count, 0);
  const [below, above] = [mass(0, first), mass(last + 1, counts.length)];
  const total = below + mass(first, last + 1) + above;
  let loss = 0;
  // Codes rise with the values: the bins of one code stand together.
  for (let from = first, to = first; from <= last; from = to) {
    const code = codeOf(middles[from]!);
    while (to <= last && codeOf(middles[to]!) === code) to++;
    const q = mass(from, to) / (to - from) / total;
    for (let at = from; at < to; at++) {
      const p = (counts[at]! + (at === first ? below : 0) + (at === last ? above : 0)) / total;
      loss += p * Math.log(p / q);
    }
  }
  return loss;
}
