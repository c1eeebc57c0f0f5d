// Convolutions of f32 tensors that keep the size of the image, on the f16 matrix units: operands are laid out as tiles
// of f16, with a power of two per block in place of the exponent's range; see kernels/convolution-f16.cu. Which ones
// qualify, how their sums are cut into parts, and the launches: forward and input gradient are one kernel, with the
// weights laid out first.

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
import { addresses, integers, launch, type Target } from './launch.ts';
import { type Lowered, sumParts } from './lowering.ts';

/** Channels of a tile, on both sides; a tile has 64 rows of 128 bytes. */
const CHANNELS = 64;
const TILE_BYTES = 8192;
/** Pixels of a block and tiles of weights that it keeps; words for the largest magnitudes of the weights. */
const ROWS = 128;
const STAGES = 4;
const MAXIMA = 128;
const THREADS = 256;
/** Vectors of four floats per thread and chunk that registers have room for. */
const MOST_LOADS = 13;
const GRADIENT_THREADS = 384;
const MOST_GRADIENT_LOADS = 5;
const TAPS = 9;

export interface F16Product extends Pick<Lowered, 'workspaceBytes' | 'launches'> {
  readonly aspects: { readonly parts: (typeof COUNTS)[number]; readonly loads: string };
}

/** Cut inner chunks or pixels, and the vectors per thread that kernels are made for. */
export function f16Aspects(mode: Mode) {
  // Without margins the fewest vectors cover a block's pixels, with the smallest margins those of a weight gradient's
  // tile.
  const [fewest, most] = mode === WEIGHT_GRADIENT ? [3, MOST_GRADIENT_LOADS] : [8, MOST_LOADS];
  return { parts: COUNTS, loads: Array.from({ length: most - fewest + 1 }, (_, more) => `${fewest + more}`) };
}

/** The product on f16 tiles; undefined where it has to be formed another way. */
export function f16ProductOf(mode: Mode, g: Convolution, target: Target): F16Product | undefined {
  const [padding] = g.padding;
  const dense = [...g.stride, ...g.dilation].every((step) => step === 1);
  const keepsSize = dense && g.kh === g.kw && g.kh === 2 * padding + 1 && padding === g.padding[1];
  const wholeTiles = g.groups === 1 && g.inputs % CHANNELS === 0 && g.outputs % CHANNELS === 0;
  if (!target.warpgroups || target.precision !== 'tf32' || !keepsSize || !wholeTiles) return undefined;
  if (mode === WEIGHT_GRADIENT) return weightGradient(g, target);
  return same(mode === FORWARD ? g : { ...g, c: g.o, o: g.c, inputs: g.outputs, outputs: g.inputs }, mode, target);
}

/** Pixels that `count` neighbouring ones meet in all taps. */
const withMargins = (g: Convolution, count: number): number => count + 2 * g.padding[0] * (g.w + 1);

/** Shared memory for the pixels that the threads' vectors cover, and the row of zeros. */
const pixelBytes = (loads: number, threads: number): number => 2 * CHANNELS * ((4 * loads * threads) / CHANNELS + 1);

const sourceOf = (loads: number) => ({ file: 'convolution-f16.cu', defines: { LOADS: loads, WGMMA: 1 } });

/** Blocks are two to a multiprocessor where the inner chunks can be cut into so many parts. */
function same(g: Convolution, mode: Mode, { multiprocessors }: Target): F16Product | undefined {
  const rows = withMargins(g, ROWS);
  const loads = ceilDivide(rows * CHANNELS, 4 * THREADS);
  if (loads > MOST_LOADS) return undefined;
  const chunks = g.inputs / CHANNELS;
  const blocks = ceilDivide(g.pixels, ROWS) * (g.outputs / CHANNELS);
  const chunksPerPart = ceilDivide(chunks, Math.max(1, Math.floor((2 * multiprocessors) / blocks)));
  const parts = ceilDivide(chunks, chunksPerPart);
  const taps = g.kh * g.kw;
  const count = g.pixels * g.outputs;
  const source = sourceOf(loads);
  const tilesBytes = 2 * taps * g.inputs * g.outputs;
  const maximaBytes = 4 * MAXIMA;
  const transposed = mode === INPUT_GRADIENT ? 1 : 0;
  return {
    aspects: { parts: oneOrSeveral(parts), loads: `${loads}` },
    workspaceBytes: tilesBytes + maximaBytes + (parts > 1 ? 4 * parts * count : 0),
    launches: ({ inputs: [a, w], outputs: [result], workspace: tiles }) => {
      const maxima = tiles + BigInt(tilesBytes);
      const partials = maxima + BigInt(maximaBytes);
      return [
        launch(
          source,
          'largest',
          { grid: MAXIMA, block: THREADS },
          { ...addresses({ w: w!, maxima }), ...integers({ vectors: (taps * g.inputs * g.outputs) / 4 }) },
        ),
        launch(
          source,
          'lay_out',
          { grid: [taps, chunks, g.outputs / CHANNELS], block: THREADS },
          { ...addresses({ w: w!, maxima, tiles }), ...integers({ inner: g.inputs, columns: g.outputs, transposed }) },
        ),
        launch(
          source,
          'convolve_same',
          { grid: [blocks, parts], block: THREADS, shared: STAGES * TILE_BYTES + pixelBytes(loads, THREADS) },
          {
            ...addresses({ a: a!, weights: tiles, maxima, result: parts > 1 ? partials : result! }),
            geometry: geometryArgument(g),
            ...integers({ chunksPerPart }),
          },
        ),
        ...(parts > 1 ? [sumParts(partials, result!, count, parts)] : []),
      ];
    },
  };
}

/** One block per multiprocessor, each with its share of the pixels. */
function weightGradient(g: Convolution, { multiprocessors }: Target): F16Product | undefined {
  const rows = withMargins(g, CHANNELS);
  const loads = ceilDivide(rows * CHANNELS, 4 * GRADIENT_THREADS);
  if (g.kh * g.kw !== TAPS || loads > MOST_GRADIENT_LOADS) return undefined;
  const tiles = (g.inputs / CHANNELS) * (g.outputs / CHANNELS);
  const stages = ceilDivide(g.pixels, CHANNELS);
  const stagesPerPart = ceilDivide(stages, Math.max(1, Math.floor(multiprocessors / tiles)));
  const parts = ceilDivide(stages, stagesPerPart);
  const count = TAPS * g.inputs * g.outputs;
  const shared = TILE_BYTES + pixelBytes(loads, GRADIENT_THREADS);
  return {
    aspects: { parts: oneOrSeveral(parts), loads: `${loads}` },
    workspaceBytes: parts > 1 ? roundUp(4 * parts * count, 256) : 0,
    launches: ({ inputs: [x, gradient], outputs: [dw], workspace: partials }) => [
      launch(
        sourceOf(loads),
        'weight_gradient',
        { grid: [tiles, parts], block: GRADIENT_THREADS, shared },
        {
          ...addresses({ x: x!, gradient: gradient!, result: parts > 1 ? partials : dw! }),
          geometry: geometryArgument(g),
          ...integers({ stagesPerPart }),
        },
      ),
      ...(parts > 1 ? [sumParts(partials, dw!, count, parts)] : []),
    ],
  };
}
