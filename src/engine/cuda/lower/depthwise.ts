// Depthwise convolutions (one input channel per group) by kernels without matrix units: which geometries have them, the
// tile of pixels of a thread, and the launches of f32 products; see kernels/depthwise.cu. Those with an approximate
// multiplier are in approximate-depthwise.ts.

import { COUNTS, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import {
  type Convolution,
  ceilDivide,
  dividerArgument,
  FORWARD,
  INPUT_GRADIENT,
  type Mode,
  steps,
  stepsOf,
  WEIGHT_GRADIENT,
} from './geometry.ts';
import type { KernelSource } from './launch.ts';
import { type Argument, addresses, integers, launch, struct, type Target } from './launch.ts';
import type { Lowered } from './lowering.ts';

const THREADS = 256;
/** Loops over taps unroll: larger windows, and steps that need larger tiles, are left to the products of tiles. */
const MOST_TAPS = 49;
const MOST_STRIDE = 4;
const MOST_DILATION = 4;
/** With more outputs per channel tiles of matrix products fill up. */
const MOST_OUTPUTS = 4;
/** Taps up to which a thread has two rows of pixels. */
const FEW_TAPS = 9;

/** Whether a convolution is one that these kernels do. */
export function isDepthwise({ groups, inputs, outputs, kh, kw, stride, dilation }: Convolution): boolean {
  const [mostStride, mostDilation] = [Math.max(...stride), Math.max(...dilation)];
  if (groups === 1 || inputs > 1 || outputs > MOST_OUTPUTS) return false;
  return kh * kw <= MOST_TAPS && mostStride <= MOST_STRIDE && mostDilation <= MOST_DILATION;
}

/** Pixels of a thread, and the tiles of them in all images. */
export interface PixelTiles {
  readonly rows: number;
  readonly columns: number;
  readonly alongRow: number;
  readonly alongColumn: number;
  readonly count: number;
}

/** Tiles of an image of `height` × `width` pixels in multiples of `unit`; `mostRows`: of a tile, were the unit 1. */
export function pixelTiles(
  n: number,
  height: number,
  width: number,
  mostRows: number,
  unit: readonly [number, number] = [1, 1],
): PixelTiles {
  // A tile of four columns is worth it from three on.
  const inUnits = (wanted: number, by: number) => by * Math.max(1, Math.floor(wanted / by));
  const rows = inUnits(Math.min(height, mostRows), unit[0]);
  const columns = inUnits(width > 2 ? 4 : width, unit[1]);
  const [alongRow, alongColumn] = [ceilDivide(width, columns), ceilDivide(height, rows)];
  return { rows, columns, alongRow, alongColumn, count: n * alongRow * alongColumn };
}

export const rowsOfTile = ({ kh, kw }: Convolution): number => (kh * kw <= FEW_TAPS ? 2 : 1);

/** The macros of kernels/depthwise.cuh. */
export function depthwiseDefines(g: Convolution, { rows, columns }: PixelTiles) {
  const [[STRIDE_Y, STRIDE_X], [DILATION_Y, DILATION_X], [PADDING_Y, PADDING_X]] = [g.stride, g.dilation, g.padding];
  return {
    ...{ KH: g.kh, KW: g.kw, STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X, PADDING_Y, PADDING_X },
    ...{ MULTIPLIER: g.outputs, ROWS: rows, COLUMNS: columns },
  };
}

/** The kernels' `Depthwise`; `vectors`: of the channels of a pixel. */
export function depthwiseArgument(g: Convolution, { alongRow, alongColumn }: PixelTiles, vectors: number): Argument {
  const { n, h, w, c, oh, ow, o } = g;
  return struct({
    ...integers({ n, h, w, c, oh, ow, o }),
    byChannels: dividerArgument(vectors),
    byColumns: dividerArgument(alongRow),
    byRows: dividerArgument(alongColumn),
  });
}

export const pixelAspects = { rows: COUNTS, columns: ['1', '2', '3', '4'], pixels: FILLING } as const;
export const aspectsOfPixels = <C extends string>({ rows, columns }: PixelTiles, height: number, width: number) => ({
  rows: oneOrSeveral(rows),
  columns: `${columns}` as C,
  pixels: filling(height, rows) === 'whole' ? filling(width, columns) : 'in part',
});

const common = { vectors: ['four channels', 'one channel'], multiplier: COUNTS, ...pixelAspects, ...steps } as const;
const ofOutputs = { ...common, columns: ['1', '2', '4'] } as const;
export const depthwiseWays = {
  [FORWARD]: { depthwise: ofOutputs },
  // Tiles of three columns are those of stride 3.
  [INPUT_GRADIENT]: { depthwise: common },
  [WEIGHT_GRADIENT]: {
    depthwise: { ...ofOutputs, slabs: COUNTS, taps: ['all at once', 'by rows'], channels: FILLING },
  },
} as const;

/** One product of a depthwise convolution; operands as in `productOf` of convolution.ts. */
export function depthwiseProduct(mode: Mode, g: Convolution, target: Target): Lowered {
  if (mode === WEIGHT_GRADIENT) return weightGradient(g, target);
  const gradient = mode === INPUT_GRADIENT;
  const [height, width, channels] = gradient ? [g.h, g.w, g.c] : [g.oh, g.ow, g.o];
  const tiles = pixelTiles(g.n, height, width, rowsOfTile(g), gradient ? g.stride : [1, 1]);
  const vector = vectorOf(g);
  const vectors = channels / vector;
  const count = tiles.count * vectors;
  const defines = { MODE: mode, ...depthwiseDefines(g, tiles), WIDTH: vector };
  const names = gradient ? (['input_gradient', 'g', 'dx'] as const) : (['forward', 'x', 'y'] as const);
  return {
    path: pathOf(depthwiseWays[mode], 'depthwise', aspectsOf<'1' | '2' | '4'>(g, tiles, height, width)),
    launches: ({ inputs: [a, w], outputs: [result] }) => {
      const [name, source, to] = names;
      return [
        launch(
          { file: 'depthwise.cu', defines },
          name,
          { grid: ceilDivide(count, THREADS), block: THREADS },
          {
            ...addresses({ [source]: a!, w: w!, [to]: result! }),
            p: depthwiseArgument(g, tiles, vectors),
            ...integers({ count }),
          },
        ),
      ];
    },
  };
}

const vectorOf = ({ c }: Convolution): 1 | 4 => (c % 4 === 0 ? 4 : 1);

const aspectsOf = <C extends string>(g: Convolution, tiles: PixelTiles, height: number, width: number) =>
  ({
    vectors: vectorOf(g) === 4 ? 'four channels' : 'one channel',
    multiplier: oneOrSeveral(g.outputs),
    ...aspectsOfPixels<C>(tiles, height, width),
    ...stepsOf(g),
  }) as const;

/** Vectors of a block: the largest power of two that leaves few threads idle. */
function vectorsOfBlock(vectors: number): number {
  const waste = (tile: number) => (ceilDivide(vectors, tile) * tile) / vectors;
  return [32, 16, 8, 4, 2, 1].find((tile) => waste(tile) <= 1.15)!;
}

/** Tiles that a thread of the weight gradient sums at least, and blocks for each multiprocessor. */
const TILES_OF_THREAD = 2;
const BLOCKS = 4;

function weightGradient(g: Convolution, { multiprocessors }: Target): Lowered {
  const tiles = pixelTiles(g.n, g.oh, g.ow, rowsOfTile(g));
  const vector = vectorOf(g);
  const vectors = g.o / vector;
  const tile = vectorsOfBlock(vectors);
  const rowsOfTaps = g.kh * g.kw <= FEW_TAPS ? g.kh : 1;
  const [across, deep] = [ceilDivide(vectors, tile), g.kh / rowsOfTaps];
  const wanted = ceilDivide(BLOCKS * multiprocessors, across * deep);
  const slabs = Math.max(1, Math.min(wanted, Math.floor(tiles.count / ((THREADS / tile) * TILES_OF_THREAD))));
  const count = g.kh * g.kw * g.o;
  const defines = { MODE: WEIGHT_GRADIENT, ...depthwiseDefines(g, tiles), WIDTH: vector };
  const source: KernelSource = { file: 'depthwise.cu', defines: { ...defines, TAPS_Y: rowsOfTaps, TILE: tile } };
  return {
    path: pathOf(depthwiseWays[WEIGHT_GRADIENT], 'depthwise', {
      ...aspectsOf<'1' | '2' | '4'>(g, tiles, g.oh, g.ow),
      slabs: oneOrSeveral(slabs),
      taps: deep === 1 ? 'all at once' : 'by rows',
      channels: filling(vectors, tile),
    }),
    workspaceBytes: 4 * slabs * count,
    launches: ({ inputs: [x, gradient], outputs: [dw], workspace: shares }) => [
      launch(
        source,
        'weight_shares',
        { grid: [across, slabs, deep], block: THREADS },
        {
          ...addresses({ x: x!, g: gradient!, shares }),
          p: depthwiseArgument(g, tiles, vectors),
          ...integers({ vectors, tiles: tiles.count }),
        },
      ),
      launch(
        source,
        'add_shares',
        { grid: ceilDivide(count, 32), block: [32, 8] },
        { ...addresses({ shares, dw: dw! }), ...integers({ count, slabs }) },
      ),
    ],
  };
}
