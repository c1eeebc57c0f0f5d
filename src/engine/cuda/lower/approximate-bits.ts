// The approximate convolution as counts of bits that meet, on the binary matrix units of Hopper; see
// kernels/approximate-bits.cuh. What a layer needs of it (packed operands, the tile, its stages) serves the gradients
// of a structure too.

import type { Node } from '../../graph/graph.ts';
import type { OperandWidths } from '../../graph/ops.ts';
import { FILLING, filling, pathOf } from '../../graph/paths.ts';
import {
  type BitGroup,
  bitDefines,
  bitGroups,
  countedGroups,
  hasFractions,
  loopNames,
  loopOf,
} from './approximate-bit-form.ts';
import { tapSums, zeroPoints } from './approximate-codes.ts';
import { type Convolution, ceilDivide, geometryArgument, roundUp, steps, stepsOf } from './geometry.ts';
import type { Address, Argument, KernelLaunch, KernelSource, LaunchSize } from './launch.ts';
import { addresses, integers, launch, macroList, struct, type Target } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';

const FILE = 'approximate-bits.cu';
/** Steps of the inner axis in a unit, units of a stage, columns of a tile. */
const UNIT = 128;
const UNITS = 4;
const COLUMNS = 64;
/** Channels whose codes are packed and summed together. */
const PIECE = 64;
/** The longest window of several taps that is packed as one pixel: each output pixel has its own copy. */
const LONGEST_WINDOW = 256;
/** Windows of so few codes are packed two at a time. */
const HALF_PIECE = 32;
/** Of tiles of 128 rows for each multiprocessor: fewer are halved. A few idle multiprocessors are not worth that. */
const FEW_TILES = 0.9;
/** Of the kernels that multiply: a warpgroup that copies and two that count. */
const THREADS = 384;
const PACKING_THREADS = 256;
/** Of the kernels' own arrays, whose size the compiler knows. */
const MOST_OWN_BYTES = 48 * 1024;

/** Of gradients by singles: the sums of four lanes of eight warps, and of the warps, for 64 of them. */
const LANE_SUM_BYTES = 4 * 64 * 8 * (4 + 1);

/** How the bits of a layer lie in memory and are tiled. */
export interface BitLayout {
  /** Whether a packed pixel is the window of an output pixel: where channels do not fill pieces. */
  readonly windows: boolean;
  /** Of a packed pixel, and all pieces of such channels. */
  readonly channels: number;
  readonly pieces: number;
  /** Channels of a block of the packed activations. */
  readonly block: 64 | 128;
  readonly units: number;
  readonly paddedColumns: number;
  readonly packedBytes: number;
  /** Of the sums of codes of x. */
  readonly sumBytes: number;
  readonly weightBytes: number;
  readonly rectangleBytes: number;
  /** Rows of a tile. */
  readonly rows: 128 | 64;
  readonly tiles: number;
  /** Units of the last stage where it is not whole, and is not filled with zeros. */
  readonly tail: 0 | 1 | 2 | 3;
  readonly stages: 2 | 3;
  readonly sharedBytes: number;
}

/** Whether a kernel's file is of this form, which has another one beside it: products of planes. */
export const countsBits = (file: string): boolean => /^approximate-bit(s|-gradients)\.cu$/.test(file);

