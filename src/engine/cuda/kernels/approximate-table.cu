// The approximate convolution by table look-up, for any error table (exact): y from Σ_k T(w, x), T(w, x) = w·x + E(w,
// x).
// A block owns 4 output channels and THREADS·ROWS output pixels. For CHUNK inner indices at a time it packs the four
// table rows T(w_k,o, ·) of its channels into shared memory as one entry per activation code (8 bytes of u16, or 16
// bytes of i32), so that one shared-memory read serves four look-ups and no weight is looked at more than once per
// block. Padded taps are skipped. Table rows stream from L2 (the table is at most 256 KiB).
// Layout: x NHWC u8, w [kh, kw, I/groups, O] u8, T [2^WBITS][2^ABITS] of ENTRY bytes. ENTRY = 2: products fit in u16;
// 4: any i32.
// WIDE = 1: channels per group are a multiple of CHUNK, so a pixel's codes of one chunk are one aligned read; 0: single
// codes.
#include "zero-points.cuh"

#define THREADS 512
#define CODES (1 << ABITS)
#if ENTRY == 2
typedef uint2 Packed;
#else
typedef int4 Packed;
#endif

#if CHUNK == 16
typedef uint4 Chunk;
#else
typedef uint2 Chunk;
#endif

#if ENTRY == 4
/** products[w][x] = w·x + E(w, x). */
extern "C" __global__ void exact_products(const int *__restrict__ error, int *__restrict__ products) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < (CODES << WBITS)) products[i] = (i / CODES) * (i % CODES) + error[i];
}
#endif

/** Grid: (pixel tiles, ⌈outputs per group / 4⌉, groups). Dynamic shared memory: 2·CHUNK·CODES entries. */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    look_up(const u8 *__restrict__ x, const u8 *__restrict__ w, const void *__restrict__ table, const int *__restrict__ tapSums,
            const ZeroPoints zero, float *__restrict__ y, const Geometry geometry) {
  extern __shared__ __align__(16) u8 shared[];
  Packed *entries = (Packed *)shared;
  const Geometry &g = geometry;
  const int thread = threadIdx.x, group = blockIdx.z, gi = g.inputs(), outputs = g.outputs(), pixels = g.pixels(), inner = g.inner();
  const int n0 = blockIdx.y * 4, o0 = group * outputs + n0, valid = min(4, outputs - n0);
  const int steps = (inner + CHUNK - 1) / CHUNK;

  int rowBase[ROWS], rowY[ROWS], rowX[ROWS];
  u32 inputSum[ROWS] = {};
  u32 sums[ROWS][4] = {};
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int pixel = (blockIdx.x * ROWS + r) * THREADS + thread;
    int image, oy, ox;
    g.locate(min(pixel, pixels - 1), image, oy, ox);
    rowBase[r] = image * g.h * g.w;
    rowY[r] = pixel < pixels ? oy * g.strideY - g.paddingY : -(1 << 20);
    rowX[r] = ox * g.strideX - g.paddingX;
  }

  auto build = [&](int step) {
    Packed *stage = entries + (step % 2) * CHUNK * CODES;
#if ENTRY == 2
    constexpr int ITEMS = CODES / 2;
#else
    constexpr int ITEMS = CODES;
#endif
#pragma unroll 4
    for (int i = thread; i < CHUNK * ITEMS; i += THREADS) {
      const int lane = i / ITEMS, item = i % ITEMS, k = step * CHUNK + lane;
      u32 rows[4];
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const u32 code = k < inner && n < valid ? w[(size_t)k * g.o + o0 + n] : 0;
        rows[n] = ((const u32 *)table)[code * ITEMS + item];
      }
#if ENTRY == 2
      // Two neighbouring codes of each row: the low halves make one entry, the high halves the next.
      *(uint4 *)(stage + lane * CODES + 2 * item) =
          make_uint4(__byte_perm(rows[0], rows[1], 0x5410), __byte_perm(rows[2], rows[3], 0x5410),
                     __byte_perm(rows[0], rows[1], 0x7632), __byte_perm(rows[2], rows[3], 0x7632));
#else
      stage[lane * CODES + item] = make_int4(rows[0], rows[1], rows[2], rows[3]);
#endif
    }
  };
  auto add = [&](u32 (&sum)[4], const Packed &entry) {
#if ENTRY == 2
    sum[0] = __dp2a_lo(entry.x, 0x0001u, sum[0]);
    sum[1] = __dp2a_lo(entry.x, 0x0100u, sum[1]);
    sum[2] = __dp2a_lo(entry.y, 0x0001u, sum[2]);
    sum[3] = __dp2a_lo(entry.y, 0x0100u, sum[3]);
#else
    sum[0] += (u32)entry.x;
    sum[1] += (u32)entry.y;
    sum[2] += (u32)entry.z;
    sum[3] += (u32)entry.w;
#endif
  };

  // Of the tap, in pixels from the window's begin.
  int channel = 0, tapX = 0, tapY = 0;
  const int endX = g.kw * g.dilationX;
  build(0);
  for (int step = 0; step < steps; step++) {
    __syncthreads();
    if (step + 1 < steps) build(step + 1);
    const Packed *stage = entries + (step % 2) * CHUNK * CODES;
#if WIDE
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const int sy = rowY[r] + tapY, sx = rowX[r] + tapX;
      if ((u32)sy >= (u32)g.h || (u32)sx >= (u32)g.w) continue;
      const u8 *from = x + (size_t)(rowBase[r] + sy * g.w + sx) * g.c + group * gi + channel;
      __align__(16) u32 words[CHUNK / 4];
      *(Chunk *)words = *(const Chunk *)from;
#pragma unroll
      for (int word = 0; word < CHUNK / 4; word++) {
        const u32 codes = words[word];
        inputSum[r] = __dp4a(codes, 0x01010101u, inputSum[r]);
#pragma unroll
        for (int byte = 0; byte < 4; byte++) add(sums[r], stage[(word * 4 + byte) * CODES + ((codes >> (8 * byte)) & 0xff)]);
      }
    }
    channel += CHUNK;
    if (channel == gi) {
      channel = 0;
      if ((tapX += g.dilationX) == endX) { tapX = 0; tapY += g.dilationY; }
    }
