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
  let [total, wrong, distance, squares, relative, signed] = [0, 0, 0, 0, 0, 0];
  let largest = -1;
  let worstPair = 0;
  let pair = 0;
  for (let w = 0; w < weights.length; w++) {
    for (let x = 0; x < activations.length; x++, pair++) {
      const share = weightShare[w]! * activationShare[x]!;
      if (share === 0) continue;
      const exact = weights[w]! * activations[x]!;
      const error = table.data[pair]! - exact;
      const magnitude = Math.abs(error);
      total += share;
      if (magnitude > largest) {
        largest = magnitude;
        worstPair = pair;
      }
      if (error === 0) continue;
      wrong += share;
      distance += share * magnitude;
      squares += share * error * error;
      relative += (share * magnitude) / Math.max(1, Math.abs(exact));
      signed += share * error;
    }
  }
  const meanError = signed / total;
  const meanSquareError = squares / total;
  const w = worstPair >> table.activationBits;
  const x = worstPair & (activations.length - 1);
  return {
    errorRate: wrong / total,
    meanErrorDistance: distance / total,
    normalizedMeanErrorDistance: distance / total / 2 ** (table.weightBits + table.activationBits),
    meanSquareError,
    maxErrorDistance: largest,
    meanRelativeErrorDistance: relative / total,
    meanError,
    errorVariance: Math.max(0, meanSquareError - meanError * meanError),
    worst: { w, x, product: table.data[worstPair]!, exact: weights[w]! * activations[x]! },
  };
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

function shares(histogram: ArrayLike<number> | undefined, patterns: number, operand: string): Float64Array {
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
