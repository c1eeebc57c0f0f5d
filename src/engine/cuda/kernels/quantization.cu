// Quantisers, their gradients, and the ranges and scales that they take. Arithmetic that decides codes, scales and zero
// points is done as the reference does it (float32 quotients, doubles for ranges); sums over a tensor are Ops of
// `reduceColumns` in double precision.
#include "clip.cuh"
#include "elementwise.cuh"
#include "reduce.cuh"

// Codes and back.

/** A zero point: a code, or `part` of a step above one. */
struct ZeroPoint {
  float whole, part;
  INLINE explicit ZeroPoint(float zero) : whole(floorf(zero)), part(zero - floorf(zero)) {}
  /** x/scale in whole steps, counted from `whole` on. */
  INLINE float steps(float x, const Quotient &scale) const { return rintf(__fadd_rn(scale.of(x), part)); }
};
INLINE u32 codeOf(float x, const Quotient &scale, const ZeroPoint &zero, float highest) {
  return (u32)fminf(fmaxf(zero.steps(x, scale) + zero.whole, 0.0f), highest);
}
KERNEL quantize(const float *x, const float *scale, const float *zero, u8 *codes, int count, int channels, float highest) {
  map(codes, count, [=](int i) {
    const int c = (u32)i % (u32)channels;
    return (u8)codeOf(x[i], Quotient(scale[c]), ZeroPoint(zero[c]), highest);
  });
}
KERNEL dequantize(const u8 *codes, const float *scale, const float *zero, float *x, int count, int channels) {
  map(x, count, [=](int i) {
    const int c = (u32)i % (u32)channels;
    return (codes[i] - zero[c]) * scale[c];
  });
}
/** The same for one scale, four at a time. */
KERNEL tensor_quantize(const float4 *x, const float *scale, const float *zero, u32 *codes, int vectors, float highest) {
  const Quotient s(*scale);
  const ZeroPoint z(*zero);
  float4 values[UNROLL];
  const int start = blockIdx.x * (blockDim.x * UNROLL) + threadIdx.x;
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    if (i < vectors) values[part] = x[i];
  }
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    const float4 &v = values[part];
    if (i < vectors) {
      codes[i] = codeOf(v.x, s, z, highest) | codeOf(v.y, s, z, highest) << 8 | codeOf(v.z, s, z, highest) << 16 |
                 codeOf(v.w, s, z, highest) << 24;
    }
  }
}
KERNEL tensor_dequantize(const u32 *codes, const float *scale, const float *zero, float4 *x, int vectors) {
  const float s = *scale, z = *zero;
  map(x, vectors, [=](int i) {
    const u32 word = codes[i];
    return make_float4(((word & 0xff) - z) * s, ((word >> 8 & 0xff) - z) * s, ((word >> 16 & 0xff) - z) * s, ((word >> 24) - z) * s);
  });
}

// Gradients.

/** dx = g inside the range; dscale = Σ g·(code − zero − x/scale inside the range). */
struct Quantizer {
  Quotient scale;
  ZeroPoint zero;
  float highest;
  INLINE Quantizer(float scale, float zero, float highest) : scale(scale), zero(zero), highest(highest) {}
  /** The gradient of x; `slope` is what the scale's gradient gains. */
  INLINE float gradient(float g, float x, float &slope) const {
    const float steps = zero.steps(x, scale), rounded = steps + zero.whole, code = fminf(fmaxf(rounded, 0.0f), highest);
    const bool inside = code == rounded;
    // Inside, code − zero − x/s = steps − part − x/s, formed without cancellation.
    slope = g * (inside ? fmaf(steps - zero.part, scale.divisor, -x) * scale.inverse : code - zero.whole - zero.part);
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
struct TensorQuantizeGradient : Total {
  struct Item {
    float4 g, x;
  };
  const float4 *g, *x;
  const Quantizer quantizer;
  float4 *dx;
  float *dscale;
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
  REDUCE(TensorQuantizeGradient{{}, g, x, Quantizer(*scale, *zero, highest), dx, dscale});
}


// Ranges and scales.

KERNEL range_to_scale(const float *min, const float *max, const float *factor, float *scale, float *zero, int count, float levels) {
#pragma unroll
  EACH(i, count) {
    const double f = *factor, low = f * min[i], s = fmax((f * max[i] - low) / levels, 1.1920928955078125e-7);
    scale[i] = (float)s;
    zero[i] = (float)rint(-low / s);
  }
}
KERNEL clip_scale(const float *min, const float *max, const float *upper, const float *lower, float *scale, float *zero, int count,
                  float levels) {
#pragma unroll
  EACH(i, count) clippedScale(min[i], max[i], upper[i], lower[i], levels, scale + i, zero + i);
}
KERNEL clip_scale_gradient(const float *gScale, const float *min, const float *max, const float *upper, const float *lower, float *dmin,
                           float *dmax, float *dupper, float *dlower, int count, float levels) {
#pragma unroll
  EACH(i, count) {
    const double up = sigmoid(upper[i]), down = sigmoid(lower[i]), raw = (up * max[i] - down * min[i]) / levels;
    const double g = raw == limit(raw, 1e-5, 1e4) ? gScale[i] / (double)levels : 0.0;
    const double highest = max[i], lowest = min[i];
    dmax[i] = (float)(g * up);
    dmin[i] = (float)(-g * down);
    dupper[i] = (float)(g * up * (1 - up) * highest);
    dlower[i] = (float)(-g * down * (1 - down) * lowest);
  }
}

/** The extremes of x, in vectors of four, move a range. */
struct MovingRange : Range {
  typedef float4 Item;
  const float4 *x;
  const MovedRange &range;
  INLINE Item load(int i) const { return x[i]; }
  INLINE void visit(Sum &sum, const Item &v, int, int) const {
    sum = merge(sum, {fminf(fminf(v.x, v.y), fminf(v.z, v.w)), fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w))});
  }
  INLINE void finish(int, Sum sum) const { range.move(sum.low, sum.high); }
};
KERNEL moving_range(const float4 *x, const MovedRange range, SHAPE) { REDUCE(MovingRange{{}, x, range}); }

/**
 * errors[step] = Σ |x − x_fq|^exponent for the clip factor 1 − shrink·step; grid z = step. Ranges per column of x,
 * `channels` of them.
 */
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
