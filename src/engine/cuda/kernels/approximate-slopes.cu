// Gradients of the operands through the error of an approximate multiplier, by the slopes of its table S
// [2^WBITS][2^ABITS] (f32):
//   dw[tap][c][o] = xScale·Σ_pixels g[pixel][o]·S(w[tap][c][o], x[tap's pixel][c])
//   dx[pixel][c]  = Σ_{tap, o} g[tap's pixel][o]·wScale[o]·S(w[tap][c][o], x[pixel][c])
// As in approximate-table.cu a block packs table rows into shared memory: for one tap, 4 channels and 8 outputs,
// [channel][code][8 outputs] (32 KiB with 8-bit activations), so that two 16-byte reads serve eight products. Products
// and sums are f32 in every kind of arithmetic.
// Where the slopes are a sum of RANK products u(w)·v(x), both are matrix products over RANK times the channels
// (convolution.cu); the kernels at the end put the factors of codes in place of the codes before and add the products
// up behind.
// Sums are formed in a fixed order: per thread, over a warp, over a block's warps, over the slabs of pixels.
// WIDE = 1: channels per group are a multiple of 4, so a pixel's four codes are one read. QUADS = 1: outputs per group
// are a multiple of 4.
#include "common.cuh"

#define THREADS 256
#define CHANNELS 4
#define OUTPUTS 8
#define CODES (1 << ABITS)
#define ROWS (CHANNELS * CODES * OUTPUTS)

/**
 * Slopes of one tap, 4 channels and 8 outputs, times the outputs' scales (none: 1); zeros beyond the group's last
 * channel and output.
 */
INLINE void buildRows(float *rows, const u8 *w, const float *slopes, const float *scales, const Geometry &g, int group, int tap,
                      int channel, int n0) {
  const int gi = g.inputs(), outputs = g.outputs();
  const int n = threadIdx.x % OUTPUTS, o = group * outputs + n0 + n;
  const float scale = n0 + n >= outputs ? 0 : scales ? scales[o] : 1;
#pragma unroll
  for (int c = 0; c < CHANNELS; c++) {
    const bool valid = channel + c < gi && n0 + n < outputs;
    const float *row = slopes + (valid ? (u32)w[(size_t)(tap * gi + channel + c) * g.o + o] << ABITS : 0);
#pragma unroll 8
    for (int code = threadIdx.x / OUTPUTS; code < CODES; code += THREADS / OUTPUTS) {
      rows[(c * CODES + code) * OUTPUTS + n] = valid ? scale * row[code] : 0;
    }
  }
}

/** Four codes from x[at] on, zeros from the valid-th. */
INLINE u32 codesAt(const u8 *x, size_t at, int valid) {
#if WIDE
  return *(const u32 *)(x + at);
#else
  u32 codes = 0;
#pragma unroll
  for (int c = 0; c < CHANNELS; c++) {
    if (c < valid) codes |= (u32)x[at + c] << (8 * c);
  }
  return codes;
#endif
}

/** Eight cotangents from g[at] on, zeros from the valid-th. */
INLINE void cotangentsAt(float4 (&found)[2], const float *g, size_t at, int valid) {
#if QUADS
  found[0] = *(const float4 *)(g + at);
  found[1] = valid > 4 ? *(const float4 *)(g + at + 4) : make_float4(0, 0, 0, 0);
#else
  float values[OUTPUTS];
#pragma unroll
  for (int n = 0; n < OUTPUTS; n++) values[n] = n < valid ? g[at + n] : 0;
  found[0] = make_float4(values[0], values[1], values[2], values[3]);
  found[1] = make_float4(values[4], values[5], values[6], values[7]);
#endif
}

/** The row of a channel's code: 8 outputs. */
INLINE const float4 *rowOf(const float *rows, int channel, u32 codes) {
  return (const float4 *)(rows + (channel * CODES + ((codes >> (8 * channel)) & 0xff)) * OUTPUTS);
}

