// Reductions over replicas: the values of this replica alone here, and the interface to whatever knows the others.
// Invariant: all replicas reduce the same tensors in the same order, and have the same bits afterwards.

import type { ReduceKind } from '../graph/ops.ts';
import type { Kernels } from './kernel.ts';

/** How the devices of a session reach each other. */
export interface Collective {
  /** The number of devices, and which of them this one is, from 0. */
  readonly replicas: number;
  readonly rank: number;
  /** Each tensor becomes what is formed of it over all replicas, element by element. */
  allReduce(kind: ReduceKind, tensors: readonly (Float32Array | Float64Array)[]): Promise<void>;
}

/** What there is to do without the others: the same tensors. */
export const collective: Kernels<'allReduce'> = {
  allReduce: (inputs, outputs) => {
    outputs.forEach(({ data }, index) => {
      data.set(inputs[index]!.data);
    });
  },
};
