// Makes an operation of its meaning: a function from values to the value of one formula node. Shapes, the gradient and
// the kernels of every backend follow from it (graph/formula.ts).

import { sizeOf } from '../../tensor/tensor.ts';
import { ranksOf } from '../graph/derivative.ts';
import { type Expression, input } from '../graph/expression.ts';
import { hasReductions, placeOf, rankOf } from '../graph/formula.ts';
import type { Value } from '../graph/graph.ts';

export type Operation<Operands extends readonly unknown[]> = (...values: { [K in keyof Operands]: Value }) => Value;

/**
 * An operation from its meaning: the result as an expression of the operands. `gradient`, where the derivative of that
 * is not wanted or can be had for less: for each operand an expression of the cotangent g, the result y and the
 * operands.
 */
export function formula<Operands extends readonly Expression[]>(
  name: string,
  meaning: (...operands: Operands) => Expression,
  gradient?: (g: Expression, y: Expression, ...operands: Operands) => readonly (Expression | undefined)[],
): Operation<Operands> {
  const count = meaning.length;
  const operands = Array.from({ length: count }, (_, index) => input(index)) as unknown as Operands;
  const of = meaning(...operands);
  const rule = gradient?.(input(count + 1), input(count), ...operands);
  return (...values) => {
    const { shape } = (values as readonly Value[]).reduce((most, value) =>
      sizeOf(value.shape) > sizeOf(most.shape) || value.shape.length > most.shape.length ? value : most,
    );
    const places = (values as readonly Value[]).map((value) => placeOf(value.shape, shape) ?? 'element');
    const rank = ranksOf([of], rankOf(places, hasReductions([of]))).get(of);
    const outputs = [{ of, per: rank === 'row' ? 'row' : 'element' } as const];
    const { graph } = values[0]!;
    return graph.apply1('formula', values, { name, shape, outputs, ...(rule && { gradient: rule }) });
  };
}
