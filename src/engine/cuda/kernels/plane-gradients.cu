// Gradients of a trained structure (axmConv2dGradients). With g the output gradient and H_j the weight gradient of activation bit plane j,
//   dw[k, o]  = xScale (Σ_j 2^j H_j[k, o] − xZero H_1[tap, o]),   H_1 = Σ g over the pixels where the tap is valid (all-ones plane)
//   dm[i, j]  = −2^(i+j) xScale Σ_{k,o} wScale[o] w[k, o]_i H_j[k, o]
// All ABITS planes come from one matrix product: rows = weights (ky, kx, channel), inner = output pixels, columns = output channels. The
// bits are the A operand, expanded in registers: bit j of a code moved to bit 14 of a half word is the f16 number 2.0. The gradient is
// the B operand: scaled by a power of two so that its largest magnitude is in [2^14, 2^15), then rounded to f16 in GDIGITS digits
// (1: 11 significant bits like tf32; 2: 22). Sums are f32. The inner range is cut into parts with separate results, folded in order.
// Kernels, in this order: largest, digits, products, tap_totals, fold.
// Layout: x NHWC u8 with channels per group a multiple of 16 (COLUMNS = 0) or gathered to [pixel][group][KP] (COLUMNS = 1); digits f16
// [digit][group][pixel][NP], NP a multiple of 8; H [part][plane][K][O] f32.
// Tiling of `products`: 64 weights × 64 columns × all planes per block of 8 warps (16×32 each), 32 pixels per stage.
#include "common.cuh"

#define THREADS 256
#define STAGE_BYTES (32 * 64 + GDIGITS * 32 * 128)
#define STAGES 4

/** The power of two that takes `largest` into [2^14, 2^15); 1 for a gradient of zeros. */
INLINE float scaleFor(u32 largest) {
  const int exponent = (int)(largest >> 23) - 127;
  if (largest == 0) return 1.0f;
  return __uint_as_float((u32)min(max(14 - exponent + 127, 1), 254) << 23);
}

/** The largest magnitude as the bits of a float, into a word that is zero before; `fold` makes it zero again. */
extern "C" __global__ void largest(const float *__restrict__ g, u32 *result, int count) {
  u32 most = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    most = max(most, __float_as_uint(g[i]) & 0x7fffffffu);
  }
  most = __reduce_max_sync(0xffffffffu, most);
  // The maximum does not depend on the order of the blocks.
  if (threadIdx.x % 32 == 0 && most > 0) atomicMax(result, most);
}

/**
 * Digits of g, and per slab of pixels the sums of the rounded gradient over the pixels where each tap is valid: sums [slab][KH·KW][O].
 * Block: 64 columns × 4 pixels; grid (slabs, ⌈groups·NP/64⌉).
 */
extern "C" __global__ void __launch_bounds__(THREADS)
    digits(const float *__restrict__ gradient, const u32 *__restrict__ largest, u16 *__restrict__ rounded, float *__restrict__ sums,
           const Geometry geometry, int paddedColumns) {
  __shared__ float partial[4][64];
  const Geometry &g = geometry;
  const int column = blockIdx.y * 64 + threadIdx.x % 64, lane = threadIdx.x / 64;
  const int group = column / paddedColumns, n = column - group * paddedColumns, outputs = g.outputs(), pixels = g.pixels();
  const bool stored = group < g.groups, valid = stored && n < outputs;
  const int o = group * outputs + n;
  const int slab = (pixels + gridDim.x - 1) / gridDim.x, first = blockIdx.x * slab, last = min(pixels, first + slab);
  const float scale = scaleFor(*largest);
  float taps[KH * KW] = {};
  for (int pixel = first + lane; pixel < last; pixel += 4) {
    const float value = valid ? gradient[(size_t)pixel * g.o + o] * scale : 0;
    const u16 high = toF16(value);
    float kept = fromF16(high);
    const size_t at = ((size_t)group * pixels + pixel) * paddedColumns + n;
    if (stored) rounded[at] = high;
#if GDIGITS == 2
    const u16 low = toF16(value - kept);
    kept += fromF16(low);
    if (stored) rounded[(size_t)g.groups * pixels * paddedColumns + at] = low;
#endif
    int image, oy, ox;
    g.locate(pixel, image, oy, ox);
    const int top = oy * g.stride - g.padding, left = ox * g.stride - g.padding;
#pragma unroll
    for (int ky = 0; ky < KH; ky++)
#pragma unroll
      for (int kx = 0; kx < KW; kx++) {
        if ((u32)(top + ky) < (u32)g.h && (u32)(left + kx) < (u32)g.w) taps[ky * KW + kx] += kept;
      }
  }
#pragma unroll
  for (int tap = 0; tap < KH * KW; tap++) {
    partial[lane][threadIdx.x % 64] = taps[tap];
    __syncthreads();
    if (lane == 0 && valid) {
      const int t = threadIdx.x;
      sums[((size_t)blockIdx.x * (KH * KW) + tap) * g.o + o] = (partial[0][t] + partial[1][t]) + (partial[2][t] + partial[3][t]);
    }
    __syncthreads();
  }
}

