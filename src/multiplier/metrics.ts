// Error metrics of a multiplier table against the exact product, with the conventions of the published tables: the
// error is e = approximate − exact; NMED divides the mean |e| by 2^(Bw+Bx); the relative error divides |e| by max(1,
// |exact|), so that pairs with an exact product of 0 count with their absolute error (EvoApproxLib leaves them out: the
// second relative figure); variance is that of the population.
// All pairs count equally unless operand histograms are given; then the pair (w, x) counts histogram[w] · histogram[x].

import { requireWhole, UserError } from '../tensor/errors.ts';
import { operandValue, operandValues, type ProductTable } from './table.ts';

/** What NMED is, for whoever reads it beside MED; the largest product is another number. */
export const NMED_TITLE = 'MED over 2^(bits of both operands)';

export interface ErrorMetrics {
  /** Share of pairs with a wrong product, 0..1. */
  readonly errorRate: number;
  readonly meanErrorDistance: number;
  readonly normalizedMeanErrorDistance: number;
  readonly meanSquareError: number;
  readonly maxErrorDistance: number;
  /**
   * Mean of |error| / max(1, |exact|) over all pairs, as in the published tables: pairs with the product 0 count with
   * |error|.
   */
  readonly meanRelativeErrorDistance: number;
  /** The same over the pairs whose exact product is not 0, EvoApproxLib's MRE; 0 where there are none. */
  readonly meanRelativeErrorOfNonzero: number;
  /** Signed: negative when products come out too small. */
  readonly meanError: number;
  readonly errorVariance: number;
  /**
   * The first pair (as patterns) with the largest |error|, its product and the exact one. Only pairs of positive weight
   * count.
   */
  readonly worst: { readonly w: number; readonly x: number; readonly product: number; readonly exact: number };
}

/** Error metrics under the names that every `--json` and every error report has. */
export interface MetricsReport {
  /** 0 to 1. */
  readonly errorRate: number;
  readonly med: number;
  /** 0 to 1. */
  readonly nmed: number;
  /** To the exact product. */
  readonly mse: number;
  readonly maxEd: number;
  /** 0 to 1 and beyond; products of 0 counted with their absolute error. */
  readonly mred: number;
  /** The same without the pairs whose product is 0: EvoApproxLib's MRE. */
  readonly mredNonzero: number;
  readonly mean: number;
  readonly variance: number;
}

/** The metrics under the short names that reports and --json have. */
export function metricsReport(metrics: ErrorMetrics): MetricsReport {
  return {
    errorRate: metrics.errorRate,
    med: metrics.meanErrorDistance,
    nmed: metrics.normalizedMeanErrorDistance,
    mse: metrics.meanSquareError,
    maxEd: metrics.maxErrorDistance,
    mred: metrics.meanRelativeErrorDistance,
    mredNonzero: metrics.meanRelativeErrorOfNonzero,
    mean: metrics.meanError,
    variance: metrics.errorVariance,
  };
}

export interface OperandHistograms {
  /** 2^weightBits counts or probabilities, ≥ 0, by pattern. */
  readonly weight: ArrayLike<number>;
  /** 2^activationBits counts or probabilities, ≥ 0, by pattern. */
  readonly activation: ArrayLike<number>;
}

/**
 * Errors of a table over all operand pairs, alike or weighted by histograms; distances are in units of the product,
 * rates from 0 to 1.
 */
export function errorMetrics(table: ProductTable, histograms?: OperandHistograms): ErrorMetrics {
  const weights = operandValues(table.weightBits, table.signed);
  const activations = operandValues(table.activationBits, table.signed);
  const weightShare = shares(histograms?.weight, weights.length, 'weight');
  const activationShare = shares(histograms?.activation, activations.length, 'activation');
  const sums = new ErrorSums();
  const exact = new Float64Array(activations.length);
  let worstPair = 0;
  for (let w = 0; w < weights.length; w++) {
    if (weightShare[w] === 0) continue;
    for (let x = 0; x < exact.length; x++) exact[x] = weights[w]! * activations[x]!;
    const first = w * activations.length;
    const worst = sums.add(exact, table.data.subarray(first, first + exact.length), activationShare, weightShare[w]!);
    if (worst >= 0) worstPair = first + worst;
  }
  const w = worstPair >> table.activationBits;
  const x = worstPair & (activations.length - 1);
  const worst = { w, x, product: table.data[worstPair]!, exact: weights[w]! * activations[x]! };
  return sums.metrics(table.weightBits + table.activationBits, worst);
}

/** The sums behind the metrics, over any pairs in any order. */
export class ErrorSums {
  #total = 0;
  #wrong = 0;
  #distance = 0;
  #squares = 0;
  #relative = 0;
  #nonzero = 0;
  #relativeOfNonzero = 0;
  #signed = 0;
  #largest = -1;

