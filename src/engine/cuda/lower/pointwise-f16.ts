// Products of f32 tensors by windows of 1×1 and stride 1, as linear layers have them, on the f16 matrix units: plain
// products of matrices, pixels by channels, with a power of two per block in place of the exponent's range (see
// kernels/convolution-f16.cuh). How many columns a block has, how sums are cut into parts, and the launches: forward
// and input gradient are one kernel, with the weights laid out first; the gradient of the weights takes its first
// operand as codes too.

import { COUNTS, FILLING, filling, oneOrSeveral } from '../../graph/paths.ts';
import { CHANNELS, laidWeights, layOut, TILE_BYTES } from './convolution-f16.ts';
import {
  type Convolution,
  ceilDivide,
  FORWARD,
  INPUT_GRADIENT,
  type Mode,
  roundUp,
  WEIGHT_GRADIENT,
} from './geometry.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import { type Lowered, sumParts } from './lowering.ts';
import { summationOf } from './moments.ts';

/** What a block has: warpgroups of 64 pixels each, and tiles of 64 columns. */
interface Block {
  readonly warpgroups: number;
  readonly tiles: number;
}
const blocks: readonly Block[] = [
  { warpgroups: 3, tiles: 3 },
  { warpgroups: 2, tiles: 4 },
  { warpgroups: 2, tiles: 2 },
  { warpgroups: 2, tiles: 1 },
];
const blockName = ({ warpgroups, tiles }: Block): string => `${64 * warpgroups}×${CHANNELS * tiles}`;
const PARTS = [1, 2, 3, 4, 6, 8, 12, 16] as const;
/** Of a multiprocessor, a clock: bytes from L2, bytes to memory. Clocks that a chunk takes beside its products. */
const READ_RATE = 24;
const WRITE_RATE = 12;
const CHUNK_CLOCKS = 400;
/** Products of the unit a clock; clocks that a launch takes. */
const PRODUCT_RATE = 2048;
const LAUNCH_CLOCKS = 6000;

/** Of a weight gradient: tiles of a block on both sides, and pixels of a stage. */
const SIDES = [3, 2] as const;
const STAGE_PIXELS = 32;

export interface PointwiseProduct
  extends Pick<Lowered, 'workspaceBytes' | 'preparation' | 'takesBias' | 'formsMoments' | 'launches'> {
  readonly aspects: { readonly parts: (typeof COUNTS)[number]; readonly block: string };
}

/** Cut inner chunks or pixels, and what a block has: so many pixels and columns, or channels that can be too few. */
export function pointwiseAspects(mode: Mode) {
  const sides = SIDES.flatMap((side) => FILLING.map((filled) => sideName(side, filled)));
  return { parts: COUNTS, block: mode === WEIGHT_GRADIENT ? sides : blocks.map(blockName) };
}

const sideName = (side: number, filled: (typeof FILLING)[number]): string => `${CHANNELS * side}², ${filled}`;

/** The product on f16 tiles; undefined where it has to be formed another way. */
export function pointwiseProductOf(mode: Mode, g: Convolution, target: Target): PointwiseProduct | undefined {
  if (!isPointwise(g, target)) return undefined;
  if (mode === WEIGHT_GRADIENT) return weightGradient(g, target, 'values');
  return product(mode === FORWARD ? g : { ...g, inputs: g.outputs, outputs: g.inputs }, mode, target);
}

/** The gradient of the weights where x is given by codes: its inputs are codes, scale, zero point and gradient. */
export function pointwiseGradientOfCodes(g: Convolution, target: Target): PointwiseProduct | undefined {
  return isPointwise(g, target) ? weightGradient(g, target, 'codes') : undefined;
}

function isPointwise({ kh, kw, stride, padding, groups, inputs, outputs }: Convolution, target: Target): boolean {
  const plain = kh * kw === 1 && [...stride, groups].every((one) => one === 1) && padding.every((none) => none === 0);
  const wholeTiles = inputs % CHANNELS === 0 && outputs % CHANNELS === 0;
  return target.warpgroups && target.precision !== 'fp32' && plain && wholeTiles;
}

