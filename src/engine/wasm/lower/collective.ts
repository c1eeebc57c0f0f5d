// Reductions over replicas. This device has one, and so they are the same tensors: a copy where they are not in one
// place.

import { invariant } from '../../../tensor/errors.ts';
import { byteSize } from '../../../tensor/tensor.ts';
import { copyLaunch } from './launch.ts';
import { asOne, type Lowerings, pathAsOne, type WaysOf } from './lowering.ts';

export const collectiveWays: WaysOf<'allReduce'> = { allReduce: asOne };

export const collective: Lowerings<'allReduce'> = {
  allReduce: ({ outputs: values }) => {
    invariant(values[0]!.graph.replicas === 1, 'the device wasm is one; it has nothing to reduce over');
    return {
      path: pathAsOne,
      launches: ({ inputs, outputs }) =>
        values.flatMap((value, index) => {
          const [from, to] = [inputs[index]!, outputs[index]!];
          return from === to ? [] : [copyLaunch(from, to, byteSize(value))];
        }),
    };
  },
};
