// Gradients of the weights and of a trained structure of a depthwise layer; see
// kernels/approximate-depthwise-gradients.cu.

import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import {
  aspectsOfPixels,
  depthwiseArgument,
  depthwiseDefines,
  isDepthwise,
  pixelAspects,
  pixelTiles,
} from './depthwise.ts';
import { type Convolution, ceilDivide, steps, stepsOf } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';

const THREADS = 256;
const CHANNELS = 32;
/** Blocks for each multiprocessor, and the tiles that a warp sums at least. */
const BLOCKS = 8;
const TILES_OF_WARP = 4;

export const depthwisePlaneGradientWays = {
  depthwise: {
    bits: CODE_BITS,
    slabs: COUNTS,
    channels: FILLING,
    multiplier: COUNTS,
    ...pixelAspects,
    ...{ rows: ['one'], columns: ['1', '2', '4'] },
    ...steps,
  },
} as const;

/** The gradients of a depthwise layer; undefined for others. */
export function depthwisePlaneGradients(
  node: Node<'axmConv2dGradients'>,
  g: Convolution,
  { multiprocessors }: Target,
): Lowered | undefined {
  if (!isDepthwise(g)) return undefined;
  const { weightBits, activationBits } = node.attributes;
  const tiles = pixelTiles(g.n, g.oh, g.ow, 1);
  const across = ceilDivide(g.o, CHANNELS);
  const wanted = ceilDivide(BLOCKS * multiprocessors, across * g.kh);
  const slabs = Math.max(1, Math.min(wanted, ceilDivide(tiles.count, (THREADS / 32) * TILES_OF_WARP)));
  const count = g.kh * g.kw * g.o;
  const planes = activationBits + 1;
  const source = {
    file: 'approximate-depthwise-gradients.cu',
    defines: { ...depthwiseDefines(g, tiles), WBITS: weightBits, ABITS: activationBits },
  };
  const layout = new Layout();
  const sharesAt = layout.take(4 * slabs * planes * count);
  const hAt = layout.take(4 * planes * count);
  return {
    path: pathOf(depthwisePlaneGradientWays, 'depthwise', {
      bits: codeBits(activationBits),
      slabs: oneOrSeveral(slabs),
      channels: filling(g.o, CHANNELS),
      multiplier: oneOrSeveral(g.outputs),
      ...aspectsOfPixels<'1' | '2' | '4'>(tiles, g.oh, g.ow),
      rows: 'one',
      ...stepsOf(g),
    }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs, outputs, workspace }) => {
      const [gradient, x, w, xScale, xZero, wScale] = inputs as [Address, Address, Address, Address, Address, Address];
      const [dw, dm] = outputs as [Address, Address];
      const [shares, h] = [workspace + sharesAt, workspace + hAt];
      return [
        launch(
          source,
          'plane_shares',
          { grid: [across, slabs, g.kh], block: THREADS },
          {
            ...addresses({ x, g: gradient, shares }),
            p: depthwiseArgument(g, tiles, g.o),
            ...integers({ tiles: tiles.count }),
          },
        ),
        launch(
          source,
          'plane_totals',
          { grid: ceilDivide(count, 32), block: [32, 8] },
          { ...addresses({ shares, xScale, xZero, h, dw }), ...integers({ count, slabs }) },
        ),
        launch(
          source,
          'structure_gradient',
          { grid: activationBits, block: THREADS },
          { ...addresses({ h, w, xScale, wScale, dm }), ...integers({ count, outputs: g.o }) },
        ),
      ];
    },
  };
}
