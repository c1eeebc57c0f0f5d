// Approximate convolutions: planes for exact products, structures and tables that factor, look-ups for other tables, and the plane gradients of a
// structure. Which of the two a table gets is a matter of cost alone: a factorisation that fits is faster (docs/performance-cuda.md has the figures).
// See kernels/planes.cu, kernels/table.cu and kernels/plane-gradients.cu for what is computed.

import { isInteger } from '../../../multiplier/error.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { checkSums, knownProducts } from '../../graph/sums.ts';
import type { Address } from '../runtime/driver.ts';
import {
  CHANNEL_STEP,
  CODE_PLACES,
  codesPlace,
  gather,
  gatheredBytes,
  INNER_STEP,
  innerOf,
  ofForward,
  pieces,
  piecesBytes,
  tapSums,
  zeroPoints,
} from './codes.ts';
import { type Convolution, ceilDivide, convolutionOf, geometryArgument, roundUp, sharesOf } from './geometry.ts';
import { address, i32, type KernelLaunch, launch, struct, type Target } from './launch.ts';
import type { Lowerings, Operands, ProgramMemory } from './lowering.ts';
import { formOf, planeCommands, planePath, planeScratch, planeWays } from './planes.ts';

/** The products of a constant error table as u16, or undefined where they are not constant or do not fit. */
export function constantProducts(node: Node<'axmConv2d'>): Uint16Array | undefined {
  const products = knownProducts(node);
  return products?.every((product) => product >= 0 && product < 65536) ? Uint16Array.from(products) : undefined;
}

const TABLE_THREADS = 512;

function tableScratch(node: Node<'axmConv2d'>): readonly [number, number] {
  const g = ofForward(node);
  return [4 * g.kh * g.kw * g.o, constantProducts(node) ? 0 : 4 * sizeOf(node.inputs[6]!.shape)];
}

/** How look-ups are cut: entries of a table, pixels of a thread, whether channels come in vectors. */
function lookUpPlan(node: Node<'axmConv2d'>, { multiprocessors }: Target) {
  const g = ofForward(node);
  const products = constantProducts(node);
  const perBlock = (rows: number) => ceilDivide(g.pixels, TABLE_THREADS * rows) * ceilDivide(g.outputs, 4) * g.groups;
  // A block per multiprocessor at least: the tables that a block builds pay off over its pixels.
  const rows = ([4, 2] as const).find((candidate) => perBlock(candidate) >= 0.9 * multiprocessors) ?? (1 as const);
  return { g, products, rows, wide: g.inputs % CHANNEL_STEP === 0 };
}

const lookUpWays = {
  'look-ups': {
    entries: ['16 bits', '32 bits'],
    pixels: ['1', '2', '4'],
    channels: ['in vectors', 'one by one'],
    outputs: FILLING,
    bits: CODE_BITS,
    groups: COUNTS,
  },
} as const;

function lookUpPath(node: Node<'axmConv2d'>, target: Target) {
  const { g, products, rows, wide } = lookUpPlan(node, target);
  return pathOf(lookUpWays, 'look-ups', {
    entries: products ? '16 bits' : '32 bits',
    pixels: `${rows}` as const,
    channels: wide ? 'in vectors' : 'one by one',
    outputs: filling(g.outputs, 4),
    bits: codeBits(node.attributes.activationBits),
    groups: oneOrSeveral(g.groups),
  });
}

function tableCommands(
  node: Node<'axmConv2d'>,
  operands: Operands,
  target: Target,
  memory: ProgramMemory,
): KernelLaunch[] {
  const { g, products, rows, wide } = lookUpPlan(node, target);
  const { weightBits, activationBits } = node.attributes;
  const [x, w, xScale, xZero, wScale, wZero, error] = operands.inputs as [Address, ...Address[]] & Address[];
  const [sums, scratchTable] = pieces(operands.scratch, ...tableScratch(node));
  const entry = products ? 2 : 4;
  const chunk = products ? 16 : 8;
  const defines = {
    ENTRY: entry,
    CHUNK: chunk,
    ROWS: rows,
    WIDE: wide ? 1 : 0,
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

const gradientAspects = {
  codes: CODE_PLACES,
  digits: ['1', '2'],
  outputs: ['in pairs', 'one by one'],
  folded: ['in fours', 'one by one'],
  shares: ['whole tiles', 'parts of tiles'],
  columns: FILLING,
  bits: CODE_BITS,
  groups: COUNTS,
} as const;
const gradientWays = { 'by warps': gradientAspects, 'by warpgroups': gradientAspects } as const;

export const approximateLowerings: Lowerings<'axmConv2d' | 'axmConv2dGradients'> = {
  axmConv2d: {
    ways: { ...planeWays, ...lookUpWays },
    path: (node, target) => {
      const form = formOf(node, target);
      return form ? planePath(node, form, target) : lookUpPath(node, target);
    },
    scratchBytes: (node, target) => {
      const form = formOf(node, target);
      return piecesBytes(...(form ? planeScratch(node, form, target) : tableScratch(node)));
    },
    launches: (node, operands, target, memory) => {
      const { weightBits, error } = node.attributes;
      // Digits of a fixed-point weight have 8 bits whatever its width.
      checkSums(node, ofForward(node).inner, {
        device: 'cuda',
        other: 'wasm',
        weightBits: isInteger(error) ? weightBits : 8,
      });
      const form = formOf(node, target);
      return form ? planeCommands(node, form, operands, target, memory) : tableCommands(node, operands, target, memory);
    },
  },
  axmConv2dGradients: {
    ways: gradientWays,
    path: (node, target) => {
      const { g, digits, shares } = gradientPlan(node, target);
      return pathOf(gradientWays, target.warpgroups ? 'by warpgroups' : 'by warps', {
        codes: codesPlace(g),
        digits: digits === 2 ? '2' : '1',
        outputs: g.outputs % 2 === 0 ? 'in pairs' : 'one by one',
        folded: g.outputs % 4 === 0 ? 'in fours' : 'one by one',
        shares: shares.parts.some((parts) => parts > 1) ? 'parts of tiles' : 'whole tiles',
        columns: filling(g.outputs, GRADIENT_TILE),
        bits: codeBits(node.attributes.activationBits),
        groups: oneOrSeveral(g.groups),
      });
    },
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
