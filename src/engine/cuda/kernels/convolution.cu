// Convolution of f32 tensors on matrix units as one matrix product whose operands are gathered while they are copied to
// shared memory (implicit GEMM: no im2col in memory). MODE chooses which product:
//   0 forward         rows = output pixels,          inner = (ky, kx, input channel),  columns = output channels
//   1 input gradient rows = input pixels, inner = (ky, kx, output channel), columns = input channels; pixels whose
//     coordinates agree modulo the strides meet the same taps: for strides above 1 blockIdx.y chooses the class, and
//     only its taps are visited
//   2 weight gradient rows = (ky, kx, input channel), inner = output pixels,           columns = output channels
// Where that gives too few blocks, the inner range is cut into parts of partLength (blockIdx.y), each with its own
// result; `sum_parts` (elementwise.cu) adds them in a fixed order, so results do not depend on timing.
// Layout: x NHWC, w [kh, kw, I/groups, O], one group per blockIdx.z. Tiling: BM×BN per block, BK = 32 inner steps per
// stage, STAGES stages by cp.async; a warp owns (BM/WARPS_M)×(BN/WARPS_N); with WARPS_K = 2 two groups of warps share a
// tile, one for each half of a stage, and their sums are added at the end. Shared tiles are padded by 4 or 8 words so
// that fragment loads meet 32 banks.
// VA, VB: words per copy of operand A and B: 4 where channels are a multiple of 4 (16-byte alignment), else 1.
// PAIRS: 1 where the column count is even, so that results are stored two at a time.
// PRECISION: 0 tf32 (operands rounded to nearest), 1 bf16, 2 f32 (each operand in two tf32 parts, three products).
#include "product.cuh"

/**
 * The place of an inner index k in (y, x, channel) of a window of `columns` taps per row, stepY and stepX apart;
 * advanced by BK at a time.
 */
struct Tap {
  int y, x, channel;
  INLINE Tap(int k, int channels, int columns, int stepY, int stepX) {
    int tap = k / channels;
    channel = k - tap * channels;
    y = tap / columns;
    x = (tap - y * columns) * stepX;
    y *= stepY;
  }
  INLINE void advance(int channels, int columns, int stepY, int stepX) {
    channel += BK;
    while (channel >= channels) {
      channel -= channels;
      x += stepX;
      if (x == columns * stepX) {
        x = 0;
        y += stepY;
      }
    }
  }
};

#if MODE == 1
/**
 * Along one axis, the taps that pixels of one class meet, those that lie `at` modulo the stride in the padded image:
 * `count` of them from `first` on, `step` apart; from one to the next the output pixel that they meet lies `back`
 * before.
 */
