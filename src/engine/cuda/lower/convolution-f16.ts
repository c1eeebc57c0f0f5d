// Convolutions of f32 tensors that keep the size of the image or halve it, on the f16 matrix units: operands are laid
// out as tiles of f16, with a power of two per block in place of the exponent's range; see kernels/convolution-f16.cuh.
// Which ones qualify, how their sums are cut into parts, and the launches: forward and input gradient are one kernel,
// with the weights laid out first, once for both; the gradient of the weights takes its first operand as codes too.

import { invariant } from '../../../tensor/errors.ts';
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
import { type Address, type Arguments, addresses, integers, type KernelSource, launch, type Target } from './launch.ts';
import { type Lowered, type Preparation, sumParts } from './lowering.ts';
import { summationOf } from './moments.ts';

/** Channels of a tile, on both sides; a tile has 64 rows of 128 bytes. */
export const CHANNELS = 64;
export const TILE_BYTES = 8192;
/** Pixels of a block and tiles of weights that it keeps. */
const ROWS = 128;
const STAGES = 4;
const THREADS = 256;
const LAYING_THREADS = 1024;
/** Vectors of four floats per thread and chunk that registers have room for. */
const MOST_LOADS = 13;
/** Of a weight gradient, by the stride: threads, and vectors per thread that registers have room for. */
const gradientLimits = { 1: { threads: 384, loads: 5 }, 2: { threads: 256, loads: 9 } } as const;
type Stride = keyof typeof gradientLimits;

export interface F16Product extends Pick<Lowered, 'workspaceBytes' | 'preparation' | 'formsMoments' | 'launches'> {
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

/** So many, each so many floats of the weights behind the one before. */
interface Run {
  readonly count: number;
  readonly apart: number;
}

/**
 * How weights are laid out: groups of chunks, each with a power of two, of tiles, the `units`: the taps of a window, or
 * tiles of a single tap. `length`: floats of a row of the weights.
 */
interface LaidWeights {
  readonly stride: Stride;
  readonly length: number;
  readonly chunks: Run;
  readonly groups: Run;
  readonly units: Run;
  readonly padding: number;
}

/** The second operand of a product as tiles of f16 with their powers of two behind them. */
export function layOut(laid: LaidWeights): Preparation {
  const { stride, length, chunks, groups, units, padding } = laid;
  const apart = { chunkApart: chunks.apart, groupApart: groups.apart, unitApart: units.apart };
  const sizes = { length, ...apart, units: units.count, padding };
  const powers = chunks.count * groups.count;
  const tilesBytes = TILE_BYTES * powers * units.count;
  return {
    input: 1,
    form: `f16 tiles, ${JSON.stringify(laid)}`,
    bytes: tilesBytes + 4 * powers,
    launches: (w, tiles) => [
      launch(
        sourceOf('weights', { STRIDE: stride }),
        'lay_out',
        { grid: [chunks.count, groups.count], block: LAYING_THREADS },
        { ...addresses({ w, tiles, shifts: tiles + BigInt(tilesBytes) }), ...integers(sizes) },
      ),
    ],
  };
}

/** The addresses of what is laid out of `count` weights, as a product's arguments. */
export function laidWeights(tiles: Address | undefined, count: number): Arguments {
  invariant(tiles !== undefined, 'weights that nobody lays out');
  return addresses({ weights: tiles, shifts: tiles + BigInt(2 * count) });
}

/** Blocks are two to a multiprocessor where the inner chunks can be cut into so many parts. */
function same(g: Convolution, stride: Stride, mode: Mode, target: Target): F16Product | undefined {
  const { multiprocessors } = target;
  const rows = withMargins(g, stride, ROWS);
  const loads = ceilDivide(rows * CHANNELS, 4 * THREADS);
  if (loads > MOST_LOADS) return undefined;
  const chunks = g.inputs / CHANNELS;
  const blocks = ceilDivide(g.pixels, ROWS) * (g.outputs / CHANNELS);
  const transposed = mode === INPUT_GRADIENT ? 1 : 0;
  // Of an input gradient each class of pixels has blocks of its own.
  const classes = transposed ? stride * stride : 1;
  const chunksPerPart = ceilDivide(chunks, Math.max(1, Math.floor((2 * multiprocessors) / (blocks * classes))));
  const parts = ceilDivide(chunks, chunksPerPart);
  const taps = g.kh * g.kw;
  const summation = summationOf(parts, [classes * g.pixels, g.outputs], mode, target, ROWS);
  // Of the layer, which is turned here where it is transposed.
  const [inputs, outputs] = transposed ? [g.outputs, g.inputs] : [g.inputs, g.outputs];
  return {
    aspects: { parts: oneOrSeveral(parts), loads: loadsName(loads, stride) },
    workspaceBytes: summation.bytes,
    formsMoments: summation.formsMoments,
    preparation: layOut({
      ...{ stride, length: outputs, padding: g.padding[0] },
      chunks: { count: inputs / CHANNELS, apart: CHANNELS * outputs },
      groups: { count: outputs / CHANNELS, apart: CHANNELS },
      units: { count: taps, apart: inputs * outputs },
    }),
    launches: (at) => {
      const {
        inputs: [a],
        outputs: [result],
        workspace: partials,
        prepared,
      } = at;
      return [
        launch(
          sourceOf('product', { STRIDE: stride, LOADS: loads }),
          'convolve_same',
          { grid: [blocks, parts, classes], block: THREADS, shared: STAGES * TILE_BYTES + pixelBytes(loads, THREADS) },
          {
            ...addresses({ a: a! }),
            ...laidWeights(prepared, taps * inputs * outputs),
            ...addresses({ result: parts > 1 ? partials : result! }),
            ...addresses({ columnSums: summation.columnSums(partials, at) }),
            geometry: geometryArgument(g),
            ...integers({ chunksPerPart, transposed }),
          },
        ),
        ...summation.launches(partials, result!, at),
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
