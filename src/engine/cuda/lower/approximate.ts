// Approximate convolutions: bit planes for exact products and structures, look-ups for tables, and the plane gradients of a structure.
// See kernels/planes.cu, kernels/table.cu and kernels/plane-gradients.cu for what is computed.

import { UserError } from '../../../tensor/errors.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph.ts';
import type { AxmConvAttributes } from '../../ops.ts';
import type { Address } from '../driver.ts';
import {
  type Convolution,
  ceilDivide,
  chooseTile,
  convolutionOf,
  geometryArgument,
  roundUp,
  sharesOf,
  type Tile,
} from '../geometry.ts';
import { type Argument, address, i32, type KernelLaunch, launch, struct, type Target } from '../launch.ts';
import { planeDefines, planesOf, slicesOf, sourceOf } from '../planes.ts';
import type { Lowerings, Operands, ProgramMemory } from './lowering.ts';

/** Codes of the inner axis that a stage of the integer product takes; channels are copied 16 at a time. */
const INNER_STEP = 32;
const CHANNEL_STEP = 16;
const COLUMN_TILE = 64;

const CODES = { file: 'codes.cu', defines: {} };

interface PlaneTile extends Tile {
  /** Groups of warps that share a tile, each with its own part of the inner axis. */
  readonly warpsK: number;
}

const STAGES = 3;

const planeTiles: readonly PlaneTile[] = [
  { rows: 256, columns: 64, warpsM: 4, warpsN: 2, warpsK: 1 },
  { rows: 128, columns: 64, warpsM: 2, warpsN: 2, warpsK: 2 },
  { rows: 64, columns: 64, warpsM: 2, warpsN: 2, warpsK: 2 },
];
/** For warpgroup instructions: a warp has 16 rows and all columns. */
const warpgroupTiles: readonly PlaneTile[] = [
  { rows: 256, columns: 64, warpsM: 16, warpsN: 1, warpsK: 1 },
  { rows: 128, columns: 64, warpsM: 8, warpsN: 1, warpsK: 2 },
  { rows: 64, columns: 64, warpsM: 4, warpsN: 1, warpsK: 2 },
];
/** For weights of one digit, where the columns come in 128s. */
const widePlaneTiles: readonly PlaneTile[] = [
  { rows: 128, columns: 128, warpsM: 8, warpsN: 1, warpsK: 2 },
  { rows: 64, columns: 128, warpsM: 4, warpsN: 1, warpsK: 2 },
];
/** For weights with three digits, whose sums leave registers for nothing larger. */
const smallPlaneTile: PlaneTile = { rows: 64, columns: 64, warpsM: 4, warpsN: 1, warpsK: 1 };

/** Digits behind the first of weights with a fraction: 2^-9 of a code's unit is below tf32's rounding, 2^-17 below float32's needs. */
const fractionDigitsOf = ({ precision }: Target): number => (precision === 'fp32' ? 2 : 1);

/** Sums of up to this many products of codes fit in 32 bits; digits of a fixed-point weight have 8 bits whatever its width. */
function checkSums(g: Convolution, { weightBits, activationBits, integer }: AxmConvAttributes): void {
  const most = Math.floor((2 ** 31 - 1) / ((2 ** (integer ? weightBits : 8) - 1) * (2 ** activationBits - 1)));
  if (g.inner <= most) return;
  throw new UserError(
    `axmConv2d: an output element sums ${g.inner} products of ${weightBits}×${activationBits} bits; the cuda device sums up to ${most}, use the wasm device`,
  );
}

/** Whether x must be gathered first, and the length of the inner axis in memory. */
function innerOf(g: Convolution): { gathered: boolean; padded: number } {
  return { gathered: g.inputs % CHANNEL_STEP !== 0, padded: roundUp(g.inner, INNER_STEP) };
}

const gatheredBytes = (g: Convolution): number => {
  const { gathered, padded } = innerOf(g);
  return gathered ? g.pixels * g.groups * padded : 0;
};

/** Consecutive pieces of scratch memory, 256-byte aligned. */
function pieces(scratch: Address, ...sizes: readonly number[]): Address[] {
  let at = scratch;
  return sizes.map((bytes) => {
    const here = at;
    at += BigInt(roundUp(bytes, 256));
    return here;
  });
}
const piecesBytes = (...sizes: readonly number[]): number => sizes.reduce((sum, bytes) => sum + roundUp(bytes, 256), 0);

