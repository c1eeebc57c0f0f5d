// The scale and zero point of a quantiser with learned clipping: the range [min, max], each end shortened by the
// sigmoid of its logit; and the running range of a tensor that they follow from.
// In doubles, as the reference forms it.
#pragma once
#include "common.cuh"

INLINE double limit(double x, double low, double high) { return fmin(fmax(x, low), high); }
INLINE double sigmoid(float x) { return (float)(1.0 / (1.0 + exp(-(double)x))); }

INLINE void clippedScale(float min, float max, float upper, float lower, float levels, float *scale, float *zero) {
  const double low = sigmoid(lower) * min, s = limit((sigmoid(upper) * max - low) / levels, 1e-5, 1e4);
  *scale = (float)s;
  *zero = (float)rint(limit(-low / s, -1e4, 1e4));
}

/**
 * A range that extremes move, low ← alpha·low + beta·min and high likewise, and the scale and the zero point that it
 * gives the quantiser that comes next. `bound`: the extremes are widened to hold [bound, −bound] (reduction.cu).
 */
struct MovedRange {
  const float *lowBefore, *highBefore, *upper, *lower;
  float *low, *high, *scale, *zero;
  float alpha, beta, levels, bound;
  INLINE void move(float least, float most) const {
    const float lowest = alpha * *lowBefore + beta * fminf(least, bound);
    const float highest = alpha * *highBefore + beta * fmaxf(most, -bound);
    *low = lowest;
    *high = highest;
    clippedScale(lowest, highest, *upper, *lower, levels, scale, zero);
  }
};
