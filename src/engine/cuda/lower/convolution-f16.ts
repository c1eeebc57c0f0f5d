// Convolutions of f32 tensors that keep the size of the image or halve it, on the f16 matrix units: operands are laid
// out as tiles of f16, with a power of two per block in place of the exponent's range; see kernels/convolution-f16.cuh.
// Which ones qualify, how their sums are cut into parts, and the launches: forward and input gradient are one kernel,
// with the weights laid out first; the gradient of the weights takes its first operand as codes too.

import { COUNTS, oneOrSeveral } from '../../graph/paths.ts';
import {
  type Convolution,
  ceilDivide,
  FORWARD,
  geometryArgument,
  INPUT_GRADIENT,
  type Mode,
  roundUp,
  WEIGHT_GRADIENT,
} from './geometry.ts';
import {
  type Address,
  addresses,
  integers,
  type KernelLaunch,
  type KernelSource,
  launch,
  type Target,
} from './launch.ts';
import { type Lowered, sumParts } from './lowering.ts';

/** Channels of a tile, on both sides; a tile has 64 rows of 128 bytes. */
export const CHANNELS = 64;
export const TILE_BYTES = 8192;
/** Pixels of a block and tiles of weights that it keeps. */
const ROWS = 128;
const STAGES = 4;
const THREADS = 256;
const LAYING_THREADS = 512;
/** Vectors of four floats per thread and chunk that registers have room for. */
const MOST_LOADS = 13;
/** Of a weight gradient, by the stride: threads, and vectors per thread that registers have room for. */
const gradientLimits = { 1: { threads: 384, loads: 5 }, 2: { threads: 256, loads: 9 } } as const;
type Stride = keyof typeof gradientLimits;

export interface F16Product extends Pick<Lowered, 'workspaceBytes' | 'launches'> {
  readonly aspects: { readonly parts: (typeof COUNTS)[number]; readonly loads: string };
}

/** Cut inner chunks or pixels, and the vectors per thread that kernels are made for, by the stride. */
export function f16Aspects(mode: Mode) {
  const between = (fewest: number, most: number, stride: Stride) =>
    Array.from({ length: most - fewest + 1 }, (_, more) => loadsName(fewest + more, stride));
  // The fewest vectors cover the pixels of a block or of a weight gradient's tile with the smallest margins, which are
  // none with a single tap.
  const loads =
    mode === WEIGHT_GRADIENT
      ? [...between(3, gradientLimits[1].loads, 1), ...between(4, gradientLimits[2].loads, 2)]
      : [...between(9, MOST_LOADS, 1), ...between(8, MOST_LOADS, 2)];
  return { parts: COUNTS, loads };
}

const loadsName = (loads: number, stride: Stride): string => (stride === 1 ? `${loads}` : `${loads}, stride 2`);

/** The product on f16 tiles; undefined where it has to be formed another way. */
export function f16ProductOf(mode: Mode, g: Convolution, target: Target): F16Product | undefined {
  const stride = f16Stride(g, target);
  if (stride === undefined) return undefined;
  if (mode === WEIGHT_GRADIENT) return weightGradient(g, stride, target, 'values');
  const turned = { ...g, c: g.o, o: g.c, inputs: g.outputs, outputs: g.inputs };
  return same(mode === FORWARD ? g : turned, stride, mode, target);
}

/** The gradient of the weights where x is given by codes: its inputs are codes, scale, zero point and gradient. */
export function f16GradientOfCodes(g: Convolution, target: Target): F16Product | undefined {
  const stride = f16Stride(g, target);
  return stride === undefined ? undefined : weightGradient(g, stride, target, 'codes');
}

/** The stride of a convolution that f16 tiles can form. */
function f16Stride(g: Convolution, target: Target): Stride | undefined {
  const [padding] = g.padding;
  const stride = strideOf(g);
  const dense = g.dilation.every((step) => step === 1);
  const halves = dense && g.kh === g.kw && g.kh === 2 * padding + 1 && padding === g.padding[1];
  const wholeTiles = g.groups === 1 && g.inputs % CHANNELS === 0 && g.outputs % CHANNELS === 0;
  const isRight = target.warpgroups && target.precision !== 'fp32' && halves && wholeTiles;
  // A single tap at every pixel is a plain product (pointwise-f16.ts); taps inside the image are bits of a word.
  return isRight && (stride === 2 || g.kh > 1) && g.kh * g.kw <= 32 ? stride : undefined;
}

/** Of both axes, where it divides the image into as many pixels as there are results. */
function strideOf({ stride: [y, x], h, w, oh, ow }: Convolution): Stride | undefined {
  return (y === 1 || y === 2) && y === x && h === y * oh && w === x * ow ? y : undefined;
}

/** Pixels that `count` neighbouring ones meet in all taps. */
const withMargins = (g: Convolution, stride: Stride, count: number): number =>
  count + 2 * ceilDivide(g.padding[0], stride) * (g.ow + 1);

/** Shared memory for the pixels that the threads' vectors cover, and the row of zeros. */
const pixelBytes = (loads: number, threads: number): number => 2 * CHANNELS * ((4 * loads * threads) / CHANNELS + 1);

/** A kernel to a module: launches of one layer need one or two of them. */
const files = {
  product: 'convolution-f16.cu',
  weights: 'convolution-f16-weights.cu',
  gradient: 'convolution-f16-gradient.cu',
} as const;

const sourceOf = (kernel: keyof typeof files, own: KernelSource['defines']): KernelSource => ({
  file: files[kernel],
  defines: { ...own, WGMMA: 1 },
});