/** The layout of a layer; undefined where the device or the layer takes another way. */
export function bitLayout(g: Convolution, widths: OperandWidths, target: Target): BitLayout | undefined {
  if (!target.warpgroups || target.counts === false || g.groups > 1) return undefined;
  const windows = g.c % PIECE !== 0;
  if (windows && g.kh * g.kw > 1 && g.inner > LONGEST_WINDOW) return undefined;
  const { weightBits, activationBits } = widths;
  const channels = windows ? roundUp(g.inner, PIECE) : g.c;
  const taps = windows ? 1 : g.kh * g.kw;
  const pieces = ((windows ? g.pixels : g.n * g.h * g.w) * channels) / PIECE;
  const packedBytes = (pieces * PIECE * activationBits) / 8;
  if (packedBytes >= 2 ** 31) return undefined;
  const block = channels % 128 === 0 ? 128 : 64;
  const units = ceilDivide(taps * channels, UNIT);
  const paddedColumns = roundUp(g.outputs, COLUMNS);
  const tilesOf = (rows: number) => ceilDivide(g.pixels, rows) * (paddedColumns / COLUMNS);
  // Halves of the inner axis keep both warpgroups busy where there are few tiles.
  const rows = tilesOf(128) < FEW_TILES * target.multiprocessors && units >= 2 * UNITS ? 64 : 128;
  const tail = rows === 64 ? 0 : ((units % UNITS) as 0 | 1 | 2 | 3);
  const stageBytes = 16 * UNITS * (activationBits * (rows + 1) + weightBits * COLUMNS);
  const blockBytes = 8 * ceilDivide(units, UNITS) * UNITS * (UNIT / block);
  const sharedBytes = (stages: number) => {
    // Of the rows of stages + 2 tiles where they begin and their sums, of those of one the pixels of all taps.
    const rowBytes = 4 * rows * (3 * (stages + 2) + taps + 1);
    return stages * (stageBytes + 16) + 16 * COLUMNS + rowBytes + blockBytes;
  };
  // Behind it the kernels' own arrays: factors, and of products sums of weight codes, three doubles and a bias of each
  // column for each 64 rows and what warpgroups exchange, of gradients sums that lanes keep.
  const ofColumn = 4 * (g.kh + 1) * (g.kw + 1) + (rows / 64) * (3 * 8 + 4);
  const ofProducts = COLUMNS * (ofColumn + (rows === 64 ? 4 * 64 : 0));
  const ownBytes = 2048 + Math.max(ofProducts, LANE_SUM_BYTES);
  const stages = ([3, 2] as const).find((count) => sharedBytes(count) + ownBytes <= target.sharedBytesPerBlock);
  if (!stages || ownBytes > MOST_OWN_BYTES) return undefined;
  return {
    ...{ windows, channels, pieces, block, units, paddedColumns, rows, tail, stages },
    packedBytes,
    sumBytes: 4 * pieces,
    weightBytes: 16 * units * weightBits * paddedColumns,
    rectangleBytes: 4 * (g.kh + 1) * (g.kw + 1) * paddedColumns,
    tiles: tilesOf(rows),
    sharedBytes: sharedBytes(stages),
  };
}

/** How the codes of a layer are packed. */
export const packingNames = ['pixels', 'windows', 'two windows at once'] as const;
export const packingOf = (g: Convolution, { windows }: BitLayout): (typeof packingNames)[number] =>
  windows ? (areTwo(g) ? 'two windows at once' : 'windows') : 'pixels';
const areTwo = ({ inner }: Convolution): boolean => inner <= HALF_PIECE;

/** The macros of a layout for the kernels that multiply. */
export const layoutDefines = (g: Convolution, { windows, block, rows, tail, stages }: BitLayout) => ({
  CB: block,
  BM: rows,
  TAIL: tail,
  STAGES: stages,
  KH: g.kh,
  KW: g.kw,
  WINDOWS: windows ? 1 : 0,
  WGMMA: 1,
});

/** Where packed operands are. */
export interface PackedOperands {
  readonly x: Address;
  readonly w: Address;
  /** Of the codes of x. */
  readonly sums: Address;
}

/** The kernels that prepare operands. */
const preparing = ({ block }: BitLayout, { weightBits, activationBits }: OperandWidths): KernelSource => ({
  file: FILE,
  defines: { CB: block, ABITS: activationBits, WBITS: weightBits },
});

