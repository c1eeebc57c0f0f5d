// Operations over rows (the last axis). Each is its meaning; where the gradient is said too, it is the derivative in
// fewer sums.

import { constant, exp, held, rowMax, rowMean, rowSum, squareRoot } from '../graph/expression.ts';
import type { Value } from '../graph/graph.ts';
import { formula } from './formula.ts';

/**
 * exp(x) / Σ exp(x) over the row. The largest element is subtracted first, which changes nothing but what overflows.
 */
export const softmax = formula(
  'softmax',
  (x) => {
    const e = exp(x.minus(held(rowMax(x))));
    return e.times(constant(1).over(rowSum(e)));
  },
  (g, y) => [y.times(g.minus(rowSum(g.times(y))))],
);

/** (x − mean)/√(variance + ε)·weight[c] + bias[c], mean and biased variance over the row (Ba et al., 2016). */
export function layerNorm(x: Value, weight: Value, bias: Value, epsilon: number): Value {
  return formula(
    'layerNorm',
    (x, weight, bias) => {
      const { deviation, inverse } = statistics(x);
      return deviation.times(inverse).times(weight).plus(bias);
    },
    (g, _, x, weight) => {
      const { deviation, inverse } = statistics(x);
      const normalised = deviation.times(inverse);
      const slope = g.times(weight);
      const along = normalised.times(rowMean(slope.times(normalised)));
      return [slope.minus(rowMean(slope)).minus(along).times(inverse), g.times(normalised), g];
    },
  )(x, weight, bias);

  function statistics(x: Parameters<typeof rowMean>[0]) {
    const deviation = x.minus(rowMean(x));
    const variance = rowMean(deviation.times(deviation));
    return { deviation, inverse: constant(1).over(squareRoot(variance.plus(epsilon))) };
  }
}
