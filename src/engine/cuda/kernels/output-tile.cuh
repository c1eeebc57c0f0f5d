// From the sums of a tile of an approximate convolution to its outputs: which taps of each row lie inside the image,
// sums of weight codes over them, the zero-point terms, and the stores. A warp's tile is in fragments of 16 rows × 8
// columns: element 2·part + i is row group + 8·part, column 2·quad + i.
#pragma once
#include "zero-points.cuh"

/** Sums over taps above and to the left, [ky][kx][columns]; the columns are `span` apart. */
struct Rectangles {
  int *sums;
  int span;
};

/** Fills column n of `to` with sums of ofTap [tap][stride], its column `column`; zeros where that is negative. */
INLINE void sumRectangles(const Rectangles &to, const int *ofTap, int n, int column, int stride, int kh, int kw) {
  const int span = to.span, width = (kw + 1) * span;
  for (int kx = 0; kx <= kw; kx++) to.sums[kx * span + n] = 0;
  for (int ky = 1; ky <= kh; ky++) {
    int sum = 0;
    to.sums[ky * width + n] = 0;
    for (int kx = 1; kx <= kw; kx++) {
      if (column >= 0) sum += ofTap[((ky - 1) * kw + kx - 1) * stride + column];
      to.sums[ky * width + kx * span + n] = to.sums[(ky - 1) * width + kx * span + n] + sum;
    }
  }
}

/** The taps of a row: how many there are, and sums over them of a column of rectangles. */
struct TapSums {
  int y0, y1, x0, x1, width, n;
  INLINE TapSums(const TapRange &inY, const TapRange &inX, int n, const Geometry &g)
      : y0(inY.first), y1(inY.end), x0(inX.first), x1(inX.end), width(g.kw + 1), n(n) {}
  INLINE int count() const { return (y1 - y0) * (x1 - x0); }
  INLINE int operator()(const Rectangles &of) const {
    auto at = [&](int y, int x) { return of.sums[(y * width + x) * of.span + n]; };
    int taps = at(y1, x1);
    if (y0 > 0) taps -= at(y0, x1);
    if (x0 > 0) taps -= at(y1, x0);
    if (y0 > 0 && x0 > 0) taps += at(y0, x0);
    return taps;
  }
};

struct OutputTile {
  int row0, column0, group;
  /** Of this warp, in the tile. */
  int warpRow, warpColumn;
  /** In shared memory, by row: the sum of its activation codes, where its window begins. */
  const int *rowSum, *rowY, *rowX;
};

/**
 * Stores a warp's outputs; `sumOf(mi, ni, element, taps)` gives Σ AxM, `ofCodes` has the sums of the weight codes of the
 * tile's columns. PAIRED: the columns are even.
 */
template <int ROWS16, int COLUMNS8, bool PAIRED, typename SumOf>
INLINE void storeDequantized(const OutputTile &tile, const Rectangles &ofCodes, const Geometry &g, const ZeroPoints &zero, float *y,
                             SumOf sumOf) {
  const int lane = threadIdx.x % 32, fragmentGroup = lane / 4, quad = lane % 4;
  const int rows = g.pixels(), columns = g.outputs(), inputs = g.inputs();
  const double xScale = *zero.xScale, xZero = *zero.xZero;
#pragma unroll
  for (int ni = 0; ni < COLUMNS8; ni++) {
    const int n = tile.warpColumn + ni * 8 + 2 * quad, column = tile.column0 + n;
    double wScale[2], wZero[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int o = tile.group * columns + min(column + i, columns - 1);
      wScale[i] = zero.wScale[o];
      wZero[i] = zero.wZero[o];
    }
#pragma unroll
    for (int mi = 0; mi < ROWS16; mi++)
#pragma unroll
      for (int part = 0; part < 2; part++) {
        const int r = tile.warpRow + mi * 16 + fragmentGroup + 8 * part, row = tile.row0 + r;
        if (row >= rows) continue;
        const TapRange inY(tile.rowY[r], g.dilationY, g.h, g.kh), inX(tile.rowX[r], g.dilationX, g.w, g.kw);
        float values[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const TapSums over(inY, inX, n + i, g);
          const double sum = sumOf(mi, ni, 2 * part + i, over);
          values[i] =
              dequantized(sum, over(ofCodes), tile.rowSum[r], over.count() * inputs, xScale, xZero, wScale[i], wZero[i]);
        }
        float *to = y + (size_t)row * g.o + tile.group * columns + column;
        if (PAIRED) {
          if (column < columns) *(float2 *)to = make_float2(values[0], values[1]);
        } else {
          if (column < columns) to[0] = values[0];
          if (column + 1 < columns) to[1] = values[1];
        }
      }
  }
}
