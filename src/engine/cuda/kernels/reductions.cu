// Operations that sum or search over the rows of a tensor, each an Op of `reduceColumns`. Sums are kept in double precision.
#include "clip.cuh"
#include "reduce.cuh"

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

/** The range of x, widened to hold [bound, −bound]: 0, or infinity for a range that is as it is. */
struct Extremes {
  typedef Extent Sum;
  typedef float Item;
  const float *x;
  float *min, *max;
  float bound;
  static INLINE Sum empty() { return {__int_as_float(0x7f800000), __int_as_float(0xff800000)}; }
  static INLINE Sum merge(Sum a, Sum b) { return {fminf(a.low, b.low), fmaxf(a.high, b.high)}; }
  INLINE Item load(int i) const { return x[i]; }
  INLINE void visit(Sum &sum, Item item, int, int) const { sum = merge(sum, {item, item}); }
  INLINE void finish(int column, Sum sum) const {
    min[column] = fminf(sum.low, bound);
    max[column] = fmaxf(sum.high, -bound);
  }
};
KERNEL extremes(const float *x, float *min, float *max, float bound, SHAPE) { REDUCE(Extremes{x, min, max, bound}); }

/**
 * The extremes of x (and `bound`, see Extremes), in vectors of four, move running ones, low ← alpha·low + beta·min and high likewise, and those with the clip logits give
 * the scale and the zero point of the quantiser that comes next.
 */
struct MovingRange {
  typedef Extent Sum;
  typedef float4 Item;
  const float4 *x;
  const float *lowBefore, *highBefore, *upper, *lower;
  float *low, *high, *scale, *zero;
  float alpha, beta, levels, bound;
  static INLINE Sum empty() { return Extremes::empty(); }
  static INLINE Sum merge(Sum a, Sum b) { return Extremes::merge(a, b); }
  INLINE Item load(int i) const { return x[i]; }
  INLINE void visit(Sum &sum, const Item &v, int, int) const {
    sum = merge(sum, {fminf(fminf(v.x, v.y), fminf(v.z, v.w)), fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w))});
  }
  INLINE void finish(int, Sum sum) const {
    const float lowest = alpha * *lowBefore + beta * fminf(sum.low, bound);
    const float highest = alpha * *highBefore + beta * fmaxf(sum.high, -bound);
    *low = lowest;
    *high = highest;
    clippedScale(lowest, highest, *upper, *lower, levels, scale, zero);
  }
};
KERNEL moving_range(const float4 *x, const float *lowBefore, const float *highBefore, const float *upper, const float *lower, float *low,
                    float *high, float *scale, float *zero, float alpha, float beta, float levels, float bound, SHAPE) {
  REDUCE(MovingRange{x, lowBefore, highBefore, upper, lower, low, high, scale, zero, alpha, beta, levels, bound});
}

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

/** dx = g inside the range; dscale = Σ g·(code − zero − x/scale inside the range). */
struct Quantizer {
  Quotient scale;
  float zero, highest;
  INLINE Quantizer(float scale, float zero, float highest) : scale(scale), zero(zero), highest(highest) {}
  /** The gradient of x; `slope` is what the scale's gradient gains. */
  INLINE float gradient(float g, float x, float &slope) const {
    const float steps = rintf(scale.of(x)), rounded = steps + zero, code = fminf(fmaxf(rounded, 0.0f), highest);
    const bool inside = code == rounded;
    // Inside, code − zero − x/s = steps − x/s, formed without cancellation.
    slope = g * (inside ? fmaf(steps, scale.divisor, -x) * scale.inverse : code - zero);
    return inside ? g : 0.0f;
  }
};
struct QuantizeGradient : Total {
  const float *g, *x, *scale, *zero;
  float *dx, *dscale;
  float highest;
  INLINE Item load(int i) const { return {g[i], x[i]}; }
  INLINE void visit(Sum &sum, Item item, int i, int column) const {
    float slope;
    dx[i] = Quantizer(scale[column], zero[column], highest).gradient(item.x, item.y, slope);
    sum += (double)slope;
  }
  INLINE void finish(int column, Sum sum) const { dscale[column] = (float)sum; }
};
KERNEL quantize_gradient(const float *g, const float *x, const float *scale, const float *zero, float *dx, float *dscale, float highest,
                         SHAPE) {
  REDUCE(QuantizeGradient{{}, g, x, scale, zero, dx, dscale, highest});
}
/** The same for one scale, on vectors of four. */
struct TensorQuantizeGradient {
  typedef double Sum;
  struct Item {
    float4 g, x;
  };
  const float4 *g, *x;
  const Quantizer quantizer;
  float4 *dx;
  float *dscale;
  static INLINE Sum empty() { return 0; }
  static INLINE Sum merge(Sum a, Sum b) { return a + b; }
  INLINE Item load(int i) const { return {g[i], x[i]}; }
  INLINE void visit(Sum &sum, const Item &item, int i, int) const {
    float4 slope, result;
    result.x = quantizer.gradient(item.g.x, item.x.x, slope.x);
    result.y = quantizer.gradient(item.g.y, item.x.y, slope.y);
    result.z = quantizer.gradient(item.g.z, item.x.z, slope.z);
    result.w = quantizer.gradient(item.g.w, item.x.w, slope.w);
    dx[i] = result;
    sum += ((double)slope.x + (double)slope.y) + ((double)slope.z + (double)slope.w);
  }
  INLINE void finish(int, Sum sum) const { *dscale = (float)sum; }
};
KERNEL tensor_quantize_gradient(const float4 *g, const float4 *x, const float *scale, const float *zero, float4 *dx, float *dscale,
                                float highest, SHAPE) {
  REDUCE(TensorQuantizeGradient{g, x, Quantizer(*scale, *zero, highest), dx, dscale});
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
