// The approximate convolution as counts of bits that meet (forward of axmConv2d for removals of partial products, exact
// integers or a trained structure):
//   Σ_k AxM(w, x) = Σ_ij (1 − m[i, j]) 2^(i+j) C_ij, C_ij = Σ_k w[i]·x[j]
// on the binary matrix unit, 256 pairs of bits per step; see approximate-bits.cuh. Each group's counts are multiplied
// with its factor, an integer: 2^(i+j), or where m is a real number the nearest fixed-point number with as many bits of
// fraction as the sum of all leaves free. Groups of high and of low powers have sums of their own where both have
// factors that are no integers (TOTALS = 2). Sums may wrap on the way, the whole of each must not.
// A code of a padded tap is 0 and has no bits.
// Kernels: pack_codes, pack_weights, multiply.
// Layout: x NHWC u8 with channels a multiple of CB, w [K][O] u8.
// -D, beside those of approximate-bits.cuh: PAIRS (the columns are even), TOTALS; lists by group: SHIFTS (i + j), ENTRIES
// (i·ABITS + j of the entry of m that the factor reads; −1: none is removed), TOTAL_OF (0 low, 1 high).
#include "common.cuh"

#ifdef BM
#include "approximate-bits.cuh"
#include "output-tile.cuh"

LIST(shiftOf, SHIFTS)
LIST(entryOf, ENTRIES)
LIST(totalOf, TOTAL_OF)

/**
 * Grid: tiles of rows × tiles of columns. `pixelSums`: Σ of the codes of each pixel of x; `m`: f32 [WBITS, ABITS], read
 * where an entry is given; `lowBits`, `highBits`: of the fraction of each total.
 */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    multiply(const u8 *__restrict__ x, const u8 *__restrict__ w, const int *__restrict__ pixelSums, const int *__restrict__ tapSums,
             const float *__restrict__ m, const ZeroPoints zero, float *__restrict__ y, const Geometry geometry, int units,
             int paddedColumns, int lowBits, int highBits) {
  extern __shared__ __align__(128) u8 shared[];
  __shared__ Rows rows;
  __shared__ int rowSum[BM], factors[GROUPS];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32;
  const int columnTiles = paddedColumns / BN;
  const int row0 = blockIdx.x / columnTiles * BM, column0 = blockIdx.x % columnTiles * BN;
  int2 *blocks = (int2 *)(shared + STAGES * STAGE_BYTES);
  locateRows(rows, row0, g);
  locateBlocks(blocks, (units + UNITS - 1) / UNITS * BLOCKS, g);
  forEachConstant<0, GROUPS>([&](auto at) {
    constexpr int group = decltype(at)::value, entry = entryOf(group), shift = shiftOf(group);
    if (thread != group) return;
    const double share = entry < 0 ? 1 : 1 - (double)m[max(entry, 0)];
    factors[group] = __double2int_rn(share * (1 << shift) * (1 << (totalOf(group) ? highBits : lowBits)));
  });
  __syncthreads();

  u32 totals[TOTALS][8][4] = {};
  countBits(shared, x, w, rows, blocks, column0, units, paddedColumns, g, [&](auto group, const int(*counts)[4]) {
    constexpr int total = TOTALS > 1 ? totalOf(decltype(group)::value) : 0;
    const u32 factor = factors[decltype(group)::value];
#pragma unroll
    for (int ni = 0; ni < 8; ni++)
#pragma unroll
      for (int i = 0; i < 4; i++) totals[total][ni][i] += factor * (u32)counts[ni][i];
  });

  const int warpK = WARPS_K == 1 ? 0 : warp / 4;
#if WARPS_K > 1
  // The first warpgroup takes over the other's sums.
  u32 *exchange = (u32 *)shared + thread % 128;
  if (warpK > 0) {
#pragma unroll
    for (int i = 0; i < TOTALS * 32; i++) exchange[i * 128] = (&totals[0][0][0])[i];
  }
  __syncthreads();
  if (warpK == 0) {
#pragma unroll
    for (int i = 0; i < TOTALS * 32; i++) (&totals[0][0][0])[i] += exchange[i * 128];
  }
  __syncthreads();
#endif
  int *areas = (int *)shared;
  if (thread < BN) sumRectangles<BN>(areas, tapSums, thread, column0 + thread, 0, g);
  for (int r = thread; r < BM; r += THREADS) {
    int sum = 0;
    for (int ky = 0; ky < g.kh; ky++)
      for (int kx = 0; kx < g.kw; kx++) {
        const int sy = rows.y[r] + ky * g.dilationY, sx = rows.x[r] + kx * g.dilationX;
        if ((u32)sy < (u32)g.h && (u32)sx < (u32)g.w) sum += pixelSums[rows.base[r] + sy * g.w + sx];
      }
    rowSum[r] = sum;
    rangesInPlace(rows.y[r], rows.x[r], g);
  }
  __syncthreads();
  if (warpK > 0) return;

  const OutputTile tile = {row0, column0, 0, (WARPS_K == 1 ? warp : warp % 4) * 16, 0, rowSum, rows.y, rows.x, areas};
  const double low = 1.0 / (1 << lowBits), high = 1.0 / (1 << highBits);
  storeDequantized<BN, 1, 8, PAIRS>(tile, g, zero, y, [&](int, int ni, int element, const TapSums<BN> &) {
    const double sum = (int)totals[0][ni][element] * low;
    return TOTALS > 1 ? sum + (int)totals[TOTALS - 1][ni][element] * high : sum;
  });
}
#else
#define WORDS (CB / 32)