/** Grid: (slabs of pixels, ⌈channels / 4⌉·⌈outputs / 8⌉, groups·taps). shares[slab][tap][channel][o]. */
KERNEL
    weight_shares(const float *__restrict__ gradient, const u8 *__restrict__ x, const u8 *__restrict__ w,
                  const float *__restrict__ slopes, float *__restrict__ shares, const Geometry geometry, int slabPixels) {
  extern __shared__ __align__(16) float rows[];
  float *partial = rows + ROWS;
  const Geometry &g = geometry;
  const int gi = g.inputs(), outputs = g.outputs(), panels = (outputs + OUTPUTS - 1) / OUTPUTS;
  const int n0 = blockIdx.y % panels * OUTPUTS, channel = blockIdx.y / panels * CHANNELS;
  const int group = blockIdx.z % g.groups, tap = blockIdx.z / g.groups, tapY = tap / g.kw, tapX = tap - tapY * g.kw;
  const int offsetY = tapY * g.dilationY - g.paddingY, offsetX = tapX * g.dilationX - g.paddingX;
  buildRows(rows, w, slopes, nullptr, g, group, tap, channel, n0);
  __syncthreads();

  float sums[CHANNELS][OUTPUTS] = {};
  const int end = min(g.pixels(), (int)(blockIdx.x + 1) * slabPixels);
  for (int pixel = blockIdx.x * slabPixels + threadIdx.x; pixel < end; pixel += THREADS) {
    int image, oy, ox;
    g.locate(pixel, image, oy, ox);
    const int sy = oy * g.strideY + offsetY, sx = ox * g.strideX + offsetX;
    if ((u32)sy >= (u32)g.h || (u32)sx >= (u32)g.w) continue;
    const u32 codes = codesAt(x, (size_t)((image * g.h + sy) * g.w + sx) * g.c + group * gi + channel, gi - channel);
    float4 d[2];
    cotangentsAt(d, gradient, (size_t)pixel * g.o + group * outputs + n0, outputs - n0);
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
      const float4 *row = rowOf(rows, c, codes);
      const float4 low = row[0], high = row[1];
      sums[c][0] += d[0].x * low.x;
      sums[c][1] += d[0].y * low.y;
      sums[c][2] += d[0].z * low.z;
      sums[c][3] += d[0].w * low.w;
      sums[c][4] += d[1].x * high.x;
      sums[c][5] += d[1].y * high.y;
      sums[c][6] += d[1].z * high.z;
      sums[c][7] += d[1].w * high.w;
    }
  }

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int c = 0; c < CHANNELS; c++) {
#pragma unroll
    for (int n = 0; n < OUTPUTS; n++) {
      float sum = sums[c][n];
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
      if (lane == 0) partial[warp * CHANNELS * OUTPUTS + c * OUTPUTS + n] = sum;
    }
  }
  __syncthreads();
  if (threadIdx.x >= CHANNELS * OUTPUTS) return;
  const int c = channel + threadIdx.x / OUTPUTS, n = n0 + threadIdx.x % OUTPUTS;
  if (c >= gi || n >= outputs) return;
  float sum = 0;
  for (int i = 0; i < THREADS / 32; i++) sum += partial[i * CHANNELS * OUTPUTS + threadIdx.x];
  shares[((size_t)blockIdx.x * g.inner() + tap * gi + c) * g.o + group * outputs + n] = sum;
}

/** dw = xScale·Σ of the slabs' shares. */
extern "C" __global__ void add_shares(const float *__restrict__ shares, const float *__restrict__ xScale, float *__restrict__ dw,
                                      int count, int slabs) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
  for (int slab = 0; slab < slabs; slab++) sum += shares[(size_t)slab * count + i];
  dw[i] = *xScale * sum;
}

#ifdef PIXELS
/**
 * A thread owns 4 channels of PIXELS input pixels. Grid: (tiles of THREADS·PIXELS input pixels, ⌈channels / 4⌉,
 * groups).
 */
