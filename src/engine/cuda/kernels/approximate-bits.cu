// The approximate convolution as counts of bits that meet (forward of axmConv2d for removals of partial products,
// exact integers or a trained structure):
//   Σ_k AxM(w, x) = Σ_ij (1 − m[i, j]) 2^(i+j) C_ij, C_ij = Σ_k w[i]·x[j]
// on the binary matrix unit, 256 pairs of bits per step; see approximate-bits.cuh. Each group's counts are multiplied
// with its factor, 2^(i+j), in integers, which may wrap on the way, the whole must not; or, where m is a real number
// (FRACTIONS), with (1 − m) 2^(i+j) in f32: counts are below 2^23, and the bits of one, read as a float, are the
// denormal number count·2^−149, which a multiplication takes as any other, twice as fast as one of integers. So factors
// are scaled by 2^96, and sums are those of a scale of 2^−53. A code of a padded tap is 0 and has no bits.
// Kernels: pack_codes, pack_windows, pack_weights, tap_rectangles, multiply.
// Layout: x NHWC u8, for pack_codes with channels a multiple of CB, w [K][O] u8.
// -D, beside those of approximate-bits.cuh: FOURS (columns are a multiple of four), FRACTIONS (0 or 1); lists by group:
// SHIFTS (i + j), ENTRIES (i·ABITS + j of the entry of m that the factor reads; −1: none is removed), and by single
// SINGLE_ENTRIES (−2: it counts for nothing).
#include "output-tile.cuh"

#ifdef BM
#include "approximate-bits.cuh"

LIST(shiftOf, SHIFTS)
LIST(entryOf, ENTRIES)
#if SINGLES
LIST(singleEntryOf, SINGLE_ENTRIES)
#endif

#if FRACTIONS
typedef float Total;
INLINE u32 wordOf(Total factor) { return __float_as_uint(factor); }
INLINE Total ofWord(u32 factor) { return __uint_as_float(factor); }
INLINE Total factorOf(double share, int shift) { return (float)(share * (1 << shift)) * 0x1p96f; }
INLINE void addCounts(Total &total, Total factor, int count) { total = fmaf(__int_as_float(count), factor, total); }
INLINE double valueOf(Total total) { return total * 0x1p53; }
#else
typedef u32 Total;
INLINE u32 wordOf(Total factor) { return factor; }
INLINE Total ofWord(u32 factor) { return factor; }
INLINE Total factorOf(double share, int shift) { return __double2int_rn(share * (1 << shift)); }
INLINE void addCounts(Total &total, Total factor, int count) { total += factor * (u32)count; }
INLINE double valueOf(Total total) { return doubleOf((int)total); }
#endif
/** Of an entry of m, the share of its partial product that is kept. */
INLINE double shareOf(const float *m, int entry) { return entry == -2 ? 0.0 : entry < 0 ? 1.0 : 1 - (double)m[entry]; }

/**
 * Grid: as many blocks as the device has multiprocessors, or one per tile. `m`: f32 [WBITS, ABITS], read where an entry
 * is given; `rectangles`: of the weight codes (`tap_rectangles`); `bias`: of each output channel, null for none.
 */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    multiply(const Bits bits, const int *__restrict__ rectangles, const float *__restrict__ m, const ZeroPoints zero,
             const float *__restrict__ bias, float *__restrict__ y, const Geometry geometry) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ Total factors[GROUPS + 1];
  __shared__ Single singles[SINGLES + 1];
#if WARPS_K > 1
  __shared__ Total exchange[32][128];
#endif
  const Geometry &g = geometry;
  forEachConstant<0, GROUPS>([&](auto at) {
    constexpr int group = decltype(at)::value, entry = entryOf(group), shift = shiftOf(group);
    if (threadIdx.x == group) factors[group] = factorOf(shareOf(m, entry), shift);
  });
#if SINGLES
  placeSingles(singles, [&](auto at) {
    constexpr int pair = decltype(at)::value;
    return wordOf(factorOf(shareOf(m, singleEntryOf(pair)), singleWeightBitOf(pair) + singleInputBitOf(pair)));
  });
