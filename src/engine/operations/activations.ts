// Element-wise operations of one operand. Each is its meaning; shapes, gradient and the kernels of all backends follow
// from it.

import { constant, erf, exp } from '../graph/expression.ts';
import { formula } from './formula.ts';

/** x·Φ(x), Φ the distribution function of the normal distribution: the exact form (Hendrycks and Gimpel, 2016). */
export const gelu = formula('gelu', (x) => x.times(0.5).times(erf(x.times(Math.SQRT1_2)).plus(1)));

/** 1 / (1 + exp(−x)). */
export const sigmoid = formula(
  'sigmoid',
  (x) => constant(1).over(exp(x.negated()).plus(1)),
  (g, y) => [g.times(y).times(constant(1).minus(y))],
);

/** x / (1 + exp(−x)) (Elfwing et al., 2017). */
export const silu = formula('silu', (x) => x.over(exp(x.negated()).plus(1)));
