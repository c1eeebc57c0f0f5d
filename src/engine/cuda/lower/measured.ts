// Convolutions whose kernels form the moments of each output channel (fuse.ts): lowered as those without them, which go
// beside their output. The output is to the bit that of the convolution alone, but for sums of eight parts and more.

import { invariant } from '../../../tensor/errors.ts';
import { pathOf, type Ways } from '../../graph/paths.ts';
import { convolution } from './convolution.ts';
import type { FusedNode } from './fuse.ts';
import type { Address } from './launch.ts';
import type { Lowering } from './lowering.ts';
import { MOVED, momentWays, movedAspect, movedAverages } from './moments.ts';

/** The ways in which moments are formed, with whose product they are of. */
const ways = {
  'the sum of parts': {
    ...momentWays['the sum of parts'],
    ...{ product: ['f16', 'pointwise', 'tiles'], averages: MOVED },
  },
  'each tile': { ...momentWays['each tile'], product: ['f16', 'pointwise'], averages: MOVED },
} as const satisfies Ways;
export const measuredWays = { measuredConv2d: ways } as const;

export const measured: { readonly measuredConv2d: Lowering<never, FusedNode<'measuredConv2d'>> } = {
  measuredConv2d: (node, target) => {
    const { averages = [], ...attributes } = node.attributes;
    const [x, w] = node.inputs;
    const of = { ...node, op: 'conv2d', attributes, inputs: [x!, w!], outputs: node.outputs.slice(0, 1) } as const;
    const product = convolution.conv2d(of, target);
    invariant(product.formsMoments, `moments by ${product.path.way}`);
    const { way, aspects } = product.formsMoments;
    return {
      ...product,
      path: pathOf<Ways, string>(ways, way, { ...aspects, product: product.path.way, averages: movedAspect(averages) }),
      launches: (at) => {
        const [x, w, ...before] = at.inputs as [Address, Address, ...Address[]];
        const [y, mean, variance, ...to] = at.outputs as [Address, Address, Address, ...Address[]];
        const moments = { mean, variance, averages: movedAverages(averages, before, to) };
        return product.launches({ ...at, inputs: [x, w], outputs: [y], moments });
      },
    };
  },
};
