// Operations that sum or search over the rows of a tensor; those of batch norm are in normalization.ts.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { COUNTS, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import type { Address } from '../runtime/driver.ts';
import type { FusedNode } from './fuse.ts';
import { roundUp } from './geometry.ts';
import type { Target } from './launch.ts';
import { address, f32, f64, i32, launch } from './launch.ts';
import {
  elementwise,
  type Lowering,
  type Lowerings,
  type ProgramMemory,
  REDUCTION_ASPECTS,
  type Reduction,
  reduce,
  reductionAspects,
  reductionBytes,
  reductionOf,
  rowsAndColumns,
} from './lowering.ts';

const wholeTensor = (node: Node, target: Target): Reduction => reductionOf(sizeOf(node.inputs[0]!.shape), 1, target);
const perChannel = (node: Node, target: Target): Reduction =>
  reductionOf(...rowsAndColumns(node.inputs[0]!.shape, 'channel'), target);

const scratchOf = (plan: (node: Node, target: Target) => Reduction) => (node: Node, target: Target) =>
  reductionBytes(plan(node, target));

/** Per granularity, of the tensor at input `at`. */
const granular =
  (at: number) =>
  (node: Node<'minMax' | 'minMaxGradient' | 'quantizeGradient'>, target: Target): Reduction =>
    reductionOf(...rowsAndColumns(node.inputs[at]!.shape, node.attributes.granularity), target);

/** The end of the range that an extreme is widened to: 0, or infinity for none. */
const bound = ({ holdsZero }: { readonly holdsZero?: boolean }) => f32(holdsZero ? 0 : Number.POSITIVE_INFINITY);

/** One scale for a tensor that is made of vectors of four. */
const inVectors = ({ inputs: [g], attributes }: Node<'quantizeGradient'>): boolean =>
  attributes.granularity === 'tensor' && sizeOf(g!.shape) % 4 === 0;

const quantizerReduction = (node: Node<'quantizeGradient'>, target: Target): Reduction =>
  inVectors(node) ? reductionOf(sizeOf(node.inputs[0]!.shape) / 4, 1, target) : granular(1)(node, target);

/** Rows of the first pair, then rows of the second. */
const bothPairs = (node: Node, target: Target): Reduction => {
  const [a, , c] = node.inputs;
  const columns = a!.shape.at(-1)!;
  return reductionOf((sizeOf(a!.shape) + sizeOf(c!.shape)) / columns, columns, target);
};

const ofWhole = { slabs: COUNTS } as const;
const wholeWays = { 'whole tensor': ofWhole } as const;
const columnWays = { columns: REDUCTION_ASPECTS } as const;
const granularWays = { 'whole tensor': ofWhole, columns: REDUCTION_ASPECTS } as const;
const searchWays = { 'one range': ofWhole, 'a range per channel': ofWhole } as const;
const quantizerWays = { 'vectors of four': ofWhole, ...granularWays } as const;

/** The ways of a reduction over the whole tensor, over columns, or by granularity. */
const overWhole = (plan: (node: Node, target: Target) => Reduction) => ({
  ways: wholeWays,
  path: (node: Node<never> | Node, target: Target) =>
    pathOf(wholeWays, 'whole tensor', { slabs: oneOrSeveral(plan(node as Node, target).slabs) }),
});
const overColumns = (plan: (node: Node, target: Target) => Reduction) => ({
  ways: columnWays,
  path: (node: Node<never> | Node, target: Target) =>
    pathOf(columnWays, 'columns', reductionAspects(plan(node as Node, target))),
});
const byGranularity = (at: number) => ({
  ways: granularWays,
  path: (node: Node<'minMax'> | Node<'minMaxGradient'>, target: Target) => {
    const reduction = granular(at)(node as Node<'minMax'>, target);
    return node.attributes.granularity === 'tensor'
      ? pathOf(granularWays, 'whole tensor', { slabs: oneOrSeveral(reduction.slabs) })
      : pathOf(granularWays, 'columns', reductionAspects(reduction));
  },
});

/** Largest number of slabs for a search over `steps` candidates at once. */
function clipReduction(node: Node<'clipSearch'>, target: Target): Reduction {
  const whole = wholeTensor(node as Node, target);
  return { ...whole, slabs: Math.max(1, Math.min(whole.slabs, target.multiprocessors)) };
}

function total<P>(
  name: string,
  plan: (node: Node, target: Target) => Reduction,
  paths: (plan: (node: Node, target: Target) => Reduction) => P,
) {
  return {
    ...paths(plan),
    scratchBytes: scratchOf(plan),
    launches: (
      node: Node,
      { inputs, outputs, scratch }: { inputs: readonly Address[]; outputs: readonly Address[]; scratch: Address },
      target: Target,
      memory: ProgramMemory,
    ) => [reduce(name, plan(node, target), [...inputs, ...outputs].map(address), scratch, memory)],
  };
}

export const reductionLowerings: Lowerings<
  | 'sum'
  | 'dot'
  | 'channelSum'
  | 'channelDotDifference'
  | 'minMax'
  | 'minMaxGradient'
  | 'quantizeGradient'
  | 'clipSearch'