/** What is laid out of weights; `together`: column tiles that share a power of two, of a single tap. */
interface LaidWeights {
  readonly mode: Mode;
  readonly stride: Stride;
  readonly inner: number;
  readonly columns: number;
  readonly taps: number;
  readonly padding: number;
  readonly together?: number;
}

/** The weights as tiles of f16 and their powers of two; the last tap first and transposed for an input gradient. */
export function layOut(w: Address, tiles: Address, shifts: Address, laid: LaidWeights): KernelLaunch {
  const { mode, stride, inner, columns, taps, padding, together = 1 } = laid;
  return launch(
    sourceOf('weights', { STRIDE: stride }),
    'lay_out',
    { grid: [inner / CHANNELS, columns / (CHANNELS * together)], block: LAYING_THREADS },
    {
      ...addresses({ w, tiles, shifts }),
      ...integers({ inner, columns, taps, transposed: mode === INPUT_GRADIENT ? 1 : 0, padding, together }),
    },
  );
}

/** Blocks are two to a multiprocessor where the inner chunks can be cut into so many parts. */
function same(g: Convolution, stride: Stride, mode: Mode, { multiprocessors }: Target): F16Product | undefined {
  const rows = withMargins(g, stride, ROWS);
  const loads = ceilDivide(rows * CHANNELS, 4 * THREADS);
  if (loads > MOST_LOADS) return undefined;
  const chunks = g.inputs / CHANNELS;
  const blocks = ceilDivide(g.pixels, ROWS) * (g.outputs / CHANNELS);
  // Of an input gradient each class of pixels has blocks of its own.
  const scatter = stride > 1 && mode === INPUT_GRADIENT ? 1 : 0;
  const classes = scatter ? stride * stride : 1;
  const chunksPerPart = ceilDivide(chunks, Math.max(1, Math.floor((2 * multiprocessors) / (blocks * classes))));
  const parts = ceilDivide(chunks, chunksPerPart);
  const taps = g.kh * g.kw;
  const count = classes * g.pixels * g.outputs;
  const tilesBytes = 2 * taps * g.inputs * g.outputs;
  const shiftBytes = roundUp(4 * chunks * (g.outputs / CHANNELS), 256);
  return {
    aspects: { parts: oneOrSeveral(parts), loads: loadsName(loads, stride) },
    workspaceBytes: tilesBytes + shiftBytes + (parts > 1 ? 4 * parts * count : 0),
    launches: ({ inputs: [a, w], outputs: [result], workspace: tiles }) => {
      const shifts = tiles + BigInt(tilesBytes);
      const partials = shifts + BigInt(shiftBytes);
      return [
        layOut(w!, tiles, shifts, { mode, stride, inner: g.inputs, columns: g.outputs, taps, padding: g.padding[0] }),
        launch(
          sourceOf('product', { STRIDE: stride, LOADS: loads }),
          'convolve_same',
          { grid: [blocks, parts, classes], block: THREADS, shared: STAGES * TILE_BYTES + pixelBytes(loads, THREADS) },
          {
            ...addresses({ a: a!, weights: tiles, shifts, result: parts > 1 ? partials : result! }),
            geometry: geometryArgument(g),
            ...integers({ chunksPerPart, scatter }),
          },
        ),
        ...(parts > 1 ? [sumParts(partials, result!, count, parts)] : []),
      ];
    },
  };
}

/** One block per multiprocessor, each with its share of the pixels; of those of the classes, which are smaller, two. */
function weightGradient(
  g: Convolution,
  stride: Stride,
  { multiprocessors }: Target,
  first: 'values' | 'codes',
): F16Product | undefined {
  const { threads, loads: most } = gradientLimits[stride];
  const rows = withMargins(g, stride, CHANNELS);
  const loads = ceilDivide(rows * CHANNELS, 4 * threads);
  const taps = g.kh * g.kw;
  if (!(taps === 9 || (taps === 1 && stride > 1)) || loads > most) return undefined;
  const tiles = (g.inputs / CHANNELS) * (g.outputs / CHANNELS);
  const classes = taps === 1 ? 1 : stride * stride;
  const stages = ceilDivide(g.pixels, CHANNELS);
  const stagesPerPart = ceilDivide(stages, Math.max(1, Math.floor((stride * multiprocessors) / (tiles * classes))));
  const parts = ceilDivide(stages, stagesPerPart);
  const count = taps * g.inputs * g.outputs;
  const shared = TILE_BYTES + pixelBytes(loads, threads);
  return {
    aspects: { parts: oneOrSeveral(parts), loads: loadsName(loads, stride) },
    workspaceBytes: parts > 1 ? roundUp(4 * parts * count, 256) : 0,
    launches: ({ inputs: [x, ...others], outputs: [dw], workspace: partials }) => {
      const [unit, zero, gradient] = first === 'codes' ? others : [0n, 0n, ...others];
      return [
        launch(
          sourceOf('gradient', { STRIDE: stride, LOADS: loads, CODES: first === 'codes' ? 1 : 0 }),
          'weight_gradient',
          { grid: [tiles, parts, classes], block: threads, shared },
          {
            ...addresses({ x: x!, unit: unit!, zero: zero!, gradient: gradient!, result: parts > 1 ? partials : dw! }),
            geometry: geometryArgument(g),
            ...integers({ stagesPerPart }),
          },
        ),
        ...(parts > 1 ? [sumParts(partials, dw!, count, parts)] : []),
      ];
    },
  };
}
