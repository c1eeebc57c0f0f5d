// From the sums of a tile of an approximate convolution to its outputs: which taps of each row lie inside the image,
// sums of weight codes over them, the zero-point terms, and the stores. A warp's tile is in fragments of 16 rows × 8
// columns: element 2·part + i is row group + 8·part, column 2·quad + i.
#pragma once
#include "zero-points.cuh"

template <int SPAN> INLINE int areaWords(const Geometry &g) { return (g.kh + 1) * (g.kw + 1) * SPAN; }

/** area[ky][kx][n] = Σ of ofTap over the taps above and to the left, of column n of the tile, 0 where it is none. */
template <int SPAN> INLINE void sumRectangles(int *area, const int *ofTap, int n, int column, int group, const Geometry &g) {
  const int width = (g.kw + 1) * SPAN, columns = g.outputs();
  for (int kx = 0; kx <= g.kw; kx++) area[kx * SPAN + n] = 0;
  for (int ky = 1; ky <= g.kh; ky++) {
    int sum = 0;
    area[ky * width + n] = 0;
    for (int kx = 1; kx <= g.kw; kx++) {
      if (column < columns) sum += ofTap[((ky - 1) * g.kw + kx - 1) * g.o + group * columns + column];
      area[ky * width + kx * SPAN + n] = area[(ky - 1) * width + kx * SPAN + n] + sum;
    }
  }
}

/** In place of where a row's window begins: which of its taps lie inside the image, first | end << 16. */
INLINE void rangesInPlace(int &y, int &x, const Geometry &g) {
  const TapRange inY(y, g.dilationY, g.h, g.kh), inX(x, g.dilationX, g.w, g.kw);
  y = inY.first | inY.end << 16;
  x = inX.first | inX.end << 16;
}

/** The taps of a row and column: how many there are, and sums over them by `sumRectangles`. */
template <int SPAN> struct TapSums {
  int y0, y1, x0, x1, width, n;
  INLINE TapSums(int inY, int inX, int n, const Geometry &g)
      : y0(inY & 0xffff), y1(inY >> 16), x0(inX & 0xffff), x1(inX >> 16), width((g.kw + 1) * SPAN), n(n) {}
  INLINE int count() const { return (y1 - y0) * (x1 - x0); }
  INLINE int operator()(const int *area) const {
    int taps = area[y1 * width + x1 * SPAN + n];
    if (y0 > 0) taps -= area[y0 * width + x1 * SPAN + n];
    if (x0 > 0) taps -= area[y1 * width + x0 * SPAN + n];
    if (y0 > 0 && x0 > 0) taps += area[y0 * width + x0 * SPAN + n];
    return taps;
  }
};

struct OutputTile {
  int row0, column0, group;
  /** Of this warp, in the tile. */
  int warpRow, warpColumn;
  /** In shared memory, by row: the sum of its activation codes, its taps inside the image. */
  const int *rowSum, *rowY, *rowX;
  /** Of the weight codes. */
  const int *areas;
};

/** Stores a warp's outputs; `sumOf(mi, ni, element, taps)` gives Σ AxM. PAIRED: the columns are even. */
template <int SPAN, int ROWS16, int COLUMNS8, bool PAIRED, typename SumOf>
INLINE void storeDequantized(const OutputTile &tile, const Geometry &g, const ZeroPoints &zero, float *y, SumOf sumOf) {
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
        float values[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const TapSums<SPAN> over(tile.rowY[r], tile.rowX[r], n + i, g);
          const double sum = sumOf(mi, ni, 2 * part + i, over);
          values[i] =
              dequantized(sum, over(tile.areas), tile.rowSum[r], over.count() * inputs, xScale, xZero, wScale[i], wZero[i]);
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