/** How a product is cut. */
interface Cut extends Block {
  readonly chunksPerPart: number;
  readonly parts: number;
}

/** The cut of least time: reads of both operands or products, whichever is slower, and outputs, in rounds of blocks. */
function cutOf({ pixels, inputs, outputs }: Convolution, multiprocessors: number): Cut {
  const chunks = inputs / CHANNELS;
  const cuts = blocks
    .filter(({ tiles }) => outputs % (CHANNELS * tiles) === 0)
    .flatMap((block) =>
      PARTS.filter((wanted) => wanted <= chunks).map((wanted) => {
        const chunksPerPart = ceilDivide(chunks, wanted);
        return { ...block, chunksPerPart, parts: ceilDivide(chunks, chunksPerPart) };
      }),
    );
  const cost = ({ warpgroups, tiles, chunksPerPart, parts }: Cut): number => {
    const [rows, columns] = [64 * warpgroups, CHANNELS * tiles];
    const rounds = ceilDivide(ceilDivide(pixels, rows) * (outputs / columns) * parts, multiprocessors);
    const read = (CHANNELS * (4 * rows + 2 * columns)) / READ_RATE;
    const multiplied = (rows * columns * CHANNELS) / PRODUCT_RATE + CHUNK_CLOCKS;
    const written = (4 * rows * columns) / WRITE_RATE;
    const added = parts > 1 ? LAUNCH_CLOCKS + (4 * (parts + 1) * pixels * outputs) / WRITE_RATE / multiprocessors : 0;
    return rounds * ((chunksPerPart + 1) * Math.max(read, multiplied) + written) + added;
  };
  return cuts.reduce((best, cut) => (cost(cut) < cost(best) ? cut : best));
}

function product(g: Convolution, mode: Mode, target: Target): PointwiseProduct {
  const { pixels, inputs, outputs } = g;
  const { warpgroups, tiles, chunksPerPart, parts } = cutOf(g, target.multiprocessors);
  const rows = 64 * warpgroups;
  const summation = summationOf(parts, [pixels, outputs], mode, target, rows);
  const groups = outputs / (CHANNELS * tiles);
  const transposed = mode === INPUT_GRADIENT ? 1 : 0;
  // Tiles below each other, and beside each other.
  const length = transposed ? inputs : outputs;
  const [below, beside] = [CHANNELS * length, CHANNELS];
  const [ofChunks, ofTiles] = transposed ? [beside, below] : [below, beside];
  return {
    aspects: { parts: oneOrSeveral(parts), block: blockName({ warpgroups, tiles }) },
    workspaceBytes: summation.bytes,
    takesBias: parts === 1,
    formsMoments: summation.formsMoments,
    // Those of a block's columns have a power of two in common, so that both ways have tiles of their own.
    preparation: layOut({
      ...{ stride: 1, length, padding: 0 },
      chunks: { count: inputs / CHANNELS, apart: ofChunks },
      groups: { count: groups, apart: tiles * ofTiles },
      units: { count: tiles, apart: ofTiles },
    }),
    launches: (at) => {
      const {
        inputs: [a],
        outputs: [result],
        workspace: partials,
        bias = 0n,
        prepared,
      } = at;
      return [
        launch(
          { file: 'pointwise-f16.cu', defines: { STRIDE: 1, WARPGROUPS: warpgroups, TILES: tiles, WGMMA: 1 } },
          'multiply_pixels',
          {
            grid: [ceilDivide(pixels, rows) * groups, parts],
            block: 128 * warpgroups,
            // Two chunks of pixels in f32 and in f16, three of weights.
            shared: 2 * CHANNELS * rows * (4 + 2) + 3 * tiles * TILE_BYTES,
          },
          {
            ...addresses({ a: a! }),
            ...laidWeights(prepared, inputs * outputs),
            ...addresses({ bias, result: parts > 1 ? partials : result! }),
            ...addresses({ columnSums: summation.columnSums(partials, at) }),
            ...integers({ pixels, inner: inputs, columns: outputs, chunksPerPart, transposed }),
          },
        ),
        ...summation.launches(partials, result!, at),
      ];
    },
  };
}

