// Windows over an NHWC image: where a thread is, the first maximum of a window and the tap that has it, and the
// gradient of a pixel from those of the windows that took their maximum there. A thread works on WIDTH neighbouring
// channels, a vector. Window, stride and padding are macros, so that short loops over taps unroll and nothing is
// divided by a stride.
// -D: WIDTH, KH, KW, STRIDE_Y, STRIDE_X, PADDING_Y, PADDING_X.
#pragma once
#include "lanes.cuh"

struct Pool {
  int h, w, oh, ow;
  /** Averages: what every window is divided by, or 0 where that depends on the window; whether padding counts. */
  int area, countPadding;
  /**
   * Division by the vectors of a pixel, and by the columns and rows of the image that the kernel's threads run over.
   */
  Divider byVectors, byColumns, byRows;
};

/** The pixel and the vector of its channels that a thread works on, the one with number `at` of all. */
struct Place {
  int image, y, x, vector;
  INLINE Place(const Pool &p, u32 at) {
    const u32 pixel = p.byVectors.quotient(at);
    vector = at - pixel * p.byVectors.divisor;
    const u32 line = p.byColumns.quotient(pixel);
    x = pixel - line * p.byColumns.divisor;
    image = p.byRows.quotient(line);
    y = line - image * p.byRows.divisor;
  }
};

/** The number of the vector of the same channels of another pixel, or of a window, of the same image. */
INLINE int vectorOfPixel(const Pool &p, const Place &at, int y, int x) {
  return ((at.image * p.h + y) * p.w + x) * p.byVectors.divisor + at.vector;
}
INLINE int vectorOfWindow(const Pool &p, const Place &at, int oy, int ox) {
  return ((at.image * p.oh + oy) * p.ow + ox) * p.byVectors.divisor + at.vector;
}

/** The number of a tap in its window, ky·KW + kx; lower/pooling.ts knows its bytes. */
#if KH * KW < 257
typedef u8 Tap;
#else
typedef u16 Tap;
#endif
struct __align__(sizeof(Tap) * WIDTH) Taps {
  Tap v[WIDTH];
};

/** Whether a value is the new maximum; a NaN is more than anything but a NaN. */
INLINE bool isMore(float value, float most) { return value > most || (value != value && most == most); }

/** The first maxima of a window, row by row, and their taps. */
struct Maxima {
  Lanes values;
  int taps[WIDTH];
  INLINE Taps chosen() const {
    Taps chosen;
    EACH_LANE chosen.v[l] = taps[l];
    return chosen;
  }
};
/** `read(i)`: the i-th vector of the image. */
template <class Read> INLINE Maxima firstMaxima(const Pool &p, const Place &at, const Read &read) {
  Maxima most;
  bool begun = false;
  for (int ky = 0; ky < KH; ky++) {
    const int y = at.y * STRIDE_Y - PADDING_Y + ky;
    if ((u32)y >= (u32)p.h) continue;
    for (int kx = 0; kx < KW; kx++) {
      const int x = at.x * STRIDE_X - PADDING_X + kx;
      if ((u32)x >= (u32)p.w) continue;
      const Lanes values = read(vectorOfPixel(p, at, y, x));
      EACH_LANE if (!begun || isMore(values.v[l], most.values.v[l])) {
        most.values.v[l] = values.v[l];
        most.taps[l] = ky * KW + kx;
      }
      begun = true;
    }
  }
  return most;
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
INLINE Windows rowsWith(const Pool &p, const Place &at) { return Windows(at.y, KH, STRIDE_Y, PADDING_Y, p.oh); }
INLINE Windows columnsWith(const Pool &p, const Place &at) { return Windows(at.x, KW, STRIDE_X, PADDING_X, p.ow); }

/** Windows that can overlap along an axis, and whether those at one pixel are few. */
#define OVERLAP_Y ((KH + STRIDE_Y - 1) / STRIDE_Y)
#define OVERLAP_X ((KW + STRIDE_X - 1) / STRIDE_X)
#define FEW (OVERLAP_Y * OVERLAP_X < 5)
/** Of those at a pixel so many are read before the first counts: all where they are few, else some of a row. */
constexpr int ROWS = FEW ? OVERLAP_Y : 1, COLUMNS = FEW || OVERLAP_X < 4 ? OVERLAP_X : 4;

/** Gradients and taps of neighbouring windows, some of which contain a pixel. */
struct Neighbours {
  Lanes g[ROWS][COLUMNS];
  Taps taps[ROWS][COLUMNS];
  /** How many do, from the first on, and the pixel's tap in the first. */
  int rows, columns, tap;
  /** Adds the gradients of those that took their maximum from the pixel, in the order of the windows. */
  INLINE void addTo(Lanes &sum) const {
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
      for (int j = 0; j < COLUMNS; j++)
#pragma unroll
        EACH_LANE if (i < rows && j < columns && taps[i][j].v[l] == tap - i * STRIDE_Y * KW - j * STRIDE_X) sum.v[l] += g[i][j].v[l];
  }
};
/** Those from (oy, ox) on. Beyond the last window that is read once more, which needs no branch. */
INLINE Neighbours neighboursOf(const float *g, const Taps *taps, const Pool &p, const Place &at, int oy, int ox) {
  Neighbours found;
  found.rows = rowsWith(p, at).last - oy + 1;
  found.columns = columnsWith(p, at).last - ox + 1;
  found.tap = (at.y - oy * STRIDE_Y + PADDING_Y) * KW + at.x - ox * STRIDE_X + PADDING_X;
#pragma unroll
  for (int i = 0; i < ROWS; i++)
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
      const int window = vectorOfWindow(p, at, min(oy + i, p.oh - 1), min(ox + j, p.ow - 1));
      found.g[i][j] = readVector(g, window);
      found.taps[i][j] = taps[window];
    }
  return found;
}

/** Σ of the gradients of the windows that took their maximum from a pixel. */
INLINE Lanes gradientOfMaxima(const float *g, const Taps *taps, const Pool &p, const Place &at) {
  Lanes sum = {};
  const Windows rows = rowsWith(p, at), columns = columnsWith(p, at);
  for (int oy = rows.first; oy <= rows.last; oy += ROWS)
    for (int ox = columns.first; ox <= columns.last; ox += COLUMNS) neighboursOf(g, taps, p, at, oy, ox).addTo(sum);
  return sum;
}
