// Batch norm whole and in the pieces that fuse.ts makes of it: statistics alone or with the running averages that they
// move, normalisation with an addition and a relu behind it and the range of what that makes, the gradient with that of
// a relu in front. See kernels/normalization.cu and, for the statistics, kernels/moments.cu.

import { given } from '../../../tensor/given.ts';
import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import type { OpAttributes } from '../../graph/ops.ts';
import { COUNTS, oneOrSeveral, type Path, pathOf } from '../../graph/paths.ts';
import type { FusedNode } from './fuse.ts';
import { ceilDivide } from './geometry.ts';
import {
  type Address,
  type Argument,
  type Arguments,
  addresses,
  floats,
  integers,
  type KernelLaunch,
  type KernelSource,
  launch,
  type Target,
} from './launch.ts';
import type { Lowered, Lowering, Lowerings, Moments, Operands, WaysOf } from './lowering.ts';
import {
  MOVED,
  momentArguments,
  momentSource,
  movedAspect,
  movedAverages,
  REDUCTION_THREADS,
  widthOf,
} from './moments.ts';
import { movedRange } from './quantization.ts';
import { REDUCTION_ASPECTS, reduce, reductionAspects, reductionBytes, reductionOf, rowsAndColumns } from './reduce.ts';

const THREADS = 256;
/** Vectors that a thread of an element-wise kernel has. */
const UNROLL = 4;

type Normalizing = 'batchNorm' | 'batchNormInference' | 'batchNormGradient';
type Fused = 'moments' | 'normalize' | 'rangedNormalize' | 'rectifiedGradient';

const elementWays = { 'four channels at a time': {}, 'one channel at a time': {} } as const;
const reducingWays = {
  'four channels at a time': REDUCTION_ASPECTS,
  'one channel at a time': REDUCTION_ASPECTS,
} as const;
const momentAspects = { ...REDUCTION_ASPECTS, averages: MOVED } as const;
const momentWays = { 'four channels at a time': momentAspects, 'one channel at a time': momentAspects } as const;
export const LIMITS = { limit: ['none', 'one'] } as const;
const behind = { behind: ['a relu', 'an addition', 'an addition and a relu'], ...LIMITS } as const;
const rectifiedAspects = { ...REDUCTION_ASPECTS, ...LIMITS } as const;
const rectifiedWays = {
  'four channels at a time': rectifiedAspects,
  'one channel at a time': rectifiedAspects,
} as const;
const joinedWays = { 'four channels at a time': behind, 'one channel at a time': behind } as const;

export const normalizationWays: WaysOf<Normalizing> = {
  batchNorm: reducingWays,
  batchNormInference: elementWays,
  batchNormGradient: reducingWays,
};
const ranged = { ...behind, slabs: COUNTS } as const;
const rangedWays = { 'four channels at a time': ranged, 'one channel at a time': ranged } as const;
export const fusedNormalizationWays: WaysOf<Fused> = {
  moments: momentWays,
  normalize: joinedWays,
  rangedNormalize: rangedWays,
  rectifiedGradient: rectifiedWays,
};

/** For a kernel: no number where there is no limit, with which comparisons and minima give what they do without it. */
export const limitOf = ({ limit = Number.NaN }: OpAttributes['relu'] = {}): number => limit;
export const limitAspect = ({ limit }: OpAttributes['relu']) => ({ limit: LIMITS.limit[limit === undefined ? 0 : 1] });

type Places = Readonly<Record<string, Address>>;

/** Where the kernels of a gradient are, the beginning of their names, what they take in place of what is stored. */
interface GradientSource {
  readonly source: KernelSource;
  readonly prefix: string;
  readonly arguments: Arguments;
  /** Vectors of channels that a thread has. */
  readonly unroll: number;
}

