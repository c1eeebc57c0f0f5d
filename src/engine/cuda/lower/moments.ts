// Moments of a tensor's channels, mean and variance, as kernels take them with the running averages that they move; and
// sums of a product's parts, whose moments can be formed in the same pass. See kernels/moments.cu.

import type { OpAttributes } from '../../graph/ops.ts';
import { FILLING, filling, type Path, pathOf } from '../../graph/paths.ts';
import { ceilDivide, FORWARD, type Mode, roundUp } from './geometry.ts';
import type { Target } from './launch.ts';
import { type Address, type Arguments, addresses, floats, integers, type KernelLaunch, struct } from './launch.ts';
import { type Average, type Moments, type Operands, sumParts } from './lowering.ts';
import { REDUCTION_ASPECTS, reduce, reductionAspects, reductionBytes, reductionOf } from './reduce.ts';

/** Few large blocks leave few partial sums to the last of them. */
export const REDUCTION_THREADS = 512;

/** Whether running averages move. */
export const MOVED = ['moved', 'none'] as const;
export const movedAspect = (averages: readonly unknown[]) => MOVED[averages.length > 0 ? 0 : 1];

/** The averages that move as their sums with the moments say, where there are any. */
export const movedAverages = (
  averages: readonly OpAttributes['add'][],
  before: readonly Address[],
  to: readonly Address[],
): readonly Average[] => averages.map((how, number) => ({ ...how, before: before[number]!, to: to[number]! }));

const none: Average = { before: 0n, to: 0n, alpha: 0, beta: 0 };

/** What kernels that form moments take: where these go, and the averages as the kernels' `Average`. */
export function momentArguments({ mean, variance, averages }: Moments): Arguments {
  const [ofMean, ofVariance] = [0, 1].map((which) => {
    const { before, to, alpha, beta } = averages[which] ?? none;
    return struct({ ...addresses({ before, to }), ...floats({ alpha, beta }) });
  });
  return { ...addresses({ mean, variance }), ofMean: ofMean!, ofVariance: ofVariance! };
}

/** Neighbouring channels that a thread takes. */
export const widthOf = (channels: number): 1 | 4 => (channels % 4 === 0 ? 4 : 1);
export const momentSource = (width: 1 | 4) => ({ file: 'moments.cu', defines: { WIDTH: width } });

/** Parts that a thread of moments_of_parts reads at once. */
const AHEAD = 4;
/** Of a channel's sums over a tile. */
const SUMS_BYTES = 16;

/** Who forms the moments of a product (measured.ts). */
export const momentWays = {
  'the sum of parts': {
    ...REDUCTION_ASPECTS,
    width: ['four channels at a time', 'one channel at a time'],
    parts: ['read at once', 'more'],
  },
  'each tile': { ...REDUCTION_ASPECTS, rows: FILLING },
} as const;

/** How the parts of a product are added, which lie behind each other. */
export interface Summation {
  /** Of the parts and of partial sums. */
  readonly bytes: number;
  /** How moments are formed beside the sums; undefined where they are not. */
  readonly formsMoments: Path | undefined;
  /** Where the product itself puts sums of the columns of its tiles, within the bytes from `from` on; else null. */
  readonly columnSums: (from: Address, at: Operands) => Address;
  /** What follows the product, its parts, where there are several, and sums at the beginning of the bytes. */
  readonly launches: (from: Address, y: Address, at: Operands) => readonly KernelLaunch[];
}

const noSums = () => 0n;

/** Of `parts` results of rows × channels; `tileRows`: of a product that sums the columns of its tiles. */
export function summationOf(
  parts: number,
  [rows, channels]: readonly [number, number],
  mode: Mode,
  target: Target,
  tileRows?: number,
): Summation {
  if (parts === 1) {
    if (mode === FORWARD && tileRows !== undefined) return ofTiles([rows, channels], tileRows, target);
    return { bytes: 0, formsMoments: undefined, columnSums: noSums, launches: () => [] };
  }
  const count = rows * channels;
  const bytes = roundUp(4 * parts * count, 256);
  if (mode !== FORWARD) {
    const launches = (from: Address, y: Address) => [sumParts(from, y, count, parts)];
    return { bytes, formsMoments: undefined, columnSums: noSums, launches };
  }
  const width = widthOf(channels);
  const cut = { width, threads: REDUCTION_THREADS, reads: Math.min(parts, AHEAD) };
  const reduction = reductionOf(rows, channels, target, cut);
  return {
    bytes: bytes + reductionBytes(reduction),
    formsMoments: pathOf(momentWays, 'the sum of parts', {
      ...reductionAspects(reduction),
      width: width === 4 ? 'four channels at a time' : 'one channel at a time',
      parts: parts <= AHEAD ? 'read at once' : 'more',
    }),
    columnSums: noSums,
    launches: (from, y, { memory, moments }) => {
      if (!moments) return [sumParts(from, y, count, parts)];
      const args = {
        ...addresses({ parts: from, y }),
        ...momentArguments(moments),
        ...integers({ count: count / width, number: parts }),
      };
      const partials = { workspace: from + BigInt(bytes), memory };
      return [reduce(momentSource(width), 'moments_of_parts', reduction, args, partials)];
    },
  };
}

/** Of a whole product whose blocks leave sums of `tileRows` rows each, two doubles for a channel. */
function ofTiles([rows, channels]: readonly [number, number], tileRows: number, target: Target): Summation {
  const tiles = ceilDivide(rows, tileRows);
  const width = widthOf(channels);
  const bytes = roundUp(SUMS_BYTES * tiles * channels, 256);
  // A vector of pairs of doubles is as many reads as it has channels.
  const reduction = reductionOf(tiles, channels, target, { width, threads: REDUCTION_THREADS, reads: width });
  return {
    bytes: bytes + reductionBytes(reduction),
    formsMoments: pathOf(momentWays, 'each tile', { ...reductionAspects(reduction), rows: filling(rows, tileRows) }),
    columnSums: (from, { moments }) => (moments ? from : 0n),
    launches: (from, _, { memory, moments }) => {
      if (!moments) return [];
      const args = { ...addresses({ tiles: from }), ...momentArguments(moments), ...integers({ count: rows }) };
      const partials = { workspace: from + BigInt(bytes), memory };
      return [reduce(momentSource(width), 'moments_of_tiles', reduction, args, partials)];
    },
  };
}
