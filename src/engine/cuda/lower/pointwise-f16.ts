// Products of f32 tensors by windows of 1×1 and stride 1, as linear layers have them, on the f16 matrix units: plain
// products of matrices, pixels by channels, with a power of two per block in place of the exponent's range (see
// kernels/convolution-f16.cuh). How many columns a block has, how sums are cut into parts, and the launches: forward
// and input gradient are one kernel, with the weights laid out first; the gradient of the weights takes its first
// operand as codes too.

import { COUNTS, FILLING, filling, oneOrSeveral } from '../../graph/paths.ts';
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

/** Channels of a tile, on both sides; a tile has 64 rows of 128 bytes. */
const CHANNELS = 64;
const TILE_BYTES = 8192;
/** Pixels of a block, and chunks of weights that it keeps. */
const ROWS = 128;
const STAGES = 4;
const THREADS = 256;
const LAYING_THREADS = 512;
/** Column tiles of a block, those with more reads of its pixels saved first. */
const TILES = [4, 3, 2, 1] as const;
/** Channels of a weight gradient's tile on both sides, and pixels of a stage. */
const GRADIENT_CHANNELS = 128;
const GRADIENT_SHARED = 8 * TILE_BYTES;
/** Seconds that a stage of a weight gradient takes, and bytes a second of adding parts. */
const STAGE_TIME = 1.2e-6;
const MEMORY_RATE = 3e12;
const MOST_PARTS = 16;

export interface PointwiseProduct extends Pick<Lowered, 'workspaceBytes' | 'takesBias' | 'launches'> {
  readonly aspects: { readonly parts: (typeof COUNTS)[number]; readonly block: string };
}

/** Cut inner chunks or pixels, and what a block has: so many columns, or tiles whose second half can be empty. */
export function pointwiseAspects(mode: Mode) {
  const halves = FILLING.flatMap((inputs) => FILLING.map((outputs) => tileName(inputs, outputs)));
  return { parts: COUNTS, block: mode === WEIGHT_GRADIENT ? halves : TILES.map(columnsName) };
}

const columnsName = (tiles: number): string => `${CHANNELS * tiles} columns`;
type Filling = (typeof FILLING)[number];
const tileName = (inputs: Filling, outputs: Filling): string => `inputs ${inputs}, outputs ${outputs}`;

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

/** The most columns with which all multiprocessors have a block; else the inner chunks are cut. */
function product({ pixels, inputs, outputs }: Convolution, mode: Mode, { multiprocessors }: Target): PointwiseProduct {
  const chunks = inputs / CHANNELS;
  const blocksOf = (tiles: number) => ceilDivide(pixels, ROWS) * (outputs / (CHANNELS * tiles));
  const tiles = TILES.filter((count) => outputs % (CHANNELS * count) === 0).find(
    (count) => count === 1 || blocksOf(count) >= multiprocessors,
  )!;
  const blocks = blocksOf(tiles);
  const chunksPerPart = ceilDivide(chunks, Math.max(1, Math.floor((2 * multiprocessors) / blocks)));
  const parts = tiles === 1 ? ceilDivide(chunks, chunksPerPart) : 1;
  const count = pixels * outputs;
  const groups = outputs / (CHANNELS * tiles);
  const tilesBytes = 2 * inputs * outputs;
  const shiftBytes = roundUp(4 * chunks * groups, 256);
  return {
    aspects: { parts: oneOrSeveral(parts), block: columnsName(tiles) },
    workspaceBytes: tilesBytes + shiftBytes + (parts > 1 ? 4 * parts * count : 0),
    takesBias: parts === 1,
    launches: ({ inputs: [a, w], outputs: [result], workspace: laid, bias = 0n }) => {
      const shifts = laid + BigInt(tilesBytes);
      const partials = shifts + BigInt(shiftBytes);
      return [
        launch(
          { file: 'convolution-f16-weights.cu', defines: { STRIDE: 1, WGMMA: 1 } },
          'lay_out',
          { grid: [chunks, groups], block: LAYING_THREADS },
          {
            ...addresses({ w: w!, tiles: laid, shifts }),
            ...integers({
              inner: inputs,
              columns: outputs,
              taps: 1,
              transposed: mode === INPUT_GRADIENT ? 1 : 0,
              padding: 0,
              together: tiles,
            }),
          },
        ),
        launch(
          { file: 'pointwise-f16.cu', defines: { STRIDE: 1, TILES: tiles, WGMMA: 1 } },
          'multiply_pixels',
          { grid: [blocks, parts], block: THREADS, shared: STAGES * tiles * TILE_BYTES + 4 * ROWS * CHANNELS },
          {
            ...addresses({ a: a!, weights: laid, shifts, bias, result: parts > 1 ? partials : result! }),
            ...integers({ pixels, inner: inputs, columns: outputs, chunksPerPart: parts > 1 ? chunksPerPart : chunks }),
          },
        ),
        ...(parts > 1 ? [sumParts(partials, result!, count, parts)] : []),
      ];
    },
  };
}

/** Parts of the pixels so that multiprocessors are full in few rounds, and sums of parts cost less than that saves. */
function weightGradient(
  { pixels, inputs, outputs }: Convolution,
  { multiprocessors }: Target,
  first: 'values' | 'codes',
): PointwiseProduct {
  const tiles = ceilDivide(inputs, GRADIENT_CHANNELS) * ceilDivide(outputs, GRADIENT_CHANNELS);
  const stages = ceilDivide(pixels, CHANNELS);
  const count = inputs * outputs;
  const cuts = Array.from({ length: Math.max(MOST_PARTS, ceilDivide(multiprocessors, tiles)) }, (_, at) => {
    const stagesPerPart = ceilDivide(stages, at + 1);
    return { stagesPerPart, parts: ceilDivide(stages, stagesPerPart) };
  });
  const cost = ({ stagesPerPart, parts }: (typeof cuts)[number]): number =>
    ceilDivide(tiles * parts, multiprocessors) * (stagesPerPart + 2) * STAGE_TIME +
    (parts > 1 ? (4 * (2 * parts + 1) * count) / MEMORY_RATE + 3e-6 : 0);
  const { stagesPerPart, parts } = cuts.reduce((best, cut) => (cost(cut) < cost(best) ? cut : best));
  const [ofInputs, ofOutputs] = [filling(inputs, GRADIENT_CHANNELS), filling(outputs, GRADIENT_CHANNELS)];
  return {
    aspects: { parts: oneOrSeveral(parts), block: tileName(ofInputs, ofOutputs) },
    workspaceBytes: parts > 1 ? roundUp(4 * parts * count, 256) : 0,
    launches: ({ inputs: [x, ...others], outputs: [dw], workspace: partials }) => {
      const [unit, zero, gradient] = first === 'codes' ? others : [0n, 0n, ...others];
      return [
        launch(
          { file: 'pointwise-f16-gradient.cu', defines: { STRIDE: 1, CODES: first === 'codes' ? 1 : 0, WGMMA: 1 } },
          'gradient_of_pixels',
          { grid: [tiles, parts], block: THREADS, shared: GRADIENT_SHARED },
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
