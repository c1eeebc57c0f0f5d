// The approximate convolution by table look-up, for any error table (exact): y from Σ_k T(w, x), T(w, x) = w·x + E(w,
// x).
// A block owns OUTPUTS output channels and THREADS·ROWS output pixels. For eight channels of a tap at a time it packs
// the table rows T(w_k,o, ·) of its outputs into shared memory as one entry of 16 bytes per code and channel, [code]
// [channel], so that one read serves OUTPUTS look-ups and no weight is looked at more than once per block. Channel k of
// every code has four banks to itself, and the eight threads that read at once are at eight different channels of their
// pixels, k = slot XOR thread: no bank conflict, whatever the codes. Taps that no pixel of the block meets are left
// out.
// Layout: x as arrange_codes makes it, w [kh, kw, I/groups, O] u8, T [2^WBITS][2^ABITS] of ENTRY bytes. ENTRY = 2:
// products fit in u16; 4: any i32.
// Pixels are numbered with the image fastest: threads of a warp meet the same padding, and read neighbouring codes.
// RESIDENT = 1: the whole table is in shared memory too; 0: rows come from L2.
#include "zero-points.cuh"

#define CODES (1 << ABITS)
#define OUTPUTS (16 / ENTRY)
/** Channels of a stage, and the bytes of its entries. */
#define STEP 8
#define STAGE (CODES * STEP * 16)
/** A thread packs four codes of a channel at a time: so many fours of a channel at once, so often. */
#define FOURS (CODES / 4 < THREADS / STEP ? CODES / 4 : THREADS / STEP)
#define PACKS (CODES / 4 / FOURS)

#if ENTRY == 2
typedef uint2 Products;
#else
typedef uint4 Products;

/** products[w][x] = w·x + E(w, x). */
extern "C" __global__ void exact_products(const int *__restrict__ error, int *__restrict__ products) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < (CODES << WBITS)) products[i] = (i / CODES) * (i % CODES) + error[i];
}
#endif

INLINE u32 wordOf(const uint2 &words, int i) { return i == 0 ? words.x : words.y; }
INLINE u32 wordOf(const uint4 &words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }

/** arranged[group][⌈channel / 8⌉][y][x][image] = the codes of eight channels, zeros behind the last. */
extern "C" __global__ void arrange_codes(const u8 *__restrict__ x, uint2 *__restrict__ arranged, const Geometry geometry) {
  const Geometry &g = geometry;
  const int gi = g.inputs(), chunks = (gi + STEP - 1) / STEP, total = g.groups * chunks * g.h * g.w * g.n;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= total) return;
  const int row = i / g.n, image = i - row * g.n, slice = row / (g.h * g.w), position = row - slice * (g.h * g.w);
  const int group = slice / chunks, channel = (slice - group * chunks) * STEP;
  const u8 *from = x + ((size_t)image * g.h * g.w + position) * g.c + group * gi + channel;
  if (gi % STEP == 0) {
    arranged[i] = *(const uint2 *)from;
  } else {
    u32 words[2] = {};
#pragma unroll
    for (int k = 0; k < STEP; k++)
      if (channel + k < gi) words[k / 4] |= (u32)from[k] << (8 * (k % 4));
    arranged[i] = make_uint2(words[0], words[1]);
  }
}

