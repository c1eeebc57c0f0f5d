// Pooling over windows of an NHWC image. One thread per pixel and WIDTH channels (16 bytes where the channel count is a
// multiple of 4), channels fastest, so that a warp reads contiguous channels. Gradients gather: each input element
// visits the windows that contain it, nothing is scattered. Padding never wins a maximum; in an average it counts as
// zeros or not at all, and what lies beyond it never does.
// -D: as pooling.cuh.
#include "pooling.cuh"

#define THREADS 256

/** One thread per pixel and WIDTH channels; `count` of them. */
#define PLACE                                              \
  const int i = blockIdx.x * blockDim.x + threadIdx.x;     \
  if (i >= count) return;                                  \
  const Place at(p, i)

/** The maxima of windows to `y`, the taps that have them to `taps`; null: not wanted. */
KERNEL max_pool(const float *x, float *y, Taps *taps, const Pool p, int count) {
  PLACE;
  const Maxima maxima = firstMaxima(p, at, [&](int vector) { return readVector(x, vector); });
  if (y) writeVector(y, i, maxima.values);
  if (taps) taps[i] = maxima.chosen();
}
KERNEL max_pool_gradient(const float *g, const Taps *taps, float *dx, const Pool p, int count) {
  PLACE;
  writeVector(dx, i, gradientOfMaxima(g, taps, p, at));
}

/** Taps along an axis that the mean of a window counts. */
INLINE int counted(int window, int size, int stride, int padding, int extent, int countPadding) {
  const int start = window * stride - padding;
  return countPadding ? min(size, extent + padding - start) : min(extent, start + size) - max(0, start);
}
INLINE float areaOf(const Pool &p, int oy, int ox) {
  if (p.area > 0) return p.area;
  return counted(oy, KH, STRIDE_Y, PADDING_Y, p.h, p.countPadding) * counted(ox, KW, STRIDE_X, PADDING_X, p.w, p.countPadding);
}

KERNEL average_pool(const float *x, float *y, const Pool p, int count) {
  PLACE;
  Lanes sum = {};
  for (int ky = 0; ky < KH; ky++)
    for (int kx = 0; kx < KW; kx++) {
      const int row = at.y * STRIDE_Y - PADDING_Y + ky, column = at.x * STRIDE_X - PADDING_X + kx;
      if ((u32)row >= (u32)p.h || (u32)column >= (u32)p.w) continue;
      const Lanes values = readVector(x, vectorOfPixel(p, at, row, column));
      EACH_LANE sum.v[l] += values.v[l];
    }
  const float area = areaOf(p, at.y, at.x);
  EACH_LANE sum.v[l] /= area;
  writeVector(y, i, sum);
}
KERNEL average_pool_gradient(const float *g, float *dx, const Pool p, int count) {
  PLACE;
  Lanes sum = {};
  const Windows rows = rowsWith(p, at), columns = columnsWith(p, at);
  for (int oy = rows.first; oy <= rows.last; oy++)
    for (int ox = columns.first; ox <= columns.last; ox++) {
      const Lanes gradient = readVector(g, vectorOfWindow(p, at, oy, ox));
      const float own = p.area > 0 ? 1.0f : areaOf(p, oy, ox);
      EACH_LANE sum.v[l] += p.area > 0 ? gradient.v[l] : gradient.v[l] / own;
    }
  const float area = p.area > 0 ? p.area : 1.0f;
  EACH_LANE sum.v[l] /= area;
  writeVector(dx, i, sum);
}