struct ClassTaps {
  int first, count, step, back;
  INLINE ClassTaps(int at, int stride, int dilation, int taps) {
    first = at % stride;
    step = stride;
    back = 1;
    if (dilation > 1) {
      int common = stride, rest = dilation;
      while (rest > 0) {
        const int next = common % rest;
        common = rest;
        rest = next;
      }
      step = stride / common;
      back = dilation / common;
      for (first = 0; first < step && (at - first * dilation) % stride != 0; first++) {}
      if (first == step) first = taps;
    }
    count = first < taps ? (taps - first + step - 1) / step : 0;
  }
};
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) convolve(const float *__restrict__ a, const float *__restrict__ b,
                                                               float *__restrict__ result, const Geometry geometry, int partLength) {
  extern __shared__ __align__(16) float shared[];
  const Geometry &g = geometry;
  const int group = blockIdx.z;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int gi = g.inputs(), go = g.outputs();
#if MODE == 0
  const int rows = g.pixels(), inner = g.inner(), columns = go, channels = gi;
#elif MODE == 1
  const int classes = g.strideY * g.strideX;
  const int pixelClass = classes == 1 ? 0 : blockIdx.y, part = classes == 1 ? blockIdx.y : 0;
  const int classY = pixelClass / g.strideX, classX = pixelClass % g.strideX;
  const ClassTaps tapsY(classY + g.paddingY, g.strideY, g.dilationY, g.kh);
  const ClassTaps tapsX(classX + g.paddingX, g.strideX, g.dilationX, g.kw);
  const int classH = (g.h - classY + g.strideY - 1) / g.strideY, classW = (g.w - classX + g.strideX - 1) / g.strideX;
  const int rows = g.n * classH * classW, inner = tapsY.count * tapsX.count * go, columns = gi, channels = go;
#else
  const int rows = g.inner(), inner = g.pixels(), columns = go;
#endif
  const int columnTiles = (columns + BN - 1) / BN;
  const int row0 = (blockIdx.x / columnTiles) * BM, column0 = (blockIdx.x % columnTiles) * BN;
  if (row0 >= rows) return;
#if MODE != 1
  const int part = blockIdx.y;
#endif
  const int first = part * partLength, last = min(inner, first + partLength);
  const int steps = max(0, (last - first + BK - 1) / BK);

#if MODE == 2
  // Each thread copies the same channels of one tap in every stage.
  constexpr int A_CHUNKS = BM / VA, A_LANES = THREADS / A_CHUNKS > 0 ? THREADS / A_CHUNKS : 1;
  static_assert(THREADS % A_CHUNKS == 0 && BK % A_LANES == 0, "tile and threads");
  const int aChunk = thread % A_CHUNKS, aLane = thread / A_CHUNKS;
  const int aRow = row0 + aChunk * VA;
  const int tap = aRow / gi, aChannel = group * gi + aRow - tap * gi;
  const int tapY = tap / g.kw, offsetX = (tap - tapY * g.kw) * g.dilationX - g.paddingX, offsetY = tapY * g.dilationY - g.paddingY;
#else
  __shared__ int rowBase[BM], rowY[BM], rowX[BM];
#if MODE == 1
  __shared__ int rowPixel[BM];
  const int tapColumns = max(1, tapsX.count), stepY = tapsY.back, stepX = tapsX.back;
#else
  const int tapColumns = g.kw, stepY = g.dilationY, stepX = g.dilationX;
#endif
  for (int r = thread; r < BM; r += THREADS) {
    const int row = row0 + r;
#if MODE == 0
    int image, oy, ox;
    g.locate(min(row, rows - 1), image, oy, ox);
    rowBase[r] = image * g.h * g.w;
    // A row behind the end points outside the image everywhere.
    rowY[r] = row < rows ? oy * g.strideY - g.paddingY : -(1 << 20);
    rowX[r] = ox * g.strideX - g.paddingX;
#else
    const int image = row / (classH * classW), rest = row - image * (classH * classW), line = rest / classW;
    const int y = classY + line * g.strideY, x = classX + (rest - line * classW) * g.strideX;
    rowPixel[r] = (image * g.h + y) * g.w + x;
    rowBase[r] = image * g.oh * g.ow;
    // The output pixel that tap number 0 of the class meets; further taps lie before it.
    rowY[r] = row < rows ? (y + g.paddingY - tapsY.first * g.dilationY) / g.strideY : -(1 << 20);
    rowX[r] = (x + g.paddingX - tapsX.first * g.dilationX) / g.strideX;
#endif
  }
  __syncthreads();
  constexpr int A_CHUNKS = BK / VA, A_LANES = THREADS / A_CHUNKS;
  const int aChunk = thread % A_CHUNKS, aLane = thread / A_CHUNKS;
  Tap aTap(first + aChunk * VA, channels, tapColumns, stepY, stepX);
#endif
#if MODE == 1
  constexpr int B_CHUNKS = BK / VB, B_LANES = THREADS / B_CHUNKS;
  const int bChunk = thread % B_CHUNKS, bLane = thread / B_CHUNKS;
  Tap bTap(first + bChunk * VB, channels, tapColumns, tapsY.step, tapsX.step);
#else
  constexpr int B_CHUNKS = BN / VB, B_LANES = THREADS / B_CHUNKS;
  static_assert(THREADS % B_CHUNKS == 0 && BK % B_LANES == 0, "tile and threads");
  const int bChunk = thread % B_CHUNKS, bLane = thread / B_CHUNKS;
#endif

  // Copies the operands of one step to a stage; called for steps in ascending order.
  auto load = [&](int step, int stage) {
    float *tileA = shared + stage * STAGE_WORDS, *tileB = tileA + A_WORDS;
    const int k0 = first + step * BK;
#if MODE == 2
#pragma unroll
    for (int i = 0; i < BK / A_LANES; i++) {
      const int lane = aLane + i * A_LANES, pixel = k0 + lane;
      int image, oy, ox;
      g.locate(min(pixel, inner - 1), image, oy, ox);
      const int y = oy * g.strideY + offsetY, x = ox * g.strideX + offsetX;
      const bool valid = pixel < last && aRow < rows && (u32)y < (u32)g.h && (u32)x < (u32)g.w;
      const float *from = a + (valid ? ((size_t)(image * g.h + y) * g.w + x) * g.c + aChannel : 0);
      copyWords<VA>(sharedAddress(tileA + lane * A_STRIDE + aChunk * VA), from, valid);
    }
#else
    const bool inside = k0 + aChunk * VA < last;
#pragma unroll
    for (int i = 0; i < BM / A_LANES; i++) {
      const int r = aLane + i * A_LANES;
#if MODE == 0
      const int y = rowY[r] + aTap.y, x = rowX[r] + aTap.x;
      const bool valid = inside && (u32)y < (u32)g.h && (u32)x < (u32)g.w;
      const float *from = a + (valid ? (size_t)(rowBase[r] + y * g.w + x) * g.c + group * gi + aTap.channel : 0);
#else
      const int oy = rowY[r] - aTap.y, ox = rowX[r] - aTap.x;
      const bool valid = inside && (u32)oy < (u32)g.oh && (u32)ox < (u32)g.ow;
      const float *from = a + (valid ? (size_t)(rowBase[r] + oy * g.ow + ox) * g.o + group * go + aTap.channel : 0);
#endif
      copyWords<VA>(sharedAddress(tileA + r * A_STRIDE + aChunk * VA), from, valid);
    }
    aTap.advance(channels, tapColumns, stepY, stepX);
#endif
#if MODE == 1
    const bool within = k0 + bChunk * VB < last;
#pragma unroll
    for (int i = 0; i < BN / B_LANES; i++) {
      const int r = bLane + i * B_LANES, column = column0 + r;
      const bool valid = within && column < columns;
      const int tap = (tapsY.first + bTap.y) * g.kw + tapsX.first + bTap.x;
      const float *from = b + (valid ? ((size_t)tap * gi + column) * g.o + group * go + bTap.channel : 0);
      copyWords<VB>(sharedAddress(tileB + r * B_STRIDE + bChunk * VB), from, valid);
    }
    bTap.advance(channels, tapColumns, tapsY.step, tapsX.step);
#else
    const int column = column0 + bChunk * VB;
#pragma unroll
    for (int i = 0; i < BK / B_LANES; i++) {
      const int lane = bLane + i * B_LANES, k = k0 + lane;
      const bool valid = k < last && column < columns;
      const float *from = b + (valid ? (size_t)k * g.o + group * go + column : 0);
      copyWords<VB>(sharedAddress(tileB + lane * B_STRIDE + bChunk * VB), from, valid);
    }
#endif
  };

  float sums[MI][NI][4] = {};
  const int warpK = warp / (WARPS_M * WARPS_N), warpOfHalf = warp % (WARPS_M * WARPS_N);
  const int warpRow = (warpOfHalf / WARPS_N) * (BM / WARPS_M), warpColumn = (warpOfHalf % WARPS_N) * (BN / WARPS_N);
  const int fragmentGroup = lane / 4, quad = lane % 4;

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
    const float *tileA = shared + (step % STAGES) * STAGE_WORDS;
    multiplyStage(sums, tileA, tileA + A_WORDS, warpRow, warpColumn, warpK);
  }

