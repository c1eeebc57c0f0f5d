// Depthwise convolutions with an approximate multiplier, product by product on codes: nine products per output leave
// nothing for matrix units. A warp has 32 output channels, one per lane, and tiles of output pixels; a lane keeps the
// weights of its channel in registers. PRODUCTS says how AxM(w, x) of a tap is found:
//   0 w·x
//   1 from a structure m: AxM is linear in the bits of x, so the entries of both halves of a code are added. A block
//     makes the entries of its channels' weights once, ⟨tap, entry, lane⟩ in shared memory: lanes never share a bank.
//   2 from all products as u16 in shared memory       3 w·x + E(w, x), E from the i32 table in memory
// Sums of integers are exact: below 2^24 as floats (PRODUCTS 1), below 2^32 else. A padded tap contributes to none.
// -D: what depthwise.cuh takes, PRODUCTS, WBITS, ABITS, THREADS.
#include "depthwise.cuh"
#include "zero-points.cuh"

#define WARPS (THREADS / 32)
#define TAPS (KH * KW)
#define LOW_CODES (1 << (ABITS < 4 ? ABITS : 4))
#define ENTRIES (LOW_CODES + (ABITS > 4 ? 1 << (ABITS - 4) : 0))

#if PRODUCTS == 1
typedef float Sum;

/** entries[tap][entry][lane] = Σ over the bits of the entry's part of a code of 2^j (w − Σ_i m[i,j] 2^i w[i]). */
INLINE void makeEntries(float (*entries)[ENTRIES][32], const u8 *w, const float *m, int outputs, int channel0) {
  const int lane = threadIdx.x % 32, channel = channel0 + lane;
  for (int tap = threadIdx.x / 32; tap < TAPS; tap += WARPS) {
    const u32 weight = channel < outputs ? w[tap * outputs + channel] : 0;
    float planes[ABITS];
#pragma unroll
    for (int j = 0; j < ABITS; j++) {
      float removed = 0;
#pragma unroll
      for (int i = 0; i < WBITS; i++) removed += (weight >> i) & 1 ? m[i * ABITS + j] * (1 << i) : 0.0f;
      planes[j] = ((float)weight - removed) * (1 << j);
    }
#pragma unroll
    for (int entry = 0; entry < ENTRIES; entry++) {
      const int code = entry < LOW_CODES ? entry : (entry - LOW_CODES) * 16;
      float sum = 0;
#pragma unroll
      for (int j = 0; j < ABITS; j++) sum += (code >> j) & 1 ? planes[j] : 0.0f;
      entries[tap][entry][lane] = sum;
    }
  }
  __syncthreads();
}
#else
typedef int Sum;
#endif

/**
 * Grid: (⌈o / 32⌉, slabs of tiles). `given`: m, all products, or the errors. Dynamic shared memory: entries, or all
 * products.
 */
KERNEL product(const u8 *__restrict__ x, const u8 *__restrict__ w, const void *__restrict__ given, const ZeroPoints zero,
               float *__restrict__ y, const Depthwise p, int tiles) {
  extern __shared__ __align__(16) u8 shared[];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = blockIdx.x * 32 + lane;
#if PRODUCTS == 1
  float(*entries)[ENTRIES][32] = (float(*)[ENTRIES][32])shared;
  makeEntries(entries, w, (const float *)given, p.o, blockIdx.x * 32);
#elif PRODUCTS == 2
  constexpr int VECTORS = (2 << (WBITS + ABITS)) / 16;
  for (int i = threadIdx.x; i < VECTORS; i += THREADS) ((uint4 *)shared)[i] = ((const uint4 *)given)[i];
  __syncthreads();
#endif
  // Below here there is nothing that a block does together.
  if (channel >= p.o) return;
  const double xScale = *zero.xScale, xZero = *zero.xZero, wScale = zero.wScale[channel], wZero = zero.wZero[channel];
  int weights[TAPS], allWeights = 0;
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++) allWeights += weights[tap] = w[tap * p.o + channel];

  auto multiply = [&](int tap, u32 code) -> Sum {
#if PRODUCTS == 0
    return weights[tap] * code;
#elif PRODUCTS == 1
    Sum product = entries[tap][code % LOW_CODES][lane];
    if (ABITS > 4) product += entries[tap][LOW_CODES + code / 16][lane];
    return product;
#elif PRODUCTS == 2
    return ((const u16 *)shared)[weights[tap] << ABITS | code];
#else
    return weights[tap] * code + ((const int *)given)[weights[tap] << ABITS | code];
#endif
  };

  constexpr int HEIGHT = reach(ROWS, STRIDE_Y, DILATION_Y, KH), LENGTH = reach(COLUMNS, STRIDE_X, DILATION_X, KW);
  for (int tile = blockIdx.y * WARPS + warp; tile < tiles; tile += gridDim.y * WARPS) {
    const Tile at(p, tile);
    const int top = at.y * STRIDE_Y - PADDING_Y, left = at.x * STRIDE_X - PADDING_X;
    Sum sums[ROWS][COLUMNS] = {};
    int inputs[ROWS][COLUMNS] = {};
#pragma unroll
    for (int a = 0; a < HEIGHT; a++) {
      if (!within(top + a, p.h)) continue;
      const u8 *line = x + (size_t)(at.image * p.h + top + a) * p.w * p.c + (u32)channel / MULTIPLIER;
#pragma unroll
      for (int b = 0; b < LENGTH; b++) {
        if (!within(left + b, p.w)) continue;
        const u32 code = line[(left + b) * p.c];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
          for (int q = 0; q < COLUMNS; q++) {
            const int ky = tapAt(a - r * STRIDE_Y, DILATION_Y, KH), kx = tapAt(b - q * STRIDE_X, DILATION_X, KW);
            if (ky < 0 || kx < 0) continue;
            sums[r][q] += multiply(ky * KW + kx, code);
            inputs[r][q] += code;
          }
      }
    }
    const bool inner = top >= 0 && left >= 0 && top + HEIGHT <= p.h && left + LENGTH <= p.w;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int q = 0; q < COLUMNS; q++) {
        if (at.y + r >= p.oh || at.x + q >= p.ow) continue;
        int weightSum = allWeights, count = TAPS;
        if (!inner) {
          weightSum = count = 0;
#pragma unroll
          for (int tap = 0; tap < TAPS; tap++) {
            if (!within(top + r * STRIDE_Y + tap / KW * DILATION_Y, p.h) || !within(left + q * STRIDE_X + tap % KW * DILATION_X, p.w))
              continue;
            weightSum += weights[tap];
            count++;
          }
        }
        y[(size_t)((at.image * p.oh + at.y + r) * p.ow + at.x + q) * p.o + channel] =
            dequantized(sums[r][q], weightSum, inputs[r][q], count, xScale, xZero, wScale, wZero);
      }
  }
}
