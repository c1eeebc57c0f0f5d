// Gradients of a depthwise layer's weights and of its multiplier's structure: H_j = weight gradient of bit j of the
// codes, H of a plane of ones beside them. A lane has a channel, as in approximate-depthwise.cu, and sums a row of taps
// over tiles of output pixels (ROWS = 1) in registers; blocks hand their sums on, which are added in their order, so a
// result depends on shapes alone.
// -D: what depthwise.cuh takes, WBITS, ABITS.
#include "depthwise.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)
#define TAPS (KH * KW)
#define PLANES (ABITS + 1)

/**
 * shares[slab][plane][tap][o]: Σ g over the outputs of the slab's tiles whose tap meets a code with the plane's bit;
 * the last plane is that of ones. A thread has a tile of one row and one row of taps. Grid: (⌈o / 32⌉, slabs, KH).
 */
KERNEL plane_shares(const u8 *__restrict__ x, const float *__restrict__ g, float *__restrict__ shares, const Depthwise p, int tiles) {
  __shared__ float parts[WARPS][32];
  constexpr int LENGTH = reach(COLUMNS, STRIDE_X, DILATION_X, KW);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = blockIdx.x * 32 + lane, ky = blockIdx.z;
  float sums[KW][PLANES] = {};
  if (channel < p.o) {
    for (int tile = blockIdx.y * WARPS + warp; tile < tiles; tile += gridDim.y * WARPS) {
      const Tile at(p, tile);
      const int row = at.y * STRIDE_Y - PADDING_Y + ky * DILATION_Y, left = at.x * STRIDE_X - PADDING_X;
      if (!within(row, p.h)) continue;
      const u8 *line = x + (size_t)(at.image * p.h + row) * p.w * p.c + (u32)channel / MULTIPLIER;
      float gradients[COLUMNS];
#pragma unroll
      for (int q = 0; q < COLUMNS; q++) {
        const size_t pixel = (size_t)(at.image * p.oh + at.y) * p.ow + at.x + q;
        gradients[q] = at.x + q < p.ow ? g[pixel * p.o + channel] : 0.0f;
      }
#pragma unroll
      for (int b = 0; b < LENGTH; b++) {
        if (!within(left + b, p.w)) continue;
        const u32 code = line[(left + b) * p.c];
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) {
          const int kx = tapAt(b - q * STRIDE_X, DILATION_X, KW);
          if (kx < 0) continue;
#pragma unroll
          for (int j = 0; j < ABITS; j++) sums[kx][j] += (code >> j) & 1 ? gradients[q] : 0.0f;
          sums[kx][ABITS] += gradients[q];
        }
      }
    }
  }
#pragma unroll
  for (int kx = 0; kx < KW; kx++)
#pragma unroll
    for (int plane = 0; plane < PLANES; plane++) {
      parts[warp][lane] = sums[kx][plane];
      __syncthreads();
      if (warp == 0 && channel < p.o) {
        float sum = parts[0][lane];
        for (int other = 1; other < WARPS; other++) sum += parts[other][lane];
        shares[((size_t)(blockIdx.y * PLANES + plane) * TAPS + ky * KW + kx) * p.o + channel] = sum;
      }
      __syncthreads();
    }
}

/**
 * H of each plane from its shares, in the order of the slabs, h[plane][i]; dw[i] = xScale (Σ_j 2^j H_j − xZero H_ones).
 * Block (32, 8); grid ⌈count / 32⌉; count: weights.
 */
KERNEL plane_totals(const float *__restrict__ shares, const float *__restrict__ xScale, const float *__restrict__ xZero,
                    float *__restrict__ h, float *__restrict__ dw, int count, int slabs) {
  __shared__ double parts[8][32];
  const int i = blockIdx.x * 32 + threadIdx.x;
  double gradient = 0;
  for (int plane = 0; plane < PLANES; plane++) {
    double sum = 0;
    if (i < count) {
#pragma unroll 4
      for (int slab = threadIdx.y; slab < slabs; slab += 8) sum += shares[((size_t)slab * PLANES + plane) * count + i];
    }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && i < count) {
      for (int line = 1; line < 8; line++) sum += parts[line][threadIdx.x];
      h[(size_t)plane * count + i] = (float)sum;
      gradient += plane < ABITS ? sum * (1 << plane) : -*xZero * sum;
    }
    __syncthreads();
  }
  if (threadIdx.y == 0 && i < count) dw[i] = (float)(*xScale * gradient);
}

/** dm[i][j] = −2^(i+j) xScale Σ wScale[o]·w[i]·H_j. A block for each j. */
KERNEL structure_gradient(const float *__restrict__ h, const u8 *__restrict__ w, const float *__restrict__ xScale,
                          const float *__restrict__ wScale, float *__restrict__ dm, int count, int outputs) {
  __shared__ double parts[THREADS];
  const int thread = threadIdx.x, j = blockIdx.x;
  double sums[WBITS] = {};
  for (int e = thread; e < count; e += THREADS) {
    const u32 weight = w[e];
    const double value = (double)wScale[e % outputs] * h[(size_t)j * count + e];
#pragma unroll
    for (int i = 0; i < WBITS; i++) sums[i] += (weight >> i) & 1 ? value : 0.0;
  }
#pragma unroll
  for (int i = 0; i < WBITS; i++) {
    parts[thread] = sums[i];
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
      if (thread < half) parts[thread] += parts[thread + half];
      __syncthreads();
    }
    if (thread == 0) dm[i * ABITS + j] = (float)(-(double)(1 << (i + j)) * *xScale * parts[0]);
    __syncthreads();
  }
}