/** Packs both operands into planes of bits. */
export function packBits(
  g: Convolution,
  widths: OperandWidths,
  layout: BitLayout,
  [x, w]: readonly [Address, Address],
  packed: PackedOperands,
  { multiprocessors }: Target,
): KernelLaunch[] {
  const source = preparing(layout, widths);
  const { windows, channels, pieces } = layout;
  const codes = addresses({ x, packed: packed.x, sums: packed.sums });
  const packCodes = () => {
    const grid = Math.min(ceilDivide(pieces, PACKING_THREADS / 8), 2048);
    const args = { ...codes, ...integers({ pieces }) };
    return launch(source, 'pack_codes', { grid, block: PACKING_THREADS }, args);
  };
  const packWindows = () => {
    const ofWindow = channels / PIECE;
    const [together, perBlock] = [areTwo(g) ? 2 : 1, PACKING_THREADS / 8];
    // A thread meets the same taps in each of its windows, so what it knows of them it finds out once.
    const grid = roundUp(Math.min(ceilDivide(pieces / together, perBlock), 4 * multiprocessors), ofWindow);
    const step = ((grid * perBlock) / ofWindow) * together;
    const args = { ...codes, geometry: geometryArgument(g), ...integers({ pieces: ofWindow, step }) };
    return launch(source, 'pack_windows', { grid, block: PACKING_THREADS }, args);
  };
  return [
    windows ? packWindows() : packCodes(),
    launch(
      source,
      'pack_weights',
      { grid: [layout.units, layout.paddedColumns / COLUMNS], block: PACKING_THREADS },
      { ...addresses({ w, packed: packed.w }), ...integers({ inner: g.inner, columns: g.outputs }) },
    ),
  ];
}

/** The kernels' `Bits`. */
export const bitsArgument = ({ x, w, sums }: PackedOperands, layout: BitLayout): Argument => {
  const { channels, units, paddedColumns, tiles } = layout;
  return struct({
    ...addresses({ x, w, sums }),
    ...integers({ channels, units, columnTiles: paddedColumns / COLUMNS, tiles }),
  });
};

/** Persistent blocks, one per multiprocessor. */
export const bitLaunchSize = (
  { tiles, sharedBytes }: BitLayout,
  { multiprocessors }: Target,
): LaunchSize & { readonly grid: number } => ({
  grid: Math.min(tiles, multiprocessors),
  block: THREADS,
  shared: sharedBytes,
});

/** Aspects of a layout's path, and those that a layout has. */
export const layoutAspects = {
  tile: ['128×64', '64×64 halved'],
  blocks: ['64 channels', '128 channels'],
  tail: ['0', '1', '2', '3'],
  stages: ['2', '3'],
  columns: FILLING,
  rows: FILLING,
  ...steps,
} as const;
export function aspectsOfLayout(g: Convolution, { rows, block, tail, stages }: BitLayout) {
  return {
    tile: rows === 128 ? '128×64' : '64×64 halved',
    blocks: block === 128 ? '128 channels' : '64 channels',
    tail: `${tail}`,
    stages: `${stages}`,
    columns: filling(g.outputs, COLUMNS),
    rows: filling(g.pixels, rows),
    ...stepsOf(g),
  } as const;
}

export const bitWays = {
  bits: {
    factors: ['integers', 'fractions'],
    loop: loopNames,
    packed: ['pixels', 'windows'],
    stores: ['by fours', 'one by one'],
    ...layoutAspects,
  },
} as const;

/** In place of an entry of m. */
const NOT_REMOVED = -1;
const COUNTS_FOR_NOTHING = -2;

/**
 * Of a pair of bits, in products of 8-bit integers. The binary unit does eight in the time of one, and kernels that
 * count reach half of its rate, those of planes a third of theirs: truncations of two to six columns, measured on an
 * H100 (docs/performance-cuda.md).
 */
const COST_OF_PAIR = 1 / 12;

