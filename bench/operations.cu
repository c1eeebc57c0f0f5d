// Kernels written by hand for one shape each, beside which operations.mjs measures the generated ones: vectors of four
// floats, rows of 768 in the registers of a warp, tiles of 32 by 32 in shared memory.
#define KERNEL extern "C" __global__ void __launch_bounds__(256)
#define INLINE __device__ __forceinline__

/** f of two vectors per thread, a block apart: both are read before one is written. */
template <class F> INLINE void pairs(float4 *y, int count, F f) {
  const int first = blockIdx.x * 512 + threadIdx.x, second = first + 256;
  float4 a, b;
  if (first < count) a = f(first);
  if (second < count) b = f(second);
  if (first < count) y[first] = a;
  if (second < count) y[second] = b;
}
template <class F> INLINE float4 each(float4 v, F f) { return make_float4(f(v.x), f(v.y), f(v.z), f(v.w)); }

KERNEL copy(const float4 *x0, float4 *y, int count) {
  pairs(y, count, [=](int i) { return x0[i]; });
}
KERNEL relu(const float4 *x0, float4 *y, int count) {
  pairs(y, count, [=](int i) { return each(x0[i], [](float v) { return fmaxf(v, 0.0f); }); });
}
KERNEL add(const float4 *x0, const float4 *x1, float4 *y, int count) {
  pairs(y, count, [=](int i) {
    const float4 a = x0[i], b = x1[i];
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
  });
}
KERNEL gelu(const float4 *x0, float4 *y, int count) {
  pairs(y, count, [=](int i) { return each(x0[i], [](float v) { return 0.5f * v * (1.0f + erff(v * 0.70710678f)); }); });
}

INLINE float warpSum(float v) {
  for (int offset = 16; offset > 0; offset /= 2) v += __shfl_xor_sync(0xffffffffu, v, offset);
  return v;
}
INLINE float warpMax(float v) {
  for (int offset = 16; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, offset));
  return v;
}
constexpr int HELD = 6;

KERNEL layerNorm(const float4 *x0, const float4 *x1, const float4 *x2, float4 *y, int rows) {
  const int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  float4 v[HELD];
  float sum = 0, squares = 0;
#pragma unroll
  for (int k = 0; k < HELD; k++) {
    v[k] = x0[row * 192 + k * 32 + lane];
    sum += v[k].x + v[k].y + (v[k].z + v[k].w);
  }
  const float mean = warpSum(sum) / 768;
#pragma unroll
  for (int k = 0; k < HELD; k++) {
    v[k] = each(v[k], [=](float a) { return a - mean; });
    squares += v[k].x * v[k].x + v[k].y * v[k].y + v[k].z * v[k].z + v[k].w * v[k].w;
  }
  const float inverse = rsqrtf(warpSum(squares) / 768 + 1e-6f);
#pragma unroll
  for (int k = 0; k < HELD; k++) {
    const float4 w = x1[k * 32 + lane], b = x2[k * 32 + lane], a = v[k];
    y[row * 192 + k * 32 + lane] = make_float4(
        a.x * inverse * w.x + b.x, a.y * inverse * w.y + b.y, a.z * inverse * w.z + b.z, a.w * inverse * w.w + b.w);
  }
}

KERNEL softmax(const float4 *x0, float4 *y, int rows) {
  const int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  float4 v[HELD];
  float most = -1e30f, sum = 0;
#pragma unroll
  for (int k = 0; k < HELD; k++) {
    v[k] = x0[row * 192 + k * 32 + lane];
    most = fmaxf(most, fmaxf(fmaxf(v[k].x, v[k].y), fmaxf(v[k].z, v[k].w)));
  }
  most = warpMax(most);
#pragma unroll
  for (int k = 0; k < HELD; k++) {
    v[k] = each(v[k], [=](float a) { return expf(a - most); });
    sum += v[k].x + v[k].y + (v[k].z + v[k].w);
  }
  const float factor = 1.0f / warpSum(sum);
#pragma unroll
  for (int k = 0; k < HELD; k++) y[row * 192 + k * 32 + lane] = each(v[k], [=](float a) { return a * factor; });
}

/** [n, rows, columns] to [n, columns, rows], both multiples of 32. */
KERNEL transpose(const float *x0, float *y, int rows, int columns) {
  __shared__ float tile[32][33];
  const int across = columns / 32, down = rows / 32;
  const int column = blockIdx.x % across * 32, row = blockIdx.x / across % down * 32;
  const size_t image = (size_t)(blockIdx.x / (across * down)) * rows * columns;
  const int x = threadIdx.x % 32;
  for (int r = threadIdx.x / 32; r < 32; r += 8) tile[r][x] = x0[image + (size_t)(row + r) * columns + column + x];
  __syncthreads();
  for (int c = threadIdx.x / 32; c < 32; c += 8) y[image + (size_t)(column + c) * rows + row + x] = tile[x][c];
}

/** [n, tokens, heads, vectors] to [n, heads, tokens, vectors]. */
KERNEL heads(const float4 *x0, float4 *y, int tokens, int heads, int vectors) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  const int v = i % vectors, t = i / vectors % tokens, h = i / (vectors * tokens) % heads, n = i / (vectors * tokens * heads);
  y[i] = x0[((n * tokens + t) * heads + h) * vectors + v];
}
