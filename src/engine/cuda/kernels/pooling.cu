// Pooling over windows of an NHWC image. One thread per pixel and WIDTH channels (16 bytes where the channel count is a
// multiple of 4), channels fastest, so that a warp reads contiguous channels. Gradients gather: each input element
// visits the windows that contain it, nothing is scattered. Padding never wins a maximum; in an average it counts as
// zeros or not at all, and what lies beyond it never does.
// -D: WIDTH.
#include "lanes.cuh"

#define THREADS 256

struct Pool {
  int n, h, w, c, oh, ow, kh, kw, strideY, strideX, paddingY, paddingX;
  /** Averages: what every window is divided by, or 0 where that depends on the window; whether padding counts. */
  int area, countPadding;
  /** Division by c / WIDTH, and by the columns and rows of the image that the kernel's threads run over. */
  Divider byChannels, byColumns, byRows;
};

/** The pixel and first channel that a thread works on; `at` counts WIDTH channels at a time. */
struct Place {
  int image, y, x, channel;
  INLINE Place(const Pool &p, u32 at) {
    const u32 pixel = p.byChannels.quotient(at);
    channel = (at - pixel * p.byChannels.divisor) * WIDTH;
    const u32 line = p.byColumns.quotient(pixel);
    x = pixel - line * p.byColumns.divisor;
    image = p.byRows.quotient(line);
    y = line - image * p.byRows.divisor;
  }
};

/** Whether a value is the new maximum; a NaN is more than anything but a NaN. */
INLINE bool isMore(float value, float most) { return value > most || (value != value && most == most); }

/** The taps (ky·kw + kx) of the first maxima of a window, row by row, and their values. */
INLINE Lanes firstMaxima(const float *x, const Pool &p, const Place &at, int (&taps)[WIDTH]) {
  Lanes most;
  EACH_LANE taps[l] = -1;
  for (int ky = 0; ky < p.kh; ky++) {
    const int y = at.y * p.strideY - p.paddingY + ky;
    if ((u32)y >= (u32)p.h) continue;
    for (int kx = 0; kx < p.kw; kx++) {
      const int column = at.x * p.strideX - p.paddingX + kx;
      if ((u32)column >= (u32)p.w) continue;
      const Lanes values = readLanes(x + (size_t)((at.image * p.h + y) * p.w + column) * p.c + at.channel);
      EACH_LANE if (taps[l] < 0 || isMore(values.v[l], most.v[l])) {
        taps[l] = ky * p.kw + kx;
        most.v[l] = values.v[l];
      }
    }
  }
  return most;
}

/** One thread per pixel and WIDTH channels; `count` of them. */
#define PLACE                                              \
  const int i = blockIdx.x * blockDim.x + threadIdx.x;     \
  if (i >= count) return;                                  \
  const Place at(p, i)

KERNEL max_pool(const float *x, float *y, const Pool p, int count) {
  PLACE;
  int taps[WIDTH];
  writeLanes(y + (size_t)i * WIDTH, firstMaxima(x, p, at, taps));
}
/** taps[i] = the tap that window i takes its maximum from. */
KERNEL max_pool_taps(const float *x, u16 *to, const Pool p, int count) {
  PLACE;
  int taps[WIDTH];
  firstMaxima(x, p, at, taps);
  EACH_LANE to[(size_t)i * WIDTH + l] = (u16)taps[l];
}

/**
 * The windows along one axis that contain a position: first ≤ window ≤ last, window·stride − padding ≤ position < … +
 * size.
 */
struct Windows {
  int first, last;
  INLINE Windows(int position, int size, int stride, int padding, int windows) {
    first = max(0, (position + padding - size + stride) / stride);
    last = min(windows - 1, (position + padding) / stride);
  }
};

KERNEL max_pool_gradient(const float *g, const u16 *taps, float *dx, const Pool p, int count) {
  PLACE;
  Lanes sum = {};
  const Windows rows(at.y, p.kh, p.strideY, p.paddingY, p.oh), columns(at.x, p.kw, p.strideX, p.paddingX, p.ow);
  for (int oy = rows.first; oy <= rows.last; oy++)
    for (int ox = columns.first; ox <= columns.last; ox++) {
      const size_t window = (size_t)((at.image * p.oh + oy) * p.ow + ox) * p.c + at.channel;
      const int tap = (at.y - oy * p.strideY + p.paddingY) * p.kw + at.x - ox * p.strideX + p.paddingX;
      const Lanes gradient = readLanes(g + window);
      __align__(8) u16 chosen[WIDTH];
#if WIDTH == 4
      *(uint2 *)chosen = *(const uint2 *)(taps + window);
#else
      chosen[0] = taps[window];
#endif
      EACH_LANE if (chosen[l] == tap) sum.v[l] += gradient.v[l];
    }
  writeLanes(dx + (size_t)i * WIDTH, sum);
}
/** Taps along an axis that the mean of a window counts. */
INLINE int counted(int window, int size, int stride, int padding, int extent, int countPadding) {
  const int start = window * stride - padding;
  return countPadding ? min(size, extent + padding - start) : min(extent, start + size) - max(0, start);
}
INLINE float areaOf(const Pool &p, int oy, int ox) {
  if (p.area > 0) return p.area;
  return counted(oy, p.kh, p.strideY, p.paddingY, p.h, p.countPadding) * counted(ox, p.kw, p.strideX, p.paddingX, p.w, p.countPadding);
}

KERNEL average_pool(const float *x, float *y, const Pool p, int count) {
  PLACE;
  Lanes sum = {};
  for (int ky = 0; ky < p.kh; ky++)
    for (int kx = 0; kx < p.kw; kx++) {
      const int row = at.y * p.strideY - p.paddingY + ky, column = at.x * p.strideX - p.paddingX + kx;
      if ((u32)row >= (u32)p.h || (u32)column >= (u32)p.w) continue;
      const Lanes values = readLanes(x + (size_t)((at.image * p.h + row) * p.w + column) * p.c + at.channel);
      EACH_LANE sum.v[l] += values.v[l];
    }
  const float area = areaOf(p, at.y, at.x);
  EACH_LANE sum.v[l] /= area;
  writeLanes(y + (size_t)i * WIDTH, sum);
}
KERNEL average_pool_gradient(const float *g, float *dx, const Pool p, int count) {
  PLACE;
  Lanes sum = {};
  const Windows rows(at.y, p.kh, p.strideY, p.paddingY, p.oh), columns(at.x, p.kw, p.strideX, p.paddingX, p.ow);
  for (int oy = rows.first; oy <= rows.last; oy++)
    for (int ox = columns.first; ox <= columns.last; ox++) {
      const Lanes gradient = readLanes(g + (size_t)((at.image * p.oh + oy) * p.ow + ox) * p.c + at.channel);
      const float own = p.area > 0 ? 1.0f : areaOf(p, oy, ox);
      EACH_LANE sum.v[l] += p.area > 0 ? gradient.v[l] : gradient.v[l] / own;
    }
  const float area = p.area > 0 ? p.area : 1.0f;
  EACH_LANE sum.v[l] /= area;
  writeLanes(dx + (size_t)i * WIDTH, sum);
}
