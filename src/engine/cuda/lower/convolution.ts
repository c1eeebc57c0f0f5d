// Convolutions of f32 tensors: which product, which tile, how a long sum is cut into parts; see kernels/convolution.cu.
// Depthwise ones have kernels of their own (depthwise.ts), and so have, where the device can, those that keep the
// size of the image (convolution-f16.ts) and those of a single tap (pointwise-f16.ts). The gradients through the error
// of an approximate multiplier are such products too (approximate-slopes.ts).

import { invariant } from '../../../tensor/errors.ts';
import type { Node, Value } from '../../graph/graph.ts';
import type { OpAttributes } from '../../graph/ops.ts';
import { COUNTS, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { square } from '../../graph/window.ts';
import { f16Aspects, f16GradientOfCodes, f16ProductOf } from './convolution-f16.ts';
import { depthwiseProduct, depthwiseWays, isDepthwise } from './depthwise.ts';
import type { FusedNode } from './fuse.ts';
import {
  type Convolution,
  ceilDivide,
  convolutionOf,
  FORWARD,
  geometryArgument,
  INPUT_GRADIENT,
  type Mode,
  roundUp,
  steps,
  stepsOf,
  type Tile,
  WEIGHT_GRADIENT,
} from './geometry.ts';
import type { KernelSource } from './launch.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import type { Lowered, Lowering, Lowerings, WaysOf } from './lowering.ts';
import { summationOf } from './moments.ts';
import { pointwiseAspects, pointwiseGradientOfCodes, pointwiseProductOf } from './pointwise-f16.ts';

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
  // Of the largest of the classes of pixels.
  if (mode === INPUT_GRADIENT) {
    const [strideY, strideX] = g.stride;
    return { rows: g.n * ceilDivide(g.h, strideY) * ceilDivide(g.w, strideX), columns: g.inputs };
  }
  return { rows: g.inner, columns: g.outputs };
}

function sharedBytes(mode: Mode, { rows, columns }: Tile): number {
  const a = mode === WEIGHT_GRADIENT ? STEP * (rows + 8) : rows * (STEP + 4);
  const b = mode === INPUT_GRADIENT ? columns * (STEP + 4) : STEP * (columns + 8);
  return 4 * STAGES * (a + b);
}

/** How a product is cut: its tile, and the parts of its inner range, each with its own result. */
interface Cut {
  readonly tile: ConvolutionTile;
  readonly blocks: number;
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

function cutOf(mode: Mode, g: Convolution, { multiprocessors, sharedBytesPerBlock }: Target): Cut {
  const { rows, columns } = extent(mode, g);
  const inner = innerOf(mode, g);
  const classes = mode === INPUT_GRADIENT ? g.stride[0] * g.stride[1] : 1;
  const fitting = tiles.filter((tile) => sharedBytes(mode, tile) <= sharedBytesPerBlock - 4096);
  const blocksOf = (tile: ConvolutionTile) => ceilDivide(rows, tile.rows) * ceilDivide(columns, tile.columns);
  const cuts = fitting.flatMap((tile) =>
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128].flatMap((wanted) => {
      const partLength = roundUp(ceilDivide(inner, wanted), STEP);
      const parts = ceilDivide(inner, partLength);
      if (parts > 1 && (classes > 1 || partLength < 8 * STEP)) return [];
      return [{ tile, blocks: blocksOf(tile), parts, partLength, classes }];
    }),
  );
  const cost = ({ tile, blocks, parts, partLength }: Cut): number => {
    const rounds = ceilDivide(blocks * parts * classes * g.groups, multiprocessors);
    // Loading the operands costs in proportion to the sides of the tile.
    const products = tile.rows * tile.columns + 24 * (tile.rows + tile.columns);
    const adding = parts > 1 ? (4 * (parts + 1) * rows * columns * g.groups) / MEMORY_RATE + 3e-6 : 0;
    return (rounds * products * (partLength / classes)) / PRODUCT_RATE + adding;
  };
  return cuts.reduce((best, cut) => (cost(cut) < cost(best) ? cut : best));
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
  ...steps,
  precision: ['tf32', 'bf16', 'fp32'],
} as const;

function f16Ways(mode: Mode) {
  return { f16: f16Aspects(mode), pointwise: pointwiseAspects(mode) };
}

