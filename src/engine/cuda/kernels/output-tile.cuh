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

/**
 * The taps of a row that lie inside the image: how many, and sums over them of two neighbouring columns of rectangles.
 */
struct TapsInside {
  int count;
  /** Corners in words, of a column 0. */
  int above, left, corner, all;
  INLINE TapsInside(int y, int x, int span, const Geometry &g) {
    const TapRange inY(y, g.dilationY, g.h, g.kh), inX(x, g.dilationX, g.w, g.kw);
    const int width = g.kw + 1;
    count = (inY.end - inY.first) * (inX.end - inX.first);
    all = (inY.end * width + inX.end) * span;
    above = (inY.first * width + inX.end) * span;
    left = (inY.end * width + inX.first) * span;
    corner = (inY.first * width + inX.first) * span;
  }
  /** `sums`: rectangles from an even column on. */
  INLINE int2 operator()(const int *sums) const {
    auto at = [&](int corner) { return *(const int2 *)(sums + corner); };
    const int2 a = at(all), b = at(above), c = at(left), d = at(corner);
    return make_int2(a.x - b.x - c.x + d.x, a.y - b.y - c.y + d.y);
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
 * Stores a warp's outputs. `sumOf(mi, ni, element, taps, n)` gives Σ AxM of two neighbouring columns, the first of
 * which is n in the tile; `ofCodes` has the sums of the weight codes of the tile's columns. PAIRED: the columns are
 * even.
 */
template <int ROWS16, int COLUMNS8, bool PAIRED, typename SumOf>
INLINE void storeDequantized(const OutputTile &tile, const Rectangles &ofCodes, const Geometry &g, const ZeroPoints &zero, float *y,
                             SumOf sumOf) {
  const int lane = threadIdx.x % 32, fragmentGroup = lane / 4, quad = lane % 4;
  const int rows = g.pixels(), columns = g.outputs(), inputs = g.inputs();
  const double xScale = *zero.xScale, xZero = *zero.xZero;
#pragma unroll
  for (int mi = 0; mi < ROWS16; mi++)
#pragma unroll
    for (int part = 0; part < 2; part++) {
      const int r = tile.warpRow + mi * 16 + fragmentGroup + 8 * part, row = tile.row0 + r;
      if (row >= rows) continue;
      const TapsInside taps(tile.rowY[r], tile.rowX[r], ofCodes.span, g);
      const double inputSum = tile.rowSum[r], count = (double)taps.count * inputs;
      float *ofRow = y + (size_t)row * g.o + tile.group * columns;
#pragma unroll
      for (int ni = 0; ni < COLUMNS8; ni++) {
        const int n = tile.warpColumn + ni * 8 + 2 * quad, column = tile.column0 + n;
        if (column >= columns) continue;
        const int2 weights = taps(ofCodes.sums + n);
        const double2 sums = sumOf(mi, ni, 2 * part, taps, n);
        const int o = tile.group * columns + column, next = PAIRED || column + 1 < columns ? o + 1 : o;
        const float first = dequantized(sums.x, weights.x, inputSum, count, xScale, xZero, zero.wScale[o], zero.wZero[o]);
        const float second = dequantized(sums.y, weights.y, inputSum, count, xScale, xZero, zero.wScale[next], zero.wZero[next]);
        if (PAIRED) {
          *(float2 *)(ofRow + column) = make_float2(first, second);
        } else {
          ofRow[column] = first;
          if (column + 1 < columns) ofRow[column + 1] = second;
        }
      }
    }
}