#endif

  const int thread = threadIdx.x - COPIERS, warp = thread / 32;
  Total totals[8][4];
  auto add = [&](Total factor, const int(*counts)[4]) {
#pragma unroll
    for (int ni = 0; ni < 8; ni++)
#pragma unroll
      for (int i = 0; i < 4; i++) addCounts(totals[ni][i], factor, counts[ni][i]);
  };
  // What a tile's columns have in common is fetched when it begins and needed when it ends. Each warpgroup with rows of
  // its own has it for itself, so that neither waits for the other.
  constexpr int WARPGROUPS = BM / 64, WORDS = (KH + 1) * (KW + 1) * BN, MINE = (WORDS + COUNTERS - 1) / COUNTERS;
  __shared__ __align__(8) int ofCodes[WORDS];
  __shared__ __align__(16) double ofColumns[WARPGROUPS][3 * BN + BN / 2];
  const int warpgroup = WARPGROUPS > 1 ? warp / 4 : 0, column = thread - warpgroup * 128;
  // Read once by warps that count, which have the registers.
  float xScale, xZero;
  // Rectangles, which both share, are read where windows reach beyond the image and codes of x have a zero point.
  bool reach;
  auto together = [&]() {
    if (WARPGROUPS == 1 || reach) meet(2, COUNTERS);
    else meet(2 + warpgroup, 128);
  };
  int fetched[MINE], allCodes = 0;
  float wScale = 0, wZero = 0, added = 0;
  countTiles(
      shared, bits, g, singles,
      [&](int tile) {
        if (tile == blockIdx.x) {
          xScale = *zero.xScale;
          xZero = *zero.xZero;
          reach = xZero != 0 && (KH * KW > 1 || g.paddingY > 0 || g.paddingX > 0);
        }
#pragma unroll
        for (int i = 0; i < 32; i++) (&totals[0][0])[i] = 0;
        const int column0 = bits.column0(tile), padded = bits.columnTiles * BN;
        if (reach) {
#pragma unroll
          for (int i = 0; i < MINE; i++) {
            const int at = thread + i * COUNTERS;
            if (at < WORDS) fetched[i] = rectangles[at / BN * padded + column0 + at % BN];
          }
        }
        if (column < BN) {
          const int o = min(column0 + column, g.o - 1);
          wScale = zero.wScale[o];
          wZero = zero.wZero[o];
          added = biasOf(bias, o);
          allCodes = rectangles[(WORDS / BN - 1) * padded + column0 + column];
        }
      },
      []() {}, [&](auto group, const int(*counts)[4]) { add(factors[decltype(group)::value], counts); },
      [&](int first, auto at, const int(*counts)[4]) { add(ofWord(singles[first + decltype(at)::value].factor), counts); }, [](int) {},
      [&](int tile, const Rows &rows) {
        const ColumnTerms terms(ofColumns[warpgroup], BN);
        // All are behind the stores of the tile before.
        together();
        if (reach) {
#pragma unroll
          for (int i = 0; i < MINE; i++) {
            const int at = thread + i * COUNTERS;
            if (at < WORDS) ofCodes[at] = fetched[i];
          }
        }
        if (column < BN) {
          terms.scale[column] = (double)xScale * wScale;
          terms.zero[column] = wZero;
          terms.ofCodes[column] = allCodes;
          terms.bias[column] = added;
        }
#if WARPS_K > 1
        // The first warpgroup takes over the other's sums.
        if (warp >= 4) {
#pragma unroll
          for (int i = 0; i < 32; i++) exchange[i][thread % 128] = (&totals[0][0])[i];
        }
        together();
        if (warp >= 4) return;
#pragma unroll
        for (int i = 0; i < 32; i++) (&totals[0][0])[i] += exchange[i][thread % 128];
#else
        together();
#endif
        const OutputTile at = {bits.row0(tile), bits.column0(tile), 0, warp * 16, 0, rows.sum, rows.y, rows.x};
        storeDequantized<1, 8, FOURS>(at, terms, {ofCodes, BN}, g, xZero, y, [&](int, int ni, int element, const TapsInside &, int) {
          return make_double2(valueOf(totals[ni][element]), valueOf(totals[ni][element + 1]));
        });
      });
}
#else

/** Bit j of byte i changes places with bit i of byte j. */
INLINE u64 transposeBits(u64 bits) {
  u64 swapped = (bits ^ bits >> 7) & 0x00aa00aa00aa00aaull;
  bits ^= swapped ^ swapped << 7;
  swapped = (bits ^ bits >> 14) & 0x0000cccc0000ccccull;
  bits ^= swapped ^ swapped << 14;
  swapped = (bits ^ bits >> 28) & 0x00000000f0f0f0f0ull;
  return bits ^ swapped ^ swapped << 28;
}