  /** Counts pair n shares[n] · weight times; gives the pair whose |error| is larger than all before, or −1. */
  add(exact: Float64Array, products: Int32Array | Float64Array, shares: Float64Array, weight: number): number {
    // Local sums: the engine keeps them in registers.
    let total = 0;
    let wrong = 0;
    let distance = 0;
    let squares = 0;
    let relative = 0;
    let nonzero = 0;
    let ofNonzero = 0;
    let signed = 0;
    let largest = this.#largest;
    let worst = -1;
    for (let n = 0; n < exact.length; n++) {
      const share = shares[n]!;
      const error = products[n]! - exact[n]!;
      total += share;
      if (exact[n] !== 0) nonzero += share;
      if (error === 0 && largest >= 0) continue;
      const magnitude = Math.abs(error);
      const weighted = share * magnitude;
      if (error !== 0) wrong += share;
      distance += weighted;
      squares += weighted * magnitude;
      relative += weighted / Math.max(1, Math.abs(exact[n]!));
      if (exact[n] !== 0) ofNonzero += weighted / Math.abs(exact[n]!);
      signed += share * error;
      if (magnitude > largest && share > 0) {
        largest = magnitude;
        worst = n;
      }
    }
    this.#total += weight * total;
    this.#wrong += weight * wrong;
    this.#distance += weight * distance;
    this.#squares += weight * squares;
    this.#relative += weight * relative;
    this.#nonzero += weight * nonzero;
    this.#relativeOfNonzero += weight * ofNonzero;
    this.#signed += weight * signed;
    this.#largest = largest;
    return worst;
  }

  metrics(productBits: number, worst: ErrorMetrics['worst']): ErrorMetrics {
    const total = this.#total;
    const meanError = this.#signed / total;
    const meanSquareError = this.#squares / total;
    return {
      errorRate: this.#wrong / total,
      meanErrorDistance: this.#distance / total,
      normalizedMeanErrorDistance: this.#distance / total / 2 ** productBits,
      meanSquareError,
      maxErrorDistance: this.#largest,
      meanRelativeErrorDistance: this.#relative / total,
      meanRelativeErrorOfNonzero: this.#nonzero > 0 ? this.#relativeOfNonzero / this.#nonzero : 0,
      meanError,
      errorVariance: Math.max(0, meanSquareError - meanError * meanError),
      worst,
    };
  }
}

export interface WorstPair {
  /** Patterns. */
  readonly w: number;
  readonly x: number;
  readonly product: number;
  readonly exact: number;
}

/**
 * The `count` pairs with the largest |error|, largest first, then in the order of the patterns; pairs without an error
 * are left out.
 */
export function worstPairs(table: ProductTable, count: number): WorstPair[] {
  requireWhole('the number of worst pairs', count, 0);
  if (count === 0) return [];
  const weights = operandValues(table.weightBits, table.signed);
  const activations = operandValues(table.activationBits, table.signed);
  const worst: (WorstPair & { distance: number })[] = [];
  let least = 0;
  let pair = 0;
  for (let w = 0; w < weights.length; w++) {
    const weight = weights[w]!;
    for (let x = 0; x < activations.length; x++, pair++) {
      const distance = Math.abs(table.data[pair]! - weight * activations[x]!);
      if (distance > least) least = keepWorst(worst, count, distance, table, pair);
    }
  }
  return worst.map(({ w, x, product, exact }) => ({ w, x, product, exact }));
}

/** Puts a pair in its place among at most `count`; returns the distance that the next one must exceed. */
function keepWorst(
  worst: (WorstPair & { distance: number })[],
  count: number,
  distance: number,
  table: ProductTable,
  pair: number,
): number {
  const { weightBits, activationBits, signed, data } = table;
  const [w, x] = [pair >> activationBits, pair & (2 ** activationBits - 1)];
  const exact = operandValue(w, weightBits, signed) * operandValue(x, activationBits, signed);
  const at = worst.findIndex((other) => other.distance < distance);
  worst.splice(at < 0 ? worst.length : at, 0, { w, x, product: data[pair]!, exact, distance });
  if (worst.length > count) worst.pop();
  return worst.length === count ? worst.at(-1)!.distance : 0;
}

/** The share of every operand pair, w · 2^activationBits + x, under the histograms; they add up to 1. */
export function operandShares(histograms: OperandHistograms, weightBits: number, activationBits: number): Float64Array {
  const weight = shares(histograms.weight, 2 ** weightBits, 'weight');
  const activation = shares(histograms.activation, 2 ** activationBits, 'activation');
  const sum = (counts: Float64Array) => counts.reduce((total, count) => total + count, 0);
  const total = sum(weight) * sum(activation);
  const mask = activation.length - 1;
  return Float64Array.from(
    { length: weight.length * activation.length },
    (_, pair) => (weight[pair >> activationBits]! * activation[pair & mask]!) / total,
  );
}

/** The counts of one operand, checked; all ones without a histogram. Throws a UserError. */
export function shares(histogram: ArrayLike<number> | undefined, patterns: number, operand: string): Float64Array {
  if (!histogram) return new Float64Array(patterns).fill(1);
  if (histogram.length !== patterns) {
    throw new UserError(
      `the ${operand} histogram has ${histogram.length} entries: expected one per pattern, ${patterns}`,
    );
  }
  const result = Float64Array.from(histogram);
  const bad = result.findIndex((count) => !(count >= 0 && count < Number.POSITIVE_INFINITY));
  if (bad >= 0)
    throw new UserError(`the ${operand} histogram has ${result[bad]} at pattern ${bad}: expected a count ≥ 0`);
  if (!result.some((count) => count > 0))
    throw new UserError(`the ${operand} histogram is all zero: expected a count > 0`);
  return ordinary(result);
}

const LARGE = 2 ** 300;

/**
 * Counts so large or small that products of them would leave the doubles are scaled by a power of two, which rounds
 * nothing.
 */
function ordinary(counts: Float64Array): Float64Array {
  const largest = counts.reduce((most, count) => Math.max(most, count), 0);
  if (largest >= LARGE) return ordinary(counts.map((count) => count / LARGE));
  return largest > 1 / LARGE ? counts : ordinary(counts.map((count) => count * LARGE));
}
