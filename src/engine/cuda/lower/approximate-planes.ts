// The approximate convolution as a product over planes: which planes a node has, the tiles that they fit in, and the
// launches. See kernels/approximate-planes.cu.

import { factorize, type NoFactorization } from '../../../multiplier/factorization.ts';
import { UserError } from '../../../tensor/errors.ts';
import type { Node } from '../../graph/graph.ts';
import type { OperandWidths } from '../../graph/ops.ts';
import { COUNTS, FILLING, filling, oneOrSeveral, type Path, pathOf } from '../../graph/paths.ts';
import { CODE_PLACES, codePlaces, gather, INNER_STEP, mapCodes, tapSums, zeroPoints } from './approximate-codes.ts';
import {
  bytesOfFunctions,
  type Form,
  factoredForm,
  planeDefines,
  planesOf,
  slicesOf,
  sourceOf,
} from './approximate-plane-form.ts';
import {
  type Convolution,
  ceilDivide,
  chooseTile,
  geometryArgument,
  roundUp,
  steps,
  stepsOf,
  type Tile,
} from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';

const COLUMN_TILE = 64;

interface PlaneTile extends Tile {
  /** Groups of warps that share a tile, each with its own part of the inner axis. */
  readonly warpsK: number;
}

const STAGES = 3;
/** With more planes the kernel spills registers and takes minutes to compile. */
const MOST_PLANES = 32;

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
/**
 * For groups of few outputs, which would leave tiles of 64 columns mostly empty; by warps on every device, because a
 * warpgroup's instruction has 64 columns at least in each of the others' layouts.
 */
const narrowTiles: readonly PlaneTile[] = [
  { rows: 256, columns: 16, warpsM: 8, warpsN: 1, warpsK: 1 },
  { rows: 128, columns: 16, warpsM: 4, warpsN: 1, warpsK: 2 },
  { rows: 256, columns: 32, warpsM: 8, warpsN: 1, warpsK: 1 },
  { rows: 128, columns: 32, warpsM: 4, warpsN: 1, warpsK: 2 },
];
/** For weights of one digit, where the columns come in 128s. */
const widePlaneTiles: readonly PlaneTile[] = [
  { rows: 128, columns: 128, warpsM: 8, warpsN: 1, warpsK: 2 },
  { rows: 64, columns: 128, warpsM: 4, warpsN: 1, warpsK: 2 },
];
/** For weights with three digits, whose sums leave registers for nothing larger. */
const smallPlaneTile: PlaneTile = { rows: 64, columns: 64, warpsM: 4, warpsN: 1, warpsK: 1 };
/** For so many planes that the weights fill the shared memory. */
const manyPlaneTiles: readonly PlaneTile[] = [
  { rows: 128, columns: 64, warpsM: 8, warpsN: 1, warpsK: 1 },
  smallPlaneTile,
];

/**
 * Digits behind the first of weights with a fraction: 2^-9 of a code's unit is below tf32's rounding, 2^-17 below
 * float32's needs.
 */
const fractionDigitsOf = ({ precision }: Target): number => (precision === 'fp32' ? 2 : 1);

/** Shared memory for the stages of a product. */
const roomOf = ({ sharedBytesPerBlock }: Target): number => sharedBytesPerBlock - 4 * 4 * 256 - 1024;

const stageBytesOf = (tile: PlaneTile, slices: number, functions: number): number =>
  INNER_STEP * tile.warpsK * ((1 + functions) * tile.rows + slices * tile.columns);

/** How the products are formed: the planes of a structure or of a factored table, or undefined for look-ups. */
export function formOf(node: Node<'axmConv2d'>, target: Target): Form | undefined {
  const { error } = node.attributes;
  if (error.kind !== 'table') return { planes: planesOf(node.attributes, node.inputs[6]), functions: [] };
  if (error.emulation === 'table') return undefined;
  const source = sourceOf(node.inputs[6]!);
  if (source.kind !== 'constant') return undefined;
  // Two stages of the smallest tile, which has as many rows as columns.
  const fitting = Math.floor(roomOf(target) / (2 * INNER_STEP * smallPlaneTile.columns)) - 1;
  const most = Math.min(MOST_PLANES, fitting);
  const form = factored(source.tensor.data as Int32Array, node.attributes, most);
  if (!('refused' in form)) return form;
  if (error.emulation === undefined) return undefined;
  throw new UserError(
    `the multiplier has no low-rank emulation on this device: ${form.refused}; the emulation table applies`,
  );
}

/** Factorisations already made: a multiplier is used by many layers and graphs. */
const known = new WeakMap<Int32Array, Map<string, Form | NoFactorization>>();

function factored(error: Int32Array, widths: OperandWidths, mostPlanes: number): Form | NoFactorization {
  const { weightBits, activationBits } = widths;
  const key = [weightBits, activationBits, mostPlanes].join();
  const ofTable = known.get(error) ?? new Map<string, Form | NoFactorization>();
  known.set(error, ofTable);
  const before = ofTable.get(key);
  if (before) return before;
  const found = factorize(error, widths, mostPlanes);
  const form = 'refused' in found ? found : factoredForm(found);
  ofTable.set(key, form);
  return form;
}

