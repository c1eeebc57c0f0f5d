// Gradients of the weights and of a trained structure through its planes; see kernels/approximate-plane-gradients.cu.

import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { bitGradients } from './approximate-bit-gradients.ts';
import { CODE_PLACES, codePlaces, gather, INNER_STEP } from './approximate-codes.ts';
import { depthwisePlaneGradients } from './approximate-depthwise-gradients.ts';
import { ceilDivide, convolutionOf, geometryArgument, roundUp, sharesOf, steps, stepsOf } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, launch, struct, type Target } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';

const TILE = 64;
const THREADS = 256;
const FOLD_THREADS = 512;
/** Elements of a structure's gradient that a block of `fold` hands on, whatever the operand widths. */
const FOLD_ENTRIES = 64;

const aspects = {
  codes: CODE_PLACES,
  digits: ['1', '2'],
  outputs: ['in pairs', 'one by one'],
  folded: ['in fours', 'one by one'],
  shares: ['whole tiles', 'parts of tiles'],
  columns: FILLING,
  bits: CODE_BITS,
  groups: COUNTS,
  ...steps,
} as const;
export const planeGradientWays = { 'by warps': aspects, 'by warpgroups': aspects } as const;

export function planeGradients(node: Node<'axmConv2dGradients'>, target: Target): Lowered {
  const [gradient, image, weight] = node.inputs;
  const g = convolutionOf(image!.shape, weight!.shape, gradient!.shape, node.attributes);
  const depthwise = depthwisePlaneGradients(node, g, target);
  if (depthwise) return depthwise;
  const byBits = bitGradients(node, g, target);
  if (byBits) return byBits;
  const { weightBits, activationBits } = node.attributes;
  const { multiprocessors, precision, warpgroups } = target;
  const digits = precision === 'fp32' ? 2 : 1;
  const tiles = ceilDivide(g.inner, TILE) * ceilDivide(g.outputs, TILE);
  const stages = ceilDivide(g.pixels, INNER_STEP);
  const shares = sharesOf(tiles, stages, Math.max(1, Math.min(255, Math.floor(multiprocessors / g.groups))));
  const slabs = Math.max(1, Math.min(multiprocessors * 8, Math.floor(g.pixels / 32)));
  const paddedColumns = roundUp(g.outputs, 8);
  const places = codePlaces(g);
  const elements = g.pixels * g.o;
  const taps = g.kh * g.kw * g.o;
  const count = g.inner * g.o;
  const foldBlocks = Math.min(ceilDivide(count, FOLD_THREADS / 2), 2 * multiprocessors);

  const layout = new Layout();
  const roundedAt = layout.take(2 * digits * g.groups * g.pixels * paddedColumns);
  const slabSumsAt = layout.take(4 * slabs * taps);
  const totalsAt = layout.take(4 * taps);
  const hAt = layout.take(4 * Math.max(...shares.parts) * activationBits * count);
  const partialsAt = layout.take(4 * foldBlocks * FOLD_ENTRIES);
  const columnsAt = layout.take(places.bytes);

  const defines = {
    GDIGITS: digits,
    KH: g.kh,
    KW: g.kw,
    WBITS: weightBits,
    ABITS: activationBits,
    COLUMNS: places.gathered ? 1 : 0,
    PAIRS: g.outputs % 2 === 0 ? 1 : 0,
    FOLD4: g.outputs % 4 === 0 ? 1 : 0,
    WGMMA: warpgroups ? 1 : 0,
  };
  const source = { file: 'approximate-plane-gradients.cu', defines };
  const sizes = {
    largest: { grid: Math.min(4 * multiprocessors, ceilDivide(elements, 1024)), block: 256 },
    digits: { grid: [slabs, ceilDivide(g.groups * paddedColumns, 64)], block: THREADS },
    products: { grid: [shares.blocks, 1, g.groups], block: THREADS, shared: 4 * (32 * 64 + digits * 32 * 128) },
    totals: { grid: ceilDivide(taps, 32), block: [32, 8] },
    fold: { grid: foldBlocks, block: FOLD_THREADS },
  };
  return {
    path: pathOf(planeGradientWays, warpgroups ? 'by warpgroups' : 'by warps', {
      codes: places.place,
      digits: digits === 2 ? '2' : '1',
      outputs: g.outputs % 2 === 0 ? 'in pairs' : 'one by one',
      folded: g.outputs % 4 === 0 ? 'in fours' : 'one by one',
      shares: shares.parts.some((parts) => parts > 1) ? 'parts of tiles' : 'whole tiles',
      columns: filling(g.outputs, TILE),
      bits: codeBits(activationBits),
      groups: oneOrSeveral(g.groups),
      ...stepsOf(g),
    }),
    workspaceBytes: layout.bytes,
    launches: (at) => {
      const [gradient, x, w, xScale, xZero, wScale] = at.inputs as Six;
      const [dw, dm] = at.outputs as [Address, Address];
      const { workspace, memory } = at;
      const [rounded, slabSums, totals] = [roundedAt, slabSumsAt, totalsAt].map(
        (offset) => workspace + offset,
      ) as Three;
      const [h, partials, columns] = [hAt, partialsAt, columnsAt].map((offset) => workspace + offset) as Three;
      const largest = memory.counters(1);
      const geometry = geometryArgument(g);
      return [
        launch(source, 'largest', sizes.largest, {
          ...addresses({ g: gradient, result: largest }),
          ...integers({ count: elements }),
        }),
        launch(source, 'digits', sizes.digits, {
          ...addresses({ gradient, largest, rounded, sums: slabSums }),
          geometry,
          ...integers({ paddedColumns }),
        }),
        ...gather(g, places, x, columns),
        launch(source, 'products', sizes.products, {
          ...addresses({ x: places.gathered ? columns : x, gradient: rounded, result: h }),
          geometry,
          shares: struct(integers({ tiles, stages, blocks: shares.blocks })),
          ...integers({ paddedInner: places.padded, paddedColumns }),
        }),
        launch(source, 'tap_totals', sizes.totals, {
          ...addresses({ sums: slabSums, totals }),
          ...integers({ count: taps, slabs }),
        }),
        launch(source, 'fold', sizes.fold, {
          ...addresses({ h, totals, largest, w, xScale, xZero, wScale, dw, dm, partials, counter: memory.counters(1) }),
          ...addresses({ tileParts: memory.place(shares.parts) }),
          ...integers({ rows: g.inner, outputs: g.o, channels: g.inputs, groups: g.groups }),
        }),
      ];
    },
  };
}

type Three = [Address, Address, Address];
type Six = [...Three, ...Three];