#if WARPS_K == 2
  addHalves(sums, shared, warpK);
  if (warpK == 1) return;
#endif

#if MODE == 0
  const int stride = g.o, offset = group * go, results = rows;
#elif MODE == 1
  const int stride = g.c, offset = group * gi, results = g.n * g.h * g.w;
#else
  const int stride = g.o, offset = group * go, results = rows;
#endif
  result += (size_t)part * results * stride;
#pragma unroll
  for (int mi = 0; mi < MI; mi++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + warpRow + mi * 16 + fragmentGroup + 8 * half;
      if (row >= rows) continue;
#pragma unroll
      for (int ni = 0; ni < NI; ni++) {
        const int column = column0 + warpColumn + ni * 8 + 2 * quad;
#if MODE == 1
        float *to = result + (size_t)rowPixel[row - row0] * stride + offset + column;
#else
        float *to = result + (size_t)row * stride + offset + column;
#endif
        const float low = sums[mi][ni][2 * half], high = sums[mi][ni][2 * half + 1];
        if (PAIRS) {
          if (column < columns) *(float2 *)to = make_float2(low, high);
        } else {
          if (column < columns) to[0] = low;
          if (column + 1 < columns) to[1] = high;
        }
      }
    }
}

/**
 * The input gradient of an image with few channels, second half: products[output pixel][tap][channel] hold what each
 * output pixel's gradient gives to each tap of its window; dx[pixel][channel] sums those that meet there, in the order
 * of the taps.
 */
extern "C" __global__ void __launch_bounds__(256)
    collect_taps(const float *__restrict__ products, float *__restrict__ dx, const Geometry geometry, int count) {
  const Geometry &g = geometry;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int pixel = i / g.c, channel = i - pixel * g.c, line = pixel / g.w, x = pixel - line * g.w, image = line / g.h, y = line - image * g.h;
  // Without dilation every stride-th tap meets a pixel of the grid, with it any may.
  const int firstY = g.dilationY == 1 ? (y + g.paddingY) % g.strideY : 0, stepY = g.dilationY == 1 ? g.strideY : 1;
  const int firstX = g.dilationX == 1 ? (x + g.paddingX) % g.strideX : 0, stepX = g.dilationX == 1 ? g.strideX : 1;
  float sum = 0;
  for (int ky = firstY; ky < g.kh; ky += stepY)
    for (int kx = firstX; kx < g.kw; kx += stepX) {
      const int top = y + g.paddingY - ky * g.dilationY, left = x + g.paddingX - kx * g.dilationX;
      const int oy = top / g.strideY, ox = left / g.strideX;
      if (top < 0 || left < 0 || oy * g.strideY != top || ox * g.strideX != left || oy >= g.oh || ox >= g.ow) continue;
      sum += products[((size_t)((image * g.oh + oy) * g.ow + ox) * (g.kh * g.kw) + ky * g.kw + kx) * g.c + channel];
    }
  dx[i] = sum;
}
