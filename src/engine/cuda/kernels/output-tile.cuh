// From the sums of a tile of an approximate convolution to its outputs: which taps of each row lie inside the image,
// sums of weight codes over them, the zero-point terms, the bias, and the stores. A warp's tile is in fragments of 16
// rows × 8 columns: element 2·part + i is row group + 8·part, column 2·quad + i.
#pragma once
#include "lists.cuh"
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

/** A double of the same value, by an addition: the conversion takes four times as long. */
INLINE double doubleOf(int value) { return __hiloint2double(0x43300000, value ^ 0x80000000) - 0x1.000008p52; }

/**
 * Stores a warp's outputs. `sumOf(mi, ni, element, taps, n)` gives Σ AxM of two neighbouring columns, the first of
 * which is n in the tile; `terms` and `ofCodes` (sums of the weight codes) are those of the tile's columns, the latter
 * for rows whose window reaches beyond the image. BY_FOURS: the columns are a multiple of four, and neighbouring
 * lanes exchange half of what they have, so that each stores four columns at a time.
 * Each output is a chain of conversions and products of doubles; that many go side by side is what makes it fast, so
 * nothing but the stores themselves is left out for a row or a column that is not there.
 */
template <int ROWS16, int COLUMNS8, bool BY_FOURS, typename SumOf>
INLINE void storeDequantized(const OutputTile &tile, const ColumnTerms &terms, const Rectangles &ofCodes, const Geometry &g,
                             double xZero, float *y, SumOf sumOf) {
  const int lane = threadIdx.x % 32, fragmentGroup = lane / 4, quad = lane % 4;
  static_assert(COLUMNS8 % 2 == 0, "columns are taken by sixteens");
  const bool odd = quad & 1;
  const int rows = g.pixels(), columns = g.outputs(), inputs = g.inputs();
#pragma unroll
  for (int mi = 0; mi < ROWS16; mi++) {
    const int r = tile.warpRow + mi * 16 + fragmentGroup, row = tile.row0 + r;
    const TapsInside taps[2] = {TapsInside(tile.rowY[r], tile.rowX[r], ofCodes.span, g),
                                TapsInside(tile.rowY[r + 8], tile.rowX[r + 8], ofCodes.span, g)};
    double rest[2];
#pragma unroll
    for (int part = 0; part < 2; part++) rest[part] = tile.rowSum[r + 8 * part] - xZero * ((double)taps[part].count * inputs);
    float *ofRow = y + (size_t)row * g.o + tile.group * columns;
    auto store = [&](auto reach) {
      // Two neighbouring columns of both parts of the rows.
      auto outputs = [&](int ni, float2(&values)[2]) {
        const int n = tile.warpColumn + ni * 8 + 2 * quad;
        const double2 scale = *(const double2 *)(terms.scale + n), wZero = *(const double2 *)(terms.zero + n);
        const double2 ofAll = *(const double2 *)(terms.ofCodes + n);
        const float2 bias = *(const float2 *)(terms.bias + n);
#pragma unroll
        for (int part = 0; part < 2; part++) {
          double2 weights = ofAll;
          if (decltype(reach)::value) {
            const int2 inside = taps[part](ofCodes.sums + n);
            weights = make_double2(doubleOf(inside.x), doubleOf(inside.y));
          }
          const double2 sums = sumOf(mi, ni, 2 * part, taps[part], n);
          values[part].x = dequantized(sums.x, weights.x, rest[part], scale.x, xZero, wZero.x) + bias.x;
          values[part].y = dequantized(sums.y, weights.y, rest[part], scale.y, xZero, wZero.y) + bias.y;
        }
      };
#pragma unroll
      for (int ni = 0; ni < COLUMNS8; ni += 2) {
        float2 values[2][2];
        outputs(ni, values[0]);
        outputs(ni + 1, values[1]);
#pragma unroll
        for (int part = 0; part < 2; part++) {
          const float2 left = values[0][part], right = values[1][part];
          float *to = ofRow + (size_t)(8 * part) * g.o;
          const bool there = row + 8 * part < rows;
          const int column = tile.column0 + tile.warpColumn + ni * 8;
          if (BY_FOURS) {
            const float2 given = odd ? left : right;
            const float2 taken = make_float2(__shfl_xor_sync(0xffffffffu, given.x, 1), __shfl_xor_sync(0xffffffffu, given.y, 1));
            const float4 four = odd ? make_float4(taken.x, taken.y, right.x, right.y) : make_float4(left.x, left.y, taken.x, taken.y);
            const int first = column + (odd ? 8 : 0) + quad / 2 * 4;
            if (there && first < columns) *(float4 *)(to + first) = four;
          } else {
            const float four[4] = {left.x, left.y, right.x, right.y};
#pragma unroll
            for (int i = 0; i < 4; i++) {
              const int at = column + i / 2 * 8 + 2 * quad + i % 2;
              if (there && at < columns) to[at] = four[i];
            }
          }
        }
      }
    };
    // Where x has no zero point the sums of weight codes count for nothing, nor do those of rows that are not there.
    auto isWhole = [&](int part) { return row + 8 * part >= rows || taps[part].count == g.kh * g.kw; };
    if (__all_sync(0xffffffffu, xZero == 0 || (isWhole(0) && isWhole(1)))) store(Constant<0>{});
    else store(Constant<1>{});
  }
}
