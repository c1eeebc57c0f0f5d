// Convolutions of f32 tensors: which product, which tile, how the pixels of a weight gradient are cut; see kernels/convolution.cu.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph.ts';
import type { Address } from '../driver.ts';
import {
  type Convolution,
  ceilDivide,
  chooseTile,
  convolutionOf,
  cutSum,
  geometryArgument,
  type Tile,
} from '../geometry.ts';
import { address, i32, type KernelLaunch, launch, type Target } from '../launch.ts';
import type { Lowerings } from './lowering.ts';

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
  /** How the inner range of a weight gradient is cut; the classes of pixels of an input gradient. */
  readonly parts: number;
  readonly partLength: number;
}

function choose(mode: Mode, g: Convolution, { multiprocessors }: Target): Choice {
  const { rows, columns } = extent(mode, g);
  const blocksOf = (tile: ConvolutionTile) => ceilDivide(rows, tile.rows) * ceilDivide(columns, tile.columns);
  if (mode === WEIGHT_GRADIENT) {
    const fitting = tiles.filter((tile) => tile.columns <= 64 || columns > 64);
    const tile = (columns <= 16 ? tiles.at(-1) : fitting.find((candidate) => candidate.rows <= rows)) ?? tiles[2]!;
    const blocks = blocksOf(tile);
    return { tile, blocks, ...cutSum(g.pixels, STEP, blocks * g.groups, multiprocessors, 2) };
  }
  const parts = mode === INPUT_GRADIENT ? g.stride ** 2 : 1;
  const tile = chooseTile(tiles, rows, columns, g.groups * parts, multiprocessors);
  return { tile, blocks: blocksOf(tile), parts, partLength: 0 };
}

const width = (channels: number): number => (channels % 4 === 0 ? 4 : 1);

/** a ⊛ b: the operands in the order of the operation's inputs. */
function convolve(mode: Mode, g: Convolution, a: Address, b: Address, result: Address, target: Target): KernelLaunch {
  const { tile, blocks, parts, partLength } = choose(mode, g, target);
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
  return launch(
    { file: 'convolution.cu', defines },
    'convolve',
    [blocks, parts, g.groups],
    32 * tile.warpsM * tile.warpsN * tile.warpsK,
    [address(a), address(b), address(result), geometryArgument(g), i32(partLength)],
    sharedBytes(mode, tile),
  );
}

const ofWeightGradient = ({ inputs: [x, g], attributes }: Node<'conv2dWeightGradient'>): Convolution =>
  convolutionOf(x!.shape, attributes.weightShape, g!.shape, attributes);

export const convolutionLowerings: Lowerings<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: {
    launches: ({ inputs: [x, w], outputs: [y], attributes }, { inputs, outputs }, target) => {
      const g = convolutionOf(x!.shape, w!.shape, y!.shape, attributes);
      return [convolve(FORWARD, g, inputs[0]!, inputs[1]!, outputs[0]!, target)];
    },
  },
  conv2dInputGradient: {
    launches: ({ inputs: [gradient, w], outputs: [dx], attributes }, { inputs, outputs }, target) => {
      const g = convolutionOf(dx!.shape, w!.shape, gradient!.shape, attributes);
      return [convolve(INPUT_GRADIENT, g, inputs[0]!, inputs[1]!, outputs[0]!, target)];
    },
  },
  conv2dWeightGradient: {
    scratchBytes: (node, target) => {
      const { parts } = choose(WEIGHT_GRADIENT, ofWeightGradient(node), target);
      return parts === 1 ? 0 : 4 * parts * sizeOf(node.attributes.weightShape);
    },
    launches: (node, { inputs, outputs, scratch }, target) => {
      const g = ofWeightGradient(node);
      const { parts } = choose(WEIGHT_GRADIENT, g, target);
      const count = sizeOf(node.attributes.weightShape);
      const product = convolve(WEIGHT_GRADIENT, g, inputs[0]!, inputs[1]!, parts === 1 ? outputs[0]! : scratch, target);
      if (parts === 1) return [product];
      const args = [address(scratch), address(outputs[0]!), i32(count), i32(parts)];
      return [product, launch(product.source, 'sum_parts', Math.min(1024, ceilDivide(count, 256)), 256, args)];
    },
  },
};
