// Cases of reductions over replicas on one device, where they are the same tensors: of every kind, one tensor and a
// bucket of several, in their place and not. What several replicas make of them: src/engine/replicas/.

import type { ReduceKind } from '../../src/engine/graph/ops.ts';
import { type Case, floatsOf, make } from './cases.ts';

const floats = floatsOf(5);
const kinds: readonly ReduceKind[] = ['sum', 'mean', 'min', 'max'];

export const collectiveCases: readonly Case[] = [
  ...kinds.map((kind) => make('allReduce', kind, [floats([5, 7])], { kind }, { exact: true })),
  ...kinds.map((kind) =>
    make('allReduce', `gradient, ${kind}`, [floats([5, 7])], { kind }, { differentiate: [0], smooth: [0] }),
  ),
  make('allReduce', 'a bucket', [floats([3]), floats([]), floats([2, 70_001])], { kind: 'mean' } as const, {
    differentiate: [0, 1, 2],
  }),
  // The second takes the place of its input, the first, which is read again, does not.
  make('allReduce', 'in the place of an input', [floats([9]), floats([4, 5])], { kind: 'sum' } as const, {
    ...{ differentiate: [0, 1], smooth: [0, 1] },
    build: (graph, [a, b]) => {
      const moved = [a!, b!].map((x) => graph.apply1('affine', [x], { scale: 2, offset: 1 }));
      const [first, second] = graph.apply('allReduce', moved, { kind: 'sum' });
      const both = graph.apply1('add', [first!, moved[0]!], { alpha: 1, beta: -3 });
      return [both, graph.apply1('relu', [second!], {})];
    },
  }),
];