function gather(g: Convolution, x: Address, columns: Address): KernelLaunch[] {
  const { gathered, padded } = innerOf(g);
  if (!gathered) return [];
  const blocks = Math.min(65535, ceilDivide((g.pixels * g.groups * padded) / 4, 256));
  return [launch(CODES, 'gather', blocks, 256, [address(x), address(columns), geometryArgument(g), i32(padded)])];
}

function tapSums(g: Convolution, w: Address, sums: Address): KernelLaunch {
  const args = [address(w), address(sums), i32(g.inputs), i32(g.o)];
  return launch(CODES, 'tap_sums', [g.kh * g.kw, ceilDivide(g.o, 32)], [32, 8], args);
}

const ofForward = ({ inputs: [x, w], outputs: [y], attributes }: Node<'axmConv2d'>): Convolution =>
  convolutionOf(x!.shape, w!.shape, y!.shape, attributes);

function planeScratch(node: Node<'axmConv2d'>, target: Target): readonly [number, number, number] {
  const g = ofForward(node);
  const { padded } = innerOf(g);
  const slices = slicesOf(planesOf(node.attributes, node.inputs[6]), fractionDigitsOf(target));
  const expanded = g.groups * padded * slices * roundUp(g.outputs, COLUMN_TILE);
  return [expanded, 4 * g.kh * g.kw * g.o, gatheredBytes(g)];
}

function tilesFor(g: Convolution, planes: number, slices: number, fractionDigits: number, { warpgroups }: Target) {
  if (slices > planes && fractionDigits === 2) return [smallPlaneTile];
  if (!warpgroups) return planeTiles;
  return slices === planes && g.outputs % 128 === 0 ? [...warpgroupTiles, ...widePlaneTiles] : warpgroupTiles;
}

const zeroPoints = (xScale: Address, xZero: Address, wScale: Address, wZero: Address): Argument =>
  struct(...[xScale, xZero, wScale, wZero].map(address));

function planeCommands(node: Node<'axmConv2d'>, operands: Operands, target: Target): KernelLaunch[] {
  const g = ofForward(node);
  const planes = planesOf(node.attributes, node.inputs[6]);
  const fractionDigits = fractionDigitsOf(target);
  const slices = slicesOf(planes, fractionDigits);
  const { gathered, padded } = innerOf(g);
  const [x, w, xScale, xZero, wScale, wZero, m] = operands.inputs as [Address, ...Address[]] & Address[];
  const [expanded, sums, columns] = pieces(operands.scratch, ...planeScratch(node, target));
  const paddedColumns = roundUp(g.outputs, COLUMN_TILE);
  const { weightBits, activationBits } = node.attributes;
  const common = { ...planeDefines(planes, fractionDigits), WBITS: weightBits, ABITS: activationBits };

  const stageBytes = (tile: PlaneTile) => INNER_STEP * tile.warpsK * (tile.rows + slices * tile.columns);
  const room = target.sharedBytesPerBlock - 4 * 4 * 256 - 1024;
  const stagesOf = (tile: PlaneTile) => Math.min(STAGES, Math.floor(room / stageBytes(tile)));
  const candidates = tilesFor(g, planes.length, slices, fractionDigits, target);
  const fitting = candidates.filter((tile) => stagesOf(tile) >= 2);
  const tile = chooseTile(fitting, g.pixels, g.outputs, g.groups, target.multiprocessors);
  const areaBytes = 4 * (g.kh + 1) * (g.kw + 1) * tile.columns;
  const exchangeBytes = 4 * (1 + fractionDigits) * tile.rows * tile.columns;
  const threads = 32 * tile.warpsM * tile.warpsN * tile.warpsK;
  const defines = {
    ...common,
    BM: tile.rows,
    BN: tile.columns,
    WARPS_M: tile.warpsM,
    WARPS_N: tile.warpsN,
    WARPS_K: tile.warpsK,
    STAGES: stagesOf(tile),
    MIN_BLOCKS: 1,
    WGMMA: target.warpgroups ? 1 : 0,
    COLUMNS: gathered ? 1 : 0,
    PAIRS: g.outputs % 2 === 0 ? 1 : 0,
  };
  const grid = [ceilDivide(g.pixels, tile.rows) * (paddedColumns / tile.columns), 1, g.groups];
  return [
    launch(
      { file: 'planes.cu', defines: common },
      'weights',
      [padded / INNER_STEP, paddedColumns / 64, g.groups],
      256,
      [address(w!), address(m ?? 0n), address(expanded!), ...[g.inner, g.outputs, g.o, paddedColumns].map(i32)],
    ),
    tapSums(g, w!, sums!),
    ...gather(g, x, columns!),
    launch(
      { file: 'planes.cu', defines },
      'multiply',
      grid,
      threads,
      [
        ...[gathered ? columns! : x, expanded!, sums!].map(address),
        zeroPoints(xScale!, xZero!, wScale!, wZero!),
        address(operands.outputs[0]!),
        geometryArgument(g),
        i32(padded),
        i32(paddedColumns),
      ],
      Math.max(stageBytes(tile) * stagesOf(tile), areaBytes, tile.warpsK > 1 ? exchangeBytes : 0),
    ),
  ];
}

