// The approximate convolution by look-ups in a table of products; see kernels/approximate-table.cu.

import { UserError } from '../../../tensor/errors.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { knownProducts } from '../../graph/sums.ts';
import { tapSums, zeroPoints } from './approximate-codes.ts';
import {
  type Convolution,
  ceilDivide,
  dividerArgument,
  geometryArgument,
  roundUp,
  steps,
  stepsOf,
} from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, launch, type Target } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';

const THREADS = 512;
/** Channels whose entries a block has in shared memory at a time, twice. */
const STEP = 8;

export const lookUpWays = {
  'look-ups': {
    entries: ['16 bits', '32 bits'],
    pixels: ['1', '2', '4', '8'],
    rows: ['in shared memory', 'from L2'],
    channels: FILLING,
    outputs: FILLING,
    bits: CODE_BITS,
    groups: COUNTS,
    ...steps,
  },
} as const;

/** The products of a constant error table as u16, or undefined where they are not constant or do not fit. */
export function constantProducts(node: Node<'axmConv2d'>): Uint16Array | undefined {
  const products = knownProducts(node);
  return products?.every((product) => product >= 0 && product < 65536) ? Uint16Array.from(products) : undefined;
}

export function lookUpProduct(node: Node<'axmConv2d'>, g: Convolution, target: Target): Lowered {
  const { weightBits, activationBits } = node.attributes;
  const products = constantProducts(node);
  const entry = products ? 2 : 4;
  const perBlock = 16 / entry;
  const blocks = (rows: number) => ceilDivide(g.pixels, THREADS * rows) * ceilDivide(g.outputs, perBlock) * g.groups;
  // Packing a stage costs a block as much as looking up one row of pixels in it.
  const cost = (rows: number) => ceilDivide(blocks(rows), target.multiprocessors) * (rows + 1);
  const rows = ([8, 4, 2, 1] as const).reduce((best, other) => (cost(other) < cost(best) ? other : best));
  const count = sizeOf(node.inputs[6]!.shape);
  const without = 2 * STEP * 16 * 2 ** activationBits + 4 * (g.kh * g.kw + 1);
  if (without > target.sharedBytesPerBlock) {
    throw new UserError(
      `axmConv2d: the ${g.kh}×${g.kw} taps of its window are more than the device cuda looks products up for; use the device wasm`,
    );
  }
  const resident = without + entry * count <= target.sharedBytesPerBlock;
  const defines = {
    ...{ THREADS, ENTRY: entry, ROWS: rows, RESIDENT: resident ? 1 : 0 },
    ...{ ABITS: activationBits, ...(products && !resident ? {} : { WBITS: weightBits }) },
  };
  const source = { file: 'approximate-table.cu', defines };
  const arrangedCodes = g.n * g.h * g.w * g.groups * roundUp(g.inputs, STEP);
  const layout = new Layout();
  const sumsAt = layout.take(4 * g.kh * g.kw * g.o);
  const arrangedAt = layout.take(arrangedCodes);
  const tableAt = layout.take(products ? 0 : 4 * count);
  return {
    path: pathOf(lookUpWays, 'look-ups', {
      entries: products ? '16 bits' : '32 bits',
      pixels: `${rows}` as const,
      rows: resident ? 'in shared memory' : 'from L2',
      channels: filling(g.inputs, STEP),
      outputs: filling(g.outputs, perBlock),
      bits: codeBits(activationBits),
      groups: oneOrSeveral(g.groups),
      ...stepsOf(g),
    }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs, outputs: [y], workspace, memory }) => {
      const [x, w, xScale, xZero, wScale, wZero, error] = inputs as [Address, ...Address[]] & Address[];
      const [sums, arranged] = [workspace + sumsAt, workspace + arrangedAt];
      const table = products ? memory.place(products) : workspace + tableAt;
      const size = {
        grid: [ceilDivide(g.pixels, THREADS * rows), ceilDivide(g.outputs, perBlock), g.groups],
        block: THREADS,
        shared: without + (resident ? entry * count : 0),
      };
      const arrange = { grid: ceilDivide(arrangedCodes / STEP, 256), block: 256 };
      const exact = { grid: ceilDivide(count, 256), block: 256 };
      return [
        tapSums(g, w!, sums),
        launch(source, 'arrange_codes', arrange, { ...addresses({ x, arranged }), geometry: geometryArgument(g) }),
        ...(products ? [] : [launch(source, 'exact_products', exact, addresses({ error: error!, products: table }))]),
        launch(source, 'look_up', size, {
          ...addresses({ x: arranged, w: w!, table, tapSums: sums }),
          zero: zeroPoints(xScale!, xZero!, wScale!, wZero!),
          ...addresses({ y: y! }),
          geometry: geometryArgument(g),
          byImages: dividerArgument(g.n),
        }),
      ];
    },
  };
}