/** totals[tap][o] = Σ over slabs, in order. */
extern "C" __global__ void tap_totals(const float *__restrict__ sums, float *__restrict__ totals, int count, int slabs) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  double sum = 0;
  for (int slab = 0; slab < slabs; slab++) sum += sums[(size_t)slab * count + i];
  totals[i] = (float)sum;
}

/** Grid: (row tiles × column tiles, parts, groups). */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    products(const u8 *__restrict__ x, const u16 *__restrict__ gradient, float *__restrict__ result, const Geometry geometry,
             int paddedInner, int paddedColumns, int partLength) {
  extern __shared__ __align__(128) u8 shared[];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = blockIdx.z;
  const int gi = g.inputs(), columns = g.outputs(), rows = g.inner(), pixels = g.pixels();
  const int columnTiles = (columns + 63) / 64;
  const int row0 = (blockIdx.x / columnTiles) * 64, column0 = (blockIdx.x % columnTiles) * 64;
  const int first = blockIdx.y * partLength, last = min(pixels, first + partLength);
  const int steps = max(0, (last - first + 31) / 32);

  // Operand A: 32 pixels × 4 chunks of 16 codes by the first 128 threads; the chunk's tap is fixed.
  const int aPixel = thread / 4, aChunk = thread % 4, aRow = row0 + aChunk * 16;
#if !COLUMNS
  const int tap = aRow / gi, aChannel = group * gi + aRow - tap * gi, ky = tap / g.kw, kx = tap - ky * g.kw;
#endif
  const int bPixel = thread / 8, bChunk = thread % 8, bColumn = column0 + bChunk * 8;
  auto load = [&](int step, int stage) {
    const u32 tileA = sharedAddress(shared + stage * STAGE_BYTES), tileB = tileA + 32 * 64;
    const int pixel0 = first + step * 32;
    if (thread < 128) {
      const int pixel = pixel0 + aPixel;
#if COLUMNS
      const bool valid = pixel < last && aRow < paddedInner;
      const u8 *from = x + (valid ? ((size_t)pixel * g.groups + group) * paddedInner + aRow : 0);
#else
      int image, oy, ox;
      g.locate(min(pixel, pixels - 1), image, oy, ox);
      const int sy = oy * g.stride - g.padding + ky, sx = ox * g.stride - g.padding + kx;
      const bool valid = pixel < last && aRow < rows && (u32)sy < (u32)g.h && (u32)sx < (u32)g.w;
      const u8 *from = x + (valid ? ((size_t)(image * g.h + sy) * g.w + sx) * g.c + aChannel : 0);
#endif
      copyAsync16(tileA + aPixel * 64 + ((aChunk ^ ((aPixel >> 1) & 3)) * 16), from, valid);
    }
#pragma unroll
    for (int digit = 0; digit < GDIGITS; digit++) {
      const int pixel = pixel0 + bPixel;
      const bool valid = pixel < last && bColumn < paddedColumns;
      const u16 *from = gradient + (valid ? ((size_t)(digit * g.groups + group) * pixels + pixel) * paddedColumns + bColumn : 0);
      copyAsync16(tileB + digit * 4096 + bPixel * 128 + ((bChunk ^ (bPixel & 7)) * 16), from, valid);
    }
  };

  float sums[ABITS][4][4] = {};
  const int warpRow = warp / 2, warpColumn = (warp % 2) * 4;
  const int matrix = lane / 8, row = lane % 8;
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) {
    if (stage < steps) load(stage, stage);
    commitCopies();
  }
  for (int step = 0; step < steps; step++) {
    waitForCopies<STAGES - 2>();
    __syncthreads();
    const int next = step + STAGES - 1;
    if (next < steps) load(next, next % STAGES);
    commitCopies();
    const u32 tileA = sharedAddress(shared + (step % STAGES) * STAGE_BYTES), tileB = tileA + 32 * 64;
    // Matrix i of A: pixels 8i … 8i+7 of the warp's 16 codes, seen as 8 pairs of codes; transposed, a lane gets two pixels of one pair.
    u32 pairs[4];
    const int pixelA = matrix * 8 + row;
    loadMatricesTransposed(pairs, tileA + pixelA * 64 + ((warpRow ^ ((pixelA >> 1) & 3)) * 16));
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 b[GDIGITS][2][4];
#pragma unroll
      for (int digit = 0; digit < GDIGITS; digit++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int pixelB = half * 16 + (matrix % 2) * 8 + row, chunk = warpColumn + i * 2 + matrix / 2;
          loadMatricesTransposed(b[digit][i], tileB + digit * 4096 + pixelB * 128 + ((chunk ^ (pixelB & 7)) * 16));
        }
#pragma unroll
      for (int j = 0; j < ABITS; j++) {
        // Even codes of the pairs are rows 0…7 of the fragment, odd codes rows 8…15.
        u32 a[4];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const u32 word = pairs[2 * half + i];
          a[2 * i] = (word << (14 - j)) & 0x40004000u;
          a[2 * i + 1] = (j < 7 ? word << (6 - (j < 7 ? j : 6)) : word >> 1) & 0x40004000u;
        }
#pragma unroll
        for (int digit = 0; digit < GDIGITS; digit++)
#pragma unroll
          for (int i = 0; i < 2; i++) {
            multiplyF16(sums[j][2 * i], a, b[digit][i][0], b[digit][i][1]);
            multiplyF16(sums[j][2 * i + 1], a, b[digit][i][2], b[digit][i][3]);
          }
      }
    }
  }

  const int fragmentGroup = lane / 4, quad = lane % 4;
