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
INLINE float plus(float a, float b) { return a + b; }
INLINE float4 plus(const float4 &a, const float4 &b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
/**
 * y[i] = Σ_part parts[part·count + i]: the results of a sum that was cut into parts. `groups`, a power of two, of a
 * block's threads share them: group k adds parts k, k + groups, … in order, then halves of the groups are added.
 */
template <class T> INLINE void sumParts(const T *parts, T *y, int count, int number, int groups) {
  __shared__ T slots[THREADS];
  const int columns = THREADS / groups, group = threadIdx.x / columns, column = threadIdx.x % columns;
  const int i = blockIdx.x * columns + column;
  T sum = {};
  if (i < count) {
#pragma unroll 8
    for (int part = group; part < number; part += groups) sum = plus(sum, parts[(size_t)part * count + i]);
  }
  for (int half = groups / 2; half > 0; half /= 2) {
    slots[threadIdx.x] = sum;
    __syncthreads();
    if (group < half) sum = plus(sum, slots[threadIdx.x + half * columns]);
    __syncthreads();
  }
  if (group == 0 && i < count) y[i] = sum;
}
KERNEL sum_parts(const float *parts, float *y, int count, int number, int groups) { sumParts(parts, y, count, number, groups); }
/** The same on vectors of four, `count` of them. */
KERNEL sum_vector_parts(const float4 *parts, float4 *y, int count, int number, int groups) { sumParts(parts, y, count, number, groups); }
