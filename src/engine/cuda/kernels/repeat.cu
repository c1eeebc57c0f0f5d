// Sums over the places at which an operand is repeated: x is [times, blocks, repeats, length], the result [blocks,
// length], each element the sum of times·repeats of x, or of products of two, in double precision. A reduction over
// rows for each block (blockIdx.z); a thread takes WIDTH neighbouring elements (4 where the length is a multiple of 4).
// -D: WIDTH.
#include "reduce.cuh"

struct __align__(4 * WIDTH) Lanes {
  float v[WIDTH];
};
#define EACH_LANE for (int l = 0; l < WIDTH; l++)

struct __align__(8) Totals {
  double v[WIDTH];
};
INLINE Totals readFresh(const Totals *from) {
  Totals totals;
#pragma unroll
  EACH_LANE totals.v[l] = __ldcg(&from->v[l]);
  return totals;
}

/** `run`: vectors of a block that follow each other; `skip`: those of the other blocks between two such runs. */
template <bool PRODUCT> struct RepeatSum {
  typedef Totals Sum;
  struct Item {
    Lanes a, b;
  };
  const float *a, *b;
  float *y;
  float scale;
  int run, skip;
  static INLINE Sum empty() { return {}; }
  static INLINE Sum merge(const Sum &p, const Sum &q) {
    Sum sum;
#pragma unroll
    EACH_LANE sum.v[l] = p.v[l] + q.v[l];
    return sum;
  }
  INLINE Item load(int i) const {
    const int at = skip > 0 ? i + (int)((u32)i / (u32)run) * skip : i;
    Item item;
    item.a = ((const Lanes *)a)[at];
    if (PRODUCT) item.b = ((const Lanes *)b)[at];
    return item;
  }
  INLINE void visit(Sum &sum, const Item &item, int, int) const {
#pragma unroll
    EACH_LANE sum.v[l] += PRODUCT ? item.a.v[l] * item.b.v[l] : item.a.v[l];
  }
  INLINE void finish(int column, const Sum &sum) const {
#pragma unroll
    EACH_LANE y[(size_t)column * WIDTH + l] = (float)(sum.v[l] * scale);
  }
};

/** Blocks from `first` on. */
template <bool PRODUCT>
INLINE void sumBlocks(const float *a, const float *b, float *y, float scale, int run, int skip, int first, SHAPE) {
  const int block = first + blockIdx.z;
  const size_t from = (size_t)block * run * WIDTH, partial = (size_t)blockIdx.z * gridDim.x * gridDim.y * tile;
  const RepeatSum<PRODUCT> op{a + from, b + from, y + (size_t)block * columns * WIDTH, scale, run, skip};
  reduceColumns(op, rows, columns, tile, (Totals *)partials + partial, counters + blockIdx.z * gridDim.x);
}
#define ARGUMENTS a, b, y, scale, run, skip, first, rows, columns, tile, partials, counters
KERNEL repeat_sum(const float *a, const float *b, float *y, float scale, int run, int skip, int first, SHAPE) {
  sumBlocks<false>(ARGUMENTS);
}
KERNEL repeat_dot(const float *a, const float *b, float *y, float scale, int run, int skip, int first, SHAPE) {
  sumBlocks<true>(ARGUMENTS);
}
