// Formulas of a graph as PyTorch has them: activations, softmax and layer normalisation by their names, sums and
// products as signs, and any other as a function of its own, written from the expression.
// Invariant: a name stands for a formula only if it is the same expression; expressions are unique objects
// (engine/graph/expression.ts), so that is identity.

import {
  type Expression,
  input,
  isReduction,
  type Kind,
  partsOf,
  rowMean,
  squareRoot,
  whereGreater,
} from '../../engine/graph/expression.ts';
import type { Formula } from '../../engine/graph/formula.ts';
import { Graph, type Node, type Value } from '../../engine/graph/graph.ts';
import { gelu, hardSigmoid, hardSwish, sigmoid, silu, tanh } from '../../engine/operations/activations.ts';
import { layerNorm, softmax } from '../../engine/operations/normalizations.ts';
import { invariant } from '../../tensor/errors.ts';
import type { Shape } from '../../tensor/tensor.ts';
import { numberText } from './python.ts';
import { nodeOf } from './steps.ts';

export type Known =
  /** A function of one tensor. */
  | { readonly kind: 'function'; readonly name: string; readonly more: string }
  | { readonly kind: 'layerNorm'; readonly epsilon: number }
  /** Operands with a sign between. */
  | { readonly kind: 'sign'; readonly sign: string };

/** The expression of a formula node that a function builds of inputs of these shapes. */
function bodyOf(build: (...inputs: Value[]) => Value, shapes: readonly Shape[] = [[2, 2]]): Expression {
  const graph = new Graph();
  const node = nodeOf(build(...shapes.map((shape, at) => graph.input(String(at), shape))));
  return (node as Node as Node<'formula'>).attributes.outputs[0]!.of;
}

const functions: readonly (readonly [Expression, name: string, more: string])[] = [
  [bodyOf(gelu), 'F.gelu', ''],
  [bodyOf(sigmoid), 'torch.sigmoid', ''],
  [bodyOf(silu), 'F.silu', ''],
  [bodyOf(hardSigmoid), 'F.hardsigmoid', ''],
  [bodyOf(hardSwish), 'F.hardswish', ''],
  [bodyOf(tanh), 'torch.tanh', ''],
  [bodyOf(softmax), 'F.softmax', ', -1'],
];
const signs: readonly (readonly [Expression, string])[] = [
  [input(0).plus(input(1)), '+'],
  [input(0).plus(input(1)).plus(input(2)), '+'],
  [input(0).times(input(1)), '*'],
];

/** What PyTorch calls the formula; undefined where it has no name. */
export function knownFormula({ outputs }: Formula): Known | undefined {
  const { of } = outputs[0]!;
  const named = functions.find(([body]) => body === of);
  if (named) return { kind: 'function', name: named[1], more: named[2] };
  const sign = signs.find(([body]) => body === of);
  if (sign) return { kind: 'sign', sign: sign[1] };
  const slope = of.kind === 'whereGreater' ? of.operands[3]!.operands[1] : undefined;
  if (slope?.kind === 'constant' && of === whereGreater(input(0), 0, input(0), input(0).times(slope))) {
    return { kind: 'function', name: 'F.leaky_relu', more: `, ${numberText(slope.value)}` };
  }
  const epsilon = epsilonOf(of);
  if (epsilon !== undefined && of === layerNormOf(epsilon)) return { kind: 'layerNorm', epsilon };
  return undefined;
}

/** The constant that is added to the variance, if this looks like a layer normalisation. */
function epsilonOf(of: Expression): number | undefined {
  const deviation = input(0).minus(rowMean(input(0)));
  const variance = rowMean(deviation.times(deviation));
  const root = partsOf([of]).find(({ kind }) => kind === 'squareRoot');
  const [added, epsilon] = root?.operands[0]?.operands ?? [];
  return added === variance && epsilon?.kind === 'constant' && root === squareRoot(variance.plus(epsilon))
    ? epsilon.value
    : undefined;
}

const layerNormOf = (epsilon: number): Expression =>
  bodyOf((x, weight, bias) => layerNorm(x!, weight!, bias!, epsilon), [[2, 2], [2], [2]]);

/** Whether float32 gives the same result in PyTorch to the last bit: no sums of rows, no functions by series. */
export function isReproducible({ outputs }: Formula): boolean {
  const inexact = new Set(['exp', 'log', 'erf', 'powerOfTwo']);
  const named = knownFormula({ outputs } as Formula);
  const isHard = named?.kind === 'function' && named.name.startsWith('F.hard');
  return !isHard && partsOf(outputs.map(({ of }) => of)).every((part) => !isReduction(part) && !inexact.has(part.kind));
}

/** A function of Python that computes the formula of tensors; rows are the last axis. */
export function formulaFunction(name: string, { outputs, shape }: Formula, count: number): string[] {
  const { of } = outputs[0]!;
  const parts = partsOf([of]);
  const uses = new Map<Expression, number>();
  for (const { operands } of parts) for (const one of operands) uses.set(one, (uses.get(one) ?? 0) + 1);
  const parameters = Array.from({ length: count }, (_, at) => `x${at}`);
  const lines: string[] = [];
  const written = new Map<Expression, string>();
  for (const part of parts) {
    const text = partText(part, shape.at(-1) ?? 1, written);
    const isShared = (uses.get(part) ?? 0) > 1 && part.operands.length > 0;
    if (isShared) lines.push(`    t${lines.length} = ${text}`);
    written.set(part, isShared ? `t${lines.length - 1}` : text);
  }
  return [`def ${name}(${parameters.join(', ')}):`, ...lines, `    return ${written.get(of)}`];
}

const infix: { readonly [K in Kind]?: string } = { add: '+', subtract: '-', multiply: '*', divide: '/' };
const ofTensors: { readonly [K in Kind]?: string } = {
  absolute: 'torch.abs',
  squareRoot: 'torch.sqrt',
  nearest: 'torch.round',
  powerOfTwo: 'torch.exp2',
  exp: 'torch.exp',
  log: 'torch.log',
  erf: 'torch.erf',
  minimum: 'torch.minimum',
  maximum: 'torch.maximum',
};

function partText(part: Expression, length: number, written: ReadonlyMap<Expression, string>): string {
  const { kind, value, operands } = part;
  const texts = operands.map((one) => written.get(one)!);
  // Between numbers there are signs alone; functions take tensors.
  const tensors = operands.map((one, at) => (isNumber(one) ? `torch.tensor(${texts[at]})` : texts[at]!));
  const [a, b] = texts;
  if (kind === 'input') return `x${value}`;
  if (kind === 'constant') return Number.isInteger(value) ? `${value}.0` : numberText(value);
  if (kind === 'rowLength') return `${length}.0`;
  if (kind === 'held') return a!;
  if (kind === 'negate') return `(-${a})`;
  if (kind === 'rowSum') return `${a}.sum(-1, keepdim=True)`;
  if (kind === 'rowMax') return `${a}.amax(-1, keepdim=True)`;
  if (kind === 'whereGreater') return `torch.where(${tensors[0]} > ${tensors[1]}, ${tensors[2]}, ${tensors[3]})`;
  if (infix[kind]) return `(${a} ${infix[kind]} ${b})`;
  invariant(ofTensors[kind], `${kind} is not written in Python`);
  return `${ofTensors[kind]}(${tensors.join(', ')})`;
}

/** Whether a part has no tensor in it. */
const isNumber = ({ kind, operands }: Expression): boolean =>
  kind === 'constant' || kind === 'rowLength' || (kind !== 'input' && operands.every(isNumber));