#else
    for (int lane = 0; lane < CHUNK; lane++) {
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        const int sy = rowY[r] + tapY, sx = rowX[r] + tapX;
        if (step * CHUNK + lane >= inner || (u32)sy >= (u32)g.h || (u32)sx >= (u32)g.w) continue;
        const u32 code = x[(size_t)(rowBase[r] + sy * g.w + sx) * g.c + group * gi + channel];
        inputSum[r] += code;
        add(sums[r], stage[lane * CODES + code]);
      }
      if (++channel == gi) {
        channel = 0;
        if ((tapX += g.dilationX) == endX) { tapX = 0; tapY += g.dilationY; }
      }
    }
#endif
  }

  const double xScale = *zero.xScale, xZero = *zero.xZero;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const int pixel = (blockIdx.x * ROWS + r) * THREADS + thread;
    if (pixel >= pixels) continue;
    int weightSum[4] = {}, count = 0;
    for (int tap = 0; tap < g.kh * g.kw; tap++) {
      const int sy = rowY[r] + tap / g.kw * g.dilationY, sx = rowX[r] + tap % g.kw * g.dilationX;
      if ((u32)sy >= (u32)g.h || (u32)sx >= (u32)g.w) continue;
      count += gi;
      for (int n = 0; n < valid; n++) weightSum[n] += tapSums[tap * g.o + o0 + n];
    }
#pragma unroll
    for (int n = 0; n < 4; n++) {
      if (n < valid) {
        y[(size_t)pixel * g.o + o0 + n] = dequantized((int)sums[r][n], weightSum[n], inputSum[r], count, xScale, xZero,
                                                      zero.wScale[o0 + n], zero.wZero[o0 + n]);
      }
    }
  }
}