/** How a weight gradient is cut. */
interface GradientCut {
  readonly side: number;
  readonly stagesPerPart: number;
  readonly parts: number;
}

/** The cut of least time, as of a product. */
function gradientCutOf(
  { pixels, inputs, outputs }: Convolution,
  multiprocessors: number,
  elementBytes: number,
): GradientCut {
  const stages = ceilDivide(pixels, STAGE_PIXELS);
  const tilesOf = (side: number) => ceilDivide(inputs, CHANNELS * side) * ceilDivide(outputs, CHANNELS * side);
  const cuts = SIDES.flatMap((side) => {
    const most = Math.min(stages, ceilDivide(3 * multiprocessors, tilesOf(side)));
    return Array.from({ length: most }, (_, at) => {
      const stagesPerPart = ceilDivide(stages, at + 1);
      return { side, stagesPerPart, parts: ceilDivide(stages, stagesPerPart) };
    });
  });
  const cost = ({ side, stagesPerPart, parts }: GradientCut): number => {
    const channels = CHANNELS * side;
    const rounds = ceilDivide(tilesOf(side) * parts, multiprocessors);
    const read = (STAGE_PIXELS * channels * (4 + elementBytes)) / READ_RATE;
    const multiplied = (channels * channels * STAGE_PIXELS) / PRODUCT_RATE + CHUNK_CLOCKS;
    const written = (4 * channels * channels) / WRITE_RATE;
    const moved = (4 * (2 * parts + 1) * inputs * outputs) / WRITE_RATE / multiprocessors;
    return (
      rounds * ((stagesPerPart + 1) * Math.max(read, multiplied) + written) + (parts > 1 ? LAUNCH_CLOCKS + moved : 0)
    );
  };
  return cuts.reduce((best, cut) => (cost(cut) < cost(best) ? cut : best));
}

function weightGradient(g: Convolution, target: Target, first: 'values' | 'codes'): PointwiseProduct {
  const { pixels, inputs, outputs } = g;
  const elementBytes = first === 'codes' ? 1 : 4;
  const { side, stagesPerPart, parts } = gradientCutOf(g, target.multiprocessors, elementBytes);
  const channels = CHANNELS * side;
  const tiles = ceilDivide(inputs, channels) * ceilDivide(outputs, channels);
  const count = inputs * outputs;
  const filled = filling(inputs, channels) === 'whole' ? filling(outputs, channels) : 'in part';
  const size = {
    grid: [tiles, parts],
    block: 128 * side,
    // Two stages of halves of both operands, three as they were.
    shared: STAGE_PIXELS * channels * (2 * 4 + 3 * (4 + elementBytes)),
  };
  return {
    aspects: { parts: oneOrSeveral(parts), block: sideName(side, filled) },
    workspaceBytes: parts > 1 ? roundUp(4 * parts * count, 256) : 0,
    launches: ({ inputs: [x, ...others], outputs: [dw], workspace: partials }) => {
      const [unit, zero, gradient] = first === 'codes' ? others : [0n, 0n, ...others];
      return [
        launch(
          {
            file: 'pointwise-f16-gradient.cu',
            defines: { STRIDE: 1, SIDE: side, CODES: first === 'codes' ? 1 : 0, WGMMA: 1 },
          },
          'gradient_of_pixels',
          size,
          {
            ...addresses({ x: x!, unit: unit!, zero: zero!, gradient: gradient!, result: parts > 1 ? partials : dw! }),
            ...integers({ pixels, inputs, outputs, stagesPerPart }),
          },
        ),
        ...(parts > 1 ? [sumParts(partials, dw!, count, parts)] : []),
      ];
    },
  };
}
