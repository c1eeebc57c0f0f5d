// What gives its input another name, so that both are the same bytes: no backend has to do anything for it.

import { sameShape } from '../../tensor/tensor.ts';
import type { Node } from './graph.ts';
import { type OpName, renames } from './ops.ts';

/** Whether a node's only output is its first input: a rename, or a formula that says so (its gradient may differ). */
export function isRename(node: Node<OpName>): boolean {
  if (renames.has(node.op)) return true;
  if (node.op !== 'formula') return false;
  const { inputs, attributes } = node as Node<OpName> as Node<'formula'>;
  const [output, ...others] = attributes.outputs;
  const of = output!.per === 'element' && output!.of;
  const isFirst = of && of.kind === 'input' && of.value === 0 && others.length === 0;
  return isFirst === true && inputs[0]!.dtype === 'f32' && sameShape(inputs[0]!.shape, attributes.shape);
}
