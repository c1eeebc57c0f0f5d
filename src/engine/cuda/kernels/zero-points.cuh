// The zero-point terms of an approximate convolution. The matrix units sum products of raw codes, S = Σ (w·x + E(w, x))
// over the valid taps; the contract wants xScale·wScale·(S − xZero·Σw − wZero·Σx + xZero·wZero·count), sums over the
// valid taps. Everything inside the parentheses is an integer when the zero points are, so doubles hold it exactly,
// whatever the order; that of the products outside is the reference's.
#pragma once
#include "common.cuh"

struct ZeroPoints {
  const float *xScale, *xZero, *wScale, *wZero;
};

/** `rest`: inputSum − xZero·count of the row; `scale`: xScale·wScale. */
INLINE float dequantized(double sum, double weightSum, double rest, double scale, double xZero, double wZero) {
  return (float)(scale * (sum - xZero * weightSum - wZero * rest));
}
INLINE float dequantized(double sum, double weightSum, double inputSum, double count, double xScale, double xZero, double wScale,
                         double wZero) {
  return dequantized(sum, weightSum, inputSum - xZero * count, xScale * wScale, xZero, wZero);
}