/** Digits of all planes of a form, each of them a product of 8-bit integers. */
export const slicesFor = ({ planes }: Form, target: Target): number => slicesOf(planes, fractionDigitsOf(target));

const isNarrow = ({ columns }: Tile): boolean => columns < COLUMN_TILE;

function tilesFor(g: Convolution, { planes }: Form, slices: number, fractionDigits: number, { warpgroups }: Target) {
  const columns = [16, 32].find((most) => g.outputs <= most);
  if (g.groups > 1 && columns) return narrowTiles.filter((tile) => tile.columns === columns);
  if (slices > planes.length && fractionDigits === 2) return [smallPlaneTile];
  const tiles = warpgroups ? warpgroupTiles : planeTiles;
  const wide = warpgroups && slices === planes.length && g.outputs % 128 === 0;
  return wide ? [...tiles, ...widePlaneTiles] : tiles;
}

/** The tile that planes are multiplied in, and how many stages of it fit. */
function chosenTile(g: Convolution, form: Form, target: Target): { tile: PlaneTile; stages: number } {
  const fractionDigits = fractionDigitsOf(target);
  const slices = slicesOf(form.planes, fractionDigits);
  const stagesOf = (tile: PlaneTile) =>
    Math.min(STAGES, Math.floor(roomOf(target) / stageBytesOf(tile, slices, form.functions.length)));
  const fits = (tile: PlaneTile) => stagesOf(tile) >= 2;
  const fitting = tilesFor(g, form, slices, fractionDigits, target).filter(fits);
  const candidates = fitting.length > 0 ? fitting : manyPlaneTiles.filter(fits);
  if (candidates.length === 0) {
    // Factored tables are only taken where they fit (see formOf): these are weights of three digits.
    const [needed, found] = [2 * stageBytesOf(smallPlaneTile, slices, form.functions.length), roomOf(target)];
    throw new UserError(
      `a structure of ${form.planes.length} columns in the precision ${target.precision} needs ${needed} bytes of shared memory per block, and this GPU has ${found}; choose the precision tf32`,
    );
  }
  const tile = chooseTile(candidates, g.pixels, g.outputs, g.groups, target.multiprocessors);
  return { tile, stages: stagesOf(tile) };
}

const tileName = ({ rows, columns, warpsK }: PlaneTile) => `${rows}×${columns}${warpsK > 1 ? ' halved' : ''}`;
const multiplied = {
  stages: ['2', '3'],
  codes: CODE_PLACES,
  columns: FILLING,
  stores: ['by fours', 'one by one'],
  groups: COUNTS,
  ...steps,
} as const;
const tilesOf = (...lists: (readonly PlaneTile[])[]) => [...new Set(lists.flat().map(tileName))];
const structured = { digits: ['1', '2', '3'], ...multiplied } as const;
const tabulated = { functions: ['none', 'some'], constant: ['none', 'some'], ...multiplied } as const;

/**
 * The ways of products of planes; by warps or by warpgroups is a matter of the device, but for narrow tiles. The at
 * most eight planes of a structure never need the tiles for many.
 */
export const planeWays = {
  'planes, by warps': { tile: tilesOf(narrowTiles, planeTiles, [smallPlaneTile]), ...structured },
  // The shared memory of devices with warpgroups has room for three stages of the at most eight planes of a structure.
  'planes, by warpgroups': {
    tile: tilesOf(warpgroupTiles, widePlaneTiles, [smallPlaneTile]),
    ...structured,
    stages: ['3'],
  },
  'factors, by warps': { tile: tilesOf(narrowTiles, planeTiles, manyPlaneTiles), ...tabulated },
  'factors, by warpgroups': { tile: tilesOf(warpgroupTiles, widePlaneTiles, manyPlaneTiles), ...tabulated },
} as const;