/** The products of a constant error table as u16, or undefined where they are not constant or do not fit. */
export function constantProducts(node: Node<'axmConv2d'>): Uint16Array | undefined {
  const source = sourceOf(node.inputs[6]!);
  if (source.kind !== 'constant') return undefined;
  const activations = 2 ** node.attributes.activationBits;
  const products = Array.from(
    source.tensor.data,
    (error, at) => Math.floor(at / activations) * (at % activations) + error,
  );
  return products.every((product) => product >= 0 && product < 65536) ? Uint16Array.from(products) : undefined;
}

const TABLE_THREADS = 512;

function tableScratch(node: Node<'axmConv2d'>): readonly [number, number] {
  const g = ofForward(node);
  return [4 * g.kh * g.kw * g.o, constantProducts(node) ? 0 : 4 * sizeOf(node.inputs[6]!.shape)];
}

function tableCommands(
  node: Node<'axmConv2d'>,
  operands: Operands,
  target: Target,
  memory: ProgramMemory,
): KernelLaunch[] {
  const g = ofForward(node);
  const { weightBits, activationBits } = node.attributes;
  const [x, w, xScale, xZero, wScale, wZero, error] = operands.inputs as [Address, ...Address[]] & Address[];
  const [sums, scratchTable] = pieces(operands.scratch, ...tableScratch(node));
  const products = constantProducts(node);
  const entry = products ? 2 : 4;
  const chunk = products ? 16 : 8;
  const perBlock = (rows: number) => ceilDivide(g.pixels, TABLE_THREADS * rows) * ceilDivide(g.outputs, 4) * g.groups;
  // A block per multiprocessor at least: the tables that a block builds pay off over its pixels.
  const rows = [4, 2].find((candidate) => perBlock(candidate) >= 0.9 * target.multiprocessors) ?? 1;
  const defines = {
    ENTRY: entry,
    CHUNK: chunk,
    ROWS: rows,
    WIDE: g.inputs % CHANNEL_STEP === 0 ? 1 : 0,
    WBITS: weightBits,
    ABITS: activationBits,
  };
  const source = { file: 'table.cu', defines };
  const count = sizeOf(node.inputs[6]!.shape);
  const table = products ? memory.table(new Uint8Array(products.buffer)) : scratchTable!;
  return [
    tapSums(g, w!, sums!),
    ...(products
      ? []
      : [launch(source, 'exact_products', ceilDivide(count, 256), 256, [address(error!), address(table)])]),
    launch(
      source,
      'look_up',
      [ceilDivide(g.pixels, TABLE_THREADS * rows), ceilDivide(g.outputs, 4), g.groups],
      TABLE_THREADS,
      [
        ...[x, w!, table, sums!].map(address),
        zeroPoints(xScale!, xZero!, wScale!, wZero!),
        address(operands.outputs[0]!),
        geometryArgument(g),
      ],
      2 * chunk * 2 ** activationBits * 4 * entry,
    ),
  ];
}

const ofGradients = ({ inputs: [g, x, w], attributes }: Node<'axmConv2dGradients'>): Convolution =>
  convolutionOf(x!.shape, w!.shape, g!.shape, attributes);

const GRADIENT_TILE = 64;
const FOLD_THREADS = 512;
/** Elements of a structure's gradient that a block of `fold` hands on, whatever the operand widths. */
const FOLD_ENTRIES = 64;

