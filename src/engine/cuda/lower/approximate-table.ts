// The approximate convolution by look-ups in a table of products; see kernels/approximate-table.cu.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { knownProducts } from '../../graph/sums.ts';
import { CHANNEL_STEP, tapSums, zeroPoints } from './approximate-codes.ts';
import { type Convolution, ceilDivide, geometryArgument, steps, stepsOf } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, launch, type Target } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';

const THREADS = 512;

export const lookUpWays = {
  'look-ups': {
    entries: ['16 bits', '32 bits'],
    pixels: ['1', '2', '4'],
    channels: ['in vectors', 'one by one'],
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

export function lookUpProduct(node: Node<'axmConv2d'>, g: Convolution, { multiprocessors }: Target): Lowered {
  const { weightBits, activationBits } = node.attributes;
  const products = constantProducts(node);
  const perBlock = (rows: number) => ceilDivide(g.pixels, THREADS * rows) * ceilDivide(g.outputs, 4) * g.groups;
  // A block per multiprocessor at least: the tables that a block builds pay off over its pixels.
  const rows = ([4, 2] as const).find((candidate) => perBlock(candidate) >= 0.9 * multiprocessors) ?? (1 as const);
  const wide = g.inputs % CHANNEL_STEP === 0;
  const entry = products ? 2 : 4;
  const chunk = products ? 16 : 8;
  const defines = {
    ENTRY: entry,
    CHUNK: chunk,
    ROWS: rows,
    WIDE: wide ? 1 : 0,
    ABITS: activationBits,
    ...(products ? {} : { WBITS: weightBits }),
  };
  const source = { file: 'approximate-table.cu', defines };
  const count = sizeOf(node.inputs[6]!.shape);
  const layout = new Layout();
  const sumsAt = layout.take(4 * g.kh * g.kw * g.o);
  const tableAt = layout.take(products ? 0 : 4 * count);
  return {
    path: pathOf(lookUpWays, 'look-ups', {
      entries: products ? '16 bits' : '32 bits',
      pixels: `${rows}` as const,
      channels: wide ? 'in vectors' : 'one by one',
      outputs: filling(g.outputs, 4),
      bits: codeBits(activationBits),
      groups: oneOrSeveral(g.groups),
      ...stepsOf(g),
    }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs, outputs: [y], workspace, memory }) => {
      const [x, w, xScale, xZero, wScale, wZero, error] = inputs as [Address, ...Address[]] & Address[];
      const sums = workspace + sumsAt;
      const table = products ? memory.place(products) : workspace + tableAt;
      const size = {
        grid: [ceilDivide(g.pixels, THREADS * rows), ceilDivide(g.outputs, 4), g.groups],
        block: THREADS,
        shared: 2 * chunk * 2 ** activationBits * 4 * entry,
      };
      const exact = { grid: ceilDivide(count, 256), block: 256 };
      return [
        tapSums(g, w!, sums),
        ...(products ? [] : [launch(source, 'exact_products', exact, addresses({ error: error!, products: table }))]),
        launch(source, 'look_up', size, {
          ...addresses({ x, w: w!, table, tapSums: sums }),
          zero: zeroPoints(xScale!, xZero!, wScale!, wZero!),
          ...addresses({ y: y! }),
          geometry: geometryArgument(g),
        }),
      ];
    },
  };
}
