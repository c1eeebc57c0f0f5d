// From the sums of a tile of an approximate convolution to its outputs: which taps of each row lie inside the image,
// sums of weight codes over them, the zero-point terms, and the stores. A warp's tile is in fragments of 16 rows × 8
// columns: element 2·part + i is row group + 8·part, column 2·quad + i.
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

struct OutputTile {
  int row0, column0, group;
  /** Of this warp, in the tile. */
  int warpRow, warpColumn;
  /** In shared memory, by row: the sum of its activation codes, where its window begins. */
  const int *rowSum, *rowY, *rowX;
};

/** Σ AxM of two neighbouring columns: whole numbers, and what is to be added to them. */
struct SumPair {
  int2 whole;
  double2 fraction;
};

/** Whether a zero point is a code. */
INLINE bool isCode(float zero) { return zero >= 0 && zero < 65536 && (float)(int)zero == zero; }

/**
 * Stores a warp's outputs. `sumOf(mi, ni, element, taps, n)` gives the sums of two neighbouring columns, the first
 * of which is n in the tile; `ofCodes` has the sums of the weight codes of the tile's columns. PAIRED: the columns
 * are even; WITH_FRACTIONS: sums have them; SMALL: no product is larger than those of the codes, so that with zero
 * points that are codes too everything inside the parentheses of `dequantized` is an integer of 32 bits.
 */
template <int ROWS16, int COLUMNS8, bool PAIRED, bool WITH_FRACTIONS, bool SMALL, typename SumOf>
INLINE void storeDequantized(const OutputTile &tile, const Rectangles &ofCodes, const Geometry &g, const ZeroPoints &zero, float *y,
                             SumOf sumOf) {
  const int lane = threadIdx.x % 32, fragmentGroup = lane / 4, quad = lane % 4;
  const int rows = g.pixels(), columns = g.outputs(), inputs = g.inputs();
  const float xZero = *zero.xZero;
  const double xScale = *zero.xScale;
  const int firstColumn = tile.column0 + tile.warpColumn + 2 * quad, ofGroup = tile.group * columns;
  bool areCodes = SMALL && isCode(xZero);
#pragma unroll
  for (int ni = 0; ni < COLUMNS8; ni++)
#pragma unroll
    for (int i = 0; i < 2; i++) areCodes = areCodes && isCode(zero.wZero[ofGroup + min(firstColumn + ni * 8 + i, columns - 1)]);
  areCodes = __all_sync(0xffffffffu, areCodes);

  auto store = [&](auto integers) {
    constexpr bool INTEGERS = decltype(integers)::value;
#pragma unroll
    for (int mi = 0; mi < ROWS16; mi++) {
      const int r = tile.warpRow + mi * 16 + fragmentGroup, row = tile.row0 + r;
      const TapsInside taps[2] = {TapsInside(tile.rowY[r], tile.rowX[r], ofCodes.span, g),
                                  TapsInside(tile.rowY[r + 8], tile.rowX[r + 8], ofCodes.span, g)};
      const int inputSums[2] = {tile.rowSum[r], tile.rowSum[r + 8]};
#pragma unroll
      for (int ni = 0; ni < COLUMNS8; ni++) {
        const int n = tile.warpColumn + ni * 8 + 2 * quad, column = tile.column0 + n;
        if (column >= columns) continue;
        const int o = ofGroup + column, next = PAIRED || column + 1 < columns ? o + 1 : o;
        const float2 wZero = make_float2(zero.wZero[o], zero.wZero[next]);
        const double2 scale = make_double2(xScale * zero.wScale[o], xScale * zero.wScale[next]);
#pragma unroll
        for (int part = 0; part < 2; part++) {
          if (row + 8 * part >= rows) continue;
          const int count = taps[part].count * inputs;
          const int2 weights = taps[part](ofCodes.sums + n);
          const SumPair sums = sumOf(mi, ni, 2 * part, taps[part], n);
          double2 of;
          if (INTEGERS) {
            const int x = (int)xZero, rest = inputSums[part] - x * count;
            of.x = (int)((u32)sums.whole.x - (u32)(x * weights.x) - (u32)((int)wZero.x * rest));
            of.y = (int)((u32)sums.whole.y - (u32)(x * weights.y) - (u32)((int)wZero.y * rest));
            if (WITH_FRACTIONS) of = make_double2(of.x + sums.fraction.x, of.y + sums.fraction.y);
          } else {
            of.x = centred(sums.whole.x + (WITH_FRACTIONS ? sums.fraction.x : 0), weights.x, inputSums[part], count, xZero, wZero.x);
            of.y = centred(sums.whole.y + (WITH_FRACTIONS ? sums.fraction.y : 0), weights.y, inputSums[part], count, xZero, wZero.y);
          }
          const float first = (float)(scale.x * of.x), second = (float)(scale.y * of.y);
          float *to = y + (size_t)(row + 8 * part) * g.o + o;
          if (PAIRED) {
            *(float2 *)to = make_float2(first, second);
          } else {
            to[0] = first;
            if (column + 1 < columns) to[1] = second;
          }
        }
      }
    }
  };
  if (areCodes) store(Constant<1>{});
  else store(Constant<0>{});
}
