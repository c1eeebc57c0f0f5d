// Batch norm and relu in front of a max pool as fuse.ts joins them: the tensor between them is not stored, neither
// forward nor its gradient. See kernels/pooled-normalization.cu.

import { sizeOf } from '../../../tensor/tensor.ts';
import { pathOf } from '../../graph/paths.ts';
import type { FusedNode } from './fuse.ts';
import { ceilDivide } from './geometry.ts';
import { type Address, addresses, floats, integers, launch } from './launch.ts';
import type { Lowering, WaysOf } from './lowering.ts';
import { kernelsFor, LIMITS, limitAspect, limitOf } from './normalization.ts';
import { TAPS, tapAspect, windowsOver } from './pooling.ts';
import { REDUCTION_ASPECTS, reductionAspects, reductionBytes } from './reduce.ts';

type Fused = 'normalizedMaxPool' | 'pooledGradient';

const FILE = 'pooled-normalization.cu';
const THREADS = 256;
/** Vectors that a thread reads at once: AT_ONCE of the kernels. */
const UNROLL = 2;

const forward = { taps: TAPS, ...LIMITS } as const;
const backward = { ...REDUCTION_ASPECTS, ...forward } as const;
const forwardWays = { 'four channels at a time': forward, 'one channel at a time': forward } as const;
const backwardWays = { 'four channels at a time': backward, 'one channel at a time': backward } as const;
export const pooledNormalizationWays: WaysOf<Fused> = {
  normalizedMaxPool: forwardWays,
  pooledGradient: backwardWays,
};

export const pooledNormalization: { readonly [Op in Fused]: Lowering<never, FusedNode<Op>> } = {
  normalizedMaxPool: ({ inputs: [x], outputs: [y], attributes: { pool, epsilon, relu } }) => {
    const { width, defines, argument } = windowsOver(x!.shape, y!.shape, pool);
    const count = sizeOf(y!.shape) / width;
    return {
      path: pathOf(forwardWays, width === 4 ? 'four channels at a time' : 'one channel at a time', {
        ...tapAspect(pool),
        ...limitAspect(relu),
      }),
      launches: ({ inputs, outputs: [to, taps] }) => {
        const [x, gamma, beta, mean, variance] = inputs as [Address, Address, Address, Address, Address];
        return [
          launch(
            { file: FILE, defines },
            'normalized_max_pool',
            { grid: ceilDivide(count, THREADS), block: THREADS },
            {
              ...addresses({ x, gamma, beta, mean, variance, y: to!, taps: taps! }),
              p: argument(y!.shape),
              ...integers({ count }),
              ...floats({ epsilon, limit: limitOf(relu) }),
            },
          ),
        ];
      },
    };
  },

  pooledGradient: ({ inputs: [g, , x], attributes: { pool, epsilon, relu } }, target) => {
    const kernels = kernelsFor(x!, epsilon, target);
    const { defines, argument } = windowsOver(x!.shape, g!.shape, pool);
    return {
      path: pathOf(backwardWays, kernels.way, {
        ...reductionAspects(kernels.reduction),
        ...tapAspect(pool),
        ...limitAspect(relu),
      }),
      workspaceBytes: reductionBytes(kernels.reduction),
      launches: (at) => {
        const [g, taps, image, gamma, mean, variance, beta] = at.inputs as [
          ...[Address, Address, Address, Address],
          ...[Address, Address, Address],
        ];
        const [dx, dgamma, dbeta] = at.outputs as [Address, Address, Address];
        const pooled = {
          ...{ source: { file: FILE, defines }, prefix: 'pooled_', unroll: UNROLL },
          arguments: { ...addresses({ g, taps }), p: argument(x!.shape) },
        };
        const places = { x: image, gamma, beta, mean, variance, dgamma, dbeta };
        return kernels.gradient(pooled, places, dx, at, relu);
      },
    };
  },
};