/** Byte p of the lanes 0 … 7 becomes the eight bytes of lane p. */
INLINE void transposeBytes(u32 &low, u32 &high) {
  const int lane = threadIdx.x % 8;
  auto given = [](u32 word, int distance) { return __shfl_xor_sync(0xffffffffu, word, distance); };
  const u32 half = given(lane & 4 ? low : high, 4);
  if (lane & 4) low = half;
  else high = half;
  const u32 pairs = given(__byte_perm(low, high, lane & 2 ? 0x5410 : 0x7632), 2);
  low = __byte_perm(low, pairs, lane & 2 ? 0x3254 : 0x5410);
  high = __byte_perm(high, pairs, lane & 2 ? 0x3276 : 0x7610);
  const u32 single = given(__byte_perm(low, high, lane & 1 ? 0x6420 : 0x7531), 1);
  low = __byte_perm(low, single, lane & 1 ? 0x3514 : 0x5240);
  high = __byte_perm(high, single, lane & 1 ? 0x3716 : 0x7260);
}

/** Of eight lanes with eight codes each, this lane's plane: bits of the first four lanes in x, of the others in y. */
INLINE uint2 planeOfLane(uint2 codes) {
  const u64 bits = transposeBits((u64)codes.y << 32 | codes.x);
  u32 low = (u32)bits, high = (u32)(bits >> 32);
  transposeBytes(low, high);
  return make_uint2(low, high);
}

INLINE u32 sumOfCodes(uint2 codes) { return __dp4a(codes.y, 0x01010101u, __dp4a(codes.x, 0x01010101u, 0u)); }

/** Where the plane of a piece is, 64 channels of a packed pixel; the pieces of all pixels count on. */
INLINE size_t placeOf(int piece, int plane) {
#if CB == 128
  return ((size_t)(piece / 2) * ABITS + plane) * 2 + piece % 2;
#else
  return (size_t)piece * ABITS + plane;
#endif
}

/**
 * Planes of the codes of x, and the sums of 64 codes: sums [pixel][channels / 64]. Eight lanes take a piece of 64
 * channels: each transposes the bits of eight codes, then all of them bytes. Block: 256 threads. -D: CB, ABITS.
 */
