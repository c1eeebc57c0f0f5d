// Gradients of a trained structure (axmConv2dGradients). With g the output gradient and H_j the weight gradient of
// activation bit plane j,
//   dw[k, o] = xScale (Σ_j 2^j H_j[k, o] − xZero H_1[tap, o]), H_1 = Σ g over the pixels where the tap is valid
//   (all-ones plane) dm[i, j] = −2^(i+j) xScale Σ_{k,o} wScale[o] w[k, o]_i H_j[k, o]
// All ABITS planes come from one matrix product: rows = weights (ky, kx, channel), inner = output pixels, columns =
// output channels. The bits are the A operand, expanded in registers: bit j of a code moved to bit 14 of a half word is
// the f16 number 2.0. The gradient is the B operand: scaled by a power of two so that its largest magnitude is in
// [2^14, 2^15), then rounded to f16 in GDIGITS digits (1: 11 significant bits like tf32; 2: 22). Sums are f32. The
// work, tiles × stages of pixels, is cut into equal shares, one per block; a tile that several blocks work on gets a
// part of H from each, and `fold` adds the parts in order.
// Kernels, in this order: largest, digits, products, tap_totals, fold.
// Layout: x NHWC u8 with channels per group a multiple of 16 (COLUMNS = 0) or gathered to [pixel][group][KP] (COLUMNS =
// 1); digits f16 [digit][group][pixel][NP], NP a multiple of 8; H [part][plane][K][O] f32.
// Tiling of `products`: 64 weights × 64 columns × all planes per block of 8 warps, 32 pixels per stage. A warp has 16
// weights and either half of the columns and all planes (mma.sync) or all columns and half of the planes (WGMMA = 1:
// Hopper's warpgroup instructions).
#include "common.cuh"

#define THREADS 256
#define STAGE_BYTES (32 * 64 + GDIGITS * 32 * 128)
#define STAGES 4
#if WGMMA
#define GROUP_PLANES ((ABITS + 1) / 2)
#endif

/** The power of two that takes `largest` into [2^14, 2^15); 1 for a gradient of zeros. */
INLINE float scaleFor(u32 largest) {
  const int exponent = (int)(largest >> 23) - 127;
  if (largest == 0) return 1.0f;
  return __uint_as_float((u32)min(max(14 - exponent + 127, 1), 254) << 23);
}

/**
 * How the units of work (a tile's stages, tile after tile) are shared out: block b has the units from ⌊b·units/blocks⌋.
 */
struct Shares {
  u32 tiles, stages, blocks;
  INLINE u32 units() const { return tiles * stages; }
  INLINE u32 begin(u32 block) const { return (u32)((u64)block * units() / blocks); }
  INLINE u32 blockOf(u32 unit) const { return (u32)(((u64)(unit + 1) * blocks - 1) / units()); }
  INLINE u32 firstBlock(u32 tile) const { return blockOf(tile * stages); }
};

/** The largest magnitude as the bits of a float, into a word that is zero before; `fold` makes it zero again. */
extern "C" __global__ void largest(const float *__restrict__ g, u32 *result, int count) {
  u32 most = 0;
  const int words = count / 4;
#pragma unroll 4
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < words; i += gridDim.x * blockDim.x) {
    const uint4 v = ((const uint4 *)g)[i];
    most = max(most, max(max(v.x & 0x7fffffffu, v.y & 0x7fffffffu), max(v.z & 0x7fffffffu, v.w & 0x7fffffffu)));
  }
  if (blockIdx.x == 0 && threadIdx.x < count % 4) most = max(most, __float_as_uint(g[count - 1 - threadIdx.x]) & 0x7fffffffu);
  most = __reduce_max_sync(0xffffffffu, most);
  // The maximum does not depend on the order of the blocks.
  if (threadIdx.x % 32 == 0 && most > 0) atomicMax(result, most);
}

/**
 * Digits of g, and per slab of pixels the sums of the rounded gradient over the pixels where each tap is valid: sums
 * [slab][KH·KW][O].
 * Block: 64 columns × 4 pixels; grid (slabs, ⌈groups·NP/64⌉).
 */
KERNEL
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
  float everywhere = 0, taps[KH * KW] = {};
#pragma unroll 4
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
    const int top = oy * g.strideY - g.paddingY, left = ox * g.strideX - g.paddingX;
    // All lanes of a warp are at one pixel: most pixels have all taps inside and cost one addition.
    everywhere += kept;
    if (top >= 0 && top + (KH - 1) * g.dilationY < g.h && left >= 0 && left + (KW - 1) * g.dilationX < g.w) continue;
