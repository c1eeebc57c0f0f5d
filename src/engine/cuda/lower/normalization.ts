// Batch norm whole and in the pieces that fuse.ts makes of it: statistics alone, normalisation with an addition and a
// relu behind it, the gradient with that of a relu in front. See kernels/normalization.cu.

import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { type Path, pathOf } from '../../graph/paths.ts';
import type { FusedNode } from './fuse.ts';
import { ceilDivide } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, floats, integers, type KernelLaunch, launch, type Target } from './launch.ts';
import type { Lowered, Lowering, Lowerings, Operands, WaysOf } from './lowering.ts';
import { REDUCTION_ASPECTS, reduce, reductionAspects, reductionBytes, reductionOf, rowsAndColumns } from './reduce.ts';

const THREADS = 256;
/** Few large blocks leave few partial sums to the last of them. */
const REDUCTION_THREADS = 512;
/** Vectors that a thread of an element-wise kernel has. */
const UNROLL = 4;

type Normalizing = 'batchNorm' | 'batchNormInference' | 'batchNormGradient';
type Fused = 'moments' | 'normalize' | 'rectifiedGradient';

const elementWays = { 'four channels at a time': {}, 'one channel at a time': {} } as const;
const reducingWays = {
  'four channels at a time': REDUCTION_ASPECTS,
  'one channel at a time': REDUCTION_ASPECTS,
} as const;
const behind = { behind: ['a relu', 'an addition', 'an addition and a relu'] } as const;
const joinedWays = { 'four channels at a time': behind, 'one channel at a time': behind } as const;

export const normalizationWays: WaysOf<Normalizing> = {
  batchNorm: reducingWays,
  batchNormInference: elementWays,
  batchNormGradient: reducingWays,
};
export const fusedNormalizationWays: WaysOf<Fused> = {
  moments: reducingWays,
  normalize: joinedWays,
  rectifiedGradient: reducingWays,
};

type Places = Readonly<Record<string, Address>>;

/** The kernels over a tensor x: how many neighbouring channels a thread takes, how its rows are cut. */
function kernelsFor({ shape }: { readonly shape: Shape }, epsilon: number, target: Target) {
  const width = shape.at(-1)! % 4 === 0 ? 4 : 1;
  const source = { file: 'normalization.cu', defines: { WIDTH: width } };
  const cut = { width, threads: REDUCTION_THREADS };
  const reduction = reductionOf(...rowsAndColumns(shape, 'channel'), target, cut);
  const count = sizeOf(shape) / width;
  const vectors = shape.at(-1)! / width;
  const size = { grid: ceilDivide(count, THREADS * UNROLL), block: THREADS };
  const elements = { ...integers({ count, vectors }), ...floats({ epsilon }) };
  return {
    way: width === 4 ? 'four channels at a time' : 'one channel at a time',
    reduction,
    moments: (places: Places, at: Operands): KernelLaunch =>
      reduce(source, 'moments', reduction, addresses(places), at),
    /** `places`: x, gamma, beta, mean, variance; `other`: what is added, null where nothing is. */
    normalize: (places: Places, other: Address, y: Address, rectified: boolean): KernelLaunch =>
      launch(source, 'normalize', size, {
        ...addresses({ ...places, other, y }),
        ...elements,
        ...integers({ rectified: rectified ? 1 : 0 }),
      }),
    /** `places`: g, x, gamma, beta where the gradient is behind a relu, mean, variance, dgamma, dbeta. */
    gradient: (places: Places, dx: Address, at: Operands): KernelLaunch[] => {
      const prefix = 'beta' in places ? 'rectified_' : '';
      const sums = { ...addresses(places), ...floats({ epsilon }) };
      return [
        reduce(source, `${prefix}gradient_sums`, reduction, sums, at),
        launch(source, `${prefix}normalize_gradient`, size, {
          ...addresses({ ...places, dx }),
          ...elements,
          ...floats({ inverseRows: 1 / reduction.rows }),
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
): Lowered {
  const kernels = kernelsFor(x!, epsilon, target);
  return {
    ...reducing(kernels),
    launches: (at) => {
      const [g, x, gamma, mean, variance, beta] = at.inputs as [Address, Address, Address, Address, Address, Address?];
      const [dx, dgamma, dbeta] = at.outputs as [Address, Address, Address];
      const scales = { gamma, ...(beta === undefined ? {} : { beta }) };
      return kernels.gradient({ g, x, ...scales, mean, variance, dgamma, dbeta }, dx, at);
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
          kernels.moments({ x, mean, variance }, at),
          kernels.normalize({ x, gamma, beta, mean, variance }, 0n, y, false),
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
        return [kernels.normalize({ x, gamma, beta, mean, variance }, 0n, y!, false)];
      },
    };
  },

  batchNormGradient: gradient,
};

export const fusedNormalization: { readonly [Op in Fused]: Lowering<never, FusedNode<Op>> } = {
  moments: ({ inputs: [x], attributes: { epsilon } }, target) => {
    const kernels = kernelsFor(x!, epsilon, target);
    return {
      ...reducing(kernels),
      launches: (at) => {
        const [mean, variance] = at.outputs as [Address, Address];
        return [kernels.moments({ x: at.inputs[0]!, mean, variance }, at)];
      },
    };
  },

  normalize: ({ inputs, attributes: { epsilon, rectified } }, target) => {
    const kernels = kernelsFor(inputs[0]!, epsilon, target);
    const added = inputs.length > 5;
    const relu = added ? 'an addition and a relu' : 'a relu';
    return {
      path: pathOf(joinedWays, kernels.way, { behind: rectified ? relu : 'an addition' }),
      launches: ({ inputs, outputs: [y] }) => {
        const [x, gamma, beta, mean, variance, other] = inputs as [
          Address,
          Address,
          Address,
          Address,
          Address,
          Address?,
        ];
        return [kernels.normalize({ x, gamma, beta, mean, variance }, other ?? 0n, y!, rectified)];
      },
    };
  },

  rectifiedGradient: gradient,
};