/**
 * Grid: (pixel tiles, ⌈outputs per group / OUTPUTS⌉, groups). Dynamic shared memory: two stages, the table where it is
 * RESIDENT, and an int for each tap and one more.
 */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    look_up(const uint2 *__restrict__ x, const u8 *__restrict__ w, const u8 *__restrict__ table, const int *__restrict__ tapSums,
            const ZeroPoints zero, float *__restrict__ y, const Geometry geometry, const Divider byImages) {
  extern __shared__ __align__(16) u8 shared[];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, group = blockIdx.z, gi = g.inputs(), outputs = g.outputs(), pixels = g.pixels();
  const int n0 = blockIdx.y * OUTPUTS, o0 = group * outputs + n0, valid = min(OUTPUTS, outputs - n0);
  const int chunks = (gi + STEP - 1) / STEP, slice = g.h * g.w * g.n, allTaps = g.kh * g.kw;
  // Rows of the table, and what a thread packs of them.
#if RESIDENT
  const u8 *rows = shared + 2 * STAGE;
  int *taps = (int *)(shared + 2 * STAGE + (CODES * ENTRY << WBITS));
  const int four = thread % FOURS, packed = (thread / FOURS + four) % STEP;
#else
  const u8 *rows = table;
  int *taps = (int *)(shared + 2 * STAGE);
  const int four = thread / STEP, packed = thread % STEP;
#endif

  // The pixel of a row of threads: its image, and where its window begins.
  auto locate = [&](int r, int &pixel, int &image, int &sy, int &sx) {
    pixel = (blockIdx.x * ROWS + r) * THREADS + thread;
    const int position = byImages.quotient(min(pixel, pixels - 1)), oy = g.byRow.quotient(position);
    image = min(pixel, pixels - 1) - position * g.n;
    sy = oy * g.strideY - g.paddingY;
    sx = (position - oy * g.ow) * g.strideX - g.paddingX;
    return pixel < pixels;
  };

  // Which taps there are: first flags, then a list and behind it its length.
  for (int tap = thread; tap < allTaps; tap += THREADS) taps[tap] = 0;
#if RESIDENT
  for (int i = thread; i < (CODES * ENTRY << WBITS) / 16; i += THREADS) ((uint4 *)rows)[i] = ((const uint4 *)table)[i];
#endif
  __syncthreads();
  for (int r = 0; r < ROWS; r++) {
    int pixel, image, sy, sx;
    if (!locate(r, pixel, image, sy, sx)) break;
    for (int ky = 0, tap = 0; ky < g.kh; ky++)
      for (int kx = 0; kx < g.kw; kx++, tap++)
        if ((u32)(sy + ky * g.dilationY) < (u32)g.h && (u32)(sx + kx * g.dilationX) < (u32)g.w) taps[tap] = 1;
  }
  __syncthreads();
  if (thread == 0) {
    int count = 0;
    for (int tap = 0; tap < allTaps; tap++)
      if (taps[tap]) taps[count++] = tap;
    taps[allTaps] = count;
  }
  __syncthreads();
  const int steps = taps[allTaps] * chunks;

  // The weights that this thread packs next, of the channel `packed` of a step; none behind the last channel.
  __align__(8) u32 weights[OUTPUTS / 4];
  bool present = false;
  int readTap = 0, readChunk = 0;
  auto readWeights = [&] {
    const int channel = readChunk * STEP + packed;
    present = readTap * chunks < steps && channel < gi && thread < FOURS * STEP;
    if (present) {
      const u8 *from = w + (size_t)(taps[readTap] * gi + channel) * g.o + o0;
      if (outputs % OUTPUTS == 0) {
#if ENTRY == 2
        *(uint2 *)weights = *(const uint2 *)from;
#else
        weights[0] = *(const u32 *)from;
#endif
      } else {
#pragma unroll
        for (int i = 0; i < OUTPUTS / 4; i++) weights[i] = 0;
#pragma unroll
        for (int n = 0; n < OUTPUTS; n++)
          if (n < valid) weights[n / 4] |= (u32)from[n] << (8 * (n % 4));
      }
    }
    if (++readChunk == chunks) {
      readChunk = 0;
      readTap++;
    }
  };
  auto pack = [&](u8 *stage) {
    if (thread >= FOURS * STEP) return;
#pragma unroll
    for (int p = 0; p < PACKS; p++) {
      uint4 *to = (uint4 *)stage + (four + p * FOURS) * 4 * STEP + packed;
      Products products[OUTPUTS] = {};
      if (present) {
#pragma unroll
        for (int n = 0; n < OUTPUTS; n++) {
          const u32 code = weights[n / 4] >> (8 * (n % 4)) & 0xff;
          products[n] = *(const Products *)(rows + code * (CODES * ENTRY) + (four + p * FOURS) * (4 * ENTRY));
        }
      }
#pragma unroll
      for (int code = 0; code < 4; code++) {
        u32 entry[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
#if ENTRY == 2
          entry[i] = __byte_perm(wordOf(products[2 * i], code / 2), wordOf(products[2 * i + 1], code / 2), code % 2 ? 0x7632 : 0x5410);
#else
          entry[i] = wordOf(products[i], code);
#endif
        }
        to[code * STEP] = make_uint4(entry[0], entry[1], entry[2], entry[3]);
      }
    }
  };

  // Sums of products; of u16 those of four words modulo 2^32, and then those of their high halves.
  u32 sums[ROWS][OUTPUTS] = {};
  u32 inputSum[ROWS] = {};
  // In slot j this thread is at channel j XOR thread: where that channel's entries begin, and which byte its code is.
  const u8 *slots[STEP];
  u32 order[2] = {};
#pragma unroll
  for (int j = 0; j < STEP; j++) {
    const u32 channel = j ^ (thread % STEP);
    slots[j] = shared + channel * 16;
    order[j / 4] |= channel << (4 * (j % 4));
  }

  readWeights();
  pack(shared);
  readWeights();
  int at[ROWS], chunk = 0, listed = 0;
  for (int step = 0; step < steps; step++) {
    if (chunk == 0) {
      const int tap = taps[listed], tapY = tap / g.kw * g.dilationY, tapX = tap % g.kw * g.dilationX;
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        int pixel, image, sy, sx;
        const bool there = locate(r, pixel, image, sy, sx);
        sy += tapY;
        sx += tapX;
        at[r] = there && (u32)sy < (u32)g.h && (u32)sx < (u32)g.w ? (sy * g.w + sx) * g.n + image : -1;
      }
    }
    const uint2 *from = x + (size_t)(group * chunks + chunk) * slice;
    uint2 next;
    if (at[0] >= 0) next = from[at[0]];
    __syncthreads();
    if (step + 1 < steps) pack(shared + (step + 1) % 2 * STAGE);
    readWeights();
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const uint2 codes = next;
      if (r + 1 < ROWS && at[r + 1] >= 0) next = from[at[r + 1]];
      if (at[r] < 0) continue;
      inputSum[r] = __dp4a(codes.x, 0x01010101u, __dp4a(codes.y, 0x01010101u, inputSum[r]));
#pragma unroll
      for (int j = 0; j < STEP; j++) {
        const u32 four = __byte_perm(codes.x, codes.y, order[j / 4]), code = __byte_perm(four, 0, 0x4440 + j % 4);
        const uint4 entry = *(const uint4 *)(slots[j] + code * (STEP * 16));
#pragma unroll
        for (int i = 0; i < 4; i++) {
          sums[r][i] += wordOf(entry, i);
#if ENTRY == 2
          sums[r][4 + i] = __dp2a_lo(wordOf(entry, i), 0x0100u, sums[r][4 + i]);
#endif
        }
      }
    }
