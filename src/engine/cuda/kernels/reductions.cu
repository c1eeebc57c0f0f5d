// Reductions of a [rows, columns] tensor over its rows, per column (a whole tensor is one column). One pass over memory: a block sums a slab
// of rows for a tile of columns, writes a partial, and the last block of the tile to finish combines the partials in slab order, so the
// result does not depend on timing. Sums are kept in double precision.
// Block: TILE columns × 256/TILE rows, TILE a power of two up to 32. Grid: (column tiles, slabs). Partials: [tile][slab][TILE] accumulators.
// `counters`: one word per column tile, zero before and after.
#include "common.cuh"

#define THREADS 256

struct __align__(8) Extent {
  float low, high;
};
struct __align__(16) Pair {
  double a, b;
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
 * Op: Sum (the accumulator), empty(), merge(Sum, Sum), Item load(index) and visit(Sum &, Item, index, column) per element, finish(column, Sum).
 * Several items are loaded before the first is visited, so that their reads overlap even where `visit` writes.
 */
template <class Op> INLINE void reduceColumns(const Op &op, int rows, int columns, int tile, void *partials, u32 *counters) {
  typedef typename Op::Sum Sum;
  __shared__ __align__(16) unsigned char storage[THREADS * sizeof(Sum)];
  __shared__ bool last;
  Sum *shared = (Sum *)storage;
  const int thread = threadIdx.x, tx = thread & (tile - 1), ty = thread / tile, lanes = THREADS / tile;
  const int column = blockIdx.x * tile + tx, slabs = gridDim.y;
  Sum sum = Op::empty();
  if (column < columns) {
    const int stride = slabs * lanes;
    int row = blockIdx.y * lanes + ty;
    for (; row + 3 * stride < rows; row += 4 * stride) {
      typename Op::Item items[4];
#pragma unroll
      for (int i = 0; i < 4; i++) items[i] = op.load((row + i * stride) * columns + column);
#pragma unroll
      for (int i = 0; i < 4; i++) op.visit(sum, items[i], (row + i * stride) * columns + column, column);
    }
    for (; row < rows; row += stride) op.visit(sum, op.load(row * columns + column), row * columns + column, column);
  }
  auto combine = [&]() {
    shared[thread] = sum;
    __syncthreads();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (ty < half) shared[thread] = Op::merge(shared[thread], shared[thread + half * tile]);
      __syncthreads();
    }
    sum = shared[tx];
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

#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)
#define SHAPE int rows, int columns, int tile, void *partials, u32 *counters
#define REDUCE(...) reduceColumns(__VA_ARGS__, rows, columns, tile, partials, counters)

struct Total {
  typedef double Sum;
  typedef float2 Item;
  static INLINE Sum empty() { return 0; }
  static INLINE Sum merge(Sum a, Sum b) { return a + b; }
};
struct ColumnSum : Total {
  const float *x;
  float *y;
  INLINE Item load(int i) const { return {x[i], 0}; }
  INLINE void visit(Sum &sum, Item item, int, int) const { sum += item.x; }
  INLINE void finish(int column, Sum sum) const { y[column] = (float)sum; }
};
KERNEL column_sum(const float *x, float *y, SHAPE) { REDUCE(ColumnSum{{}, x, y}); }

struct ColumnDot : Total {
  const float *a, *b;
  float *y;
  INLINE Item load(int i) const { return {a[i], b[i]}; }
  INLINE void visit(Sum &sum, Item item, int, int) const { sum += (double)item.x * item.y; }
  INLINE void finish(int column, Sum sum) const { y[column] = (float)sum; }
};
KERNEL column_dot(const float *a, const float *b, float *y, SHAPE) { REDUCE(ColumnDot{{}, a, b, y}); }

/** Rows below `split` take a·b, the others −c·d. */
struct DotDifference : Total {
  const float *a, *b, *c, *d;
  float *y;
  int split;
  INLINE Item load(int i) const {
    if (i < split) return {a[i], b[i]};
    return {-c[i - split], d[i - split]};
  }
  INLINE void visit(Sum &sum, Item item, int, int) const { sum += (double)item.x * item.y; }
  INLINE void finish(int column, Sum sum) const { y[column] = (float)sum; }
};
KERNEL dot_difference(const float *a, const float *b, const float *c, const float *d, float *y, int split, SHAPE) {
  REDUCE(DotDifference{{}, a, b, c, d, y, split});
}

struct Extremes {
  typedef Extent Sum;
  typedef float Item;
  const float *x;
  float *min, *max;
  static INLINE Sum empty() { return {__int_as_float(0x7f800000), __int_as_float(0xff800000)}; }
  static INLINE Sum merge(Sum a, Sum b) { return {fminf(a.low, b.low), fmaxf(a.high, b.high)}; }
  INLINE Item load(int i) const { return x[i]; }
  INLINE void visit(Sum &sum, Item item, int, int) const { sum = merge(sum, {item, item}); }
  INLINE void finish(int column, Sum sum) const {
    min[column] = sum.low;
    max[column] = sum.high;
  }
};
KERNEL extremes(const float *x, float *min, float *max, SHAPE) { REDUCE(Extremes{x, min, max}); }

struct ExtremeCounts {
  typedef int2 Sum;
  typedef float Item;
  const float *x, *min, *max;
  float *lows, *highs;
  static INLINE Sum empty() { return {0, 0}; }
  static INLINE Sum merge(Sum a, Sum b) { return {a.x + b.x, a.y + b.y}; }
  INLINE Item load(int i) const { return x[i]; }
  INLINE void visit(Sum &sum, Item item, int, int column) const {
    sum.x += item == min[column];
    sum.y += item == max[column];
  }
  INLINE void finish(int column, Sum sum) const {
    lows[column] = (float)sum.x;
    highs[column] = (float)sum.y;
  }
};
KERNEL extreme_counts(const float *x, const float *min, const float *max, float *lows, float *highs, SHAPE) {
  REDUCE(ExtremeCounts{x, min, max, lows, highs});
}

struct PairTotal {
  typedef Pair Sum;
  typedef float2 Item;
  static INLINE Sum empty() { return {0, 0}; }
  static INLINE Sum merge(Sum p, Sum q) { return {p.a + q.a, p.b + q.b}; }
};
/** Mean and biased variance; in double precision the difference of the raw moments loses nothing that a float could hold. */
struct Moments : PairTotal {
  const float *x;
  float *mean, *variance;
  int rows;
  INLINE Item load(int i) const { return {x[i], 0}; }
  INLINE void visit(Sum &sum, Item item, int, int) const {
    const double value = item.x;
    sum.a += value;
    sum.b += value * value;
  }
  INLINE void finish(int column, Sum sum) const {
    const double mu = sum.a / rows;
    mean[column] = (float)mu;
    variance[column] = (float)fmax(sum.b / rows - mu * mu, 0.0);
  }
};
KERNEL moments(const float *x, float *mean, float *variance, SHAPE) { REDUCE(Moments{{}, x, mean, variance, rows}); }

/** dbeta = Σ g, dgamma = Σ g·x̂. */
struct NormalizeSums : PairTotal {
  const float *g, *x, *mean, *variance;
  float *dgamma, *dbeta;
  float epsilon;
  INLINE Item load(int i) const { return {g[i], x[i]}; }
  INLINE void visit(Sum &sum, Item item, int, int column) const {
    sum.a += item.x;
    sum.b += (double)(item.x * (item.y - mean[column]));
  }
  INLINE void finish(int column, Sum sum) const {
    dbeta[column] = (float)sum.a;
    dgamma[column] = (float)(sum.b / sqrt((double)variance[column] + epsilon));
  }
};
KERNEL normalize_sums(const float *g, const float *x, const float *mean, const float *variance, float *dgamma, float *dbeta, float epsilon,
                      SHAPE) {
  REDUCE(NormalizeSums{{}, g, x, mean, variance, dgamma, dbeta, epsilon});
}

/** dx = g inside the range; dscale = Σ g·(code − zero − x/scale inside the range). */
struct QuantizeGradient : Total {
  const float *g, *x, *scale, *zero;
  float *dx, *dscale;
  float highest;
  INLINE Item load(int i) const { return {g[i], x[i]}; }
  INLINE void visit(Sum &sum, Item item, int i, int column) const {
    const float s = scale[column], z = zero[column], gradient = item.x, value = item.y;
    const float steps = rintf(__fdiv_rn(value, s)), rounded = steps + z, code = fminf(fmaxf(rounded, 0.0f), highest);
    const bool inside = code == rounded;
    dx[i] = inside ? gradient : 0.0f;
    // Inside, code − zero − x/s = steps − x/s, formed without cancellation.
    sum += (double)(gradient * (inside ? __fdividef(fmaf(steps, s, -value), s) : code - z));
  }
  INLINE void finish(int column, Sum sum) const { dscale[column] = (float)sum; }
};
KERNEL quantize_gradient(const float *g, const float *x, const float *scale, const float *zero, float *dx, float *dscale, float highest,
                         SHAPE) {
  REDUCE(QuantizeGradient{{}, g, x, scale, zero, dx, dscale, highest});
}

/** errors[step] = Σ |x − x_fq|^exponent for the clip factor 1 − shrink·step; grid z = step. Ranges per column of x, `channels` of them. */
struct ClipError : Total {
  const float *x, *min, *max;
  double *errors;
  double factor, exponent;
  float levels;
  int channels;
  INLINE Item load(int i) const { return {x[i], 0}; }
  INLINE void visit(Sum &sum, Item item, int i, int) const {
    const int c = (u32)i % (u32)channels;
    const double low = factor * min[c], scale = fmax((factor * max[c] - low) / levels, 1.1920928955078125e-7);
    const double zero = rint(-low / scale), value = item.x;
    const double code = fmin(fmax(rint((double)(float)(value / scale)) + zero, 0.0), (double)levels);
    sum += pow(fabs(value - (code - zero) * scale), exponent);
  }
  INLINE void finish(int, Sum sum) const { errors[blockIdx.z] = sum; }
};
KERNEL clip_errors(const float *x, const float *min, const float *max, double *errors, double shrink, double exponent, float levels,
                   int channels, SHAPE) {
  // Each step has its own partials and counter; the tensor is one column.
  partials = (double *)partials + (size_t)blockIdx.z * gridDim.y * tile;
  counters += blockIdx.z;
  REDUCE(ClipError{{}, x, min, max, errors, 1.0 - shrink * (double)blockIdx.z, exponent, levels, channels});
}
/** The factor of the least error, the first of equals. */
extern "C" __global__ void best_clip(const double *errors, float *factor, double shrink, int steps) {
  int best = 0;
  for (int step = 1; step < steps; step++) {
    if (errors[step] < errors[best]) best = step;
  }
  *factor = (float)(1.0 - shrink * best);
}