/** The product by counts of bits; undefined where another way is taken. `slices`: digits of all planes of that one. */
export function bitProduct(
  node: Node<'axmConv2d'>,
  g: Convolution,
  slices: number,
  target: Target,
): Lowered | undefined {
  if (node.attributes.error.kind !== 'removal') return undefined;
  const groups = bitGroups(node.attributes, node.inputs[6]!);
  const fractions = hasFractions(groups, node.attributes.error);
  const readsM = groups.some(({ entry }) => entry !== undefined);
  const layout = bitLayout(g, node.attributes, target);
  if (!layout || groups.length === 0 || (fractions && target.precision === 'fp32')) return undefined;
  if (countedUnits(groups, layout) * COST_OF_PAIR * UNIT > slices * g.inner) return undefined;
  const packing = packingOf(g, layout);
  // Of so short an inner axis the smallest unit is mostly empty: planes were faster on an H100, by 0.09 ms of 0.18 for
  // 27 products of all pairs of eight bits.
  if (packing === 'two windows at once') return undefined;
  const counted = countedGroups(groups);
  const defines = {
    ...bitDefines(counted, node.attributes),
    ...layoutDefines(g, layout),
    FOURS: g.outputs % 4 === 0 ? 1 : 0,
    FRACTIONS: fractions ? 1 : 0,
    SHIFTS: macroList(counted.groups.map(({ shift }) => shift)),
    ENTRIES: macroList(counted.groups.map(({ entry }) => entry ?? NOT_REMOVED)),
    ...(counted.singles.length > 0 && {
      SINGLE_ENTRIES: macroList(
        counted.singles.map((single) => (single ? (single.entry ?? NOT_REMOVED) : COUNTS_FOR_NOTHING)),
      ),
    }),
  };

  const space = new Layout();
  const xAt = space.take(layout.packedBytes);
  const wAt = space.take(layout.weightBytes);
  const sumsAt = space.take(layout.sumBytes);
  const tapSumsAt = space.take(4 * g.kh * g.kw * g.o);
  const rectanglesAt = space.take(layout.rectangleBytes);
  return {
    path: pathOf(bitWays, 'bits', {
      factors: fractions ? 'fractions' : 'integers',
      loop: loopOf(counted),
      packed: packing,
      stores: g.outputs % 4 === 0 ? 'by fours' : 'one by one',
      ...aspectsOfLayout(g, layout),
    }),
    workspaceBytes: space.bytes,
    takesBias: true,
    launches: ({ inputs, outputs: [y], workspace, bias = 0n }) => {
      const [x, w, xScale, xZero, wScale, wZero, m] = inputs as [Address, ...Address[]] & Address[];
      const [packedX, packedW, sums, ofTaps, rectangles] = [xAt, wAt, sumsAt, tapSumsAt, rectanglesAt].map(
        (offset) => workspace + offset,
      ) as [Address, Address, Address, Address, Address];
      const packed = { x: packedX, w: packedW, sums };
      const padded = layout.paddedColumns;
      return [
        ...packBits(g, node.attributes, layout, [x!, w!], packed, target),
        tapSums(g, w!, ofTaps),
        launch(
          preparing(layout, node.attributes),
          'tap_rectangles',
          { grid: padded / COLUMNS, block: COLUMNS },
          {
            ...addresses({ sums: ofTaps, rectangles }),
            ...integers({ kh: g.kh, kw: g.kw, columns: g.outputs, padded }),
          },
        ),
        launch({ file: FILE, defines }, 'multiply', bitLaunchSize(layout, target), {
          bits: bitsArgument(packed, layout),
          // Memory that is not read must not be named: the launch would wait for whoever has its neighbour.
          ...addresses({ rectangles, m: readsM ? m! : 0n }),
          zero: zeroPoints(xScale!, xZero!, wScale!, wZero!),
          ...addresses({ bias, y: y! }),
          geometry: geometryArgument(g),
        }),
      ];
    },
  };
}

/** Pairs × units that are multiplied: a unit that is alone in its stage serves two neighbours at once. */
function countedUnits(groups: readonly BitGroup[], { units, rows, tail }: BitLayout): number {
  const pairs = groups.reduce((sum, group) => sum + group.pairs.length, 0);
  if (rows === 64) return pairs * roundUp(units, UNITS);
  if (tail % 2 === 0) return pairs * units;
  const alone = groups.reduce((sum, group) => sum + Math.ceil(group.pairs.length / 2), 0);
  return pairs * (units - 1) + 2 * alone;
}
