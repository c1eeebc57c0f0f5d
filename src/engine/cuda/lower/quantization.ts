// Quantisers, their gradients, and the ranges and scales that they take; see kernels/quantization.cu.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import type { Granularity } from '../../graph/ops.ts';
import { COUNTS, oneOrSeveral, type Path, pathOf } from '../../graph/paths.ts';
import type { FusedNode } from './fuse.ts';
import type { Address, KernelLaunch, KernelSource } from './launch.ts';
import { type Argument, type Arguments, addresses, doubles, floats, integers, launch, struct } from './launch.ts';
import {
  elementsOf,
  Layout,
  type Lowered,
  type Lowering,
  type Lowerings,
  launchOverElements,
  noChoice,
  tensors,
  theOnlyPath,
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
import { bound } from './reduction.ts';

const SOURCE: KernelSource = { file: 'quantization.cu', defines: {} };

type Quantizing =
  | 'quantize'
  | 'dequantize'
  | 'quantizeGradient'
  | 'rangeToScale'
  | 'clipScale'
  | 'clipScaleGradient'
  | 'clipSearch';

const elementWays = { 'vectors of four': {}, elements: { scales: ['one', 'per channel'] } } as const;
const ofWhole = { slabs: COUNTS } as const;
const gradientWays = { 'vectors of four': ofWhole, 'whole tensor': ofWhole, columns: REDUCTION_ASPECTS } as const;
const searchWays = { 'one range': ofWhole, 'a range per channel': ofWhole } as const;
const rangeWays = { 'whole tensor': ofWhole } as const;

export const quantizationWays: WaysOf<Quantizing> = {
  quantize: elementWays,
  dequantize: elementWays,
  quantizeGradient: gradientWays,
  rangeToScale: noChoice,
  clipScale: noChoice,
  clipScaleGradient: noChoice,
  clipSearch: searchWays,
};
export const fusedQuantizationWays: WaysOf<'movingRange'> = { movingRange: rangeWays };

const levelsOf = ({ bits }: { readonly bits: number }): number => 2 ** bits - 1;

/** Whether one scale serves all of a tensor that is made of vectors of four. */
const inVectors = (count: number, granularity: Granularity): boolean => granularity === 'tensor' && count % 4 === 0;

/**
 * A quantiser over elements, or over vectors of four. Its parameters: the operands by these names, the number of
 * elements or vectors, and what else it takes.
 */
function overCodes(
  name: string,
  node: Node<'quantize'> | Node<'dequantize'>,
  operands: readonly string[],
  more: Arguments = {},
): Lowered {
  const { granularity } = node.attributes;
  const count = elementsOf(node);
  if (inVectors(count, granularity)) {
    const vectors = count / 4;
    return {
      path: pathOf(elementWays, 'vectors of four', {}),
      launches: (at) => {
        const args = { ...tensors(at, ...operands), ...integers({ vectors }), ...more };
        return [launchOverElements(SOURCE, `tensor_${name}`, vectors, args)];
      },
    };
  }
  const channels = granularity === 'tensor' ? 1 : (node.outputs[0]!.shape.at(-1) ?? 1);
  return {
    path: pathOf(elementWays, 'elements', { scales: granularity === 'tensor' ? 'one' : 'per channel' }),
    launches: (at) => {
      const args = { ...tensors(at, ...operands), ...integers({ count, channels }), ...more };
      return [launchOverElements(SOURCE, name, count, args)];
    },
  };
}

/** The values of codes with one scale and zero point. */
export function dequantizeTensor(
  count: number,
  operands: Readonly<Record<'codes' | 'scale' | 'zero' | 'x', Address>>,
): KernelLaunch {
  const { codes, scale, zero, x } = operands;
  const places = addresses({ codes, scale, zero, x });
  if (!inVectors(count, 'tensor'))
    return launchOverElements(SOURCE, 'dequantize', count, { ...places, ...integers({ count, channels: 1 }) });
  return launchOverElements(SOURCE, 'tensor_dequantize', count / 4, { ...places, ...integers({ vectors: count / 4 }) });
}

/** A kernel over the few elements of a range. */
const overRange =
  <K extends 'rangeToScale' | 'clipScale' | 'clipScaleGradient'>(
    name: string,
    operands: readonly string[],
  ): Lowering<K> =>
  (node) => {
    const count = elementsOf(node);
    const numbers = { ...integers({ count }), ...floats({ levels: levelsOf(node.attributes) }) };
    return {
      path: theOnlyPath,
      launches: (at) => [launchOverElements(SOURCE, name, count, { ...tensors(at, ...operands), ...numbers })],
    };
  };

export const quantization: Lowerings<Quantizing> = {
  quantize: (node) =>
    overCodes('quantize', node, ['x', 'scale', 'zero', 'codes'], floats({ highest: levelsOf(node.attributes) })),
  dequantize: (node) => overCodes('dequantize', node, ['codes', 'scale', 'zero', 'x']),

  quantizeGradient: ({ inputs: [g, x], attributes }, target) => {
    const { granularity } = attributes;
    const vectors = inVectors(sizeOf(g!.shape), granularity);
    const reduction = vectors
      ? reductionOf(sizeOf(g!.shape) / 4, 1, target)
      : reductionOf(...rowsAndColumns(x!.shape, granularity), target);
    const name = vectors ? 'tensor_quantize_gradient' : 'quantize_gradient';
    return {
      path: pathOfGradient(vectors, granularity, reduction),
      workspaceBytes: reductionBytes(reduction),
      launches: (at) => {
        const operands = tensors(at, 'g', 'x', 'scale', 'zero', 'dx', 'dscale');
        return [reduce(SOURCE, name, reduction, { ...operands, ...floats({ highest: levelsOf(attributes) }) }, at)];
      },
    };
  },

  rangeToScale: overRange('range_to_scale', ['min', 'max', 'factor', 'scale', 'zero']),
  clipScale: overRange('clip_scale', ['min', 'max', 'upper', 'lower', 'scale', 'zero']),
  clipScaleGradient: overRange('clip_scale_gradient', [
    ...['gScale', 'min', 'max', 'upper', 'lower'],
    ...['dmin', 'dmax', 'dupper', 'dlower'],
  ]),

  clipSearch: ({ inputs: [x], attributes }, target) => {
    const { granularity, steps, shrink, exponent } = attributes;
    const whole = reductionOf(sizeOf(x!.shape), 1, target);
    // All steps are searched at once.
    const reduction = { ...whole, slabs: Math.max(1, Math.min(whole.slabs, target.multiprocessors)) };
    const [, channels] = rowsAndColumns(x!.shape, granularity);
    const layout = new Layout();
    const errorsAt = layout.take(8 * steps);
    const partialsAt = layout.take(reductionBytes(reduction, steps));
    return {
      path: pathOf(searchWays, granularity === 'tensor' ? 'one range' : 'a range per channel', {
        slabs: oneOrSeveral(reduction.slabs),
      }),
      workspaceBytes: layout.bytes,
      launches: (at) => {
        const errors = at.workspace + errorsAt;
        const [x, min, max] = at.inputs;
        const args = {
          ...addresses({ x: x!, min: min!, max: max!, errors }),
          ...doubles({ shrink, exponent }),
          ...floats({ levels: levelsOf(attributes) }),
          ...integers({ channels }),
        };
        return [
          reduce(SOURCE, 'clip_errors', reduction, args, behind(at, partialsAt), steps),
          launch(
            SOURCE,
            'best_clip',
            { grid: 1, block: 1 },
            { ...addresses({ errors, factor: at.outputs[0]! }), ...doubles({ shrink }), ...integers({ steps }) },
          ),
        ];
      },
    };
  },
};

function pathOfGradient(vectors: boolean, granularity: Granularity, reduction: Reduction): Path {
  const slabs = oneOrSeveral(reduction.slabs);
  if (vectors) return pathOf(gradientWays, 'vectors of four', { slabs });
  return granularity === 'tensor'
    ? pathOf(gradientWays, 'whole tensor', { slabs })
    : pathOf(gradientWays, 'columns', reductionAspects(reduction));
}

/** The kernels' `MovedRange`. `before`: low and high, the logits of both ends; `to`: low, high, scale, zero point. */
export function movedRange(
  before: readonly Address[],
  to: readonly Address[],
  attributes: FusedNode<'movingRange'>['attributes'],
): Argument {
  const { alpha, beta } = attributes;
  return struct({
    ...tensors(
      { inputs: before, outputs: to },
      'lowBefore',
      'highBefore',
      'upper',
      'lower',
      'low',
      'high',
      'scale',
      'zero',
    ),
    ...floats({ alpha, beta, levels: levelsOf(attributes) }),
    ...bound(attributes),
  });
}

/** The range of a whole tensor, its moving averages and the scale that they give (fuse.ts). */
export const fusedQuantization: {
  readonly movingRange: Lowering<never, FusedNode<'movingRange'>>;
} = {
  movingRange: ({ inputs: [x], attributes }, target) => {
    const reduction = reductionOf(sizeOf(x!.shape) / 4, 1, target);
    return {
      path: pathOf(rangeWays, 'whole tensor', { slabs: oneOrSeveral(reduction.slabs) }),
      workspaceBytes: reductionBytes(reduction),
      launches: (at) => {
        const [x, ...before] = at.inputs as [Address, ...Address[]];
        const args = { ...addresses({ x }), range: movedRange(before, at.outputs, attributes) };
        return [reduce(SOURCE, 'moving_range', reduction, args, at)];
      },
    };
  },
};
