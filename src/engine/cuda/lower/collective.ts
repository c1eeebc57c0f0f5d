// Reductions over replicas. Where there is one they are the same tensors: a copy of those that are not in one place.

import { invariant } from '../../../tensor/errors.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import { type Lowerings, noChoice, theOnlyPath, type WaysOf } from './lowering.ts';
import { copyLaunch } from './updates.ts';

export const collectiveWays: WaysOf<'allReduce'> = { allReduce: noChoice };

export const collective: Lowerings<'allReduce'> = {
  allReduce: ({ outputs: values }) => {
    invariant(values[0]!.graph.replicas === 1, 'the device cuda is one; it has nothing to reduce over');
    return {
      path: theOnlyPath,
      launches: ({ inputs, outputs, memory }) => {
        const transfers = values.flatMap(({ shape }, index) => {
          const [from, to] = [inputs[index]!, outputs[index]!];
          return from === to ? [] : [{ from, to, words: sizeOf(shape) }];
        });
        return transfers.length === 0 ? [] : [copyLaunch(transfers, memory)];
      },
    };
  },
};
