// Products of matrices, and rows picked from one by number.

import { productExtents } from '../graph/inference.ts';
import type { Kernels } from './kernel.ts';

export const matrices: Kernels<'matrixProduct' | 'gatherRows' | 'gatherRowsGradient'> = {
  matrixProduct: ([a, b], [y], { transposed, scale }) => {
    const { batches, m, k, n } = productExtents(a!.shape, b!.shape, transposed);
    for (let batch = 0; batch < batches; batch++)
      for (let row = 0; row < m; row++)
        for (let column = 0; column < n; column++) {
          let sum = 0;
          for (let inner = 0; inner < k; inner++) {
            const left = transposed === 'first' ? inner * m + row : row * k + inner;
            const right = transposed === 'second' ? column * k + inner : inner * n + column;
            sum += a!.data[batch * m * k + left]! * b!.data[batch * k * n + right]!;
          }
          y!.data[(batch * m + row) * n + column] = scale * sum;
        }
  },
  gatherRows: ([x], [y], { index }) => {
    const columns = x!.shape[1]!;
    for (const [to, from] of index.entries()) {
      for (let column = 0; column < columns; column++)
        y!.data[to * columns + column] = x!.data[from * columns + column]!;
    }
  },
  gatherRowsGradient: ([g], [dx], { index, count }) => {
    const columns = g!.shape[1]!;
    const sums = new Float64Array(count * columns);
    for (const [from, to] of index.entries()) {
      for (let column = 0; column < columns; column++)
        sums[to * columns + column]! += g!.data[from * columns + column]!;
    }
    dx!.data.set(sums);
  },
};