function gradientPlan(node: Node<'axmConv2dGradients'>, { multiprocessors, precision }: Target) {
  const g = ofGradients(node);
  const { activationBits } = node.attributes;
  const digits = precision === 'fp32' ? 2 : 1;
  const tiles = ceilDivide(g.inner, GRADIENT_TILE) * ceilDivide(g.outputs, GRADIENT_TILE);
  const stages = ceilDivide(g.pixels, INNER_STEP);
  const shares = sharesOf(tiles, stages, Math.max(1, Math.min(255, Math.floor(multiprocessors / g.groups))));
  const slabs = Math.max(1, Math.min(multiprocessors * 8, Math.floor(g.pixels / 32)));
  const paddedColumns = roundUp(g.outputs, 8);
  const count = g.inner * g.o;
  const foldBlocks = Math.min(ceilDivide(count, FOLD_THREADS / 2), 2 * multiprocessors);
  const scratch = [
    2 * digits * g.groups * g.pixels * paddedColumns,
    4 * slabs * g.kh * g.kw * g.o,
    4 * g.kh * g.kw * g.o,
    4 * Math.max(...shares.parts) * activationBits * count,
    4 * foldBlocks * FOLD_ENTRIES,
    gatheredBytes(g),
  ];
  return { g, digits, shares, slabs, paddedColumns, foldBlocks, scratch };
}

export const approximateLowerings: Lowerings<'axmConv2d' | 'axmConv2dGradients'> = {
  axmConv2d: {
    scratchBytes: (node, target) =>
      piecesBytes(...(node.attributes.error === 'table' ? tableScratch(node) : planeScratch(node, target))),
    launches: (node, operands, target, memory) => {
      checkSums(ofForward(node), node.attributes);
      return node.attributes.error === 'table'
        ? tableCommands(node, operands, target, memory)
        : planeCommands(node, operands, target);
    },
  },
  axmConv2dGradients: {
    scratchBytes: (node, target) => piecesBytes(...gradientPlan(node, target).scratch),
    launches: (node, { inputs, outputs, scratch }, target, memory) => {
      const plan = gradientPlan(node, target);
      const { g, digits, shares, slabs, paddedColumns, foldBlocks } = plan;
      const shareArgument = struct(i32(shares.tiles), i32(shares.stages), i32(shares.blocks));
      const [rounded, slabSums, totals, h, partials, columns] = pieces(scratch, ...plan.scratch);
      const largest = memory.counters(1);
      const [gradient, x, w, xScale, xZero, wScale] = inputs.map(address);
      const { gathered, padded } = innerOf(g);
      const { weightBits, activationBits } = node.attributes;
      const defines = {
        GDIGITS: digits,
        KH: g.kh,
        KW: g.kw,
        WBITS: weightBits,
        ABITS: activationBits,
        COLUMNS: gathered ? 1 : 0,
        PAIRS: g.outputs % 2 === 0 ? 1 : 0,
        FOLD4: g.outputs % 4 === 0 ? 1 : 0,
        WGMMA: target.warpgroups ? 1 : 0,
      };
      const source = { file: 'plane-gradients.cu', defines };
      const geometry = geometryArgument(g);
      const elements = g.pixels * g.o;
      const taps = g.kh * g.kw * g.o;
      const stageBytes = 32 * 64 + digits * 32 * 128;
      return [
        launch(source, 'largest', Math.min(4 * target.multiprocessors, ceilDivide(elements, 1024)), 256, [
          gradient!,
          address(largest),
          i32(elements),
        ]),
        launch(source, 'digits', [slabs, ceilDivide(g.groups * paddedColumns, 64)], 256, [
          gradient!,
          ...[largest, rounded!, slabSums!].map(address),
          geometry,
          i32(paddedColumns),
        ]),
        ...gather(g, inputs[1]!, columns!),
        launch(
          source,
          'products',
          [shares.blocks, 1, g.groups],
          256,
          [
            gathered ? address(columns!) : x!,
            address(rounded!),
            address(h!),
            geometry,
            shareArgument,
            ...[padded, paddedColumns].map(i32),
          ],
          4 * stageBytes,
        ),
        launch(
          source,
          'tap_totals',
          ceilDivide(taps, 32),
          [32, 8],
          [...[slabSums!, totals!].map(address), i32(taps), i32(slabs)],
        ),
        launch(source, 'fold', foldBlocks, FOLD_THREADS, [
          ...[h!, totals!, largest].map(address),
          ...[w!, xScale!, xZero!, wScale!],
          ...[...outputs, partials!, memory.counters(1)].map(address),
          address(memory.table(shares.parts)),
          ...[g.inner, g.o, g.inputs, g.groups].map(i32),
        ]),
      ];
    },
  },
};