/** The product of a form; see kernels/approximate-planes.cu. */
export function planeProduct(node: Node<'axmConv2d'>, g: Convolution, form: Form, target: Target): Lowered {
  const { planes, functions, factored: factors } = form;
  const { weightBits, activationBits } = node.attributes;
  const fractionDigits = fractionDigitsOf(target);
  const slices = slicesOf(planes, fractionDigits);
  const places = codePlaces(g);
  const { gathered, padded, mappedStride } = places;
  const { tile, stages } = chosenTile(g, form, target);
  const columnTile = Math.min(tile.columns, COLUMN_TILE);
  const paddedColumns = roundUp(g.outputs, columnTile);
  const warpgroups = target.warpgroups && !isNarrow(tile);

  const layout = new Layout();
  const expandedAt = layout.take(g.groups * padded * slices * paddedColumns);
  const perTap = 4 * g.kh * g.kw * g.o;
  const sumsAt = layout.take(perTap);
  const constantsAt = layout.take(factors?.constant ? perTap : 0);
  const columnsAt = layout.take(places.bytes);
  const mappedAt = layout.take(functions.length * mappedStride);

  const { PLANES, SOURCES, ALL_SIGNS, ...ofPlanes } = planeDefines(form, fractionDigits);
  const expanding = {
    ...ofPlanes,
    WBITS: weightBits,
    WIDTH: columnTile,
    ...(factors ? { TABULATED: 1 } : { TABULATED: 0, PLANES, ABITS: activationBits }),
  };
  const multiplying = {
    ...ofPlanes,
    PLANES,
    SOURCES,
    ALL_SIGNS,
    WBITS: weightBits,
    BM: tile.rows,
    BN: tile.columns,
    WARPS_M: tile.warpsM,
    WARPS_N: tile.warpsN,
    WARPS_K: tile.warpsK,
    STAGES: stages,
    MIN_BLOCKS: 1,
    WGMMA: warpgroups ? 1 : 0,
    COLUMNS: gathered ? 1 : 0,
    FOURS: g.outputs % 4 === 0 ? 1 : 0,
    OFFSETS: factors?.constant ? 1 : 0,
  };
  // Of each column rectangles of taps, three doubles and a bias.
  const areaBytes = 4 * tile.columns * ((factors?.constant ? 2 : 1) * (g.kh + 1) * (g.kw + 1) + 7);
  const exchangeBytes = tile.warpsK > 1 ? 4 * (1 + fractionDigits) * tile.rows * tile.columns : 0;
  const size = {
    grid: [ceilDivide(g.pixels, tile.rows) * (paddedColumns / tile.columns), 1, g.groups],
    block: 32 * tile.warpsM * tile.warpsN * tile.warpsK,
    shared: Math.max(stageBytesOf(tile, slices, functions.length) * stages, areaBytes, exchangeBytes),
  };
  return {
    path: pathOfPlanes(g, form, tile, stages, target),
    workspaceBytes: layout.bytes,
    takesBias: true,
    launches: ({ inputs, outputs: [y], workspace, memory, bias = 0n }) => {
      const [x, w, xScale, xZero, wScale, wZero, m] = inputs as [Address, ...Address[]] & Address[];
      const [expanded, sums, constants, columns, mapped] = [expandedAt, sumsAt, constantsAt, columnsAt, mappedAt].map(
        (offset) => workspace + offset,
      ) as [Address, Address, Address, Address, Address];
      const given = factors ? memory.place(factors.digits) : (m ?? 0n);
      const codes = gathered ? columns : x;
      return [
        launch(
          { file: 'approximate-planes.cu', defines: expanding },
          'weights',
          { grid: [padded / INNER_STEP, paddedColumns / columnTile, g.groups], block: 256 },
          {
            ...addresses({ w: w!, given, expanded }),
            ...integers({ inner: g.inner, columns: g.outputs, stride: g.o, paddedColumns }),
          },
        ),
        tapSums(g, w!, sums),
        ...(factors?.constant ? [tapSums(g, w!, constants, memory.place(factors.constant))] : []),
        ...gather(g, places, x, columns),
        ...(functions.length > 0
          ? [mapCodes(places, codes, memory.place(bytesOfFunctions(functions)), functions.length, mapped)]
          : []),
        launch({ file: 'approximate-planes.cu', defines: multiplying }, 'multiply', size, {
          // Memory that is not there must not be named: the launch would wait for whoever has its neighbour.
          ...addresses({ x: codes, mapped: functions.length > 0 ? mapped : 0n }),
          ...integers({ mappedStride }),
          ...addresses({ weights: expanded, tapSums: sums, tapConstants: factors?.constant ? constants : 0n }),
          zero: zeroPoints(xScale!, xZero!, wScale!, wZero!),
          ...addresses({ bias, y: y! }),
          geometry: geometryArgument(g),
          ...integers({ paddedInner: padded, paddedColumns }),
        }),
      ];
    },
  };
}

function pathOfPlanes(g: Convolution, form: Form, tile: PlaneTile, stages: number, target: Target): Path {
  const by = target.warpgroups && !isNarrow(tile) ? 'by warpgroups' : 'by warps';
  const common = {
    tile: tileName(tile),
    stages: stages === 2 ? '2' : '3',
    codes: codePlaces(g).place,
    columns: filling(g.outputs, tile.columns),
    stores: g.outputs % 4 === 0 ? 'by fours' : 'one by one',
    groups: oneOrSeveral(g.groups),
    ...stepsOf(g),
  } as const;
  if (!form.factored) {
    const fraction = form.planes.some((plane) => plane.fraction);
    const digits = `${1 + (fraction ? fractionDigitsOf(target) : 0)}` as '1' | '2' | '3';
    return pathOf(planeWays, `planes, ${by}`, { digits, ...common });
  }
  return pathOf(planeWays, `factors, ${by}`, {
    functions: form.functions.length > 0 ? 'some' : 'none',
    constant: form.factored.constant ? 'some' : 'none',
    ...common,
  });
}