/** The kernels over a tensor x: how many neighbouring channels a thread takes, how its rows are cut. */
export function kernelsFor({ shape }: { readonly shape: Shape }, epsilon: number, target: Target) {
  const width = widthOf(shape.at(-1)!);
  const source = { file: 'normalization.cu', defines: { WIDTH: width } };
  const cut = { width, threads: REDUCTION_THREADS };
  const reduction = reductionOf(...rowsAndColumns(shape, 'channel'), target, cut);
  const count = sizeOf(shape) / width;
  /** Of all vectors. */
  const whole = reductionOf(count, 1, target, { threads: REDUCTION_THREADS });
  const vectors = shape.at(-1)! / width;
  const size = { grid: ceilDivide(count, THREADS * UNROLL), block: THREADS };
  const elements = { ...integers({ count, vectors }), ...floats({ epsilon }) };
  return {
    way: width === 4 ? 'four channels at a time' : 'one channel at a time',
    reduction,
    whole,
    moments: (x: Address, moments: Moments, at: Operands): KernelLaunch =>
      reduce(momentSource(width), 'moments', reduction, { ...addresses({ x }), ...momentArguments(moments) }, at),
    /** `places`: x, gamma, beta, mean, variance; `other`: what is added, null where nothing is. */
    normalize: (places: Places, other: Address, y: Address, relu?: OpAttributes['relu']): KernelLaunch =>
      launch(source, 'normalize', size, {
        ...addresses({ ...places, other, y }),
        ...elements,
        ...integers({ rectified: relu ? 1 : 0 }),
        ...floats({ limit: limitOf(relu) }),
      }),
    /** The same, and what y is of moves a range. */
    normalizeRange: (
      places: Places,
      other: Address,
      y: Address,
      range: Argument,
      at: Operands,
      relu?: OpAttributes['relu'],
    ) =>
      reduce(
        source,
        'normalize_range',
        whole,
        {
          ...addresses({ ...places, other, y }),
          ...integers({ vectors }),
          ...floats({ epsilon }),
          ...integers({ rectified: relu ? 1 : 0 }),
          ...floats({ limit: limitOf(relu) }),
          range,
        },
        at,
      ),
    /**
     * `places`: x, gamma, beta where the gradient is behind a relu, mean, variance, dgamma, dbeta; `of`: the gradient
     * of what is normalised, stored or formed where it is read.
     */
    gradient: (
      of: Address | GradientSource,
      places: Places,
      dx: Address,
      at: Operands,
      relu?: OpAttributes['relu'],
    ): KernelLaunch[] => {
      const stored = (g: Address) => ({
        ...{ source, prefix: relu ? 'rectified_' : '', unroll: UNROLL },
        arguments: addresses({ g }),
      });
      const from = typeof of === 'bigint' ? stored(of) : of;
      const limit = relu ? { limit: limitOf(relu) } : {};
      const sums = { ...from.arguments, ...addresses(places), ...floats({ epsilon, ...limit }) };
      const size = { grid: ceilDivide(count, THREADS * from.unroll), block: THREADS };
      return [
        reduce(from.source, `${from.prefix}gradient_sums`, reduction, sums, at),
        launch(from.source, `${from.prefix}normalize_gradient`, size, {
          ...from.arguments,
          ...addresses({ ...places, dx }),
          ...elements,
          ...floats({ inverseRows: 1 / reduction.rows, ...limit }),
        }),
      ];
    },
  } as const;
}

/** Path and workspace of steps with a reduction. */
function reducing({ way, reduction }: ReturnType<typeof kernelsFor>) {
  const path: Path = pathOf(reducingWays, way, reductionAspects(reduction));
  return { path, workspaceBytes: reductionBytes(reduction) };
}

/** g, x, gamma, mean, variance and, behind a relu, beta. */
function gradient(
  { inputs: [, x], attributes: { epsilon } }: Pick<Node<'batchNormGradient'>, 'inputs' | 'attributes'>,
  target: Target,
  relu?: OpAttributes['relu'],
): Lowered {
  const kernels = kernelsFor(x!, epsilon, target);
  const { path, workspaceBytes } = reducing(kernels);
  const aspects = { ...reductionAspects(kernels.reduction), ...limitAspect(relu ?? {}) };
  return {
    path: relu ? pathOf(rectifiedWays, kernels.way, aspects) : path,
    workspaceBytes,
    launches: (at) => {
      const [g, x, gamma, mean, variance, beta] = at.inputs as [Address, Address, Address, Address, Address, Address?];
      const [dx, dgamma, dbeta] = at.outputs as [Address, Address, Address];
      const scales = { gamma, ...(beta === undefined ? {} : { beta }) };
      return kernels.gradient(g, { x, ...scales, mean, variance, dgamma, dbeta }, dx, at, relu);
    },
  };
}

