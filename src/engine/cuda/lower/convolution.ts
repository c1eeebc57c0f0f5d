// Convolutions of f32 tensors: which product, which tile, how a long sum is cut into parts; see kernels/convolution.cu. Those that keep the
// size of the image have faster kernels where the device does (halves.ts).

import type { Node } from '../../graph/graph.ts';
import { COUNTS, oneOrSeveral, type Path, pathOf } from '../../graph/paths.ts';
import type { Address } from '../runtime/driver.ts';
import {
  type Convolution,
  ceilDivide,
  convolutionOf,
  FORWARD,
  geometryArgument,
  INPUT_GRADIENT,
  type Mode,
  roundUp,
  type Tile,
  WEIGHT_GRADIENT,
} from './geometry.ts';
import { halvesAspects, halvesOf } from './halves.ts';
import { address, i32, type KernelLaunch, launch, type Target } from './launch.ts';
import { type Lowering, type Lowerings, type Operands, sumParts } from './lowering.ts';

const precisions = { tf32: 0, bf16: 1, fp32: 2 } as const;
const STAGES = 3;
const STEP = 32;

interface ConvolutionTile extends Tile {
  /** 2: two groups of warps share a tile, one for each half of a stage. */
  readonly warpsK: 1 | 2;
  /** Blocks that share a multiprocessor: what registers and shared memory allow. */
  readonly minBlocks: number;
}

const tiles: readonly ConvolutionTile[] = [
  { rows: 128, columns: 128, warpsM: 2, warpsN: 4, warpsK: 1, minBlocks: 1 },
  { rows: 128, columns: 64, warpsM: 4, warpsN: 2, warpsK: 1, minBlocks: 2 },
  { rows: 64, columns: 64, warpsM: 2, warpsN: 2, warpsK: 2, minBlocks: 2 },
  { rows: 128, columns: 32, warpsM: 4, warpsN: 2, warpsK: 1, minBlocks: 3 },
  { rows: 128, columns: 16, warpsM: 4, warpsN: 1, warpsK: 1, minBlocks: 4 },
];

/** Rows and columns of the matrix product. */
function extent(mode: Mode, g: Convolution): { rows: number; columns: number } {
  if (mode === FORWARD) return { rows: g.pixels, columns: g.outputs };
  // Of the largest of the stride² classes of pixels.
  if (mode === INPUT_GRADIENT) {
    return { rows: g.n * ceilDivide(g.h, g.stride) * ceilDivide(g.w, g.stride), columns: g.inputs };
  }
  return { rows: g.inner, columns: g.outputs };
}

function sharedBytes(mode: Mode, { rows, columns }: Tile): number {
  const a = mode === WEIGHT_GRADIENT ? STEP * (rows + 8) : rows * (STEP + 4);
  const b = mode === INPUT_GRADIENT ? columns * (STEP + 4) : STEP * (columns + 8);
  return 4 * STAGES * (a + b);
}

interface Choice {
  readonly tile: ConvolutionTile;
  readonly blocks: number;
  /** How the inner range is cut. */
  readonly parts: number;
  readonly partLength: number;
  /** Classes of pixels of an input gradient. */
  readonly classes: number;
}

/** Products per second of one multiprocessor and bytes per second of the device, to weigh tiles against parts. */
const PRODUCT_RATE = 3.5e11;
const MEMORY_RATE = 3e12;

function innerOf(mode: Mode, g: Convolution): number {
  if (mode === FORWARD) return g.inner;
  return mode === INPUT_GRADIENT ? g.kh * g.kw * g.outputs : g.pixels;
}

