// The zero-point terms of an approximate convolution. The matrix units sum products of raw codes, S = Σ (w·x + E(w, x))
// over the valid taps; the contract wants xScale·wScale·(S − xZero·Σw − wZero·Σx + xZero·wZero·count), sums over the
// valid taps. Everything inside the parentheses is an integer when the zero points are, so doubles hold it exactly,
// whatever the order; that of the products outside is the reference's.
#pragma once
#include "common.cuh"

struct ZeroPoints {
  const float *xScale, *xZero, *wScale, *wZero;
};

INLINE float dequantized(double sum, double weightSum, double inputSum, double count, double xScale, double xZero, double wScale,
                         double wZero) {
  return (float)(xScale * wScale * (sum - xZero * weightSum - wZero * (inputSum - xZero * count)));
}
