// Operations that are an expression: element-wise ones, and those that reduce rows (the last axis) on the way.
// `formula` makes one from its meaning; shapes, the gradient and the kernels of every backend follow. An operand has
// the shape of the result, or one value per channel ([C], the last axis), per row ([…, 1]) or in all.
// Not here: what expressions are (expression.ts), their derivatives (derivative.ts), neighbours that become one formula
// (join.ts).

import { invariant, UserError } from '../../tensor/errors.ts';
import { formatShape, type Shape, sameShape, sizeOf } from '../../tensor/tensor.ts';
import { derivatives, type Rank, ranksOf } from './derivative.ts';
import { type Expression, input, isReduction, partsOf, rewrite, rowSum } from './expression.ts';
import type { Graph, Node, Value } from './graph.ts';
import type { TensorType } from './ops.ts';

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
export type Place = 'element' | 'channel' | 'row' | 'one';

export function placeOf(operand: Shape, shape: Shape): Place | undefined {
  if (sameShape(operand, shape)) return 'element';
  if (sizeOf(operand) === 1) return 'one';
  if (sameShape(operand, shape.slice(-1))) return 'channel';
  return sameShape(operand, rowShape(shape)) ? 'row' : undefined;
}

const rowShape = (shape: Shape): Shape => (shape.length === 0 ? [] : [...shape.slice(0, -1), 1]);

export const expressionsOf = ({ outputs }: Pick<Formula, 'outputs'>): Expression[] => outputs.map(({ of }) => of);

export const hasReductions = (expressions: readonly Expression[]): boolean => partsOf(expressions).some(isReduction);

/**
 * The ranks of inputs. Where something has one value per row, a value for all counts as that: what it contributes is
 * summed by rows first.
 */
function rankOf(places: readonly Place[], byRows: boolean): (index: number) => Rank {
  return (index) => {
    const place = places[index]!;
    if (place === 'one') return byRows ? 'row' : 'one';
    return place === 'row' ? 'row' : 'element';
  };
}

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

/** Types of the outputs; throws where an operand does not fit. */
export function inferFormula(inputs: readonly TensorType[], { name, shape, outputs }: Formula): TensorType[] {
  const fits = inputs.every((type) => type.dtype === 'f32' && placeOf(type.shape, shape));
  if (!fits) {
    const found = inputs.map((type) => `${type.dtype}${formatShape(type.shape)}`).join(', ');
    throw new UserError(
      `${name}: inputs ${found}; expected f32 of the shape ${formatShape(shape)}, or one value per channel, per row or in all`,
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

/**
 * The gradient rule: one formula for all inputs that ask for theirs, and sums over the axes that an operand does not
 * have.
 */
export function formulaGradient(
  node: Node<'formula'>,
  cotangents: readonly (Value | undefined)[],
  graph: Graph,
  wanted: readonly boolean[],
): (Value | undefined)[] {
  const { name, shape, outputs, gradient } = node.attributes;
  const expressions = expressionsOf(node.attributes);
  const byRows = hasReductions(expressions) || node.inputs.some(({ shape: own }) => placeOf(own, shape) === 'row');
  const givens = [...node.inputs, ...node.outputs, ...cotangents];
  const places = givens.map((value) => (value ? placeOf(value.shape, shape)! : 'one'));
  const behind = node.inputs.length + outputs.length;
  const ranks = ranksOf(expressions, rankOf(places, byRows));
  /** Of an output whose elements are all one value per row, the row's elements together. */
  const given = cotangents.map((cotangent, index) => {
    const g = input(behind + index);
    const repeated = outputs[index]!.per === 'element' && ranks.get(outputs[index]!.of) === 'row';
    return cotangent && (repeated ? rowSum(g) : g);
  });
  const asked = node.inputs.flatMap((_, index) => (wanted[index] ? [index] : []));
  const found = gradient
    ? asked.map((index) => gradient[index])
    : derivatives(expressions, given, asked, rankOf(places, byRows));

  // A gradient that is a given value itself needs no kernel.
  const results: (Value | undefined)[] = asked.map((index, k) => {
    const of = found[k];
    const same = of?.kind === 'input' && places[of.value] === (places[index] === 'row' ? 'row' : 'element');
    return same ? givens[of.value] : undefined;
  });
  type Computed = { readonly k: number; readonly output: Formula['outputs'][number] };
  const computed = asked.flatMap((index, k): Computed[] => {
    const of = found[k];
    if (!of || results[k]) return [];
    const sums = places[index] === 'row' || (places[index] === 'one' && byRows);
    if (!sums) return [{ k, output: { of, per: 'element' } }];
    const ofElements = ranksOf([of], rankOf(places, byRows)).get(of) === 'element';
    return [{ k, output: { of: ofElements ? rowSum(of) : of, per: 'row' } }];
  });
  if (computed.length > 0) {
    const { used, renumbered } = compact(computed.map(({ output }) => output.of));
    const attributes: Formula = {
      name: `${name} gradient`,
      shape,
      outputs: computed.map(({ output }, at) => ({ ...output, of: renumbered[at]! })),
    };
    const operands = used.map((index) => givens[index]!);
    graph.apply('formula', operands, attributes).forEach((value, at) => {
      results[computed[at]!.k] = value;
    });
  }
  return node.inputs.map((value, index) => {
    const result = results[asked.indexOf(index)];
    if (!result || places[index] === 'element' || places[index] === 'row') return result;
    if (places[index] === 'channel') return graph.apply1('channelSum', [result], {});
    const total = graph.apply1('sum', [result], {});
    return value.shape.length === 0 ? total : graph.apply1('reshape', [total], { shape: value.shape });
  });
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
