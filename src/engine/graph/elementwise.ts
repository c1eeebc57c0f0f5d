// Operations of the contract whose meaning is a formula: every backend makes their kernels from it.

import type { Shape } from '../../tensor/tensor.ts';
import { type Expression, input, maximum, minimum, whereGreater } from './expression.ts';
import type { Formula } from './formula.ts';
import type { Node } from './graph.ts';
import type { OpAttributes } from './ops.ts';

export type DefinedOp = 'scaleBy' | 'broadcast' | 'relu' | 'reluGradient' | 'clampStraightThrough' | 'divide';

const [a, b] = [input(0), input(1)];

const meanings: { readonly [K in DefinedOp]: (attributes: OpAttributes[K]) => Expression } = {
  scaleBy: () => a.times(b),
  broadcast: () => a,
  relu: ({ limit }) => (limit === undefined ? maximum(a, 0) : minimum(maximum(a, 0), limit)),
  reluGradient: ({ limit }) => whereGreater(b, 0, limit === undefined ? a : whereGreater(limit, b, a, 0), 0),
  clampStraightThrough: ({ low, high }) => minimum(maximum(a, low), high),
  divide: () => a.over(b),
};

export function formulaOf<K extends DefinedOp>(op: K, attributes: OpAttributes[K], shape: Shape): Formula {
  return { name: op, shape, outputs: [{ of: meanings[op](attributes), per: 'element' }] };
}

/** The node as a formula; neither its values nor their storage change. */
export function asFormula<K extends DefinedOp>(node: Node<K>): Node<'formula'> {
  const { op, attributes, outputs } = node;
  return { ...node, op: 'formula', attributes: formulaOf(op, attributes, outputs[0]!.shape) };
}

/** The same kind of thing for each of these operations: a backend's kernels, or the ways of their lowering. */
export function forDefined<T>(of: (op: DefinedOp) => T): Readonly<Record<DefinedOp, T>> {
  const ops = Object.keys(meanings) as DefinedOp[];
  return Object.fromEntries(ops.map((op) => [op, of(op)])) as Record<DefinedOp, T>;
}
