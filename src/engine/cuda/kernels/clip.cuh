// The scale and zero point of a quantiser with learned clipping: the range [min, max], each end shortened by the
// sigmoid of its logit.
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
