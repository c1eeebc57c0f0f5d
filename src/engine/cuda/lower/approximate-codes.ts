// What the emulations of an approximate convolution share: the inner axis of codes in memory, gathered and mapped
// codes, sums of weight codes per tap. See kernels/approximate-codes.cu.

import { type Convolution, ceilDivide, geometryArgument, roundUp } from './geometry.ts';
import type { Address } from './launch.ts';
import { type Argument, addresses, integers, type KernelLaunch, launch, struct } from './launch.ts';

const SOURCE = { file: 'approximate-codes.cu', defines: {} };

/** Codes of the inner axis that a stage of the integer product takes; channels are copied 16 at a time. */
export const INNER_STEP = 32;
export const CHANNEL_STEP = 16;

/** Whether products read x where it is. */
export const CODE_PLACES = ['in place', 'gathered'] as const;

/** Where products read the codes of x: where they are, or gathered first. */
export interface CodePlaces {
  readonly gathered: boolean;
  readonly place: (typeof CODE_PLACES)[number];
  /** The length of the inner axis in memory. */
  readonly padded: number;
  /** Of the gathered codes. */
  readonly bytes: number;
  /** Of the codes that products read, and from one function's image of them to the next. */
  readonly readBytes: number;
  readonly mappedStride: number;
}

export function codePlaces(g: Convolution): CodePlaces {
  const gathered = g.inputs % CHANNEL_STEP !== 0;
  const padded = roundUp(g.inner, INNER_STEP);
  const bytes = gathered ? g.pixels * g.groups * padded : 0;
  const readBytes = bytes || g.n * g.h * g.w * g.c;
  const place = gathered ? 'gathered' : 'in place';
  return { gathered, place, padded, bytes, readBytes, mappedStride: roundUp(readBytes, 256) };
}

export function gather(g: Convolution, { gathered, padded, bytes }: CodePlaces, x: Address, columns: Address) {
  if (!gathered) return [];
  const size = { grid: Math.min(65535, ceilDivide(bytes / 4, 256)), block: 256 };
  const args = {
    ...addresses({ x, columns }),
    geometry: geometryArgument(g),
    ...integers({ paddedInner: padded }),
  };
  return [launch(SOURCE, 'gather', size, args)];
}

/** Sums of the weight codes per tap, or of values that each code stands for. */
export function tapSums(g: Convolution, w: Address, sums: Address, values: Address = 0n): KernelLaunch {
  const size = { grid: [g.kh * g.kw, ceilDivide(g.o, 32)], block: [32, 8] };
  const args = { ...addresses({ w, values, sums }), ...integers({ channels: g.inputs, outputs: g.o }) };
  return launch(SOURCE, 'tap_sums', size, args);
}

/** The codes under each of `count` functions, tables of 256 bytes. */
export function mapCodes(
  { readBytes, mappedStride }: CodePlaces,
  codes: Address,
  functions: Address,
  count: number,
  mapped: Address,
): KernelLaunch {
  const words = readBytes / 4;
  const size = { grid: [Math.min(4096, ceilDivide(words, 256)), count], block: 256 };
  const args = { ...addresses({ codes, functions, mapped }), ...integers({ words, stride: mappedStride }) };
  return launch(SOURCE, 'map_codes', size, args);
}

export const zeroPoints = (xScale: Address, xZero: Address, wScale: Address, wZero: Address): Argument =>
  struct(addresses({ xScale, xZero, wScale, wZero }));
