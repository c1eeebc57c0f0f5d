// From the sums of a tile of an approximate convolution to its outputs: which taps of each row lie inside the image,
// sums of weight codes over them, the zero-point terms, the bias, and the stores. A warp's tile is in fragments of 16
// rows × 8 columns: element 2·part + i is row group + 8·part, column 2·quad + i.
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

/**
 * What all outputs of a tile's columns have in common, in shared memory, as doubles, for conversions cost more than the
 * arithmetic: xScale·wScale, the zero point of the weights, and the sum of the weight codes over all taps; and, as a
 * float, the bias. The memory is 16-byte aligned and has these for each of an even number of columns.
 */
struct ColumnTerms {
  double *scale, *zero, *ofCodes;
  float *bias;
  INLINE ColumnTerms(double *memory, int columns)
      : scale(memory), zero(memory + columns), ofCodes(memory + 2 * columns), bias((float *)(memory + 3 * columns)) {}
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
 * which is n in the tile; `terms` and `ofCodes` (sums of the weight codes) are those of the tile's columns, the latter
 * for rows whose window reaches beyond the image. PAIRED: the columns are even.
 */
template <int ROWS16, int COLUMNS8, bool PAIRED, typename SumOf>
INLINE void storeDequantized(const OutputTile &tile, const ColumnTerms &terms, const Rectangles &ofCodes, const Geometry &g,
                             const ZeroPoints &zero, float *y, SumOf sumOf) {
  const int lane = threadIdx.x % 32, fragmentGroup = lane / 4, quad = lane % 4;
  const int rows = g.pixels(), columns = g.outputs(), inputs = g.inputs();
  const double xZero = *zero.xZero;
#pragma unroll
  for (int mi = 0; mi < ROWS16; mi++)
#pragma unroll
    for (int part = 0; part < 2; part++) {
      const int r = tile.warpRow + mi * 16 + fragmentGroup + 8 * part, row = tile.row0 + r;
      if (row >= rows) continue;
      const TapsInside taps(tile.rowY[r], tile.rowX[r], ofCodes.span, g);
      const bool whole = taps.count == g.kh * g.kw;
      const double rest = tile.rowSum[r] - xZero * ((double)taps.count * inputs);
      float *ofRow = y + (size_t)row * g.o + tile.group * columns;
#pragma unroll
      for (int ni = 0; ni < COLUMNS8; ni++) {
        const int n = tile.warpColumn + ni * 8 + 2 * quad, column = tile.column0 + n;
        if (column >= columns) continue;
        double2 weights = *(const double2 *)(terms.ofCodes + n);
        if (!whole) {
          const int2 inside = taps(ofCodes.sums + n);
          weights = make_double2(inside.x, inside.y);
        }
        const double2 sums = sumOf(mi, ni, 2 * part, taps, n);
        const double2 scale = *(const double2 *)(terms.scale + n), wZero = *(const double2 *)(terms.zero + n);
        const float2 bias = *(const float2 *)(terms.bias + n);
        const float first = dequantized(sums.x, weights.x, rest, scale.x, xZero, wZero.x) + bias.x;
        const float second = dequantized(sums.y, weights.y, rest, scale.y, xZero, wZero.y) + bias.y;
        if (PAIRED) {
          *(float2 *)(ofRow + column) = make_float2(first, second);
        } else {
          ofRow[column] = first;
          if (column + 1 < columns) ofRow[column + 1] = second;
        }
      }
    }
}