#pragma unroll
    for (int j = 0; j < STEP; j++) slots[j] += step % 2 ? -STAGE : STAGE;
    if (++chunk == chunks) {
      chunk = 0;
      listed++;
    }
  }

  const double xScale = *zero.xScale, xZero = *zero.xZero;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int pixel, image, sy, sx;
    if (!locate(r, pixel, image, sy, sx)) break;
    float *to = y + ((size_t)image * (g.oh * g.ow) + byImages.quotient(pixel)) * g.o + o0;
#pragma unroll
    for (int n = 0; n < OUTPUTS; n += 4) {
      if (n >= valid) break;
      const bool whole = outputs % 4 == 0;
      int weightSum[4] = {}, count = 0;
      for (int ky = 0, tap = 0; ky < g.kh; ky++)
        for (int kx = 0; kx < g.kw; kx++, tap++) {
          if ((u32)(sy + ky * g.dilationY) >= (u32)g.h || (u32)(sx + kx * g.dilationX) >= (u32)g.w) continue;
          const int *from = tapSums + tap * g.o + o0 + n;
          const int4 four = whole ? *(const int4 *)from : make_int4(from[0], n + 1 < valid ? from[1] : 0, n + 2 < valid ? from[2] : 0,
                                                          n + 3 < valid ? from[3] : 0);
          count += gi;
          weightSum[0] += four.x;
          weightSum[1] += four.y;
          weightSum[2] += four.z;
          weightSum[3] += four.w;
        }
      float values[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
#if ENTRY == 2
        const u32 high = sums[r][4 + (n + i) / 2], sum = i % 2 ? high : sums[r][(n + i) / 2] - (high << 16);
#else
        const u32 sum = sums[r][i];
#endif
        const int o = o0 + min(n + i, valid - 1);
        values[i] = dequantized((int)sum, weightSum[i], inputSum[r], count, xScale, xZero, zero.wScale[o], zero.wZero[o]);
      }
      if (whole) {
        *(float4 *)(to + n) = make_float4(values[0], values[1], values[2], values[3]);
      } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (n + i < valid) to[n + i] = values[i];
      }
    }
  }
}