const ways = {
  [FORWARD]: { ...depthwiseWays[FORWARD], ...f16Ways(FORWARD), tiles: tiling },
  [INPUT_GRADIENT]: {
    ...depthwiseWays[INPUT_GRADIENT],
    ...f16Ways(INPUT_GRADIENT),
    tiles: tiling,
    'all taps at once': { parts: COUNTS, precision: [...tiling.precision, 'f16'] },
  },
  [WEIGHT_GRADIENT]: { ...depthwiseWays[WEIGHT_GRADIENT], ...f16Ways(WEIGHT_GRADIENT), tiles: { ...tiling } },
} as const;

export const convolutionWays: WaysOf<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: ways[FORWARD],
  conv2dInputGradient: ways[INPUT_GRADIENT],
  conv2dWeightGradient: ways[WEIGHT_GRADIENT],
};

function resultCount(mode: Mode, g: Convolution): number {
  if (mode === FORWARD) return g.pixels * g.o;
  return mode === INPUT_GRADIENT ? g.n * g.h * g.w * g.c : g.inner * g.o;
}

/** One product of a convolution; its operands are in the order of the operation's inputs: x, w; g, w; or x, g. */
export function productOf(mode: Mode, g: Convolution, target: Target): Lowered {
  if (isDepthwise(g)) return depthwiseProduct(mode, g, target);
  const f16 = f16ProductOf(mode, g, target);
  if (f16) return { ...f16, path: pathOf(ways[mode], 'f16', f16.aspects) };
  const pointwise = pointwiseProductOf(mode, g, target);
  if (pointwise) return { ...pointwise, path: pathOf(ways[mode], 'pointwise', pointwise.aspects) };
  return (mode === INPUT_GRADIENT ? byTaps(g, target) : undefined) ?? byTiles(mode, g, target);
}

function byTiles(mode: Mode, g: Convolution, target: Target): TiledProduct {
  const { tile, blocks, parts, partLength, classes } = cutOf(mode, g, target);
  const evenColumns = extent(mode, g).columns % 2 === 0;
  const [widthA, widthB] = [width(mode === INPUT_GRADIENT ? g.outputs : g.inputs), width(g.outputs)];
  const widthName = (values: 1 | 4) => (values === 4 ? 'four values' : 'one value');
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
    VA: widthA,
    VB: widthB,
    PAIRS: evenColumns ? 1 : 0,
  };
  const source = { file: 'convolution.cu', defines };
  const channels = mode === INPUT_GRADIENT ? g.c : g.o;
  const summation = summationOf(parts, [resultCount(mode, g) / channels, channels], mode, target);
  const size = {
    grid: [blocks, parts * classes, g.groups],
    block: 32 * tile.warpsM * tile.warpsN * tile.warpsK,
    shared: sharedBytes(mode, tile),
  };
  return {
    source,
    parts,
    path: pathOf(ways[mode], 'tiles', {
      tile: tileName(tile),
      parts: oneOrSeveral(parts),
      first: widthName(widthA),
      second: widthName(widthB),
      columns: evenColumns ? 'even' : 'odd',
      groups: oneOrSeveral(g.groups),
      ...stepsOf(g),
      precision: target.precision,
    }),
    workspaceBytes: summation.bytes,
    formsMoments: summation.formsMoments,
    launches: (at) => {
      const {
        inputs: [a, b],
        outputs: [result],
        workspace: partials,
      } = at;
      return [
        launch(source, 'convolve', size, {
          ...addresses({ a: a!, b: b!, result: parts === 1 ? result! : partials }),
          geometry: geometryArgument(g),
          ...integers({ partLength }),
        }),
        ...summation.launches(partials, result!, at),
      ];
    },
  };
}

interface TiledProduct extends Lowered {
  readonly source: KernelSource;
  /** Of its inner range. */
  readonly parts: number;
}

/**
 * The input gradient of an image with few channels: its tiles would be mostly empty and read each gradient once per
 * tap. One product of all taps' weights, taken as channels of a 1×1 convolution, reads each gradient once; then each
 * pixel collects what its windows hold for it. Where windows do not overlap, as those of patches, that is no more
 * than the image, whatever their size.
 */
const MOST_TAP_CHANNELS = 64;