/**
 * Planes of the codes of x, and the sum of each pixel's codes. Channel c of a block is bit c / WORDS of word c % WORDS.
 * A warp takes a pixel at a time. Block: 256 threads. -D: CB, ABITS.
 */
extern "C" __global__ void __launch_bounds__(256)
    pack_codes(const u8 *__restrict__ x, u32 *__restrict__ packed, int *__restrict__ sums, int pixels, int channels) {
  const int lane = threadIdx.x % 32, blocks = channels / CB;
  for (int pixel = blockIdx.x * 8 + threadIdx.x / 32; pixel < pixels; pixel += gridDim.x * 8) {
    u32 sum = 0;
#pragma unroll 4
    for (int block = 0; block < blocks; block++) {
      const size_t at = (size_t)pixel * blocks + block;
#if CB == 128
      const u32 codes = ((const u32 *)x)[at * 32 + lane];
#else
      const u32 codes = ((const u16 *)x)[at * 32 + lane];
#endif
      sum = __dp4a(codes, 0x01010101u, sum);
      u32 word = 0;
#pragma unroll
      for (int plane = 0; plane < ABITS; plane++)
#pragma unroll
        for (int i = 0; i < WORDS; i++) {
          const u32 bits = __ballot_sync(0xffffffffu, (codes >> (8 * i + plane)) & 1);
          if (lane == plane * WORDS + i) word = bits;
        }
      if (lane < ABITS * WORDS) packed[at * (ABITS * WORDS) + lane] = word;
    }
    sum = __reduce_add_sync(0xffffffffu, sum);
    if (lane == 0) sums[pixel] = (int)sum;
  }
}

/**
 * Planes of the codes of w, the highest first: packed [unit][plane][paddedColumns][4 words], zeros where there is no
 * weight. Block: 64 columns × 4 words; grid (units, paddedColumns / 64). -D: CB, WBITS.
 */
extern "C" __global__ void __launch_bounds__(256)
    pack_weights(const u8 *__restrict__ w, u32 *__restrict__ packed, int inner, int columns, int paddedColumns) {
  const int word = threadIdx.x % 4, column = blockIdx.y * 64 + threadIdx.x / 4;
  // The block of channels that the word is of, and its word there.
  const int first = blockIdx.x * 128 + word / WORDS * CB + word % WORDS;
  u32 planes[WBITS] = {};
#pragma unroll 8
  for (int bit = 0; bit < 32; bit++) {
    const int k = first + bit * WORDS;
    const u32 code = k < inner && column < columns ? w[(size_t)k * columns + column] : 0;
#pragma unroll
    for (int plane = 0; plane < WBITS; plane++) planes[plane] |= ((code >> plane) & 1) << bit;
  }
#pragma unroll
  for (int plane = 0; plane < WBITS; plane++) {
    packed[(((size_t)blockIdx.x * WBITS + WBITS - 1 - plane) * paddedColumns + column) * 4 + word] = planes[plane];
  }
}
#endif
