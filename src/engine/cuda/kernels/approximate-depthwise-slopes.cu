// The gradients of a depthwise layer through its multiplier's error, whose slopes are a table: a slope per product,
// looked up. A block has the rows of slopes of its 32 channels' weights for one tap in shared memory, ⟨code, lane⟩:
// lanes never share a bank. Sums are taken in an order that shapes decide.
// -D: what depthwise.cuh takes, ABITS, THREADS.
#include "depthwise.cuh"

#define WARPS (THREADS / 32)
#define TAPS (KH * KW)
#define CODES (1 << ABITS)

/** rows[code][lane] = slope(w, code) of one weight per lane. The block meets before and behind. */
INLINE void makeRows(float (*rows)[32], const float *slopes, u32 weight) {
  const int lane = threadIdx.x % 32;
  const float4 *row = (const float4 *)(slopes + ((size_t)weight << ABITS));
  __syncthreads();
  for (int k = threadIdx.x / 32; k < CODES / 4; k += WARPS) {
    const float4 four = row[k];
    rows[4 * k][lane] = four.x;
    rows[4 * k + 1][lane] = four.y;
    rows[4 * k + 2][lane] = four.z;
    rows[4 * k + 3][lane] = four.w;
  }
  __syncthreads();
}

#ifdef OF_WEIGHTS
/** shares[slab][tap][o] = Σ g·slope(w, x) over the slab's tiles of output pixels. Grid: (⌈o / 32⌉, slabs, taps). */
KERNEL slope_shares(const float *__restrict__ g, const u8 *__restrict__ x, const u8 *__restrict__ w, const float *__restrict__ slopes,
                    float *__restrict__ shares, const Depthwise p, int tiles) {
  extern __shared__ __align__(16) float shared[];
  __shared__ float parts[WARPS][32];
  float(*rows)[32] = (float(*)[32])shared;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = blockIdx.x * 32 + lane, tap = blockIdx.z;
  const int downY = tap / KW * DILATION_Y - PADDING_Y, downX = tap % KW * DILATION_X - PADDING_X;
  makeRows(rows, slopes, channel < p.o ? w[tap * p.o + channel] : 0);
  float sum = 0;
  if (channel < p.o) {
    for (int tile = blockIdx.y * WARPS + warp; tile < tiles; tile += gridDim.y * WARPS) {
      const Tile at(p, tile);
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const int oy = at.y + r, y = oy * STRIDE_Y + downY;
        if (oy >= p.oh || !within(y, p.h)) continue;
        const u8 *line = x + (size_t)(at.image * p.h + y) * p.w * p.c + (u32)channel / MULTIPLIER;
        const float *gradients = g + (size_t)(at.image * p.oh + oy) * p.ow * p.o + channel;
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) {
          const int ox = at.x + q, column = ox * STRIDE_X + downX;
          if (ox < p.ow && within(column, p.w)) sum += gradients[ox * p.o] * rows[line[column * p.c]][lane];
        }
      }
    }
  }
  parts[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || channel >= p.o) return;
  for (int other = 1; other < WARPS; other++) sum += parts[other][lane];
  shares[(size_t)(blockIdx.y * TAPS + tap) * p.o + channel] = sum;
}

/** dw[i] = xScale Σ over the slabs of shares[slab][i]. Block (32, 8); grid ⌈count / 32⌉. */
KERNEL slope_totals(const float *__restrict__ shares, const float *__restrict__ xScale, float *__restrict__ dw, int count, int slabs) {
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
  dw[i] = (float)(*xScale * sum);
}
#else

/** dx = Σ g·wScale·slope(w, x). A warp has a tile of input pixels at a time. Grid: (⌈c / 32⌉, any). */
KERNEL slope_inputs(const float *__restrict__ g, const u8 *__restrict__ x, const u8 *__restrict__ w, const float *__restrict__ wScale,
                    const float *__restrict__ slopes, float *__restrict__ dx, const Depthwise p, int tiles) {
  extern __shared__ __align__(16) float shared[];
  float(*rows)[32] = (float(*)[32])shared;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = blockIdx.x * 32 + lane;
  // All warps take as many turns, because they make the rows together.
  for (int first = blockIdx.y * WARPS; first < tiles; first += gridDim.y * WARPS) {
    const bool has = first + warp < tiles && channel < p.c;
    const Tile at(p, min(first + warp, tiles - 1));
    u32 codes[ROWS][COLUMNS] = {};
    float sums[ROWS][COLUMNS] = {};
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int q = 0; q < COLUMNS; q++) {
        if (!has || at.y + r >= p.h || at.x + q >= p.w) continue;
        codes[r][q] = x[(size_t)((at.image * p.h + at.y + r) * p.w + at.x + q) * p.c + channel];
      }
    for (int m = 0; m < MULTIPLIER; m++) {
      const int output = min(channel, p.c - 1) * MULTIPLIER + m;
      const float scale = wScale[output];
      for (int tap = 0; tap < TAPS; tap++) {
        makeRows(rows, slopes, w[tap * p.o + output]);
        if (!has) continue;
        const int backY = PADDING_Y - tap / KW * DILATION_Y, backX = PADDING_X - tap % KW * DILATION_X;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
          const int y = at.y + r + backY, oy = y / STRIDE_Y;
          if (y < 0 || oy * STRIDE_Y != y || oy >= p.oh) continue;
          const float *gradients = g + (size_t)(at.image * p.oh + oy) * p.ow * p.o + output;
#pragma unroll
          for (int q = 0; q < COLUMNS; q++) {
            const int column = at.x + q + backX, ox = column / STRIDE_X;
            if (column < 0 || ox * STRIDE_X != column || ox >= p.ow) continue;
            sums[r][q] += scale * gradients[ox * p.o] * rows[codes[r][q]][lane];
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int q = 0; q < COLUMNS; q++) {
        if (!has || at.y + r >= p.h || at.x + q >= p.w) continue;
        dx[(size_t)((at.image * p.h + at.y + r) * p.w + at.x + q) * p.c + channel] = sums[r][q];
      }
  }
}
#endif
