// Element-wise operations, and sums of parts.
#include "elementwise.cuh"

#define THREADS 256

KERNEL add(const float *a, const float *b, float *y, int count, float alpha, float beta) {
  map(y, count, [=](int i) { return alpha * a[i] + beta * b[i]; });
}
KERNEL affine(const float *x, float *y, int count, float scale, float offset) {
  map(y, count, [=](int i) { return scale * x[i] + offset; });
}
KERNEL look_up(const u8 *codes, const float *table, float *y, int count) {
  map(y, count, [=](int i) { return table[codes[i]]; });
}
/** x·factors[c] + offsets[c] of u8 values. */
KERNEL image_to_float(const u8 *x, const float *factors, const float *offsets, float *y, int count, int channels) {
  map(y, count, [=](int i) { return x[i] * factors[i % channels] + offsets[i % channels]; });
}
KERNEL bias(const float *x, const float *b, float *y, int count, int channels) {
  map(y, count, [=](int i) { return x[i] + b[(u32)i % (u32)channels]; });
}
/**
 * y[i] = Σ_part parts[part·count + i], in order: the results of a sum that was cut into parts. One element per thread.
 */
KERNEL sum_parts(const float *parts, float *y, int count, int number) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
#pragma unroll 8
  for (int part = 0; part < number; part++) sum += parts[(size_t)part * count + i];
  y[i] = sum;
}