extern "C" __global__ void __launch_bounds__(256)
    pack_codes(const uint2 *__restrict__ x, uint2 *__restrict__ packed, int *__restrict__ sums, int pieces) {
  const int lane = threadIdx.x % 8;
  // Whole warps go on together.
  const int end = (pieces + 3) / 4 * 4;
#pragma unroll 2
  for (int piece = (blockIdx.x * 256 + threadIdx.x) / 8; piece < end; piece += gridDim.x * 32) {
    const bool valid = piece < pieces;
    const uint2 codes = valid ? x[(size_t)piece * 8 + lane] : make_uint2(0, 0);
    u32 sum = sumOfCodes(codes);
#pragma unroll
    for (int distance = 1; distance < 8; distance *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    const uint2 plane = planeOfLane(codes);
    if (!valid) continue;
    if (lane == 0) sums[piece] = (int)sum;
    if (lane < ABITS) packed[placeOf(piece, lane)] = plane;
  }
}

/**
 * Planes of the codes that the window of each output pixel meets, by ky, kx and channel, 0 outside the image and behind
 * the last, and the sums of 64 codes: sums [pixel][pieces]. Eight lanes take 64 codes of a window as in pack_codes, or
 * where a window has 32 codes at most those of two windows. Block: 256 threads; the grid is a multiple of `pieces`, so
 * that a thread meets the same taps in each window, and goes on by `step` windows. -D: CB, ABITS.
 */
extern "C" __global__ void __launch_bounds__(256, 4)
    pack_windows(const u8 *__restrict__ x, uint2 *__restrict__ packed, int *__restrict__ sums, const Geometry geometry, int pieces, int step) {
  const Geometry &g = geometry;
  const int inner = g.inner(), count = g.pixels(), lane = threadIdx.x % 8;
  const bool two = inner <= 32;
  const int windows = two ? 2 : 1, lanes = 8 / windows;
  const int first = blockIdx.x * 32 + threadIdx.x / 8, part = first % pieces;
  // Of each code, from where the window begins: rows, columns and elements. Behind the last it is below every image.
  int rows[8], columns[8], elements[8];
  const int k0 = part * 64 + lane % lanes * 8, tap = k0 / g.c;
  int ky = tap / g.kw, kx = tap - ky * g.kw, channel = k0 - tap * g.c;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    rows[i] = k0 + i < inner ? ky * g.dilationY : 1 << 30;
    columns[i] = kx * g.dilationX;
    elements[i] = (ky * g.dilationY * g.w + columns[i]) * g.c + channel;
    if (++channel < g.c) continue;
    channel = 0;
    if (++kx < g.kw) continue;
    kx = 0;
    ky++;
  }
  // Whole warps go on together.
  const int items = (count * pieces + windows - 1) / windows, end = (items + 3) / 4 * 4;
  int pixel = first / pieces * windows + lane / lanes;
#pragma unroll 1
  for (int item = first; item < end; item += gridDim.x * 32, pixel += step) {
    const bool valid = pixel < count;
    int image, oy, ox;
    g.locate(min(pixel, count - 1), image, oy, ox);
    const int y0 = oy * g.strideY - g.paddingY, x0 = ox * g.strideX - g.paddingX;
    const int y = valid ? y0 : -(1 << 20), at = ((image * g.h + y0) * g.w + x0) * g.c;
    // All are read before the first is used, at some place that is there.
    int from[8];
    u32 met[8], codes[2] = {};
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const bool inside = (u32)(y + rows[i]) < (u32)g.h && (u32)(x0 + columns[i]) < (u32)g.w;
      from[i] = inside ? at + elements[i] : -1;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) met[i] = x[max(from[i], 0)];
#pragma unroll
    for (int i = 0; i < 8; i++) codes[i / 4] |= (from[i] < 0 ? 0u : met[i]) << (8 * (i % 4));
    const uint2 eight = make_uint2(codes[0], codes[1]);
    u32 sum = sumOfCodes(eight);
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const u32 others = __shfl_xor_sync(0xffffffffu, sum, 4);
    const uint2 plane = planeOfLane(eight);
    if (valid && lane % lanes == 0) sums[pixel * pieces + part] = (int)(two ? sum : sum + others);
    if (lane >= ABITS) continue;
    if (two) {
      const int even = item * 2;
      if (even < count) packed[placeOf(even, lane)] = make_uint2(plane.x, 0);
      if (even + 1 < count) packed[placeOf(even + 1, lane)] = make_uint2(plane.y, 0);
    } else if (valid) {
      packed[placeOf(pixel * pieces + part, lane)] = plane;
    }
  }
}

/**
 * Planes of the codes of w, the highest first: packed [tile of 64 columns][unit][plane][column][4 words], zeros where
 * there is no weight. Block: 64 columns × 4 words; grid (units, tiles). -D: WBITS.
 */
extern "C" __global__ void __launch_bounds__(256)
    pack_weights(const u8 *__restrict__ w, u32 *__restrict__ packed, int inner, int columns) {
  // A column's codes are read from another bank each.
  __shared__ __align__(4) u8 codes[64][132];
  const int column0 = blockIdx.y * 64, k0 = blockIdx.x * 128;
#pragma unroll
  for (int i = 0; i < 32; i++) {
    const int n = threadIdx.x % 64, row = threadIdx.x / 64 + 4 * i;
    codes[n][row] = k0 + row < inner && column0 + n < columns ? w[(size_t)(k0 + row) * columns + column0 + n] : 0;
  }
  __syncthreads();
  const int word = threadIdx.x % 4, n = threadIdx.x / 4;
  u32 planes[8] = {};
#pragma unroll
  for (int part = 0; part < 4; part++) {
    const u32 *eight = (const u32 *)(codes[n] + word * 32 + part * 8);
    const u64 bits = transposeBits((u64)eight[1] << 32 | eight[0]);
#pragma unroll
    for (int plane = 0; plane < 8; plane++) planes[plane] |= (u32)(bits >> (8 * plane) & 0xff) << (8 * part);
  }
  u32 *to = packed + ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * WBITS * 256;
#pragma unroll
  for (int plane = 0; plane < WBITS; plane++) to[((WBITS - 1 - plane) * 64 + n) * 4 + word] = planes[plane];
}

/** rectangles[ky][kx][padded columns] = Σ of the sums of taps above and to the left; a thread has a column. */
extern "C" __global__ void tap_rectangles(const int *__restrict__ sums, int *__restrict__ rectangles, int kh, int kw, int columns,
                                          int padded) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= padded) return;
  sumRectangles({rectangles, padded}, sums, column, column < columns ? column : -1, columns, kh, kw);
}
#endif
