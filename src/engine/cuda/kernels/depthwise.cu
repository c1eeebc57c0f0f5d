// Depthwise convolutions of f32 tensors, without matrix units: nine products per output are bound by memory. Sums are
// of float32 products whatever the precision of other convolutions.
// MODE: 0 forward, the tile is of output pixels and gathers from x; 1 input gradient, the tile is of input pixels and
// gathers from g: ROWS and COLUMNS are multiples of the strides, so that which taps meet is known when loops unroll;
// 2 weight gradient: a thread sums its taps over tiles of output pixels, a block over its slab of tiles, and
// `add_shares` over the slabs in their order, so a result depends on shapes alone.
// Nothing is scattered and no operand is copied. -D: WIDTH (lanes.cuh), what depthwise.cuh takes, and of MODE 2 TAPS_Y
// (rows of taps of a block) and TILE (vectors of channels of a block, a power of two).
#include "depthwise.cuh"
#include "lanes.cuh"

#define THREADS 256

/** Of WIDTH output channels from `channel` on, the input channels that they meet. */
INLINE Lanes readInputs(const float *pixel, int channel) {
#if MULTIPLIER == 1
  return readLanes(pixel + channel);
#else
  Lanes lanes;
  EACH_LANE lanes.v[l] = pixel[(u32)(channel + l) / MULTIPLIER];
  return lanes;
#endif
}

/** Of WIDTH input channels from `channel` on, the `number`-th output channel of each. */
INLINE Lanes readOutputs(const float *pixel, int channel, int number) {
#if MULTIPLIER == 1
  return readLanes(pixel + channel);
#else
  Lanes lanes;
  EACH_LANE lanes.v[l] = pixel[(channel + l) * MULTIPLIER + number];
  return lanes;
#endif
}

INLINE void addProducts(Lanes &sum, const Lanes &a, const Lanes &b) {
  EACH_LANE sum.v[l] += a.v[l] * b.v[l];
}

#if MODE == 0
/** Grid: ⌈count / THREADS⌉; count: tiles times vectors of output channels. */
KERNEL forward(const float *__restrict__ x, const float *__restrict__ w, float *__restrict__ y, const Depthwise p, int count) {
  const u32 i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const u32 number = p.byChannels.quotient(i);
  const int channel = (i - number * p.byChannels.divisor) * WIDTH;
  const Tile at(p, number);
  const int top = at.y * STRIDE_Y - PADDING_Y, left = at.x * STRIDE_X - PADDING_X;
  constexpr int HEIGHT = reach(ROWS, STRIDE_Y, DILATION_Y, KH), LENGTH = reach(COLUMNS, STRIDE_X, DILATION_X, KW);
  Lanes sums[ROWS][COLUMNS] = {};
#pragma unroll
  for (int a = 0; a < HEIGHT; a++) {
    if (!within(top + a, p.h)) continue;
    const float *line = x + (size_t)(at.image * p.h + top + a) * p.w * p.c;
    Lanes pixels[LENGTH];
#pragma unroll
    for (int b = 0; b < LENGTH; b++) pixels[b] = within(left + b, p.w) ? readInputs(line + (left + b) * p.c, channel) : Lanes{};
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const int ky = tapAt(a - r * STRIDE_Y, DILATION_Y, KH);
      if (ky < 0) continue;
#pragma unroll
      for (int kx = 0; kx < KW; kx++) {
        const Lanes weights = readLanes(w + (ky * KW + kx) * p.o + channel);
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) addProducts(sums[r][q], pixels[q * STRIDE_X + kx * DILATION_X], weights);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int q = 0; q < COLUMNS; q++) {
      if (at.y + r >= p.oh || at.x + q >= p.ow) continue;
      writeLanes(y + (size_t)((at.image * p.oh + at.y + r) * p.ow + at.x + q) * p.o + channel, sums[r][q]);
    }
}
#endif

