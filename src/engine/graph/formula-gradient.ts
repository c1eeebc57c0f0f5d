// The gradient of a formula as formulas: what derivative.ts finds for each operand, computed together and summed over
// the axes that an operand does not have.

import { derivatives, ranksOf } from './derivative.ts';
import { type Expression, input, rowSum } from './expression.ts';
import { compact, expressionsOf, type Formula, hasReductions, placeOf, rankOf } from './formula.ts';
import type { Graph, Node, Value } from './graph.ts';

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
  /** The factors of a gradient that is a product of two given values and summed where its operand is repeated. */
  const factorsOf = (index: number, of: Expression | undefined): readonly Value[] | undefined => {
    if (places[index] !== 'repeated' || of?.kind !== 'multiply') return undefined;
    const factors = of.operands.map(({ kind, value }) => (kind === 'input' ? value : -1));
    return factors.every((at) => places[at] === 'element') ? factors.map((at) => givens[at]!) : undefined;
  };
  const factors = asked.map((index, k) => factorsOf(index, found[k]));
  type Computed = { readonly k: number; readonly output: Formula['outputs'][number] };
  const computed = asked.flatMap((index, k): Computed[] => {
    const of = found[k];
    if (!of || results[k] || factors[k]) return [];
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
    const at = asked.indexOf(index);
    const result = results[at];
    if (places[index] === 'repeated' && at >= 0) {
      const terms = factors[at] ?? (result ? [result] : []);
      if (terms.length > 0) return graph.apply1('repeatSum', terms, { shape: value.shape, scale: 1 });
    }
    if (!result || places[index] === 'element' || places[index] === 'row') return result;
    if (places[index] === 'channel') return graph.apply1('channelSum', [result], {});
    const total = graph.apply1('sum', [result], {});
    return value.shape.length === 0 ? total : graph.apply1('reshape', [total], { shape: value.shape });
  });
}
