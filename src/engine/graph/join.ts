// Neighbouring formulas become one: what only one formula reads is not stored but computed where it is read. Nothing
// else changes: a result has the same bits, for every operator is rounded by itself and sums are formed in an order
// that the row's extent alone decides.

import { sameShape } from '../../tensor/tensor.ts';
import { type Expression, input, partsOf, rewrite } from './expression.ts';
import { compact, expressionsOf, type Formula } from './formula.ts';
import type { Node, Value } from './graph.ts';

/** A joined kernel of more operators would take seconds to compile, and saves no more memory traffic. */
const MOST_OPERATORS = 512;

const isFormula = (node: Node): node is Node & Node<'formula'> => node.op === 'formula';

/** Nodes in order with formulas joined; `kept`: values that are needed for themselves. */
export function joinFormulas(nodes: readonly Node[], kept: ReadonlySet<Value>): Node[] {
  const readers = new Map<Value, Set<Node>>();
  for (const node of nodes) {
    for (const value of node.inputs) readers.set(value, (readers.get(value) ?? new Set()).add(node));
  }
  /** The formula, joined already, whose only output a value is, where nothing but one node reads it. */
  const producers = new Map<Value, Node<'formula'>>();
  const gone = new Set<Node>();
  const joined = new Map<Node, Node>();
  for (const node of nodes) {
    if (!isFormula(node)) continue;
    let now: Node<'formula'> = node;
    for (const value of node.inputs) {
      const producer = producers.get(value);
      if (!producer || !now.inputs.includes(value) || !sameShape(producer.attributes.shape, now.attributes.shape))
        continue;
      const both = join(producer, value, now);
      if (partsOf(expressionsOf(both.attributes)).length > MOST_OPERATORS) continue;
      now = both;
      gone.add((value.source as { readonly node: Node }).node);
    }
    joined.set(node, now as Node);
    const [output] = node.outputs;
    const single = node.outputs.length === 1 && readers.get(output!)?.size === 1 && !kept.has(output!);
    if (single) producers.set(output!, now);
  }
  return nodes.filter((node) => !gone.has(node)).map((node) => joined.get(node) ?? node);
}

/** The second formula with the first in place of its value. */
function join(first: Node<'formula'>, value: Value, second: Node<'formula'>): Node<'formula'> {
  const inputs = [...new Set([...second.inputs, ...first.inputs])];
  const [of] = renumbered(expressionsOf(first.attributes), first.inputs, inputs) as [Expression];
  const index = inputs.indexOf(value);
  const expressions = rewrite(renumbered(expressionsOf(second.attributes), second.inputs, inputs), (part) =>
    part.kind === 'input' && part.value === index ? of : part,
  );
  const { used, renumbered: compacted } = compact(expressions);
  const attributes: Formula = {
    name: `${first.attributes.name}, ${second.attributes.name}`,
    shape: second.attributes.shape,
    outputs: second.attributes.outputs.map(({ per }, at) => ({ of: compacted[at]!, per })),
  };
  return { ...second, attributes, inputs: used.map((at) => inputs[at]!) };
}

/** Expressions of some inputs as expressions of others that hold them. */
function renumbered(expressions: readonly Expression[], from: readonly Value[], to: readonly Value[]) {
  return rewrite(expressions, (part) => (part.kind === 'input' ? input(to.indexOf(from[part.value]!)) : part));
}
