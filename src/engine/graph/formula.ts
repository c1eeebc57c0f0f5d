// Operations that are an expression: element-wise ones, and those that reduce rows (the last axis) on the way.
// Shapes, the gradient (formula-gradient.ts) and the kernels of every backend follow from it; operations/formula.ts
// makes one of its meaning. An operand has the shape of the result, or one value per channel ([C], the last axis), per
// row ([…, 1]) or in all, or its rows are repeated over those of the result (repeat.ts).
// Not here: what expressions are (expression.ts), their derivatives (derivative.ts), neighbours that become one formula
// (join.ts).

import { invariant, UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sameShape, sizeOf, type TensorType } from '../../tensor/tensor.ts';
import { type Rank, ranksOf } from './derivative.ts';
import { type Expression, input, isReduction, partsOf, rewrite } from './expression.ts';
import { repetitionOf } from './repeat.ts';

export interface Formula {
  /** For people: `gelu`, `gelu gradient`. */
  readonly name: string;
  /** The extents of all that has a value per element. */
  readonly shape: Shape;
  /** Each output, and whether it has a value per element or one per row ([…, 1]). */
  readonly outputs: readonly { readonly of: Expression; readonly per: 'element' | 'row' }[];
  /**
   * For each input its gradient, where it is not to be derived: by the inputs, then the outputs, then their cotangents.
   */
  readonly gradient?: readonly (Expression | undefined)[];
}

/** How an operand's elements belong to those of the result. */
export type Place = 'element' | 'channel' | 'row' | 'one' | 'repeated';

export function placeOf(operand: Shape, shape: Shape): Place | undefined {
  if (sameShape(operand, shape)) return 'element';
  if (sizeOf(operand) === 1) return 'one';
  if (sameShape(operand, shape.slice(-1))) return 'channel';
  if (sameShape(operand, rowShape(shape))) return 'row';
  return repetitionOf(operand, shape) && 'repeated';
}

const rowShape = (shape: Shape): Shape => (shape.length === 0 ? [] : [...shape.slice(0, -1), 1]);

export const expressionsOf = ({ outputs }: Pick<Formula, 'outputs'>): Expression[] => outputs.map(({ of }) => of);

export const hasReductions = (expressions: readonly Expression[]): boolean => partsOf(expressions).some(isReduction);

/**
 * The ranks of inputs. Where something has one value per row, a value for all counts as that: what it contributes is
 * summed by rows first.
 */
export function rankOf(places: readonly Place[], byRows: boolean): (index: number) => Rank {
  return (index) => {
    const place = places[index]!;
    if (place === 'one') return byRows ? 'row' : 'one';
    return place === 'row' ? 'row' : 'element';
  };
}

/** Types of the outputs; throws where an operand does not fit. */
export function inferFormula(inputs: readonly TensorType[], { name, shape, outputs }: Formula): TensorType[] {
  const fits = inputs.every((type) => type.dtype === 'f32' && placeOf(type.shape, shape));
  if (!fits) {
    const found = inputs.map((type) => `${type.dtype}${formatShape(type.shape)}`).join(', ');
    throw new UserError(
      `${name}: inputs ${found}; expected f32 of the shape ${formatShape(shape)}, or rows repeated over it, or one value per channel, per row or in all`,
    );
  }
  const places = inputs.map((type) => placeOf(type.shape, shape)!);
  const ranks = ranksOf(expressionsOf({ outputs }), rankOf(places, true));
  invariant(
    outputs.every(({ of, per }) => per === 'element' || ranks.get(of) !== 'element'),
    `${name}: an output of one value per row depends on the element`,
  );
  return outputs.map(({ per }) => ({ dtype: 'f32', shape: per === 'row' ? rowShape(shape) : shape }));
}

/** Expressions of only the inputs that they use, numbered anew. */
export function compact(expressions: readonly Expression[]): {
  readonly used: readonly number[];
  readonly renumbered: readonly Expression[];
} {
  const used = [...new Set(partsOf(expressions).flatMap(({ kind, value }) => (kind === 'input' ? [value] : [])))];
  used.sort((a, b) => a - b);
  const renumbered = rewrite(expressions, (part) => (part.kind === 'input' ? input(used.indexOf(part.value)) : part));
  return { used, renumbered };
}
