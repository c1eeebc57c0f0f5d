// What the emulations of an approximate convolution share: the inner axis of codes in memory, gathered and mapped codes, sums of weight codes per
// tap, pieces of scratch memory. See kernels/codes.cu.

import type { Node } from '../../graph/graph.ts';
import type { Address } from '../runtime/driver.ts';
import { type Convolution, ceilDivide, convolutionOf, geometryArgument, roundUp } from './geometry.ts';
import { type Argument, address, i32, type KernelLaunch, launch, struct } from './launch.ts';

const CODES = { file: 'codes.cu', defines: {} };

/** Codes of the inner axis that a stage of the integer product takes; channels are copied 16 at a time. */
export const INNER_STEP = 32;
export const CHANNEL_STEP = 16;
/** Whether x must be gathered first, and the length of the inner axis in memory. */
export function innerOf(g: Convolution): { gathered: boolean; padded: number } {
  return { gathered: g.inputs % CHANNEL_STEP !== 0, padded: roundUp(g.inner, INNER_STEP) };
}

/** Whether products read x where it is. */
export const CODE_PLACES = ['in place', 'gathered'] as const;
export const codesPlace = (g: Convolution): (typeof CODE_PLACES)[number] =>
  innerOf(g).gathered ? 'gathered' : 'in place';

export const gatheredBytes = (g: Convolution): number => {
  const { gathered, padded } = innerOf(g);
  return gathered ? g.pixels * g.groups * padded : 0;
};

/** Consecutive pieces of scratch memory, 256-byte aligned. */
export function pieces(scratch: Address, ...sizes: readonly number[]): Address[] {
  let at = scratch;
  return sizes.map((bytes) => {
    const here = at;
    at += BigInt(roundUp(bytes, 256));
    return here;
  });
}
export const piecesBytes = (...sizes: readonly number[]): number =>
  sizes.reduce((sum, bytes) => sum + roundUp(bytes, 256), 0);

export function gather(g: Convolution, x: Address, columns: Address): KernelLaunch[] {
  const { gathered, padded } = innerOf(g);
  if (!gathered) return [];
  const blocks = Math.min(65535, ceilDivide((g.pixels * g.groups * padded) / 4, 256));
  return [launch(CODES, 'gather', blocks, 256, [address(x), address(columns), geometryArgument(g), i32(padded)])];
}

/** Sums of the weight codes per tap, or of values that each code stands for. */
export function tapSums(g: Convolution, w: Address, sums: Address, values: Address = 0n): KernelLaunch {
  const args = [address(w), address(values), address(sums), i32(g.inputs), i32(g.o)];
  return launch(CODES, 'tap_sums', [g.kh * g.kw, ceilDivide(g.o, 32)], [32, 8], args);
}

/** Bytes from one function's image of the codes that a product reads to the next. */
export const mappedStride = (g: Convolution): number => roundUp(gatheredBytes(g) || g.n * g.h * g.w * g.c, 256);

/** The codes under each of `count` functions, tables of 256 bytes. */
export function mapCodes(
  g: Convolution,
  codes: Address,
  functions: Address,
  count: number,
  mapped: Address,
): KernelLaunch {
  const words = (gatheredBytes(g) || g.n * g.h * g.w * g.c) / 4;
  const blocks = Math.min(4096, ceilDivide(words, 256));
  const args = [...[codes, functions, mapped].map(address), i32(words), i32(mappedStride(g))];
  return launch(CODES, 'map_codes', [blocks, count], 256, args);
}

export const ofForward = ({ inputs: [x, w], outputs: [y], attributes }: Node<'axmConv2d'>): Convolution =>
  convolutionOf(x!.shape, w!.shape, y!.shape, attributes);

export const zeroPoints = (xScale: Address, xZero: Address, wScale: Address, wZero: Address): Argument =>
  struct(...[xScale, xZero, wScale, wZero].map(address));
