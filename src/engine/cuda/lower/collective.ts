// Reductions over replicas. Where the graph is for one they are the same tensors: a copy of those that are not in one
// place. Else the step is no kernel of ours but a reduction of the group of GPUs (runtime/communicator.ts), in place
// where the plan says so.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { type Lowered, type Lowerings, noChoice, type Operands, theOnlyPath, type WaysOf } from './lowering.ts';
import { copyLaunch } from './updates.ts';

export const collectiveWays: WaysOf<'allReduce'> = { allReduce: noChoice };

export const collective: Lowerings<'allReduce'> = {
  allReduce: (node): Lowered => {
    if (node.outputs[0]!.graph.replicas === 1) return { path: theOnlyPath, launches: (at) => copies(node, at) };
    const { kind } = node.attributes;
    return { path: theOnlyPath, launches: () => [], collective: (at) => ({ kind, parts: partsOf(node, at) }) };
  },
};

function partsOf({ outputs: values }: Node<'allReduce'>, { inputs, outputs }: Operands) {
  return values.map(({ shape }, at) => ({ from: inputs[at]!, to: outputs[at]!, count: sizeOf(shape) }));
}

function copies(node: Node<'allReduce'>, at: Operands) {
  const moved = partsOf(node, at).filter(({ from, to }) => from !== to);
  const transfers = moved.map(({ count, ...places }) => ({ ...places, words: count }));
  return transfers.length === 0 ? [] : [copyLaunch(transfers, at.memory)];
}
