// What element-wise kernels share. A thread handles UNROLL elements that lie a block apart, so a warp's accesses are
// contiguous and several are in flight. Channel of element i: i % channels (the channel axis is the last one); channels
// = 1 for scalars.
#pragma once
#include "common.cuh"

#define UNROLL 4

/**
 * to[i] = value(i) for every i of this thread; all values are formed before the first is stored, so their reads
 * overlap.
 */
template <class T, class F> INLINE void map(T *to, int count, F value) {
  const int start = blockIdx.x * (blockDim.x * UNROLL) + threadIdx.x;
  T values[UNROLL];
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    if (i < count) values[part] = value(i);
  }
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    if (i < count) to[i] = values[part];
  }
}
/** For operations with several outputs, on short vectors. */
#define EACH(i, count)                                                                                                       \
  for (int start = blockIdx.x * (blockDim.x * UNROLL) + threadIdx.x, part = 0; part < UNROLL; part++)                         \
    if (const int i = start + part * blockDim.x; i < count)