> = {
  sum: total('column_sum', wholeTensor, overWhole),
  dot: total('column_dot', wholeTensor, overWhole),
  channelSum: total('column_sum', perChannel, overColumns),
  channelDotDifference: {
    ...overColumns(bothPairs),
    scratchBytes: scratchOf(bothPairs),
    launches: (node, { inputs, outputs, scratch }, target, memory) => {
      const args = [...[...inputs, ...outputs].map(address), i32(sizeOf(node.inputs[0]!.shape))];
      return [reduce('dot_difference', bothPairs(node as Node, target), args, scratch, memory)];
    },
  },
  minMax: {
    ...byGranularity(0),
    scratchBytes: (node, target) => reductionBytes(granular(0)(node, target)),
    launches: (node, { inputs, outputs, scratch }, target, memory) => [
      reduce(
        'extremes',
        granular(0)(node, target),
        [...[...inputs, ...outputs].map(address), bound(node.attributes)],
        scratch,
        memory,
      ),
    ],
  },
  minMaxGradient: {
    ...byGranularity(2),
    scratchBytes: (node, target) => {
      const reduction = granular(2)(node, target);
      return roundUp(8 * reduction.columns, 256) + reductionBytes(reduction);
    },
    launches: (node, { inputs, outputs, scratch }, target, memory) => {
      const reduction = granular(2)(node, target);
      const [gMin, gMax, x, min, max] = inputs.map(address);
      const { columns } = reduction;
      const counts = [scratch, scratch + BigInt(4 * columns)].map(address);
      const partials = scratch + BigInt(roundUp(8 * columns, 256));
      const count = sizeOf(node.outputs[0]!.shape);
      return [
        reduce('extreme_counts', reduction, [x!, min!, max!, ...counts], partials, memory),
        elementwise('extremes_gradient', count, [
          ...[gMin!, gMax!, x!, min!, max!, ...counts, address(outputs[0]!)],
          i32(count),
          i32(columns),
        ]),
      ];
    },
  },
  quantizeGradient: {
    ways: quantizerWays,
    path: (node, target) => {
      const reduction = quantizerReduction(node, target);
      const slabs = oneOrSeveral(reduction.slabs);
      if (inVectors(node)) return pathOf(quantizerWays, 'vectors of four', { slabs });
      return node.attributes.granularity === 'tensor'
        ? pathOf(quantizerWays, 'whole tensor', { slabs })
        : pathOf(quantizerWays, 'columns', reductionAspects(reduction));
    },
    scratchBytes: (node, target) => reductionBytes(quantizerReduction(node, target)),
    launches: (node, { inputs, outputs, scratch }, target, memory) => {
      const args = [...[...inputs, ...outputs].map(address), f32(2 ** node.attributes.bits - 1)];
      const name = inVectors(node) ? 'tensor_quantize_gradient' : 'quantize_gradient';
      return [reduce(name, quantizerReduction(node, target), args, scratch, memory)];
    },
  },
  clipSearch: {
    ways: searchWays,
    path: (node, target) =>
      pathOf(searchWays, node.attributes.granularity === 'tensor' ? 'one range' : 'a range per channel', {
        slabs: oneOrSeveral(clipReduction(node, target).slabs),
      }),
    scratchBytes: (node, target) => {
      const { steps } = node.attributes;
      return roundUp(8 * steps, 256) + reductionBytes(clipReduction(node, target), steps);
    },
    launches: (node, { inputs, outputs, scratch }, target, memory) => {
      const { bits, granularity, steps, shrink, exponent } = node.attributes;
      const [, channels] = rowsAndColumns(node.inputs[0]!.shape, granularity);
      const partials = scratch + BigInt(roundUp(8 * steps, 256));
      const search = [f64(shrink), f64(exponent), f32(2 ** bits - 1), i32(channels)];
      const args = [...[...inputs, scratch].map(address), ...search];
      return [
        reduce('clip_errors', clipReduction(node, target), args, partials, memory, { copies: steps }),
        launch({ file: 'reductions.cu', defines: {} }, 'best_clip', 1, 1, [
          ...[scratch, outputs[0]!].map(address),
          f64(shrink),
          i32(steps),
        ]),
      ];
    },
  },
};

const vectorsOfFour = ({ inputs: [x] }: FusedNode<'movingRange'>, target: Target): Reduction =>
  reductionOf(sizeOf(x!.shape) / 4, 1, target);

/** See ../fuse.ts. */
export const movingRange: Lowering<never, FusedNode<'movingRange'>> = {
  ways: wholeWays,
  path: (node, target) => pathOf(wholeWays, 'whole tensor', { slabs: oneOrSeveral(vectorsOfFour(node, target).slabs) }),
  scratchBytes: (node, target) => reductionBytes(vectorsOfFour(node, target)),
  launches: (node, { inputs, outputs, scratch }, target, memory) => {
    const { alpha, beta, bits } = node.attributes;
    const numbers = [...[alpha, beta, 2 ** bits - 1].map(f32), bound(node.attributes)];
    const args = [...[...inputs, ...outputs].map(address), ...numbers];
    return [reduce('moving_range', vectorsOfFour(node, target), args, scratch, memory)];
  },
};
