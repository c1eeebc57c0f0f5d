// The gradients of a depthwise layer through its multiplier's error, by look-ups in the table of slopes; see
// kernels/approximate-depthwise-slopes.cu.

import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import {
  aspectsOfPixels,
  depthwiseArgument,
  depthwiseDefines,
  isDepthwise,
  type PixelTiles,
  pixelAspects,
  pixelTiles,
} from './depthwise.ts';
import { type Convolution, ceilDivide, steps, stepsOf } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import type { Lowered } from './lowering.ts';

/** Channels of a block: one per lane. */
const CHANNELS = 32;
/** The gradient of weights: blocks for each multiprocessor, and the tiles that a warp sums at least. */
const BLOCKS = 8;
const TILES_OF_WARP = 4;
const ROWS = 2;
const THREADS = { weights: 256, input: 1024 } as const;

const common = { bits: CODE_BITS, channels: FILLING, multiplier: COUNTS, ...pixelAspects, ...steps } as const;
export const depthwiseWeightSlopeWays = {
  depthwise: { ...common, columns: ['1', '2', '4'], slabs: COUNTS },
} as const;
export const depthwiseInputSlopeWays = { depthwise: common } as const;

type Five = [Address, Address, Address, Address, Address];

function aspectsOf<C extends string>(
  g: Convolution,
  bits: number,
  tiles: PixelTiles,
  channels: number,
  [height, width]: readonly [number, number],
) {
  return {
    bits: codeBits(bits),
    channels: filling(channels, CHANNELS),
    multiplier: oneOrSeveral(g.outputs),
    ...aspectsOfPixels<C>(tiles, height, width),
    ...stepsOf(g),
  };
}

/** A row of slopes for each of a block's channels. */
const rowBytes = (activationBits: number) => 4 * CHANNELS * 2 ** activationBits;

export function depthwiseWeightSlopes(
  { attributes: { activationBits } }: Node<'axmErrorWeightGradient'>,
  g: Convolution,
  { multiprocessors }: Target,
): Lowered | undefined {
  if (!isDepthwise(g)) return undefined;
  const tiles = pixelTiles(g.n, g.oh, g.ow, ROWS);
  const across = ceilDivide(g.o, CHANNELS);
  const taps = g.kh * g.kw;
  const wanted = ceilDivide(BLOCKS * multiprocessors, across * taps);
  const slabs = Math.max(1, Math.min(wanted, ceilDivide(tiles.count, (THREADS.weights / 32) * TILES_OF_WARP)));
  const count = taps * g.o;
  const defines = { ...depthwiseDefines(g, tiles), ABITS: activationBits, THREADS: THREADS.weights, OF_WEIGHTS: 1 };
  const source = { file: 'approximate-depthwise-slopes.cu', defines };
  return {
    path: pathOf(depthwiseWeightSlopeWays, 'depthwise', {
      ...aspectsOf<'1' | '2' | '4'>(g, activationBits, tiles, g.o, [g.oh, g.ow]),
      slabs: oneOrSeveral(slabs),
    }),
    workspaceBytes: 4 * slabs * count,
    launches: ({ inputs, outputs: [dw], workspace: shares }) => {
      const [gradient, x, w, xScale, slopes] = inputs as Five;
      return [
        launch(
          source,
          'slope_shares',
          { grid: [across, slabs, taps], block: THREADS.weights, shared: rowBytes(activationBits) },
          {
            ...addresses({ g: gradient, x, w, slopes, shares }),
            p: depthwiseArgument(g, tiles, g.o),
            ...integers({ tiles: tiles.count }),
          },
        ),
        launch(
          source,
          'slope_totals',
          { grid: ceilDivide(count, 32), block: [32, 8] },
          { ...addresses({ shares, xScale, dw: dw! }), ...integers({ count, slabs }) },
        ),
      ];
    },
  };
}

export function depthwiseInputSlopes(
  { attributes: { activationBits } }: Node<'axmErrorInputGradient'>,
  g: Convolution,
): Lowered | undefined {
  if (!isDepthwise(g)) return undefined;
  const tiles = pixelTiles(g.n, g.h, g.w, ROWS, g.stride);
  const defines = { ...depthwiseDefines(g, tiles), ABITS: activationBits, THREADS: THREADS.input };
  const source = { file: 'approximate-depthwise-slopes.cu', defines };
  const down = Math.min(65535, ceilDivide(tiles.count, THREADS.input / 32));
  return {
    path: pathOf(depthwiseInputSlopeWays, 'depthwise', {
      ...aspectsOf<'1' | '2' | '3' | '4'>(g, activationBits, tiles, g.c, [g.h, g.w]),
    }),
    launches: ({ inputs, outputs: [dx] }) => {
      const [gradient, x, w, wScale, slopes] = inputs as Five;
      return [
        launch(
          source,
          'slope_inputs',
          { grid: [ceilDivide(g.c, CHANNELS), down], block: THREADS.input, shared: rowBytes(activationBits) },
          {
            ...addresses({ g: gradient, x, w, wScale, slopes, dx: dx! }),
            p: depthwiseArgument(g, tiles, g.c),
            ...integers({ tiles: tiles.count }),
          },
        ),
      ];
    },
  };
}
