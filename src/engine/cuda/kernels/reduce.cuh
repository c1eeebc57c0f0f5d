// A reduction of a [rows, columns] tensor over its rows, per column (a whole tensor is one column). One pass over
// memory: a block sums a slab of rows for a tile of columns, writes a partial, and the last block of the tile to finish
// combines the partials in slab order, so the result does not depend on timing.
// Block: TILE columns × THREADS/TILE rows, TILE a power of two up to 32. Grid: (column tiles, slabs). Partials:
// [tile][slab][TILE] accumulators. `counters`: one word per column tile, zero before and after.
#pragma once
#include "common.cuh"

#ifndef THREADS
#define THREADS 256
#endif

struct __align__(8) Extent {
  float low, high;
};
struct __align__(16) Pair {
  double a, b;
};

/** The accumulators that several Ops have. */
struct Total {
  typedef double Sum;
  typedef float2 Item;
  static INLINE Sum empty() { return 0; }
  static INLINE Sum merge(Sum a, Sum b) { return a + b; }
};
struct Range {
  typedef Extent Sum;
  static INLINE Sum empty() { return {__int_as_float(0x7f800000), __int_as_float(0xff800000)}; }
  static INLINE Sum merge(Sum a, Sum b) { return {fminf(a.low, b.low), fmaxf(a.high, b.high)}; }
};

// Values that another block wrote, read past this multiprocessor's first-level cache.
INLINE double readFresh(const double *from) { return __ldcg(from); }
INLINE int2 readFresh(const int2 *from) { return __ldcg(from); }
INLINE Extent readFresh(const Extent *from) {
  const float2 words = __ldcg((const float2 *)from);
  return {words.x, words.y};
}
INLINE Pair readFresh(const Pair *from) {
  const double2 words = __ldcg((const double2 *)from);
  return {words.x, words.y};
}

/**
 * Op: Sum (the accumulator), empty(), merge(Sum, Sum), Item load(index) and visit(Sum &, Item, index, column) per
 * element, finish(column, Sum). So many items are loaded before the first is visited, so that their reads overlap even
 * where `visit` writes.
 */
template <int AT_ONCE = 4, class Op>
INLINE void reduceColumns(const Op &op, int rows, int columns, int tile, void *partials, u32 *counters) {
  typedef typename Op::Sum Sum;
  // Large accumulators lie a little apart, so that neighbours are in different banks.
  constexpr int DISTANCE = sizeof(Sum) + (sizeof(Sum) > 16 ? 16 : 0);
  __shared__ __align__(16) unsigned char storage[THREADS * DISTANCE];
  __shared__ bool last;
  auto shared = [&](int at) -> Sum & { return *(Sum *)(storage + at * DISTANCE); };
  const int thread = threadIdx.x, tx = thread & (tile - 1), ty = thread / tile, lanes = THREADS / tile;
  const int column = blockIdx.x * tile + tx, slabs = gridDim.y;
  Sum sum = Op::empty();
  if (column < columns) {
    const int stride = slabs * lanes;
    int row = blockIdx.y * lanes + ty;
    for (; row + (AT_ONCE - 1) * stride < rows; row += AT_ONCE * stride) {
      typename Op::Item items[AT_ONCE];
#pragma unroll
      for (int i = 0; i < AT_ONCE; i++) items[i] = op.load((row + i * stride) * columns + column);
#pragma unroll
      for (int i = 0; i < AT_ONCE; i++) op.visit(sum, items[i], (row + i * stride) * columns + column, column);
    }
    for (; row < rows; row += stride) op.visit(sum, op.load(row * columns + column), row * columns + column, column);
  }
  auto combine = [&]() {
    shared(thread) = sum;
    __syncthreads();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (ty < half) shared(thread) = Op::merge(shared(thread), shared(thread + half * tile));
      __syncthreads();
    }
    sum = shared(tx);
    __syncthreads();
  };
  combine();
  if (slabs > 1) {
    Sum *mine = (Sum *)partials + (size_t)blockIdx.x * slabs * tile;
    if (ty == 0) mine[blockIdx.y * tile + tx] = sum;
    __threadfence();
    __syncthreads();
    if (thread == 0) last = atomicAdd(counters + blockIdx.x, 1) == slabs - 1;
    __syncthreads();
    if (!last) return;
    __threadfence();
    sum = Op::empty();
#pragma unroll 8
    for (int slab = ty; slab < slabs; slab += lanes) sum = Op::merge(sum, readFresh(mine + slab * tile + tx));
    combine();
    if (thread == 0) counters[blockIdx.x] = 0;
  }
  if (ty == 0 && column < columns) op.finish(column, sum);
}

#define SHAPE int rows, int columns, int tile, void *partials, u32 *counters
#define REDUCE_BY(AT_ONCE, ...) reduceColumns<AT_ONCE>(__VA_ARGS__, rows, columns, tile, partials, counters)
#define REDUCE(...) reduceColumns(__VA_ARGS__, rows, columns, tile, partials, counters)