#pragma unroll
    for (int ky = 0; ky < KH; ky++)
#pragma unroll
      for (int kx = 0; kx < KW; kx++) {
        const int y = top + ky * g.dilationY, x = left + kx * g.dilationX;
        if ((u32)y >= (u32)g.h || (u32)x >= (u32)g.w) taps[ky * KW + kx] -= kept;
      }
  }
#pragma unroll
  for (int tap = 0; tap < KH * KW; tap++) {
    partial[lane][threadIdx.x % 64] = everywhere + taps[tap];
    __syncthreads();
    if (lane == 0 && valid) {
      const int t = threadIdx.x;
      sums[((size_t)blockIdx.x * (KH * KW) + tap) * g.o + o] = (partial[0][t] + partial[1][t]) + (partial[2][t] + partial[3][t]);
    }
    __syncthreads();
  }
}

/** totals[tap][o] = Σ over slabs. Block: 32 sums × 8 shares of the slabs, which are added in order. */
extern "C" __global__ void tap_totals(const float *__restrict__ sums, float *__restrict__ totals, int count, int slabs) {
  __shared__ double partial[8][32];
  const int i = blockIdx.x * 32 + threadIdx.x;
  double sum = 0;
  if (i < count) {
#pragma unroll 8
    for (int slab = threadIdx.y; slab < slabs; slab += 8) sum += sums[(size_t)slab * count + i];
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || i >= count) return;
  for (int share = 1; share < 8; share++) sum += partial[share][threadIdx.x];
  totals[i] = (float)sum;
}

