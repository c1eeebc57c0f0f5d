// A graph as text and tensors, and back: what one process builds and others compile too.
// Invariant: the graph that comes back has the same values in the same order, the same nodes, labels and names, and
// equal expressions are one object again; whatever a backend makes of it is the same to the last bit.
// Not here: how the tensors of constants travel (session.ts). The text is no file format: both sides are one program.

import { invariant } from '../../tensor/errors.ts';
import type { DType, HostTensor, Shape } from '../../tensor/tensor.ts';
import { Expression, expressionOf, partsOf } from '../graph/expression.ts';
import { Graph, type Node, type Value } from '../graph/graph.ts';
import type { OpAttributes, OpName } from '../graph/ops.ts';

export interface PortableGraph {
  /** All but the constants' values. */
  readonly text: string;
  /** The constants, in the order of the graph. */
  readonly constants: readonly HostTensor[];
}

/** What the text holds, as JSON. Values are named by their ids: 0, 1, … in the order in which they were made. */
interface Stored {
  readonly replicas: number;
  /** Parts of the formulas, operands first: kind, value, the numbers of the operands. */
  readonly expressions: readonly (readonly [kind: string, value: unknown, operands: readonly number[]])[];
  readonly made: readonly Made[];
  readonly outputs: readonly (readonly [name: string, value: number])[];
  readonly assignments: readonly (readonly [name: string, value: number])[];
}

type Made =
  | readonly ['variable' | 'input', name: string, dtype: DType, shape: Shape]
  | readonly ['constant']
  | readonly ['node', op: OpName, attributes: unknown, inputs: readonly number[], label: string];

export function packGraph(graph: Graph): PortableGraph {
  const expressions = new ExpressionTable();
  const made: { readonly id: number; readonly made: Made }[] = [];
  const named = (kind: 'variable' | 'input') => (value: Value, name: string) => {
    made.push({ id: value.id, made: [kind, name, value.dtype, value.shape] });
  };
  graph.variables.forEach(named('variable'));
  graph.inputs.forEach(named('input'));
  for (const { id } of graph.constants) made.push({ id, made: ['constant'] });
  for (const { op, attributes, inputs, outputs, label } of graph.nodes) {
    const ids = inputs.map(({ id }) => id);
    made.push({ id: outputs[0]!.id, made: ['node', op, encoded(attributes, expressions), ids, label] });
  }
  const ids = (values: ReadonlyMap<string, Value>) => [...values].map(([name, { id }]) => [name, id] as const);
  const stored: Stored = {
    replicas: graph.replicas,
    made: made.sort((a, b) => a.id - b.id).map((one) => one.made),
    expressions: expressions.stored,
    outputs: ids(graph.outputs),
    assignments: ids(graph.assignments),
  };
  const constants = graph.constants.map(({ source }) => {
    invariant(source.kind === 'constant', 'a constant without its tensor');
    return source.tensor;
  });
  return { text: JSON.stringify(stored), constants };
}

export function unpackGraph({ text, constants }: PortableGraph): Graph {
  const { replicas, expressions, made, outputs, assignments } = JSON.parse(text) as Stored;
  const graph = new Graph({ replicas });
  const parts: Expression[] = [];
  for (const [kind, value, operands] of expressions) {
    const of = operands.map((at) => parts[at]!);
    parts.push(expressionOf(kind, of, decoded(value, parts) as number));
  }
  const values: Value[] = [];
  const rest = constants[Symbol.iterator]();
  for (const one of made) {
    for (const value of appended(graph, one, values, parts, rest)) {
      invariant(value.id === values.length, 'a graph came back with its values in another order');
      values.push(value);
    }
  }
  for (const [name, id] of outputs) graph.output(name, values[id]!);
  for (const [name, id] of assignments) graph.assign(graph.variables.get(name)!, values[id]!);
  return graph;
}

function appended(
  graph: Graph,
  made: Made,
  values: readonly Value[],
  parts: readonly Expression[],
  constants: Iterator<HostTensor>,
): readonly Value[] {
  switch (made[0]) {
    case 'variable':
      return [graph.variable(made[1], made[3], made[2])];
    case 'input':
      return [graph.input(made[1], made[3], made[2])];
    case 'constant':
      return [graph.constant(constants.next().value as HostTensor)];
    case 'node': {
      const [, op, attributes, inputs, label] = made;
      const of = inputs.map((id) => values[id]!);
      const known = decoded(attributes, parts) as Node['attributes'];
      return graph.labelled(label, () => graph.apply(op, of, known as OpAttributes[OpName]));
    }
  }
}

/** The parts of all formulas of a graph, each once. */
class ExpressionTable {
  readonly stored: [string, unknown, readonly number[]][] = [];
  readonly #numbers = new Map<Expression, number>();

  numberOf(expression: Expression): number {
    for (const part of partsOf([expression])) {
      if (this.#numbers.has(part)) continue;
      this.#numbers.set(part, this.stored.length);
      const operands = part.operands.map((operand) => this.#numbers.get(operand)!);
      this.stored.push([part.kind, encoded(part.value, this), operands]);
    }
    return this.#numbers.get(expression)!;
  }
}

/** What JSON cannot say is an object with this key, which no attribute has. */
const ESCAPE = '$';

function encoded(value: unknown, expressions: ExpressionTable): unknown {
  if (value === undefined) return { [ESCAPE]: 'undefined' };
  if (typeof value === 'number') {
    const plain = Number.isFinite(value) && !Object.is(value, -0);
    return plain ? value : { [ESCAPE]: Object.is(value, -0) ? '-0' : String(value) };
  }
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (value instanceof Expression) return { [ESCAPE]: expressions.numberOf(value) };
  if (Array.isArray(value)) return value.map((one) => encoded(one, expressions));
  const plain = typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
  invariant(plain && !(ESCAPE in value), 'an attribute of a graph is no plain data');
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, encoded(one, expressions)]));
}

function decoded(value: unknown, parts: readonly Expression[]): unknown {
  if (Array.isArray(value)) return value.map((one) => decoded(one, parts));
  if (value === null || typeof value !== 'object') return value;
  const escaped = (value as Readonly<Record<string, unknown>>)[ESCAPE];
  if (typeof escaped === 'number') return parts[escaped];
  if (typeof escaped === 'string') return escaped === 'undefined' ? undefined : Number(escaped);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, decoded(one, parts)]));
}
