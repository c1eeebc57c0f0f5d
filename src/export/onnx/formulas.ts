// Formulas as ONNX: those that an operator says in one word become that operator, known by their meaning and not by
// their name (equal expressions are one object); all others node by node, as their expression has it.
// An expression's row is the last axis of the engine's order, which an image has as its second in ONNX.

import { type Expression, partsOf } from '../../engine/graph/expression.ts';
import type { Formula } from '../../engine/graph/formula.ts';
import { placeOf } from '../../engine/graph/formula.ts';
import { Graph, type Node, type Value } from '../../engine/graph/graph.ts';
import * as activations from '../../engine/operations/activations.ts';
import { layerNorm, softmax } from '../../engine/operations/normalizations.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { type Shape, sameShape } from '../../tensor/tensor.ts';
import type { Attributes, OnnxGraph } from './graph.ts';
import { imageExtents, type Order, type Place, type Tensors } from './tensors.ts';

interface Context {
  readonly graph: OnnxGraph;
  /** The tensors of the inputs, ready to be combined. */
  readonly inputs: readonly string[];
  /** The axis of rows. */
  readonly axis: number;
}

/** What an operation of the engine means. */
function meaningOf(apply: (x: Value, vector: Value) => Value): Expression {
  const graph = new Graph();
  const made = apply(graph.input('x', [2, 3]), graph.input('v', [3]));
  invariant(made.source.kind === 'node', 'an operation makes a node');
  return (made.source.node.attributes as Formula).outputs[0]!.of;
}

const meanings = {
  Sigmoid: meaningOf((x) => activations.sigmoid(x)),
  HardSigmoid: meaningOf((x) => activations.hardSigmoid(x)),
  HardSwish: meaningOf((x) => activations.hardSwish(x)),
  Tanh: meaningOf((x) => activations.tanh(x)),
  Softmax: meaningOf((x) => softmax(x)),
};
const silu = meaningOf((x) => activations.silu(x));

const attributesOf = (op: keyof typeof meanings, axis: number): Attributes => {
  if (op === 'HardSigmoid') return { alpha: { real: 1 / 6 }, beta: { real: 0.5 } };
  return op === 'Softmax' ? { axis } : {};
};

/** The constant that an expression has where a family of operations takes one; undefined where it is none of it. */
function constantOf(of: Expression, family: (constant: number) => Expression): number | undefined {
  const values = partsOf([of]).flatMap(({ kind, value }) => (kind === 'constant' ? [value] : []));
  return values.find((value) => family(value) === of);
}

/** An operator that is the whole expression. */
function wordFor(of: Expression, { graph, inputs, axis }: Context): string | undefined {
  const [x, weight, bias] = inputs as [string, string, string];
  for (const [op, meaning] of Object.entries(meanings)) {
    if (meaning === of) return graph.node(op, [x], { attributes: attributesOf(op as keyof typeof meanings, axis) });
  }
  if (of === silu) return graph.node('Mul', [x, graph.node('Sigmoid', [x])]);
  const slope = constantOf(of, (slope) => meaningOf((x) => activations.leakyRelu(x, slope)));
  if (slope !== undefined) return graph.node('LeakyRelu', [x], { attributes: { alpha: { real: slope } } });
  // A layer norm of an image has its channels on the wrong axis for the operator.
  const isLast = axis === -1;
  const epsilon = isLast && constantOf(of, (epsilon) => meaningOf((x, v) => norm(x, v, epsilon)));
  if (epsilon === false || epsilon === undefined) return undefined;
  return graph.node('LayerNormalization', [x, weight, bias], { attributes: { axis: -1, epsilon: { real: epsilon } } });
}

/** With another value for each operand: equal ones would be one input. */
function norm(x: Value, vector: Value, epsilon: number): Value {
  return layerNorm(x, vector, x.graph.input('second', [3]), epsilon);
}

const binary: Readonly<Record<string, string>> = {
  ...{ add: 'Add', subtract: 'Sub', multiply: 'Mul', divide: 'Div', minimum: 'Min', maximum: 'Max' },
};
const unary: Readonly<Record<string, string>> = {
  ...{ negate: 'Neg', absolute: 'Abs', squareRoot: 'Sqrt', nearest: 'Round', exp: 'Exp', log: 'Log', erf: 'Erf' },
};

