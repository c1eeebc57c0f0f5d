// Differentiation of expressions: of Σ cotangent·output the derivative by each input, as an expression again. Where an
// input or a part has one value per row and is used for every element, the elements' contributions are summed over the
// row.
// Not here: that an operand has one value per channel or one in all; the sums over the other axes are operations of the
// graph (formula.ts).

import { invariant } from '../../tensor/errors.ts';
import { type Expression, exp, isReduction, partsOf, rowSum, type Term, whereGreater } from './expression.ts';

/** How many values a part has: one for every element, one per row, or one whatever the element. */
export type Rank = 'element' | 'row' | 'one';

/** The rank of each part, given that of the inputs. */
export function ranksOf(
  expressions: readonly Expression[],
  rankOfInput: (index: number) => Rank,
): ReadonlyMap<Expression, Rank> {
  const ranks = new Map<Expression, Rank>();
  for (const part of partsOf(expressions)) {
    const among = part.operands.map((operand) => ranks.get(operand)!);
    if (part.kind === 'input') ranks.set(part, rankOfInput(part.value));
    else if (isReduction(part)) ranks.set(part, 'row');
    else ranks.set(part, among.includes('element') ? 'element' : among.includes('row') ? 'row' : 'one');
  }
  return ranks;
}

/** Contributions to the operands of a part `y` with the cotangent `c`; a missing one is zero. */
type Rule = (c: Expression, y: Expression, operands: readonly Expression[]) => readonly (Expression | undefined)[];

const where = (a: Expression, b: Term, c: Term, d: Term): Expression => whereGreater(a, b, c, d);

const rules: { readonly [K in Expression['kind']]?: Rule } = {
  negate: (c) => [c.negated()],
  absolute: (c, _, [a]) => [where(a!, 0, c, c.negated())],
  squareRoot: (c, y) => [c.times(0.5).over(y)],
  exp: (c, y) => [c.times(y)],
  log: (c, _, [a]) => [c.over(a!)],
  erf: (c, _, [a]) => [c.times(exp(a!.times(a!).negated()).times(2 / Math.sqrt(Math.PI)))],
  held: () => [undefined],
  add: (c) => [c, c],
  subtract: (c) => [c, c.negated()],
  multiply: (c, _, [a, b]) => [c.times(b!), c.times(a!)],
  divide: (c, y, [, b]) => [c.over(b!), c.times(y).over(b!).negated()],
  // Of equal operands the second takes the gradient.
  minimum: (c, _, [a, b]) => [where(b!, a!, c, 0), where(b!, a!, 0, c)],
  maximum: (c, _, [a, b]) => [where(a!, b!, c, 0), where(a!, b!, 0, c)],
  whereGreater: (c, _, [a, b]) => [undefined, undefined, where(a!, b!, c, 0), where(a!, b!, 0, c)],
  rowSum: (c) => [c],
};

/**
 * Σ_k ⟨cotangents[k], outputs[k]⟩ differentiated by the inputs of the given numbers; undefined where it does not depend
 * on one. `ranks`: of the inputs, cotangents included.
 */
export function derivatives(
  outputs: readonly Expression[],
  cotangents: readonly (Expression | undefined)[],
  inputs: readonly number[],
  rankOfInput: (index: number) => Rank,
): (Expression | undefined)[] {
  const parts = partsOf(outputs);
  const ranks = ranksOf(outputs, rankOfInput);
  const depends = new Set<Expression>();
  for (const part of parts) {
    const wanted = part.kind === 'input' && inputs.includes(part.value);
    if (wanted || (part.kind !== 'held' && part.operands.some((operand) => depends.has(operand)))) depends.add(part);
  }
  const found = new Map<Expression, Expression>();
  const contribute = (to: Expression, contribution: Expression) => {
    const before = found.get(to);
    found.set(to, before ? before.plus(contribution) : contribution);
  };
  outputs.forEach((output, index) => {
    const cotangent = cotangents[index];
    if (cotangent) contribute(output, cotangent);
  });
  for (const part of parts.reverse()) {
    const cotangent = found.get(part);
    if (!cotangent || !depends.has(part) || part.operands.length === 0) continue;
    const rule = rules[part.kind];
    invariant(rule, `${part.kind} has no derivative; hold it where the result does not depend on it`);
    rule(cotangent, part, part.operands).forEach((contribution, index) => {
      const operand = part.operands[index]!;
      if (!contribution || !depends.has(operand)) return;
      const summed = ranks.get(operand) === 'row' && ranks.get(part) === 'element';
      contribute(operand, summed ? rowSum(contribution) : contribution);
    });
  }
  return inputs.map((index) => {
    const part = parts.find(({ kind, value }) => kind === 'input' && value === index);
    return part && found.get(part);
  });
}