KERNEL
    input_gradient(const float *__restrict__ gradient, const u8 *__restrict__ x, const u8 *__restrict__ w,
                   const float *__restrict__ wScale, const float *__restrict__ slopes, float *__restrict__ dx,
                   const Geometry geometry) {
  extern __shared__ __align__(16) float rows[];
  const Geometry &g = geometry;
  const int gi = g.inputs(), outputs = g.outputs(), total = g.n * g.h * g.w;
  const int channel = blockIdx.y * CHANNELS, group = blockIdx.z;
  const int first = blockIdx.x * THREADS * PIXELS + threadIdx.x;

  u32 codes[PIXELS];
  float sums[PIXELS][CHANNELS] = {};
#pragma unroll
  for (int r = 0; r < PIXELS; r++) {
    const int pixel = first + r * THREADS;
    codes[r] = pixel < total ? codesAt(x, (size_t)pixel * g.c + group * gi + channel, gi - channel) : 0;
  }

  for (int ky = 0; ky < g.kh; ky++) {
    for (int kx = 0; kx < g.kw; kx++) {
      int positions[PIXELS];
#pragma unroll
      for (int r = 0; r < PIXELS; r++) {
        const int pixel = first + r * THREADS, row = pixel / g.w, image = row / g.h;
        const int sy = row - image * g.h + g.paddingY - ky * g.dilationY, sx = pixel - row * g.w + g.paddingX - kx * g.dilationX;
        const int oy = sy / g.strideY, ox = sx / g.strideX;
        const bool inside = sy >= 0 && sx >= 0 && oy * g.strideY == sy && ox * g.strideX == sx && oy < g.oh && ox < g.ow;
        const bool meets = pixel < total && inside;
        positions[r] = meets ? (image * g.oh + oy) * g.ow + ox : -1;
      }
      for (int n0 = 0; n0 < outputs; n0 += OUTPUTS) {
        __syncthreads();
        buildRows(rows, w, slopes, wScale, g, group, ky * g.kw + kx, channel, n0);
        __syncthreads();
#pragma unroll
        for (int r = 0; r < PIXELS; r++) {
          if (positions[r] < 0) continue;
          float4 d[2];
          cotangentsAt(d, gradient, (size_t)positions[r] * g.o + group * outputs + n0, outputs - n0);
#pragma unroll
          for (int c = 0; c < CHANNELS; c++) {
            const float4 *row = rowOf(rows, c, codes[r]);
            const float4 low = row[0], high = row[1];
            sums[r][c] += d[0].x * low.x + d[0].y * low.y + d[0].z * low.z + d[0].w * low.w + d[1].x * high.x + d[1].y * high.y +
                          d[1].z * high.z + d[1].w * high.w;
          }
        }
      }
    }
  }

#pragma unroll
  for (int r = 0; r < PIXELS; r++) {
    const int pixel = first + r * THREADS;
    if (pixel >= total) continue;
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
      if (channel + c < gi) dx[(size_t)pixel * g.c + group * gi + channel + c] = sums[r][c];
    }
  }
}
#endif

#ifdef RANK
/** values[i][k] = factors[codes[i]][k]. */
extern "C" __global__ void expand_codes(const u8 *__restrict__ codes, const float *__restrict__ factors, float *__restrict__ values,
                                        int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count * RANK) values[i] = factors[codes[i / RANK] * RANK + i % RANK];
}

/** values[row][k][o] = wScale[o]·factors[w[row][o]][k]; count is that of the weights. */
extern "C" __global__ void expand_weights(const u8 *__restrict__ w, const float *__restrict__ wScale,
                                          const float *__restrict__ factors, float *__restrict__ values, int count, int outputs) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count * RANK) return;
  const int o = i % outputs, k = i / outputs % RANK, row = i / (outputs * RANK);
  values[i] = wScale[o] * factors[w[row * outputs + o] * RANK + k];
}

/** dw[row][o] = xScale·Σ_k factors[w[row][o]][k]·products[row][k][o]. */
extern "C" __global__ void collect_weights(const u8 *__restrict__ w, const float *__restrict__ xScale,
                                           const float *__restrict__ factors, const float *__restrict__ products,
                                           float *__restrict__ dw, int count, int outputs) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int o = i % outputs, row = i / outputs;
  float sum = 0;
#pragma unroll
  for (int k = 0; k < RANK; k++) sum += factors[w[i] * RANK + k] * products[(row * RANK + k) * outputs + o];
  dw[i] = *xScale * sum;
}

/** dx[i] = Σ_k factors[x[i]][k]·products[i][k]. */
extern "C" __global__ void collect_codes(const u8 *__restrict__ x, const float *__restrict__ factors,
                                         const float *__restrict__ products, float *__restrict__ dx, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
#pragma unroll
  for (int k = 0; k < RANK; k++) sum += factors[x[i] * RANK + k] * products[(size_t)i * RANK + k];
  dx[i] = sum;
}
#endif
