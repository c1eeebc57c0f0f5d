// Products, sums and means with operands that are repeated over the other (graph/repeat.ts): [N,1,1,C] over [N,H,W,C],
// [T,C] over [N,T,C], …

import { input } from '../graph/expression.ts';
import type { Value } from '../graph/graph.ts';
import { repetitions } from '../graph/repeat.ts';
import { formula } from './formula.ts';

/** a·b, element by element, the smaller repeated over the other. */
export const product = formula('product', (a, b) => a.times(b));

/** a + b, element by element, the smaller repeated over the other. */
export const total = formula('total', (a, b) => a.plus(b));

/** x repeated over a larger shape, times a constant. */
export function repeated(x: Value, shape: readonly number[], factor = 1): Value {
  const outputs = [{ of: input(0).times(factor), per: 'element' }] as const;
  return x.graph.apply1('formula', [x], { name: 'repeat', shape, outputs });
}

/** Mean over an axis, which stays with the extent 1; −2 is the last but one. Not over the last (rowMean). */
export function meanOver(x: Value, axis: number): Value {
  const at = axis < 0 ? axis + x.shape.length : axis;
  const shape = x.shape.with(at, 1);
  return x.graph.apply1('repeatSum', [x], { shape, scale: 1 / repetitions(shape, x.shape) });
}
