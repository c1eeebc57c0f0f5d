// Error metrics of multipliers too wide to enumerate: Monte Carlo over random operand pairs, uniform or drawn from
// histograms, through the compiled simulation. The result says what it is: the number of samples, and 95 % confidence
// intervals of the means.
// Invariant: deterministic for a seed. The largest error seen is a lower bound of the true one, and is marked so by
// `sampled`.

import { type ErrorMetrics, ErrorSums, type OperandHistograms, shares } from '../multiplier/metrics.ts';
import { operandValue } from '../multiplier/table.ts';
import { requireWhole, UserError } from '../tensor/errors.ts';
import { drawByWeight, MOST_SEED, Random } from '../tensor/random.ts';
import { PairProducts } from './compiled/network.ts';
import type { Network } from './network.ts';
import { multiplierPorts } from './ports.ts';

export interface Sampled {
  readonly samples: number;
  readonly seed: number;
  readonly confidence: 0.95;
  /** Of the means; the true value lies inside with that confidence. */
  readonly interval: {
    readonly errorRate: Interval;
    readonly meanErrorDistance: Interval;
    readonly meanSquareError: Interval;
    readonly meanError: Interval;
  };
}

export type Interval = readonly [low: number, high: number];

export interface SampleOptions {
  readonly signed?: boolean;
  /** By default 2^20. */
  readonly samples?: number;
  readonly seed?: number;
  readonly histograms?: OperandHistograms;
}

/** The normal distribution's 97.5 % point. */
const QUANTILE = 1.959964;
export function sampleMetrics(
  network: Network,
  { signed = false, samples = 2 ** 20, seed = 1, histograms }: SampleOptions = {},
): ErrorMetrics & { readonly sampled: Sampled } {
  if (!Number.isInteger(samples) || samples < 100 || samples > 2 ** 32) {
    throw new UserError(`${samples} samples: expected an integer from 100 to 2^32`);
  }
  requireWhole('the seed', seed, 0, MOST_SEED);
  const ports = multiplierPorts(network);
  const { weight, activation } = ports;
  const [first, second] = [new Random(seed, 1), new Random(seed, 2)];
  const drawWeight = drawer(first, weight.length, histograms?.weight, 'weight');
  const drawActivation = drawer(second, activation.length, histograms?.activation, 'activation');
  const simulator = new PairProducts(network, ports, signed);
  const [ws, xs] = [new Int32Array(simulator.pairs), new Int32Array(simulator.pairs)];
  const [products, exact] = [new Float64Array(simulator.pairs), new Float64Array(simulator.pairs)];
  const once = new Float64Array(simulator.pairs).fill(1);
  const sums = new ErrorSums();
  const squares = { distance: 0, square: 0 };
  let worst = { w: 0, x: 0, product: 0, exact: 0 };
  for (let done = 0; done < samples; done += simulator.pairs) {
    const count = Math.min(simulator.pairs, samples - done);
    for (let n = 0; n < count; n++) ws[n] = drawWeight();
    for (let n = 0; n < count; n++) xs[n] = drawActivation();
    simulator.evaluate(ws, xs, products.subarray(0, count));
    for (let n = 0; n < count; n++) {
      exact[n] = operandValue(ws[n]!, weight.length, signed) * operandValue(xs[n]!, activation.length, signed);
      const square = (products[n]! - exact[n]!) ** 2;
      squares.distance += square;
      squares.square += square * square;
    }
    const found = sums.add(exact.subarray(0, count), products, once, 1);
    if (found >= 0) worst = { w: ws[found]!, x: xs[found]!, product: products[found]!, exact: exact[found]! };
  }
  const metrics = sums.metrics(weight.length + activation.length, worst);
  const interval = (mean: number, meanOfSquares: number): Interval => {
    const deviation = Math.sqrt(Math.max(0, meanOfSquares - mean * mean) / samples);
    return [mean - QUANTILE * deviation, mean + QUANTILE * deviation];
  };
  return {
    ...metrics,
    sampled: {
      samples,
      seed,
      confidence: 0.95,
      interval: {
        errorRate: wilson(metrics.errorRate, samples),
        meanErrorDistance: interval(metrics.meanErrorDistance, squares.distance / samples),
        meanSquareError: interval(metrics.meanSquareError, squares.square / samples),
        meanError: interval(metrics.meanError, squares.distance / samples),
      },
    },
  };
}

/** Wilson's interval of a proportion: sensible at 0 and 1, too. */
function wilson(share: number, samples: number): Interval {
  const z = QUANTILE ** 2 / samples;
  const centre = (share + z / 2) / (1 + z);
  const radius = (QUANTILE / (1 + z)) * Math.sqrt((share * (1 - share)) / samples + z / (4 * samples));
  return [Math.max(0, centre - radius), Math.min(1, centre + radius)];
}

/** Draws patterns of an operand: uniform, or as often as its histogram has them. */
function drawer(random: Random, bits: number, histogram: ArrayLike<number> | undefined, operand: string): () => number {
  if (!histogram) return () => random.integer(2 ** bits);
  const draw = drawByWeight(shares(histogram, 2 ** bits, operand));
  return () => draw(random.uniform());
}
