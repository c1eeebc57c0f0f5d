// Depthwise convolutions with an approximate multiplier by kernels without matrix units: how the product of a tap is
// found, and the launches; see kernels/approximate-depthwise.cu. Results are those of the products of planes and of the
// look-ups that other layers take, to the last bit where sums are integers.

import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { zeroPoints } from './approximate-codes.ts';
import { constantProducts } from './approximate-table.ts';
import {
  aspectsOfPixels,
  depthwiseArgument,
  depthwiseDefines,
  isDepthwise,
  pixelAspects,
  pixelTiles,
  rowsOfTile,
} from './depthwise.ts';
import { type Convolution, ceilDivide, steps, stepsOf } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import type { Lowered } from './lowering.ts';

/** Channels of a block: one per lane. */
const CHANNELS = 32;
/** Shared memory up to which several blocks share a multiprocessor; with more, one block of many threads has it all. */
const SMALL = 48 * 1024;
/** Blocks for each multiprocessor, and the tiles of a warp that pay for the preparation of a block. */
const BLOCKS = 8;
const TILES_OF_WARP = 4;

export const depthwiseApproximateWays = {
  depthwise: {
    products: ['exact', 'by halves of codes', '16 bits', '32 bits'],
    bits: CODE_BITS,
    block: ['256 threads', '1024 threads'],
    slabs: COUNTS,
    channels: FILLING,
    multiplier: COUNTS,
    ...pixelAspects,
    columns: ['1', '2', '4'],
    ...steps,
  },
} as const;

/** How AxM(w, x) is found: the kernel's PRODUCTS, the macros and the shared memory that it takes. */
interface Products {
  readonly name: (typeof depthwiseApproximateWays.depthwise.products)[number];
  readonly defines: Readonly<Record<string, number>>;
  readonly sharedBytes: number;
  readonly constant?: Uint16Array;
}

function productsOf(node: Node<'axmConv2d'>, g: Convolution, { sharedBytesPerBlock }: Target): Products | undefined {
  const { weightBits: WBITS, activationBits: ABITS, error } = node.attributes;
  if (error.kind === 'none') return { name: 'exact', defines: { PRODUCTS: 0 }, sharedBytes: 0 };
  if (error.kind === 'removal') {
    const entries = 2 ** Math.min(ABITS, 4) + (ABITS > 4 ? 2 ** (ABITS - 4) : 0);
    const sharedBytes = 4 * CHANNELS * entries * g.kh * g.kw;
    if (sharedBytes > sharedBytesPerBlock) return undefined;
    return { name: 'by halves of codes', defines: { PRODUCTS: 1, WBITS, ABITS }, sharedBytes };
  }
  // Whoever asks for factors gets them.
  if (error.emulation === 'lowrank') return undefined;
  const constant = constantProducts(node);
  const sharedBytes = 2 * 2 ** (WBITS + ABITS);
  if (constant && sharedBytes <= sharedBytesPerBlock)
    return { name: '16 bits', defines: { PRODUCTS: 2, WBITS, ABITS }, sharedBytes, constant };
  return { name: '32 bits', defines: { PRODUCTS: 3, ABITS }, sharedBytes: 0 };
}

/** The product of a depthwise layer; undefined where it is left to the kernels of all layers. */
export function depthwiseApproximate(node: Node<'axmConv2d'>, g: Convolution, target: Target): Lowered | undefined {
  const products = isDepthwise(g) ? productsOf(node, g, target) : undefined;
  if (!products) return undefined;
  const tiles = pixelTiles(g.n, g.oh, g.ow, rowsOfTile(g));
  const across = ceilDivide(g.o, CHANNELS);
  const whole = products.sharedBytes > SMALL;
  const threads = whole ? 1024 : 256;
  // Blocks that have a multiprocessor to themselves should all run at once.
  const wanted = whole
    ? Math.floor(target.multiprocessors / across)
    : ceilDivide(BLOCKS * target.multiprocessors, across);
  const slabs = Math.max(1, Math.min(wanted, ceilDivide(tiles.count, (threads / 32) * TILES_OF_WARP)));
  const source = {
    file: 'approximate-depthwise.cu',
    defines: { ...depthwiseDefines(g, tiles), ...products.defines, THREADS: threads },
  };
  return {
    path: pathOf(depthwiseApproximateWays, 'depthwise', {
      products: products.name,
      bits: codeBits(node.attributes.activationBits),
      block: whole ? '1024 threads' : '256 threads',
      slabs: oneOrSeveral(slabs),
      channels: filling(g.o, CHANNELS),
      multiplier: oneOrSeveral(g.outputs),
      ...aspectsOfPixels<'1' | '2' | '4'>(tiles, g.oh, g.ow),
      ...stepsOf(g),
    }),
    launches: ({ inputs, outputs: [y], memory }) => {
      const [x, w, xScale, xZero, wScale, wZero, error] = inputs as [Address, ...Address[]] & Address[];
      const given = products.constant ? memory.place(products.constant) : (error ?? 0n);
      return [
        launch(
          source,
          'product',
          { grid: [across, slabs], block: threads, shared: products.sharedBytes },
          {
            ...addresses({ x, w: w!, given }),
            zero: zeroPoints(xScale!, xZero!, wScale!, wZero!),
            ...addresses({ y: y! }),
            p: depthwiseArgument(g, tiles, g.o),
            ...integers({ tiles: tiles.count }),
          },
        ),
      ];
    },
  };
}