/** Grid: (blocks of the shares, 1, groups). */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    products(const u8 *__restrict__ x, const u16 *__restrict__ gradient, float *__restrict__ result, const Geometry geometry,
             const Shares shares, int paddedInner, int paddedColumns) {
  extern __shared__ __align__(1024) u8 shared[];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = blockIdx.z;
  const int gi = g.inputs(), columns = g.outputs(), rows = g.inner(), pixels = g.pixels();
  const int columnTiles = (columns + 63) / 64;
#if WGMMA
  const int warpRow = warp % 4, firstPlane = warp / 4 * GROUP_PLANES;
#else
  const int warpRow = warp / 2, warpColumn = (warp % 2) * 4;
#endif
  const int matrix = lane / 8, row = lane % 8, fragmentGroup = lane / 4, quad = lane % 4;

  u32 unit = shares.begin(blockIdx.x);
  const u32 end = shares.begin(blockIdx.x + 1);
  while (unit < end) {
    const u32 tile = unit / shares.stages, stage0 = unit - tile * shares.stages;
    const int steps = min(shares.stages - stage0, end - unit);
    unit += steps;
    const int row0 = (tile / columnTiles) * 64, column0 = (tile % columnTiles) * 64;
    const int first = stage0 * 32, last = min(pixels, first + steps * 32);

    // Operand A: 32 pixels × 4 chunks of 16 codes by the first 128 threads; the chunk's tap is fixed.
    const int aPixel = thread / 4, aChunk = thread % 4, aRow = row0 + aChunk * 16;
#if !COLUMNS
    const int tap = aRow / gi, aChannel = group * gi + aRow - tap * gi, tapY = tap / g.kw, tapX = tap - tapY * g.kw;
    const int offsetY = tapY * g.dilationY - g.paddingY, offsetX = tapX * g.dilationX - g.paddingX;
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
        const int sy = oy * g.strideY + offsetY, sx = ox * g.strideX + offsetX;
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

#if WGMMA
    float sums[GROUP_PLANES][8][4] = {};
#else
    float sums[ABITS][4][4] = {};
#endif
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
      if (stage < steps) load(stage, stage);
      commitCopies();
    }
    for (int step = 0; step < steps; step++) {
      waitForCopies<STAGES - 2>();
#if WGMMA
      publishCopies();
#endif
      __syncthreads();
      const int next = step + STAGES - 1;
      if (next < steps) load(next, next % STAGES);
      commitCopies();
      const u32 tileA = sharedAddress(shared + (step % STAGES) * STAGE_BYTES), tileB = tileA + 32 * 64;
      // Matrix i of A: pixels 8i … 8i+7 of the warp's 16 codes, seen as 8 pairs of codes; transposed, a lane gets two
      // pixels of one pair.
      u32 pairs[4];
      const int pixelA = matrix * 8 + row;
      loadMatricesTransposed(pairs, tileA + pixelA * 64 + ((warpRow ^ ((pixelA >> 1) & 3)) * 16));
#if WGMMA
      u32 a[2][GROUP_PLANES][4];
#pragma unroll
      for (int half = 0; half < 2; half++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
          // Even codes of the pairs are rows 0…7 of the fragment, odd codes rows 8…15.
          const u32 word = pairs[2 * half + i] >> firstPlane;
#pragma unroll
          for (int j = 0; j < GROUP_PLANES; j++) {
            a[half][j][2 * i] = (word << (14 - j)) & 0x40004000u;
            a[half][j][2 * i + 1] = (word << (6 - j)) & 0x40004000u;
          }
        }
      beginGroup();
#pragma unroll
      for (int half = 0; half < 2; half++)
#pragma unroll
        for (int digit = 0; digit < GDIGITS; digit++)
#pragma unroll
          for (int j = 0; j < GROUP_PLANES; j++) {
            multiplyF16Group64(sums[j], a[half][j], describeColumns(tileB + digit * 4096 + half * 2048));
          }
      endGroup();
      waitForGroup();
    }
#else
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
#endif

    const u32 slot = blockIdx.x - shares.firstBlock(tile);
    constexpr int PLANES = sizeof(sums) / sizeof(sums[0]), NI = sizeof(sums[0]) / sizeof(sums[0][0]);
#if WGMMA
    const int column1 = column0;
#else
    const int firstPlane = 0, column1 = column0 + warpColumn * 8;
#endif
#pragma unroll
    for (int j = 0; j < PLANES; j++) {
      if (firstPlane + j >= ABITS) continue;
      float *plane = result + ((size_t)slot * ABITS + firstPlane + j) * rows * g.o;
#pragma unroll
      for (int part = 0; part < 2; part++) {
        const int k = row0 + warpRow * 16 + 2 * fragmentGroup + part;
        if (k >= rows) continue;
#pragma unroll
        for (int ni = 0; ni < NI; ni++) {
          const int column = column1 + ni * 8 + 2 * quad;
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
    waitForCopies<0>();
    __syncthreads();
  }
}

#define FOLD_THREADS 512

/**
 * Folds the parts of H into dw, and into dm by block partials that the last block adds in order. `counter` is zero
 * before and after, `largest` after. A warp takes 16 neighbouring weights of a row at a time: lane (group, quad) holds
 * plane `group` of weights 4·quad … 4·quad+3. dw sums over the planes by shuffles; dm[i, j] = Σ bit i of w · H_j is a
 * matrix product with the bits as exact operand A, H in tf32 (GDIGITS = 2: in two tf32 parts). tileParts: how many
 * parts each tile of `products` has. FOLD4 = 1: columns are a multiple of 4, so a lane's four weights are one aligned
 * vector.
 */
extern "C" __global__ void __launch_bounds__(FOLD_THREADS)
    fold(const float *__restrict__ h, const float *__restrict__ totals, u32 *largest, const u8 *__restrict__ w,
         const float *__restrict__ xScale, const float *__restrict__ xZero, const float *__restrict__ wScale, float *__restrict__ dw,
         float *__restrict__ dm, float *__restrict__ partials, u32 *counter, const u8 *__restrict__ tileParts, int rows, int outputs,
         int channels, int groups) {
  __shared__ float warpSums[FOLD_THREADS / 32][64];
  __shared__ double shareSums[FOLD_THREADS / 64][64];
  __shared__ bool isLast;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, plane = lane / 4, quad = lane % 4;
  const float back = 1.0f / scaleFor(*largest), scale = *xScale, zero = *xZero;
  const int columns = outputs / groups, columnTiles = (columns + 63) / 64;
  const int count = rows * outputs;
  const bool present = plane < ABITS;
  float sums[4] = {};
  // A warp's task: up to 128 neighbouring columns of one row of weights.
  const int segments = (outputs + 127) / 128, tasks = rows * segments;
  for (int task = blockIdx.x * (FOLD_THREADS / 32) + warp; task < tasks; task += gridDim.x * (FOLD_THREADS / 32)) {
    const int k = task / segments, begin = (task - k * segments) * 128, end = min(outputs, begin + 128), tap = k / channels;
    const int rowTile = (k / 64) * columnTiles;
#pragma unroll 2
    for (int base = begin; base < end; base += 16) {
      const int o = base + 4 * quad, e = k * outputs + o;
      float values[4] = {}, weightScales[4] = {};
      u32 codes[4] = {};
#if FOLD4
      if (o < end) {
        const int parts = tileParts[rowTile + (groups == 1 ? o : o % columns) / 64];
        if (present) {
          const float *from = h + (size_t)plane * count + e;
#pragma unroll 8
          for (int part = 0; part < parts; part++) {
            const float4 v = *(const float4 *)(from + (size_t)part * ABITS * count);
            values[0] += v.x;
            values[1] += v.y;
            values[2] += v.z;
            values[3] += v.w;
          }
        }
        const u32 word = *(const u32 *)(w + e);
        const float4 s = *(const float4 *)(wScale + o);
        weightScales[0] = s.x;
        weightScales[1] = s.y;
        weightScales[2] = s.z;
        weightScales[3] = s.w;
#pragma unroll
        for (int i = 0; i < 4; i++) codes[i] = (word >> (8 * i)) & 0xff;
      }
#else
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (o + i >= end) continue;
        const int parts = tileParts[rowTile + ((o + i) % columns) / 64];
        if (present) {
          for (int part = 0; part < parts; part++) values[i] += h[((size_t)part * ABITS + plane) * count + e + i];
        }
        codes[i] = w[e + i];
        weightScales[i] = wScale[o + i];
      }
#endif
      float total[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        values[i] *= 0.5f * back;
        total[i] = values[i] * (1 << plane);
#pragma unroll
        for (int distance = 4; distance < 32; distance *= 2) total[i] += __shfl_xor_sync(0xffffffffu, total[i], distance);
      }
      if (plane == 0) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          if (o + i < end) dw[e + i] = scale * (total[i] - zero * totals[tap * outputs + o + i] * back);
        }
      }
#pragma unroll
      for (int step = 0; step < 2; step++) {
        // Inner index quad is weight 2·step, quad + 4 is weight 2·step + 1 of the lane's four.
        const u32 a0 = (codes[2 * step] >> plane) & 1 ? 0x3f800000u : 0, a2 = (codes[2 * step + 1] >> plane) & 1 ? 0x3f800000u : 0;
        float b[2];
#pragma unroll
        for (int i = 0; i < 2; i++) b[i] = values[2 * step + i] * weightScales[2 * step + i];
#if GDIGITS == 2
        u32 high[2];
        float low[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          high[i] = __float_as_uint(b[i]) & 0xffffe000u;
          low[i] = b[i] - __uint_as_float(high[i]);
        }
        multiplyTf32(sums, a0, 0, a2, 0, __float_as_uint(low[0]), __float_as_uint(low[1]));
        multiplyTf32(sums, a0, 0, a2, 0, high[0], high[1]);
#else
        multiplyTf32(sums, a0, 0, a2, 0, __float_as_uint(b[0]) + 0x1000u, __float_as_uint(b[1]) + 0x1000u);
#endif
      }
    }
  }
  // Row `group` of the result is a bit of w, columns 2·quad and 2·quad + 1 are planes.
  warpSums[warp][plane * 8 + 2 * quad] = sums[0];
  warpSums[warp][plane * 8 + 2 * quad + 1] = sums[1];
  __syncthreads();
  if (threadIdx.x < 64) {
    float sum = 0;
    for (int i = 0; i < FOLD_THREADS / 32; i++) sum += warpSums[i][threadIdx.x];
    partials[blockIdx.x * 64 + threadIdx.x] = sum;
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) isLast = atomicAdd(counter, 1) == gridDim.x - 1;
  __syncthreads();
  if (!isLast) return;
  __threadfence();
  const int entry = threadIdx.x % 64, share = threadIdx.x / 64;
  double sum = 0;
#pragma unroll 8
  for (int block = share; block < gridDim.x; block += FOLD_THREADS / 64) sum += __ldcg(partials + block * 64 + entry);
  shareSums[share][entry] = sum;
  __syncthreads();
  const int bit = entry / 8, j = entry % 8;
  if (threadIdx.x < 64 && bit < WBITS && j < ABITS) {
    sum = 0;
    for (int i = 0; i < FOLD_THREADS / 64; i++) sum += shareSums[i][entry];
    dm[bit * ABITS + j] = (float)(-(double)(1 << (bit + j)) * scale * sum);
  }
  if (threadIdx.x == 0) {
    *counter = 0;
    // Every block has read it; the next run finds zero.
    *largest = 0;
  }
}
