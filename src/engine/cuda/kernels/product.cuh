// A block's share of a product of f32 matrices on matrix units: how stages of both operands lie in shared memory, and
// the product of one stage by a warp. What fills the stages is the kernel's own (convolution.cu, matrix-product.cu).
// MODE: which axes are contiguous, as the products of a convolution have them:
//   0 rows of A and B by inner index and column: A [row][k], B [k][column]
//   1 A [row][k], B [column][k]
//   2 A [k][row], B [k][column]
// Tiling: BM×BN per block, BK = 32 inner steps per stage; a warp owns (BM/WARPS_M)×(BN/WARPS_N); with WARPS_K = 2 two
// groups of warps share a tile, one for each half of a stage, and their sums are added at the end. Shared tiles are
// padded by 4 or 8 words so that fragment loads meet 32 banks.
// PRECISION: 0 tf32 (operands rounded to nearest), 1 bf16, 2 f32 (each operand in two tf32 parts, three products).
#pragma once
#include "common.cuh"

#define BK 32
#define THREADS (32 * WARPS_M * WARPS_N * WARPS_K)
#define MI (BM / WARPS_M / 16)
#define NI (BN / WARPS_N / 8)

#if MODE == 2
#define A_STRIDE (BM + 8)
#define A_WORDS (BK * A_STRIDE)
#define A_AT(row, k) ((k) * A_STRIDE + (row))
#else
#define A_STRIDE (BK + 4)
#define A_WORDS (BM * A_STRIDE)
#define A_AT(row, k) ((row) * A_STRIDE + (k))
#endif
#if MODE == 1
#define B_STRIDE (BK + 4)
#define B_WORDS (BN * B_STRIDE)
#define B_AT(k, column) ((column) * B_STRIDE + (k))
#else
#define B_STRIDE (BN + 8)
#define B_WORDS (BK * B_STRIDE)
#define B_AT(k, column) ((k) * B_STRIDE + (column))
#endif
#define STAGE_WORDS (A_WORDS + B_WORDS)

template <int WORDS> INLINE void copyWords(u32 to, const float *from, bool valid) {
  if (WORDS == 4) copyAsync16(to, from, valid);
  else copyAsync4(to, from, valid);
}

/** Adds a (16×16 of rows group, group+8) times b (16×8); both hold the inner indices quad, quad+4, quad+8, quad+12. */
INLINE void multiplyStep(float (&d)[4], const float (&a)[8], const float (&b)[4]) {
#if PRECISION == 0
  multiplyTf32(d, __float_as_uint(a[0]), __float_as_uint(a[1]), __float_as_uint(a[2]), __float_as_uint(a[3]),
               __float_as_uint(b[0]), __float_as_uint(b[1]));
  multiplyTf32(d, __float_as_uint(a[4]), __float_as_uint(a[5]), __float_as_uint(a[6]), __float_as_uint(a[7]),
               __float_as_uint(b[2]), __float_as_uint(b[3]));
#elif PRECISION == 1
  // The order of the inner index is free as long as both operands agree: (quad, quad+4) and (quad+8, quad+12) become
  // neighbours.
  const u32 packed[4] = {packBf16(a[0], a[2]), packBf16(a[1], a[3]), packBf16(a[4], a[6]), packBf16(a[5], a[7])};
  multiplyBf16(d, packed, packBf16(b[0], b[1]), packBf16(b[2], b[3]));
#else
  u32 high[12], low[12];
#pragma unroll
  for (int i = 0; i < 12; i++) {
    float value = i < 8 ? a[i] : b[i - 8];
    high[i] = __float_as_uint(value) & 0xffffe000u;
    low[i] = __float_as_uint(value - __uint_as_float(high[i]));
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const u32 *ah = high + 4 * half, *al = low + 4 * half, *bh = high + 8 + 2 * half, *bl = low + 8 + 2 * half;
    multiplyTf32(d, al[0], al[1], al[2], al[3], bh[0], bh[1]);
    multiplyTf32(d, ah[0], ah[1], ah[2], ah[3], bl[0], bl[1]);
    multiplyTf32(d, ah[0], ah[1], ah[2], ah[3], bh[0], bh[1]);
  }
#endif
}

INLINE float operand(float value) {
#if PRECISION == 0
  return __uint_as_float(__float_as_uint(value) + 0x1000u);
#else
  return value;
#endif
}

/**
 * Adds the product of a stage to a warp's sums; `warpK`: which half of the stage where two groups of warps share it.
 */
INLINE void multiplyStage(float (&sums)[MI][NI][4], const float *tileA, const float *tileB, int warpRow, int warpColumn, int warpK) {
  const int lane = threadIdx.x % 32, fragmentGroup = lane / 4, quad = lane % 4;
#pragma unroll
  for (int half = 0; half < 2 / WARPS_K; half++) {
    const int k = 16 * (WARPS_K == 2 ? warpK : half);
    // ldmatrix moves 16-byte rows whatever the type: where the inner index is contiguous, a row is four of its words.
    float fragmentB[NI][4];
#pragma unroll
    for (int ni = 0; ni < NI; ni++) {
#if MODE == 1
      u32 words[4];
      loadMatrices(words, sharedAddress(tileB + B_AT(k + 4 * (lane / 8), warpColumn + ni * 8 + lane % 8)));
#pragma unroll
      for (int i = 0; i < 4; i++) fragmentB[ni][i] = operand(__uint_as_float(words[i]));
#else
#pragma unroll
      for (int i = 0; i < 4; i++) {
        fragmentB[ni][i] = operand(tileB[B_AT(k + quad + 4 * i, warpColumn + ni * 8 + fragmentGroup)]);
      }
#endif
    }
#pragma unroll
    for (int mi = 0; mi < MI; mi++) {
      float fragmentA[8];
#if MODE == 2
#pragma unroll
      for (int i = 0; i < 8; i++) {
        fragmentA[i] = operand(
            tileA[A_AT(warpRow + mi * 16 + fragmentGroup + 8 * (i % 2), k + quad + 4 * ((i / 2) % 2) + 8 * (i / 4))]);
      }
#else
#pragma unroll
      for (int half = 0; half < 2; half++) {
        u32 words[4];
        loadMatrices(words, sharedAddress(tileA + A_AT(warpRow + mi * 16 + lane % 16, k + 8 * half + 4 * (lane / 16))));
#pragma unroll
        for (int i = 0; i < 4; i++) fragmentA[4 * half + i] = operand(__uint_as_float(words[i]));
      }
#endif
#pragma unroll
      for (int ni = 0; ni < NI; ni++) multiplyStep(sums[mi][ni], fragmentA, fragmentB[ni]);
    }
  }
}

#if WARPS_K == 2
/** The sums of both groups of warps, in the first one; `shared` has room for those of one. */
INLINE void addHalves(float (&sums)[MI][NI][4], float *shared, int warpK) {
  constexpr int HALF = 32 * WARPS_M * WARPS_N;
  float *exchange = shared + threadIdx.x % HALF;
  waitForCopies<0>();
  __syncthreads();
  if (warpK == 1) {
#pragma unroll
    for (int i = 0; i < MI * NI * 4; i++) exchange[i * HALF] = (&sums[0][0][0])[i];
  }
  __syncthreads();
  if (warpK == 1) return;
#pragma unroll
  for (int i = 0; i < MI * NI * 4; i++) (&sums[0][0][0])[i] += exchange[i * HALF];
}
#endif