#pragma unroll
  for (int j = 0; j < ABITS; j++) {
    float *plane = result + ((size_t)blockIdx.y * ABITS + j) * rows * g.o;
#pragma unroll
    for (int part = 0; part < 2; part++) {
      const int k = row0 + warpRow * 16 + 2 * fragmentGroup + part;
      if (k >= rows) continue;
#pragma unroll
      for (int ni = 0; ni < 4; ni++) {
        const int column = column0 + (warpColumn + ni) * 8 + 2 * quad;
        float *to = plane + (size_t)k * g.o + group * columns + column;
        if (PAIRS) {
          if (column < columns) *(float2 *)to = make_float2(sums[j][ni][2 * part], sums[j][ni][2 * part + 1]);
        } else {
          if (column < columns) to[0] = sums[j][ni][2 * part];
          if (column + 1 < columns) to[1] = sums[j][ni][2 * part + 1];
        }
      }
    }
  }
}

/**
 * Folds the parts of H into dw, and into dm by block partials that the last block adds in order. `counter` is zero before and after,
 * `largest` after. */
extern "C" __global__ void __launch_bounds__(THREADS)
    fold(const float *__restrict__ h, const float *__restrict__ totals, u32 *largest, const u8 *__restrict__ w,
         const float *__restrict__ xScale, const float *__restrict__ xZero, const float *__restrict__ wScale, float *__restrict__ dw,
         float *__restrict__ dm, float *__restrict__ partials, u32 *counter, int count, int outputs, int channels, int parts) {
  __shared__ float warpSums[THREADS / 32][WBITS * ABITS];
  __shared__ bool isLast;
  const float back = 1.0f / scaleFor(*largest);
  const float scale = *xScale, zero = *xZero;
  float structure[WBITS][ABITS] = {};
  for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
    const int k = i / outputs, o = i - k * outputs, tap = k / channels;
    const u32 code = w[i];
    const float weightScale = wScale[o];
    float sum = -zero * totals[tap * outputs + o] * back;
#pragma unroll
    for (int j = 0; j < ABITS; j++) {
      float plane = 0;
#pragma unroll 4
      for (int part = 0; part < parts; part++) plane += h[((size_t)part * ABITS + j) * count + i];
      plane *= 0.5f * back;
      sum += plane * (1 << j);
      const float scaled = plane * weightScale;
#pragma unroll
      for (int bit = 0; bit < WBITS; bit++) structure[bit][j] += (code >> bit) & 1 ? scaled : 0.0f;
    }
    dw[i] = scale * sum;
  }
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int bit = 0; bit < WBITS; bit++)
#pragma unroll
    for (int j = 0; j < ABITS; j++) {
      float sum = structure[bit][j];
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
      if (lane == 0) warpSums[warp][bit * ABITS + j] = sum;
    }
  __syncthreads();
  if (threadIdx.x < WBITS * ABITS) {
    float sum = 0;
    for (int i = 0; i < THREADS / 32; i++) sum += warpSums[i][threadIdx.x];
    partials[blockIdx.x * (WBITS * ABITS) + threadIdx.x] = sum;
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) isLast = atomicAdd(counter, 1) == gridDim.x - 1;
  __syncthreads();
  if (!isLast) return;
  __threadfence();
  __shared__ double quarters[4][WBITS * ABITS];
  const int entry = threadIdx.x % 64, quarter = threadIdx.x / 64;
  if (entry < WBITS * ABITS) {
    double sum = 0;
#pragma unroll 8
    for (int block = quarter; block < gridDim.x; block += 4) sum += __ldcg(partials + block * (WBITS * ABITS) + entry);
    quarters[quarter][entry] = sum;
  }
  __syncthreads();
  if (threadIdx.x < WBITS * ABITS) {
    const double sum = (quarters[0][entry] + quarters[1][entry]) + (quarters[2][entry] + quarters[3][entry]);
    dm[entry] = (float)(-(double)(1 << (entry / ABITS + entry % ABITS)) * scale * sum);
  }
  if (threadIdx.x == 0) {
    *counter = 0;
    // Every block has read it; the next run finds zero.
    *largest = 0;
  }
}
