// Error metrics of a multiplier table against the exact product, with the conventions of the published tables: the error is
// e = approximate − exact; NMED divides the mean |e| by 2^(Bw+Bx); the relative error divides |e| by max(1, |exact|), so that pairs
// with an exact product of 0 count with their absolute error; variance is that of the population.
// All pairs count equally unless operand histograms are given; then the pair (w, x) counts histogram[w] · histogram[x].

import { UserError } from '../tensor/errors.ts';
import { operandValues, type ProductTable } from './table.ts';

export interface ErrorMetrics {
  /** Share of pairs with a wrong product, 0..1. */
  readonly errorRate: number;
  readonly meanErrorDistance: number;
  readonly normalizedMeanErrorDistance: number;
  readonly meanSquareError: number;
  readonly maxErrorDistance: number;
  readonly meanRelativeErrorDistance: number;
  /** Signed: negative when products come out too small. */
  readonly meanError: number;
  readonly errorVariance: number;
  /** The first pair (as patterns) with the largest |error|, its product and the exact one. Only pairs of positive weight count. */
  readonly worst: { readonly w: number; readonly x: number; readonly product: number; readonly exact: number };
}

export interface OperandHistograms {
  /** 2^weightBits counts or probabilities, ≥ 0, by pattern. */
  readonly weight: ArrayLike<number>;
  /** 2^activationBits counts or probabilities, ≥ 0, by pattern. */
  readonly activation: ArrayLike<number>;
}

export function errorMetrics(table: ProductTable, histograms?: OperandHistograms): ErrorMetrics {
  const weights = operandValues(table.weightBits, table.signed);
  const activations = operandValues(table.activationBits, table.signed);
  const weightShare = shares(histograms?.weight, weights.length, 'weight');
  const activationShare = shares(histograms?.activation, activations.length, 'activation');
  const sums = new ErrorSums();
  let worstPair = 0;
  let pair = 0;
  for (let w = 0; w < weights.length; w++) {
    for (let x = 0; x < activations.length; x++, pair++) {
      const share = weightShare[w]! * activationShare[x]!;
      if (share > 0 && sums.add(weights[w]! * activations[x]!, table.data[pair]!, share)) worstPair = pair;
    }
  }
  const w = worstPair >> table.activationBits;
  const x = worstPair & (activations.length - 1);
  const worst = { w, x, product: table.data[worstPair]!, exact: weights[w]! * activations[x]! };
  return sums.metrics(table.weightBits + table.activationBits, worst);
}

/** The sums behind the metrics, over any pairs in any order. */
export class ErrorSums {
  private total = 0;
  private wrong = 0;
  private distance = 0;
  private squares = 0;
  private relative = 0;
  private signed = 0;
  private largest = -1;

  /** Counts a pair; true when its |error| is larger than all before. */
  add(exact: number, product: number, share: number): boolean {
    const error = product - exact;
    this.total += share;
    if (error === 0 && this.largest >= 0) return false;
    const magnitude = Math.abs(error);
    if (error !== 0) this.wrong += share;
    this.distance += share * magnitude;
    this.squares += share * error * error;
    this.relative += (share * magnitude) / Math.max(1, Math.abs(exact));
    this.signed += share * error;
    if (magnitude <= this.largest) return false;
    this.largest = magnitude;
    return true;
  }

  metrics(productBits: number, worst: ErrorMetrics['worst']): ErrorMetrics {
    const { total } = this;
    const meanError = this.signed / total;
    const meanSquareError = this.squares / total;
    return {
      errorRate: this.wrong / total,
      meanErrorDistance: this.distance / total,
      normalizedMeanErrorDistance: this.distance / total / 2 ** productBits,
      meanSquareError,
      maxErrorDistance: this.largest,
      meanRelativeErrorDistance: this.relative / total,
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

/** The `count` pairs with the largest |error|, largest first, then in the order of the patterns; pairs without an error are left out. */
export function worstPairs(table: ProductTable, count: number): WorstPair[] {
  const weights = operandValues(table.weightBits, table.signed);
  const activations = operandValues(table.activationBits, table.signed);
  const worst: (WorstPair & { distance: number })[] = [];
  let least = 0;
  let pair = 0;
  for (let w = 0; w < weights.length; w++) {
    for (let x = 0; x < activations.length; x++, pair++) {
      const exact = weights[w]! * activations[x]!;
      const product = table.data[pair]!;
      const distance = Math.abs(product - exact);
      if (distance <= least) continue;
      const at = worst.findIndex((other) => other.distance < distance);
      worst.splice(at < 0 ? worst.length : at, 0, { w, x, product, exact, distance });
      if (worst.length > count) worst.pop();
      if (worst.length === count) least = worst.at(-1)!.distance;
    }
  }
  return worst.map(({ w, x, product, exact }) => ({ w, x, product, exact }));
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
  return result;
}