function byTaps(g: Convolution, target: Target): Lowered | undefined {
  const c = g.kh * g.kw * g.c;
  const apart = g.stride[0] >= g.kh && g.stride[1] >= g.kw && g.c < MOST_TAP_CHANNELS;
  if (g.groups > 1 || g.kh * g.kw === 1 || (c > MOST_TAP_CHANNELS && !apart)) return undefined;
  const { n, oh, ow, o, outputs } = g;
  const one = { n, h: oh, w: ow, c, oh, ow, o, kh: 1, kw: 1, inputs: c, outputs, pixels: g.pixels, inner: c };
  const geometry = { ...one, ...square() };
  const tiled = byTiles(INPUT_GRADIENT, geometry, target);
  const pointwise = pointwiseProductOf(INPUT_GRADIENT, geometry, target);
  const product = pointwise ?? tiled;
  const productBytes = roundUp(4 * g.pixels * c, 256);
  const count = resultCount(INPUT_GRADIENT, g);
  return {
    path: pathOf(ways[INPUT_GRADIENT], 'all taps at once', {
      parts: pointwise?.aspects.parts ?? oneOrSeveral(tiled.parts),
      precision: pointwise ? 'f16' : target.precision,
    }),
    workspaceBytes: productBytes + (product.workspaceBytes ?? 0),
    ...(pointwise?.preparation && { preparation: pointwise.preparation }),
    launches: (at) => {
      const products = at.workspace;
      const size = { grid: ceilDivide(count, 256), block: 256 };
      return [
        ...product.launches({ ...at, outputs: [products], workspace: products + BigInt(productBytes) }),
        launch(tiled.source, 'collect_taps', size, {
          ...addresses({ products, dx: at.outputs[0]! }),
          geometry: geometryArgument(g),
          ...integers({ count }),
        }),
      ];
    },
  };
}

const lowering =
  <K extends 'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'>(
    mode: Mode,
    geometryOf: (node: Node<K>) => Convolution,
  ): Lowering<K> =>
  (node, target) =>
    productOf(mode, geometryOf(node), target);

export const convolution: Lowerings<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: lowering(FORWARD, ({ inputs: [x, w], outputs: [y], attributes }) =>
    convolutionOf(x!.shape, w!.shape, y!.shape, attributes),
  ),
  conv2dInputGradient: lowering(INPUT_GRADIENT, ({ inputs: [g, w], outputs: [dx], attributes }) =>
    convolutionOf(dx!.shape, w!.shape, g!.shape, attributes),
  ),
  conv2dWeightGradient: ({ inputs: [x, g], attributes }, target) => {
    const geometry = geometryOfGradient(x!, g!, attributes);
    const product = productOf(WEIGHT_GRADIENT, geometry, target);
    return { ...product, readsCodes: gradientOfCodes(geometry, target) !== undefined };
  },
};

const geometryOfGradient = (x: Value, g: Value, { weightShape, ...window }: OpAttributes['conv2dWeightGradient']) =>
  convolutionOf(x.shape, weightShape, g.shape, window);

const codesWays = { f16: f16Aspects(WEIGHT_GRADIENT), pointwise: pointwiseAspects(WEIGHT_GRADIENT) };

/** The gradient of weights from codes, scale, zero point and gradient; undefined where values have to be formed. */
export function gradientOfCodes(g: Convolution, target: Target): Lowered | undefined {
  const f16 = f16GradientOfCodes(g, target);
  if (f16) return { ...f16, path: pathOf(codesWays, 'f16', f16.aspects) };
  const pointwise = pointwiseGradientOfCodes(g, target);
  return pointwise && { ...pointwise, path: pathOf(codesWays, 'pointwise', pointwise.aspects) };
}

/** The gradient of weights that reads codes in place of their values (fuse.ts). */
export const fusedConvolution: {
  readonly weightGradientOfCodes: Lowering<never, FusedNode<'weightGradientOfCodes'>>;
} = {
  weightGradientOfCodes: ({ inputs: [codes, , , g], attributes }, target) => {
    const product = gradientOfCodes(geometryOfGradient(codes!, g!, attributes), target);
    invariant(product, 'codes for a product of values');
    return product;
  },
};
export const fusedConvolutionWays = { weightGradientOfCodes: codesWays } as const;
