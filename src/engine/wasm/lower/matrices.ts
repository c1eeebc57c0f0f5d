// Products of matrices in batches, and rows picked by number; ../kernels/matrices.ts.

import { productExtents } from '../../graph/inference.ts';
import { COUNTS, CUTS, cuts, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { rowsBySource } from '../../graph/rows.ts';
import { launch } from './launch.ts';
import { type Lowerings, rowsPerPart, type WaysOf } from './lowering.ts';
import type { MatrixProduct } from './records.ts';

const TRANSPOSED = ['none', 'first', 'second'] as const;
/** Rows of a part where batches are few: each part packs its batch's second operand. */
const ROWS_PER_PART = 64;
const ENOUGH_PARTS = 16;

const ways = {
  panels: { transposed: TRANSPOSED, rows: FILLING, runs: CUTS, columns: FILLING, batches: COUNTS },
} as const;
const rowWays = { rows: { runs: CUTS } } as const;

type Matrices = 'matrixProduct' | 'gatherRows' | 'gatherRowsGradient';

export const matrixWays: WaysOf<Matrices> = {
  matrixProduct: ways,
  gatherRows: rowWays,
  gatherRowsGradient: rowWays,
};

export const matrices: Lowerings<Matrices> = {
  matrixProduct: ({ inputs: [first, second], attributes: { transposed, scale } }) => {
    const { batches, m, k, n } = productExtents(first!.shape, second!.shape, transposed);
    const perPart = batches >= ENOUGH_PARTS ? m : Math.min(m, ROWS_PER_PART);
    const panels = Math.ceil(n / 8);
    return {
      path: pathOf(ways, 'panels', {
        transposed,
        rows: filling(m, 4),
        runs: cuts(m, perPart),
        columns: filling(n, 8),
        batches: oneOrSeveral(batches),
      }),
      launches: ({ inputs: [a, b], outputs: [out] }) => {
        const record: MatrixProduct = {
          ...{ a: a!, b: b!, out: out!, rows: m, columns: n, inner: k, scale },
          transposed: TRANSPOSED.indexOf(transposed),
          rowsPerPart: perPart,
        };
        return [launch('matrixProduct', batches * Math.ceil(m / perPart), record, 40 + 16 * k + 32 * panels * k)];
      },
    };
  },

  gatherRows: ({ inputs: [x], attributes: { index } }) => {
    const columns = x!.shape[1]!;
    const [rows, perPart] = [index.length, rowsPerPart(columns)];
    return {
      path: pathOf(rowWays, 'rows', { runs: cuts(rows, perPart) }),
      launches: ({ inputs: [from], outputs: [to], place }) => [
        launch('gatherRows', Math.ceil(rows / perPart), {
          ...{ from: from!, to: to!, index: place(Int32Array.from(index)), starts: 0, sources: 0 },
          ...{ rows, columns, rowsPerPart: perPart },
        }),
      ],
    };
  },

  gatherRowsGradient: ({ outputs: [dx], attributes: { index, count } }) => {
    const columns = dx!.shape[1]!;
    const perPart = Math.max(1, Math.floor((rowsPerPart(columns) * count) / index.length));
    return {
      path: pathOf(rowWays, 'rows', { runs: cuts(count, perPart) }),
      launches: ({ inputs: [from], outputs: [to], place }) => {
        const { starts, sources } = rowsBySource(index, count);
        return [
          launch('gatherRowsGradient', Math.ceil(count / perPart), {
            ...{ from: from!, to: to!, index: 0, starts: place(starts), sources: place(sources) },
            ...{ rows: count, columns, rowsPerPart: perPart },
          }),
        ];
      },
    };
  },
};