function choose(mode: Mode, g: Convolution, { multiprocessors, sharedBytesPerBlock }: Target): Choice {
  const { rows, columns } = extent(mode, g);
  const inner = innerOf(mode, g);
  const classes = mode === INPUT_GRADIENT ? g.stride ** 2 : 1;
  const fitting = tiles.filter((tile) => sharedBytes(mode, tile) <= sharedBytesPerBlock - 4096);
  const blocksOf = (tile: ConvolutionTile) => ceilDivide(rows, tile.rows) * ceilDivide(columns, tile.columns);
  const choices = fitting.flatMap((tile) =>
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128].flatMap((wanted) => {
      const partLength = roundUp(ceilDivide(inner, wanted), STEP);
      const parts = ceilDivide(inner, partLength);
      if (parts > 1 && (classes > 1 || partLength < 8 * STEP)) return [];
      return [{ tile, blocks: blocksOf(tile), parts, partLength, classes }];
    }),
  );
  const cost = ({ tile, blocks, parts, partLength }: Choice): number => {
    const rounds = ceilDivide(blocks * parts * classes * g.groups, multiprocessors);
    // Loading the operands costs in proportion to the sides of the tile.
    const products = tile.rows * tile.columns + 24 * (tile.rows + tile.columns);
    const adding = parts > 1 ? (4 * (parts + 1) * rows * columns * g.groups) / MEMORY_RATE + 3e-6 : 0;
    return (rounds * products * (partLength / classes)) / PRODUCT_RATE + adding;
  };
  return choices.reduce((best, choice) => (cost(choice) < cost(best) ? choice : best));
}

const width = (channels: number): 1 | 4 => (channels % 4 === 0 ? 4 : 1);

const tileName = ({ rows, columns }: Tile) => `${rows}×${columns}`;
const widths = ['four values', 'one value'] as const;
const tiling = {
  tile: tiles.map(tileName),
  parts: COUNTS,
  first: widths,
  second: widths,
  columns: ['even', 'odd'],
  groups: COUNTS,
  stride: COUNTS,
  precision: ['tf32', 'bf16', 'fp32'],
} as const;

function tilingOf({ mode, geometry: g }: Product, target: Target) {
  const { tile, parts } = choose(mode, g, target);
  const of = (channels: number) => (width(channels) === 4 ? 'four values' : 'one value');
  return {
    tile: tileName(tile),
    parts: oneOrSeveral(parts),
    first: of(mode === INPUT_GRADIENT ? g.outputs : g.inputs),
    second: of(g.outputs),
    columns: extent(mode, g).columns % 2 === 0 ? 'even' : 'odd',
    groups: oneOrSeveral(g.groups),
    stride: oneOrSeveral(g.stride),
    precision: target.precision,
  } as const;
}

const ways = {
  [FORWARD]: { halves: halvesAspects(FORWARD), tiles: tiling },
  [INPUT_GRADIENT]: {
    halves: halvesAspects(INPUT_GRADIENT),
    tiles: tiling,
    'all taps at once': { parts: COUNTS, precision: tiling.precision },
  },
  [WEIGHT_GRADIENT]: { halves: halvesAspects(WEIGHT_GRADIENT), tiles: { ...tiling } },
} as const;

/** How a product is formed, with all that its lowering needs to know. */
function pathOfProduct({ mode, geometry }: Product, target: Target): Path {
  const halves = halvesOf(mode, geometry, target);
  if (halves) return pathOf(ways[mode], 'halves', halves.aspects);
  const taps = mode === INPUT_GRADIENT ? byTaps(geometry) : undefined;
  if (!taps) return pathOf(ways[mode], 'tiles', tilingOf({ mode, geometry }, target));
  const parts = oneOrSeveral(choose(taps.mode, taps.geometry, target).parts);
  return pathOf(ways[INPUT_GRADIENT], 'all taps at once', { parts, precision: target.precision });
}

interface Product {
  readonly mode: Mode;
  readonly geometry: Convolution;
}

/** Bytes for the results of the parts, where the inner range is cut. */
function partBytes({ mode, geometry }: Product, target: Target): number {
  const { parts } = choose(mode, geometry, target);
  return parts === 1 ? 0 : 4 * parts * resultCount(mode, geometry);
}

function resultCount(mode: Mode, g: Convolution): number {
  if (mode === FORWARD) return g.pixels * g.o;
  return mode === INPUT_GRADIENT ? g.n * g.h * g.w * g.c : g.inner * g.o;
}

