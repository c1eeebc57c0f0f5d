// Operations that sum or search over the rows of a tensor, each an Op of `reduceColumns`. Sums are kept in double
// precision.
#include "elementwise.cuh"
#include "reduce.cuh"

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

/** Rows below `split`, in elements, take a·b, the others −c·d. */
struct DotDifference : Total {
  const float *a, *b, *c, *d;
  float *y;
  int split;
  INLINE Item load(int i) const {
    const bool added = i < split;
    const int at = added ? i : i - split;
    return {(added ? a : c)[at], (added ? b : d)[at]};
  }
  INLINE void visit(Sum &sum, Item item, int i, int) const { sum += (double)(i < split ? item.x : -item.x) * item.y; }
  INLINE void finish(int column, Sum sum) const { y[column] = (float)sum; }
};
KERNEL dot_difference(const float *a, const float *b, const float *c, const float *d, float *y, int split, SHAPE) {
  REDUCE(DotDifference{{}, a, b, c, d, y, split});
}

struct __align__(16) Four {
  double x, y, z, w;
};
INLINE Four readFresh(const Four *from) {
  const double2 low = __ldcg((const double2 *)from), high = __ldcg((const double2 *)from + 1);
  return {low.x, low.y, high.x, high.y};
}
/**
 * The same on vectors of four neighbouring channels; `split` counts vectors. With two blocks of a multiprocessor in
 * mind the compiler keeps registers for all four rows that a thread reads at once.
 */
struct VectorDotDifference {
  typedef Four Sum;
  struct Item {
    float4 p, q;
  };
  const float4 *a, *b, *c, *d;
  float4 *y;
  int split;
  static INLINE Sum empty() { return {0, 0, 0, 0}; }
  static INLINE Sum merge(const Sum &p, const Sum &q) { return {p.x + q.x, p.y + q.y, p.z + q.z, p.w + q.w}; }
  INLINE Item load(int i) const {
    const bool added = i < split;
    const int at = added ? i : i - split;
    return {(added ? a : c)[at], (added ? b : d)[at]};
  }
  INLINE void visit(Sum &sum, const Item &item, int i, int) const {
    const float sign = i < split ? 1.0f : -1.0f;
    sum.x += (double)(sign * item.p.x) * item.q.x;
    sum.y += (double)(sign * item.p.y) * item.q.y;
    sum.z += (double)(sign * item.p.z) * item.q.z;
    sum.w += (double)(sign * item.p.w) * item.q.w;
  }
  INLINE void finish(int vector, const Sum &sum) const {
    y[vector] = make_float4((float)sum.x, (float)sum.y, (float)sum.z, (float)sum.w);
  }
};
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    vector_dot_difference(const float4 *a, const float4 *b, const float4 *c, const float4 *d, float4 *y, int split, SHAPE) {
  REDUCE(VectorDotDifference{a, b, c, d, y, split});
}

/** The range of x, widened to hold [bound, −bound]: 0, or infinity for a range that is as it is. */
struct Extremes : Range {
  typedef float Item;
  const float *x;
  float *min, *max;
  float bound;
  INLINE Item load(int i) const { return x[i]; }
  INLINE void visit(Sum &sum, Item item, int, int) const { sum = merge(sum, {item, item}); }
  INLINE void finish(int column, Sum sum) const {
    min[column] = fminf(sum.low, bound);
    max[column] = fmaxf(sum.high, -bound);
  }
};
KERNEL extremes(const float *x, float *min, float *max, float bound, SHAPE) { REDUCE(Extremes{{}, x, min, max, bound}); }

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
/**
 * Share of the gradients of the extremes among the elements that attain them, plus `other` unless null; lows and highs
 * count those elements per channel.
 */
KERNEL extremes_gradient(const float *gMin, const float *gMax, const float *x, const float *min, const float *max, const float *lows,
                         const float *highs, const float *other, float *dx, int count, int channels) {
  map(dx, count, [=](int i) {
    const int c = (u32)i % (u32)channels;
    const float slope = (x[i] == min[c] ? gMin[c] / lows[c] : 0.0f) + (x[i] == max[c] ? gMax[c] / highs[c] : 0.0f);
    return other ? other[i] + slope : slope;
  });
}
