// Convolutions of f32 tensors: which product, which tile, how a long sum is cut into parts; see kernels/convolution.cu.

import type { Node } from '../../graph.ts';
import type { Address } from '../driver.ts';
import { type Convolution, ceilDivide, convolutionOf, geometryArgument, roundUp, type Tile } from '../geometry.ts';
import { address, i32, type KernelLaunch, launch, type Target } from '../launch.ts';
import type { Lowering, Lowerings, Operands } from './lowering.ts';

const FORWARD = 0;
const INPUT_GRADIENT = 1;
const WEIGHT_GRADIENT = 2;
type Mode = typeof FORWARD | typeof INPUT_GRADIENT | typeof WEIGHT_GRADIENT;

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

const width = (channels: number): number => (channels % 4 === 0 ? 4 : 1);

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
  const count = resultCount(mode, g);
  const args = [address(scratch), address(result), i32(count), i32(parts)];
  return [product, launch(source, 'sum_parts', Math.min(2048, ceilDivide(count, 256)), 256, args)];
}

function lowering<K extends 'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'>(
  productOf: (node: Node<K>) => Product,
): Lowering<K> {
  return {
    scratchBytes: (node, target) => partBytes(productOf(node), target),
    launches: (node, operands, target) => convolve(productOf(node), operands, target),
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

const inputGradient: Lowering<'conv2dInputGradient'> = {
  scratchBytes: (node, target) => {
    const whole = inputGradientOf(node);
    const taps = byTaps(whole.geometry);
    if (!taps) return partBytes(whole, target);
    return roundUp(4 * resultCount(taps.mode, taps.geometry), 256) + partBytes(taps, target);
  },
  launches: (node, operands, target) => {
    const whole = inputGradientOf(node);
    const taps = byTaps(whole.geometry);
    if (!taps) return convolve(whole, operands, target);
    const { inputs, outputs, scratch } = operands;
    const parts = scratch + BigInt(roundUp(4 * resultCount(taps.mode, taps.geometry), 256));
    const { h, w, n, c } = whole.geometry;
    const collect = [...[scratch, ...outputs].map(address), geometryArgument(whole.geometry), i32(n * h * w * c)];
    const product = convolve(taps, { inputs, outputs: [scratch], scratch: parts }, target);
    return [...product, launch(product[0]!.source, 'collect_taps', ceilDivide(n * h * w * c, 256), 256, collect)];
  },
};

function inputGradientOf({ inputs: [g, w], outputs: [dx], attributes }: Node<'conv2dInputGradient'>): Product {
  return { mode: INPUT_GRADIENT, geometry: convolutionOf(dx!.shape, w!.shape, g!.shape, attributes) };
}

export const convolutionLowerings: Lowerings<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: lowering(({ inputs: [x, w], outputs: [y], attributes }) => ({
    mode: FORWARD,
    geometry: convolutionOf(x!.shape, w!.shape, y!.shape, attributes),
  })),
  conv2dInputGradient: inputGradient,
  conv2dWeightGradient: lowering(({ inputs: [x, g], attributes }) => ({
    mode: WEIGHT_GRADIENT,
    geometry: convolutionOf(x!.shape, attributes.weightShape, g!.shape, attributes),
  })),
};