/** Expressions as nodes. */
function expressed(outputs: readonly Expression[], length: number, { graph, inputs, axis }: Context): string[] {
  const made = new Map<Expression, string>();
  for (const part of partsOf(outputs)) {
    const operands = part.operands.map((operand) => made.get(operand)!);
    made.set(part, nameOf(part, operands));
  }
  return outputs.map((of) => made.get(of)!);

  function nameOf({ kind, value }: Expression, operands: readonly string[]): string {
    const op = binary[kind] ?? unary[kind];
    if (op) return graph.node(op, operands);
    switch (kind) {
      case 'input':
        return inputs[value]!;
      case 'constant':
        return graph.scalar(value);
      case 'held':
        return operands[0]!;
      case 'rowLength':
        return graph.scalar(length);
      case 'powerOfTwo':
        return graph.node('Pow', [graph.scalar(2), operands[0]!]);
      case 'whereGreater':
        return graph.node('Where', [graph.node('Greater', operands.slice(0, 2)), ...operands.slice(2)]);
      case 'rowSum':
        return graph.node('ReduceSum', [operands[0]!, graph.whole([axis])], { attributes: { keepdims: 1 } });
      case 'rowMax':
        return graph.node('ReduceMax', operands, { attributes: { axes: [axis], keepdims: 1 } });
      default:
        throw new UserError(`no form of ${kind} in ONNX`);
    }
  }
}

/** A formula node of the network; where its outputs lie. */
export function lowerFormula(node: Node<'formula'>, graph: OnnxGraph, tensors: Tensors): Place[] {
  const { attributes, inputs } = node;
  const { shape, outputs } = attributes;
  const places = inputs.map((value) => placeOf(value.shape, shape)!);
  const whole = inputs.filter((value, at) => places[at] === 'element' && !tensors.isStatic(value));
  const isImage = shape.length === 4 && whole.some((value) => tensors.of(value).order === 'images');
  const order: Order = isImage ? 'images' : 'rows';
  const extents = isImage ? imageExtents(shape) : rowExtents();
  const names = inputs.map((value, at) => operand(value, places[at]!));
  const context = { graph, inputs: names, axis: isImage ? 1 : -1 };
  const word = outputs.length === 1 ? wordFor(outputs[0]!.of, context) : undefined;
  const made =
    word === undefined
      ? expressed(
          outputs.map(({ of }) => of),
          shape.at(-1) ?? 1,
          context,
        )
      : [word];
  return made.map((name, at) => {
    const isRow = outputs[at]!.per === 'row';
    if (isRow) return { name, order, extents: extents.with(isImage ? 1 : -1, 1) };
    // Nothing has all the elements yet: the result is repeated over them.
    const full = places.includes('element') ? name : graph.node('Expand', [name, graph.whole(extents)]);
    return { name: full, order, extents };
  });

  function one(value: Value): string {
    if (tensors.isStatic(value)) return tensors.rows(value, []);
    return isImage && value.shape.length === 4 ? tensors.image(value) : tensors.rows(value);
  }

  /** The extents that the operands have already, if all can be combined in them. */
  function rowExtents(): Shape {
    const simple = places.every((place) => place === 'element' || place === 'channel' || place === 'one');
    const found = whole.map((value) => tensors.rowsPlace(value).extents);
    const [first] = found;
    const agree = first?.at(-1) === shape.at(-1) && found.every((one) => sameShape(one, first!));
    return simple && agree && first ? first : shape;
  }

  function operand(value: Value, place: NonNullable<ReturnType<typeof placeOf>>): string {
    if (place === 'one') return one(value);
    if (place === 'channel') return tensors.rows(value, isImage ? [shape.at(-1)!, 1, 1] : [shape.at(-1)!]);
    if (!isImage) return tensors.rows(value, place === 'element' ? extents : value.shape);
    if (value.shape.length === 4) return tensors.image(value);
    // Rows that are repeated over an image: their axes are the last ones.
    const full = [...new Array<number>(4 - value.shape.length).fill(1), ...value.shape];
    const moved = tensors.rows(value, full);
    return graph.node('Transpose', [moved], { attributes: { perm: [0, 3, 1, 2] } });
  }
}