#if MODE == 1
INLINE constexpr int floorDivide(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/** Grid: ⌈count / THREADS⌉; count: tiles times vectors of input channels. */
KERNEL input_gradient(const float *__restrict__ g, const float *__restrict__ w, float *__restrict__ dx, const Depthwise p, int count) {
  const u32 i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const u32 number = p.byChannels.quotient(i);
  const int channel = (i - number * p.byChannels.divisor) * WIDTH;
  const Tile at(p, number);
  // Output pixels, counted from the one whose window begins PADDING pixels before the tile.
  constexpr int TOP = floorDivide(PADDING_Y - (KH - 1) * DILATION_Y, STRIDE_Y), BOTTOM = (ROWS - 1 + PADDING_Y) / STRIDE_Y;
  constexpr int LEFT = floorDivide(PADDING_X - (KW - 1) * DILATION_X, STRIDE_X), RIGHT = (COLUMNS - 1 + PADDING_X) / STRIDE_X;
  const int top = at.y / STRIDE_Y, left = at.x / STRIDE_X;
  Lanes sums[ROWS][COLUMNS] = {};
#pragma unroll
  for (int a = TOP; a <= BOTTOM; a++) {
    if (!within(top + a, p.oh)) continue;
    const float *line = g + (size_t)(at.image * p.oh + top + a) * p.ow * p.o;
#pragma unroll
    for (int m = 0; m < MULTIPLIER; m++) {
      Lanes pixels[RIGHT - LEFT + 1];
#pragma unroll
      for (int b = LEFT; b <= RIGHT; b++)
        pixels[b - LEFT] = within(left + b, p.ow) ? readOutputs(line + (left + b) * p.o, channel, m) : Lanes{};
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const int ky = tapAt(r + PADDING_Y - a * STRIDE_Y, DILATION_Y, KH);
        if (ky < 0) continue;
#pragma unroll
        for (int kx = 0; kx < KW; kx++) {
          const Lanes weights = readOutputs(w + (ky * KW + kx) * p.o, channel, m);
#pragma unroll
          for (int q = 0; q < COLUMNS; q++) {
            const int distance = q + PADDING_X - kx * DILATION_X, b = floorDivide(distance, STRIDE_X);
            if (b * STRIDE_X == distance) addProducts(sums[r][q], pixels[b - LEFT], weights);
          }
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int q = 0; q < COLUMNS; q++) {
      if (at.y + r >= p.h || at.x + q >= p.w) continue;
      writeLanes(dx + (size_t)((at.image * p.h + at.y + r) * p.w + at.x + q) * p.c + channel, sums[r][q]);
    }
}
#endif

#if MODE == 2
/**
 * shares[slab][tap][o] = Σ x·g over the slab's tiles of output pixels. Grid: (⌈vectors / TILE⌉, slabs, KH / TAPS_Y).
 */
KERNEL weight_shares(const float *__restrict__ x, const float *__restrict__ g, float *__restrict__ shares, const Depthwise p,
                     int vectors, int tiles) {
  constexpr int LINES = THREADS / TILE, TAPS = TAPS_Y * KW;
  constexpr int HEIGHT = reach(ROWS, STRIDE_Y, DILATION_Y, TAPS_Y), LENGTH = reach(COLUMNS, STRIDE_X, DILATION_X, KW);
  __shared__ Lanes parts[LINES][TILE];
  const int tx = threadIdx.x % TILE, ty = threadIdx.x / TILE, vector = blockIdx.x * TILE + tx, channel = vector * WIDTH;
  const int firstTap = blockIdx.z * TAPS_Y;
  Lanes sums[TAPS] = {};
  if (vector < vectors) {
    for (int tile = blockIdx.y * LINES + ty; tile < tiles; tile += gridDim.y * LINES) {
      const Tile at(p, tile);
      const int top = at.y * STRIDE_Y - PADDING_Y + firstTap * DILATION_Y, left = at.x * STRIDE_X - PADDING_X;
      Lanes gradients[ROWS][COLUMNS];
#pragma unroll
      for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) {
          const bool inside = at.y + r < p.oh && at.x + q < p.ow;
          const size_t pixel = (size_t)((at.image * p.oh + at.y + r) * p.ow + at.x + q);
          gradients[r][q] = inside ? readLanes(g + pixel * p.o + channel) : Lanes{};
        }
#pragma unroll
      for (int a = 0; a < HEIGHT; a++) {
        if (!within(top + a, p.h)) continue;
        const float *line = x + (size_t)(at.image * p.h + top + a) * p.w * p.c;
        Lanes pixels[LENGTH];
#pragma unroll
        for (int b = 0; b < LENGTH; b++) pixels[b] = within(left + b, p.w) ? readInputs(line + (left + b) * p.c, channel) : Lanes{};
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
          const int ky = tapAt(a - r * STRIDE_Y, DILATION_Y, TAPS_Y);
          if (ky < 0) continue;
#pragma unroll
          for (int kx = 0; kx < KW; kx++)
#pragma unroll
            for (int q = 0; q < COLUMNS; q++)
              addProducts(sums[ky * KW + kx], pixels[q * STRIDE_X + kx * DILATION_X], gradients[r][q]);
        }
      }
    }
  }
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++) {
    parts[ty][tx] = sums[tap];
    __syncthreads();
    if (ty == 0 && vector < vectors) {
      Lanes sum = parts[0][tx];
      for (int line = 1; line < LINES; line++) EACH_LANE sum.v[l] += parts[line][tx].v[l];
      writeLanes(shares + (size_t)(blockIdx.y * KH * KW + firstTap * KW + tap) * p.o + channel, sum);
    }
    __syncthreads();
  }
}

/** dw[i] = Σ over the slabs of shares[slab][i]. Block (32, 8); grid ⌈count / 32⌉. */
KERNEL add_shares(const float *__restrict__ shares, float *__restrict__ dw, int count, int slabs) {
  __shared__ double parts[8][32];
  const int i = blockIdx.x * 32 + threadIdx.x;
  double sum = 0;
  if (i < count) {
#pragma unroll 4
    for (int slab = threadIdx.y; slab < slabs; slab += 8) sum += shares[(size_t)slab * count + i];
  }
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || i >= count) return;
  for (int line = 1; line < 8; line++) sum += parts[line][threadIdx.x];
  dw[i] = (float)sum;
}
#endif
