// Neighbouring formulas become one: what only one formula reads is not stored but computed where it is read. So do, of
// few elements, sums, differences, quotients and products, as the gradients of scales are and of what many layers
// share, and the gradient of a relu with the sum that it is of. Nothing else changes: a result has the same bits, for
// every operator is rounded by itself and sums are formed in an order that the row's extent alone decides.

import { sameShape, sizeOf } from '../../tensor/tensor.ts';
import { asFormula } from './elementwise.ts';
import { type Expression, input, partsOf, rewrite } from './expression.ts';
import { compact, expressionsOf, type Formula } from './formula.ts';
import type { Node, Value } from './graph.ts';
import type { OpName } from './ops.ts';
import { isRename } from './renames.ts';

/** A joined kernel of more operators would take seconds to compile, and saves no more memory traffic. */
const MOST_OPERATORS = 512;
/** Of what is no formula by itself, as a sum of sums: a thread reads all of them before it adds. */
const MOST_TERMS = 16;
/** The terms of a sum live until it is formed: of more elements that costs more than a step is worth. */
const FEW_ELEMENTS = 4096;

/** The nodes that read a value. */
type Readers = (value: Value) => ReadonlySet<Node>;

interface Surroundings {
  readonly readersOf: Readers;
  readonly between: (first: Node, second: Node) => readonly Node[];
}

/** Nodes in order with formulas joined; `kept`: values that are needed for themselves. */
export function joinFormulas(nodes: readonly Node[], kept: ReadonlySet<Value>): Node[] {
  const readers = new Map<Value, Set<Node>>();
  for (const node of nodes) {
    for (const value of node.inputs) readers.set(value, (readers.get(value) ?? new Set()).add(node));
  }
  const readersOf: Readers = (value) => readers.get(value) ?? new Set();
  const order = new Map(nodes.map((node, at) => [node, at]));
  const between = (first: Node, second: Node) => nodes.slice(order.get(first)! + 1, order.get(second));
  /** The formula, joined already, whose only output a value is, where nothing but one node reads it. */
  const producers = new Map<Value, Node<'formula'>>();
  const gone = new Set<Node>();
  const joined = new Map<Node, Node>();
  for (const node of nodes) {
    const alone = meaningOf(node);
    if (!alone) continue;
    let now = alone;
    for (const value of node.inputs) {
      const producer = producers.get(value);
      if (!producer || !now.inputs.includes(value) || !sameShape(producer.attributes.shape, now.attributes.shape))
        continue;
      const made = (value.source as { readonly node: Node }).node;
      if (!takes(node, made, { readersOf, between })) continue;
      const both = join(producer, value, now);
      if (partsOf(expressionsOf(both.attributes)).length > MOST_OPERATORS) continue;
      if (!areFormulas(node, made) && both.inputs.length > MOST_TERMS) continue;
      now = both;
      gone.add(made);
    }
    if (now !== alone) joined.set(node, now as Node);
    const [output] = node.outputs;
    const single = node.outputs.length === 1 && readersOf(output!).size === 1 && !kept.has(output!);
    if (single) producers.set(output!, now);
  }
  return nodes.filter((node) => !gone.has(node)).map((node) => joined.get(node) ?? node);
}

const isA = <K extends OpName>(node: Node, op: K): node is Node & Node<K> => node.op === op;
const areFormulas = (...nodes: readonly Node[]): boolean => nodes.every((node) => isA(node, 'formula'));
/** 1 of a + b, −1 of a − b. */
const signOf = (node: Node): number | undefined => {
  if (!isA(node, 'add') || node.attributes.alpha !== 1) return undefined;
  return [1, -1].find((sign) => sign === node.attributes.beta);
};

/** What can take part as a formula. */
function meaningOf(node: Node): Node<'formula'> | undefined {
  if (isRename(node)) return undefined;
  if (isA(node, 'formula')) return node;
  if (isA(node, 'divide') || isA(node, 'scaleBy') || isA(node, 'reluGradient')) return asFormula(node);
  const sign = signOf(node);
  if (sign === undefined) return undefined;
  const [of, name] = sign > 0 ? [input(0).plus(input(1)), 'sum'] : [input(0).minus(input(1)), 'difference'];
  const attributes = { name, shape: node.outputs[0]!.shape, outputs: [{ of, per: 'element' }] } as const;
  return { ...node, op: 'formula', attributes };
}

/** Whether a node, which alone reads what another made, computes that too. */
function takes(node: Node, made: Node, { readersOf, between }: Surroundings): boolean {
  const [output] = node.outputs;
  if (areFormulas(node, made)) return true;
  if (isA(node, 'reluGradient')) {
    // What one reads alone goes with the batch norm's gradient. Both terms live longer: nothing large may come before.
    const shared = readersOf(output!).size > 1;
    return signOf(made) === 1 && shared && between(made, node).every(({ outputs }) => outputs.every(hasFewElements));
  }
  return !isA(made, 'reluGradient') && isShort(node);
}

/** Whether what a node goes over is little; a formula may give a value for each row of much. */
const isShort = (node: Node): boolean =>
  isA(node, 'formula') ? sizeOf(node.attributes.shape) <= FEW_ELEMENTS : node.outputs.every(hasFewElements);

const hasFewElements = ({ shape }: Value): boolean => sizeOf(shape) <= FEW_ELEMENTS;

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
