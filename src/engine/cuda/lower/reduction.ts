// Operations that sum or search over the rows of a tensor; see kernels/reduction.cu. Those of batch norm are in
// normalization.ts.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { COUNTS, oneOrSeveral, type Path, pathOf } from '../../graph/paths.ts';
import type { FusedNode } from './fuse.ts';
import type { KernelSource } from './launch.ts';
import { type Arguments, addresses, floats, integers, type Target } from './launch.ts';
import {
  elementsOf,
  Layout,
  type Lowered,
  type Lowering,
  type Lowerings,
  launchOverElements,
  tensors,
  type WaysOf,
} from './lowering.ts';
import {
  behind,
  REDUCTION_ASPECTS,
  type Reduction,
  reduce,
  reductionAspects,
  reductionBytes,
  reductionOf,
  rowsAndColumns,
} from './reduce.ts';

const SOURCE: KernelSource = { file: 'reduction.cu', defines: {} };

type Reducing = 'sum' | 'dot' | 'channelSum' | 'channelDotDifference' | 'minMax' | 'minMaxGradient';

const wholeWays = { 'whole tensor': { slabs: COUNTS } } as const;
const columnWays = { columns: REDUCTION_ASPECTS } as const;
const dotWays = { 'four channels at a time': REDUCTION_ASPECTS, 'one channel at a time': REDUCTION_ASPECTS } as const;
const eitherWays = { ...wholeWays, ...columnWays } as const;

export const reductionWays: WaysOf<Reducing> = {
  sum: wholeWays,
  dot: wholeWays,
  channelSum: columnWays,
  channelDotDifference: dotWays,
  minMax: eitherWays,
  minMaxGradient: eitherWays,
};

export const fusedReductionWays: WaysOf<'addedRangeGradient'> = { addedRangeGradient: eitherWays };

const pathOfWhole = ({ slabs }: Reduction): Path => pathOf(wholeWays, 'whole tensor', { slabs: oneOrSeveral(slabs) });
const pathOfColumns = (reduction: Reduction): Path => pathOf(columnWays, 'columns', reductionAspects(reduction));
const pathBy = (granularity: 'tensor' | 'channel', reduction: Reduction): Path =>
  granularity === 'tensor' ? pathOfWhole(reduction) : pathOfColumns(reduction);

/** One kernel over the rows of the first input; its parameters are the operands by these names. */
function total<K extends OpName>(
  name: string,
  granularity: 'tensor' | 'channel',
  operands: readonly string[],
): Lowering<K> {
  return ({ inputs: [x] }, target) => {
    const reduction = reductionOf(...rowsAndColumns(x!.shape, granularity), target);
    return {
      path: pathBy(granularity, reduction),
      workspaceBytes: reductionBytes(reduction),
      launches: (at) => [reduce(SOURCE, name, reduction, tensors(at, ...operands), at)],
    };
  };
}

/** The end of the range that an extreme is widened to: 0, or infinity for none. */
export const bound = ({ holdsZero }: { readonly holdsZero?: boolean }): Arguments =>
  floats({ bound: holdsZero ? 0 : Number.POSITIVE_INFINITY });

/** The reduction of a tensor for as many results as its granularity says. */
const granular = ({ shape }: Node['inputs'][number], granularity: 'tensor' | 'channel', target: Target): Reduction =>
  reductionOf(...rowsAndColumns(shape, granularity), target);

export const reduction: Lowerings<Reducing> = {
  sum: total('column_sum', 'tensor', ['x', 'y']),
  dot: total('column_dot', 'tensor', ['a', 'b', 'y']),
  channelSum: total('column_sum', 'channel', ['x', 'y']),

  channelDotDifference: ({ inputs: [a, , c] }, target) => {
    const channels = a!.shape.at(-1)!;
    const width = channels % 4 === 0 ? 4 : 1;
    const split = sizeOf(a!.shape);
    // Rows of the first pair, then rows of the second.
    const reduction = reductionOf((split + sizeOf(c!.shape)) / channels, channels, target, { width });
    const name = width === 4 ? 'vector_dot_difference' : 'dot_difference';
    return {
      path: pathOf(
        dotWays,
        width === 4 ? 'four channels at a time' : 'one channel at a time',
        reductionAspects(reduction),
      ),
      workspaceBytes: reductionBytes(reduction),
      launches: (at) => {
        const args = { ...tensors(at, 'a', 'b', 'c', 'd', 'y'), ...integers({ split: split / width }) };
        return [reduce(SOURCE, name, reduction, args, at)];
      },
    };
  },

  minMax: ({ inputs: [x], attributes }, target) => {
    const reduction = granular(x!, attributes.granularity, target);
    return {
      path: pathBy(attributes.granularity, reduction),
      workspaceBytes: reductionBytes(reduction),
      launches: (at) => [
        reduce(SOURCE, 'extremes', reduction, { ...tensors(at, 'x', 'min', 'max'), ...bound(attributes) }, at),
      ],
    };
  },

  minMaxGradient: rangeGradient,
};

/** The gradient of a range with the sum behind it (fuse.ts). */
export const fusedReduction: {
  readonly addedRangeGradient: Lowering<never, FusedNode<'addedRangeGradient'>>;
} = { addedRangeGradient: rangeGradient };

function rangeGradient(node: Node<'minMaxGradient'> | FusedNode<'addedRangeGradient'>, target: Target): Lowered {
  const { granularity } = node.attributes;
  const reduction = granular(node.inputs[2]!, granularity, target);
  const { columns: channels } = reduction;
  const count = elementsOf(node);
  const layout = new Layout();
  const countsAt = layout.take(8 * channels);
  const partialsAt = layout.take(reductionBytes(reduction));
  return {
    path: pathBy(granularity, reduction),
    workspaceBytes: layout.bytes,
    launches: (at) => {
      const lows = at.workspace + countsAt;
      const highs = lows + BigInt(4 * channels);
      const [gMin, gMax, x, min, max, other = 0n] = at.inputs;
      const range = addresses({ x: x!, min: min!, max: max!, lows, highs });
      return [
        reduce(SOURCE, 'extreme_counts', reduction, range, behind(at, partialsAt)),
        launchOverElements(SOURCE, 'extremes_gradient', count, {
          ...addresses({ gMin: gMin!, gMax: gMax! }),
          ...range,
          ...addresses({ other, dx: at.outputs[0]! }),
          ...integers({ count, channels }),
        }),
      ];
    },
  };
}