export const normalization: Lowerings<Normalizing> = {
  batchNorm: ({ inputs: [x], attributes: { epsilon } }, target) => {
    const kernels = kernelsFor(x!, epsilon, target);
    return {
      ...reducing(kernels),
      launches: (at) => {
        const [x, gamma, beta] = at.inputs as [Address, Address, Address];
        const [y, mean, variance] = at.outputs as [Address, Address, Address];
        return [
          kernels.moments(x, { mean, variance, averages: [] }, at),
          kernels.normalize({ x, gamma, beta, mean, variance }, 0n, y),
        ];
      },
    };
  },

  batchNormInference: ({ inputs: [x], attributes: { epsilon } }, target) => {
    const kernels = kernelsFor(x!, epsilon, target);
    return {
      path: pathOf(elementWays, kernels.way, {}),
      launches: ({ inputs, outputs: [y] }) => {
        const [x, gamma, beta, mean, variance] = inputs as [Address, Address, Address, Address, Address];
        return [kernels.normalize({ x, gamma, beta, mean, variance }, 0n, y!)];
      },
    };
  },

  batchNormGradient: (node, target) => gradient(node, target),
};

/** Of `rangedNormalize`: low, high and the logits of both ends, behind what is normalised. */
const RANGE_OPERANDS = 4;

/** What is formed behind a norm of so many operands. */
function whatIsBehind(operands: number, relu: OpAttributes['relu'] | undefined): (typeof behind.behind)[number] {
  if (!relu) return 'an addition';
  return operands > 5 ? 'an addition and a relu' : 'a relu';
}

/** The operands of a norm and what is added behind it, null where nothing is. */
function normalized(inputs: readonly Address[]) {
  const [x, gamma, beta, mean, variance, other = 0n] = inputs as [
    Address,
    Address,
    Address,
    Address,
    Address,
    Address?,
  ];
  return { places: { x, gamma, beta, mean, variance }, other };
}

export const fusedNormalization: { readonly [Op in Fused]: Lowering<never, FusedNode<Op>> } = {
  moments: ({ inputs: [x], attributes: { epsilon, averages = [] } }, target) => {
    const kernels = kernelsFor(x!, epsilon, target);
    const { workspaceBytes } = reducing(kernels);
    return {
      path: pathOf(momentWays, kernels.way, {
        ...reductionAspects(kernels.reduction),
        averages: movedAspect(averages),
      }),
      workspaceBytes,
      launches: (at) => {
        const [x, ...before] = at.inputs as [Address, ...Address[]];
        const [mean, variance, ...to] = at.outputs as [Address, Address, ...Address[]];
        return [kernels.moments(x, { mean, variance, averages: movedAverages(averages, before, to) }, at)];
      },
    };
  },

  normalize: ({ inputs, attributes: { epsilon, relu } }, target) => {
    const kernels = kernelsFor(inputs[0]!, epsilon, target);
    return {
      path: pathOf(joinedWays, kernels.way, { behind: whatIsBehind(inputs.length, relu), ...limitAspect(relu ?? {}) }),
      launches: ({ inputs, outputs: [y] }) => {
        const { places, other } = normalized(inputs);
        return [kernels.normalize(places, other, y!, relu)];
      },
    };
  },

  rangedNormalize: ({ inputs, attributes: { epsilon, relu, range } }, target) => {
    const kernels = kernelsFor(inputs[0]!, epsilon, target);
    const operands = inputs.length - RANGE_OPERANDS;
    return {
      path: pathOf(rangedWays, kernels.way, {
        behind: whatIsBehind(operands, relu),
        ...limitAspect(relu ?? {}),
        slabs: oneOrSeveral(kernels.whole.slabs),
      }),
      workspaceBytes: reductionBytes(kernels.whole),
      launches: (at) => {
        const { places, other } = normalized(at.inputs.slice(0, operands));
        const [y, ...to] = at.outputs as [Address, ...Address[]];
        const moved = movedRange(at.inputs.slice(operands), to, range);
        return [kernels.normalizeRange(places, other, y, moved, at, relu)];
      },
    };
  },

  rectifiedGradient: (node, target) => gradient(node, target, { ...given({ limit: node.attributes.limit }) }),
};
