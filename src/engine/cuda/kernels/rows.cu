// Rows picked from a matrix by number, and the way back: each row of the source sums those that it became, in order. A
// thread has one element of the result.
#include "common.cuh"
#define THREADS 256

/** y[row] = x[index[row]]; `count`: elements of y. */
KERNEL gather_rows(const float *__restrict__ x, const int *__restrict__ index, float *__restrict__ y, int count, int columns) {
  const int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const int row = i / columns;
  y[i] = x[(size_t)index[row] * columns + i - row * columns];
}

/** dx[row] = Σ g[sources[k]], starts[row] ≤ k < starts[row + 1]; `count`: elements of dx. */
KERNEL gather_rows_gradient(const float *__restrict__ g, const int *__restrict__ starts, const int *__restrict__ sources,
                            float *__restrict__ dx, int count, int columns) {
  const int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const int row = i / columns, column = i - row * columns;
  float sum = 0;
  for (int k = starts[row]; k < starts[row + 1]; k++) sum += g[(size_t)sources[k] * columns + column];
  dx[i] = sum;
}
