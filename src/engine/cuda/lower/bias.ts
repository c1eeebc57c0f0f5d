// Convolutions whose kernel adds a bias to each output channel (fuse.ts): lowered as those without it, the bias beside
// their operands. Their outputs are to the bit those of the two operations.

import { invariant } from '../../../tensor/errors.ts';
import type { Node } from '../../graph/graph.ts';
import { COUNTS, type Path, pathOf, type Ways } from '../../graph/paths.ts';
import { approximate } from './approximate.ts';
import { bitWays } from './approximate-bits.ts';
import { convolution } from './convolution.ts';
import type { FusedNode } from './fuse.ts';
import { FORWARD } from './geometry.ts';
import type { Lowering } from './lowering.ts';
import { pointwiseAspects } from './pointwise-f16.ts';

const products = { biasedConv2d: 'conv2d', biasedAxmConv2d: 'axmConv2d' } as const;
type Biased = keyof typeof products;

const { stores } = bitWays.bits;
const ofPlanes = { stores, groups: COUNTS } as const;
/** The ways of products that take a bias, in the aspects that the bias meets. */
export const biasedWays = {
  biasedConv2d: { pointwise: { block: pointwiseAspects(FORWARD).block } },
  biasedAxmConv2d: {
    bits: { tile: bitWays.bits.tile, stores },
    'planes, by warps': ofPlanes,
    'planes, by warpgroups': { stores },
    'factors, by warps': { stores },
    'factors, by warpgroups': { stores },
  },
} as const;

const lowering =
  <K extends Biased>(op: K): Lowering<never, FusedNode<K>> =>
  (node, target) => {
    const of = products[op];
    const lower = { ...convolution, ...approximate }[of] as Lowering;
    const product = lower({ ...node, op: of, inputs: node.inputs.slice(0, -1) } as Node, target);
    invariant(product.takesBias, `a bias for ${product.path.way}`);
    return {
      ...product,
      path: narrowed(biasedWays[op], product.path),
      launches: (at) => product.launches({ ...at, inputs: at.inputs.slice(0, -1), bias: at.inputs.at(-1)! }),
    };
  };

/** A path by the aspects that `ways` lists. */
function narrowed(ways: Ways, { way, aspects }: Path): Path {
  const listed = Object.keys(ways[way] ?? {});
  return pathOf(ways, way, Object.fromEntries(listed.map((aspect) => [aspect, aspects[aspect]!])));
}

export const biased: { readonly [K in Biased]: Lowering<never, FusedNode<K>> } = {
  biasedConv2d: lowering('biasedConv2d'),
  biasedAxmConv2d: lowering('biasedAxmConv2d'),
};
