// Element-wise operations of one operand. Each is its meaning; shapes, gradient and the kernels of all backends follow
// from it.

import { absolute, constant, type Expression, erf, exp, maximum, minimum, whereGreater } from '../graph/expression.ts';
import type { Value } from '../graph/graph.ts';
import { formula, type Operation } from './formula.ts';

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

/** min(max(x, 0), 6) (Howard et al., 2017); no gradient at the ends. An operation of the contract, as relu is. */
export const relu6 = (x: Value): Value => x.graph.apply1('relu', [x], { limit: 6 });

const ramp = (x: Expression): Expression => minimum(maximum(x.plus(3), 0), 6).times(1 / 6);

/** min(max(x + 3, 0), 6) / 6 (Howard et al., 2019); no gradient at the ends. */
export const hardSigmoid = formula('hardSigmoid', ramp, (g, _, x) => [
  whereGreater(x, -3, whereGreater(3, x, g.times(1 / 6), 0), 0),
]);

/** x·hardSigmoid(x) (Howard et al., 2019). */
export const hardSwish = formula(
  'hardSwish',
  (x) => x.times(ramp(x)),
  (g, _, x) => [whereGreater(x, -3, whereGreater(3, x, g.times(x.times(1 / 3).plus(0.5)), g), 0)],
);

/** x where positive, else slope·x (Maas et al., 2013). */
export function leakyRelu(x: Value, slope: number): Value {
  const operation: Operation<[Expression]> = formula(
    'leakyRelu',
    (x) => whereGreater(x, 0, x, x.times(slope)),
    (g, _, x) => [whereGreater(x, 0, g, g.times(slope))],
  );
  return operation(x);
}

/** Below, the power series of tanh has all digits of a float32 by its first five terms. */
const SMALL = 0.25;

/** The hyperbolic tangent: (e²ˣ − 1)/(e²ˣ + 1), by its series where that would lose digits. */
export const tanh = formula(
  'tanh',
  (x) => {
    const square = x.times(x);
    const [highest, ...rest] = [62 / 2835, -17 / 315, 2 / 15, -1 / 3];
    const series = rest.reduce((sum, next) => sum.times(square).plus(next), constant(highest!));
    const near = x.plus(x.times(square).times(series));
    const far = constant(1).minus(constant(2).over(exp(x.times(2)).plus(1)));
    return whereGreater(SMALL, absolute(x), near, far);
  },
  (g, y) => [g.times(constant(1).minus(y.times(y)))],
);
