// Products of matrices in batches: which tile, and how many stages; see kernels/matrix-product.cu.

import { productExtents } from '../../graph/inference.ts';
import { FILLING, filling, pathOf } from '../../graph/paths.ts';
import { ceilDivide, chooseTile, type Tile } from './geometry.ts';
import { addresses, floats, integers, launch } from './launch.ts';
import type { Lowerings, WaysOf } from './lowering.ts';

const STEP = 32;
const precisions = { tf32: 0, bf16: 1, fp32: 2 } as const;
/** Numbers of the kernel's MODE. */
const modes = { none: 0, second: 1, first: 2 } as const;

interface ProductTile extends Tile {
  /** Blocks that share a multiprocessor: what registers and shared memory allow. */
  readonly minBlocks: number;
}

const tiles: readonly ProductTile[] = [
  { rows: 128, columns: 128, warpsM: 2, warpsN: 4, minBlocks: 1 },
  { rows: 128, columns: 64, warpsM: 4, warpsN: 2, minBlocks: 2 },
  { rows: 64, columns: 64, warpsM: 2, warpsN: 2, minBlocks: 3 },
  { rows: 64, columns: 32, warpsM: 2, warpsN: 2, minBlocks: 4 },
];

const WIDTHS = ['four values', 'one value'] as const;
const tileName = ({ rows, columns }: Tile) => `${rows}×${columns}`;
const ways = {
  tiles: {
    tile: tiles.map(tileName),
    transposed: ['none', 'first', 'second'],
    first: WIDTHS,
    second: WIDTHS,
    columns: ['even', 'odd'],
    inner: FILLING,
    stages: ['2', '3'],
    precision: ['tf32', 'bf16', 'fp32'],
  },
} as const;

export const matrixProductWays: WaysOf<'matrixProduct'> = { matrixProduct: ways };

export const matrixProduct: Lowerings<'matrixProduct'> = {
  matrixProduct: ({ inputs: [first, second], attributes: { transposed, scale } }, target) => {
    const { batches, m, k, n } = productExtents(first!.shape, second!.shape, transposed);
    const stages = k <= 2 * STEP ? 2 : 3;
    const sharedBytes = ({ rows, columns }: Tile): number => {
      const a = transposed === 'first' ? STEP * (rows + 8) : rows * (STEP + 4);
      const b = transposed === 'second' ? columns * (STEP + 4) : STEP * (columns + 8);
      return 4 * stages * (a + b);
    };
    const fitting = tiles.filter((tile) => sharedBytes(tile) <= target.sharedBytesPerBlock - 4096);
    const tile = chooseTile(fitting, m, n, batches, target.multiprocessors);
    const width = (extent: number) => (extent % 4 === 0 ? 4 : 1);
    const [widthA, widthB] = [width(transposed === 'first' ? m : k), width(transposed === 'second' ? k : n)];
    const widthName = (values: number) => WIDTHS[values === 4 ? 0 : 1];
    const defines = {
      MODE: modes[transposed],
      BM: tile.rows,
      BN: tile.columns,
      WARPS_M: tile.warpsM,
      WARPS_N: tile.warpsN,
      STAGES: stages,
      // In f32 each operand is two, which takes more registers.
      MIN_BLOCKS: target.precision === 'fp32' ? 1 : tile.minBlocks,
      PRECISION: precisions[target.precision],
      VA: widthA,
      VB: widthB,
      PAIRS: n % 2 === 0 ? 1 : 0,
    };
    const source = { file: 'matrix-product.cu', defines };
    const size = {
      grid: batches * ceilDivide(m, tile.rows) * ceilDivide(n, tile.columns),
      block: 32 * tile.warpsM * tile.warpsN,
      shared: sharedBytes(tile),
    };
    return {
      path: pathOf(ways, 'tiles', {
        tile: tileName(tile),
        transposed,
        first: widthName(widthA),
        second: widthName(widthB),
        columns: n % 2 === 0 ? 'even' : 'odd',
        inner: filling(k, STEP),
        stages: stages === 2 ? '2' : '3',
        precision: target.precision,
      }),
      launches: ({ inputs: [a, b], outputs: [y] }) => [
        launch(source, 'matrix_product', size, {
          ...addresses({ a: a!, b: b!, y: y! }),
          ...integers({ rows: m, columns: n, inner: k }),
          ...floats({ scale }),
        }),
      ],
    };
  },
};