/** The product of two operands in the order of the operation's inputs. */
function convolve(
  { mode, geometry: g }: Product,
  { inputs, outputs, scratch }: Operands,
  target: Target,
): KernelLaunch[] {
  const { tile, blocks, parts, partLength, classes } = choose(mode, g, target);
  const { columns } = extent(mode, g);
  const defines = {
    MODE: mode,
    BM: tile.rows,
    BN: tile.columns,
    WARPS_M: tile.warpsM,
    WARPS_N: tile.warpsN,
    WARPS_K: tile.warpsK,
    STAGES,
    // In f32 each operand is two, which takes more registers.
    MIN_BLOCKS: target.precision === 'fp32' ? 1 : tile.minBlocks,
    PRECISION: precisions[target.precision],
    VA: width(mode === INPUT_GRADIENT ? g.outputs : g.inputs),
    VB: width(g.outputs),
    PAIRS: columns % 2 === 0 ? 1 : 0,
  };
  const source = { file: 'convolution.cu', defines };
  const [a, b] = inputs as [Address, Address];
  const result = outputs[0]!;
  const product = launch(
    source,
    'convolve',
    [blocks, parts * classes, g.groups],
    32 * tile.warpsM * tile.warpsN * tile.warpsK,
    [...[a, b, parts === 1 ? result : scratch].map(address), geometryArgument(g), i32(partLength)],
    sharedBytes(mode, tile),
  );
  if (parts === 1) return [product];
  return [product, sumParts(scratch, result, resultCount(mode, g), parts)];
}

function lowering<K extends 'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'>(
  mode: Mode,
  geometryOf: (node: Node<K>) => Convolution,
): Lowering<K> {
  const productOf = (node: Node<K>): Product => ({ mode, geometry: geometryOf(node) });
  return {
    ways: ways[mode],
    path: (node, target) => pathOfProduct(productOf(node), target),
    scratchBytes: (node, target) => {
      const { mode, geometry } = productOf(node);
      const halves = halvesOf(mode, geometry, target);
      if (halves) return halves.scratchBytes;
      const taps = mode === INPUT_GRADIENT ? byTaps(geometry) : undefined;
      return taps ? tapBytes(taps) + partBytes(taps, target) : partBytes({ mode, geometry }, target);
    },
    launches: (node, operands, target) => {
      const { mode, geometry } = productOf(node);
      const halves = halvesOf(mode, geometry, target);
      if (halves) return halves.launches(operands);
      const taps = mode === INPUT_GRADIENT ? byTaps(geometry) : undefined;
      return taps ? convolveTaps(taps, geometry, operands, target) : convolve({ mode, geometry }, operands, target);
    },
  };
}

/**
 * The input gradient of an image with few channels: its tiles would be mostly empty and read each gradient once per tap. One product of all
 * taps' weights, taken as channels of a 1×1 convolution, reads each gradient once; then each pixel collects what its windows hold for it.
 */
const MOST_TAP_CHANNELS = 64;

function byTaps(g: Convolution): Product | undefined {
  const c = g.kh * g.kw * g.c;
  if (g.groups > 1 || g.kh * g.kw === 1 || c > MOST_TAP_CHANNELS) return undefined;
  const { n, oh, ow, o, outputs } = g;
  const geometry = { n, h: oh, w: ow, c, oh, ow, o, kh: 1, kw: 1, inputs: c, outputs, pixels: g.pixels, inner: c };
  return { mode: INPUT_GRADIENT, geometry: { ...geometry, stride: 1, padding: 0, groups: 1 } };
}

const tapBytes = ({ mode, geometry }: Product): number => roundUp(4 * resultCount(mode, geometry), 256);

function convolveTaps(taps: Product, g: Convolution, { inputs, outputs, scratch }: Operands, target: Target) {
  const parts = scratch + BigInt(tapBytes(taps));
  const product = convolve(taps, { inputs, outputs: [scratch], scratch: parts }, target);
  const count = g.n * g.h * g.w * g.c;
  const collect = [...[scratch, ...outputs].map(address), geometryArgument(g), i32(count)];
  return [...product, launch(product[0]!.source, 'collect_taps', ceilDivide(count, 256), 256, collect)];
}

export const convolutionLowerings: Lowerings<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: lowering(FORWARD, ({ inputs: [x, w], outputs: [y], attributes }) =>
    convolutionOf(x!.shape, w!.shape, y!.shape, attributes),
  ),
  conv2dInputGradient: lowering(INPUT_GRADIENT, ({ inputs: [g, w], outputs: [dx], attributes }) =>
    convolutionOf(dx!.shape, w!.shape, g!.shape, attributes),
  ),
  conv2dWeightGradient: lowering(WEIGHT_GRADIENT, ({ inputs: [x, g], attributes }) =>
    convolutionOf(x!.shape, attributes.weightShape, g!.shape, attributes),
  ),
};
