// Gradients of the weights of 1×1 windows of stride 1 and of linear layers on f16 matrix units, see
// convolution-f16.cuh; operands pass through shared memory as in pointwise-f16.cu.
//   gradient_of_pixels dw[m][n] = Σ_p x[p][m]·g[p][n]; x in f32 or, with CODES, as codes of one scale and zero point
// -D: SIDE (tiles of 64 channels on both sides of a block), CODES (0 or 1), STRIDE 1, WGMMA.
#include "convolution-f16-codes.cuh"

#if WGMMA

#define THREADS (128 * SIDE)
/** Pixels of a stage, vectors of four channels of one of its tiles, and of those of an operand a thread's. */
#define PIXELS 32
#define TILE_VECTORS (PIXELS * 16)
#define VECTORS (SIDE * TILE_VECTORS / THREADS)
#define TILE_BYTES (PIXELS * 128)
#define HALVES_BYTES (2 * SIDE * TILE_BYTES)
#define STAGES 3

/**
 * 64·SIDE input × 64·SIDE output channels per block, a warpgroup for each 64 input channels; tiles beyond the last
 * channels are empty. Grid: (tiles, parts of the pixels), a part has stagesPerPart × 32 pixels and its own result.
 * Shared memory: two stages of halves, of x and of g, then three of them as they were. `unit`, `zero`: the scale and
 * the zero point of codes, else null.
 */
KERNEL gradient_of_pixels(const Element *__restrict__ x, const float *__restrict__ unit, const float *__restrict__ zero,
                          const float *__restrict__ gradient, float *__restrict__ result, int pixels, int inputs, int outputs,
                          int stagesPerPart) {
  typedef typename Input::Vector Vector;
  constexpr int RAW_BYTES = SIDE * TILE_VECTORS * (sizeof(Vector) + 16);
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[2][THREADS / 32];
  u8 *raw = shared + 2 * HALVES_BYTES;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, line = warp / 4, warpRow = warp % 4;
  const int columnTiles = (outputs + 64 * SIDE - 1) / (64 * SIDE);
  const int channel0 = (blockIdx.x / columnTiles) * (64 * SIDE), column0 = (blockIdx.x % columnTiles) * (64 * SIDE);
  const int first = blockIdx.y * stagesPerPart * PIXELS, last = min(pixels, first + stagesPerPart * PIXELS);
  const int count = (last - first + PIXELS - 1) / PIXELS;

  // Vector j of a thread, from its copy to the halves: of this tile, row and quarter.
  auto tileOf = [&](int j) { return (j * THREADS + thread) / TILE_VECTORS; };
  auto rowOf = [&](int j) { return (j * THREADS + thread) % TILE_VECTORS / 16; };
  const int quarter = thread % 16;
  auto ofG = [&](int stage) { return (float4 *)(raw + stage % STAGES * RAW_BYTES) + thread; };
  auto ofX = [&](int stage) { return (Vector *)(raw + stage % STAGES * RAW_BYTES + SIDE * TILE_VECTORS * 16) + thread; };
  auto load = [&](int stage) {
    const u32 toG = sharedAddress(ofG(stage)), toX = sharedAddress(ofX(stage));
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      const int pixel = first + stage * PIXELS + rowOf(j), channel = 64 * tileOf(j) + 4 * quarter;
      const bool isG = pixel < last && column0 + channel < outputs, isX = pixel < last && channel0 + channel < inputs;
      copyAsync16(toG + j * (THREADS * 16), isG ? gradient + (size_t)pixel * outputs + column0 + channel : gradient, isG);
      const Element *from = isX ? x + (size_t)pixel * inputs + channel0 + channel : x;
#if CODES
      copyAsync4(toX + j * (THREADS * 4), from, isX);
#else
      copyAsync16(toX + j * (THREADS * 16), from, isX);
#endif
    }
  };
  Shift shiftX, shiftG;
  Input operandX(unit, zero);
  Values operandG;
  /** A stage becomes halves; the factor that the sums so far take. All threads meet once. */
  auto place = [&](int stage) {
    const float4 *ownG = ofG(stage);
    const Vector *ownX = ofX(stage);
    u32 mostX = 0, mostG = 0;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      mostX = max(mostX, operandX.largest(ownX[j * THREADS]));
      mostG = max(mostG, operandG.largest(ownG[j * THREADS]));
    }
    mostX = __reduce_max_sync(0xffffffffu, mostX);
    mostG = __reduce_max_sync(0xffffffffu, mostG);
    if (lane == 0) {
      slots[0][warp] = mostX;
      slots[1][warp] = mostG;
    }
    __syncthreads();
    for (int i = 0; i < THREADS / 32; i++) {
      mostX = max(mostX, slots[0][i]);
      mostG = max(mostG, slots[1][i]);
    }
    const float factor = shiftX.adopt(shiftFor(mostX)) * shiftG.adopt(shiftFor(mostG));
    operandX.scale = powerOfTwo(shiftX.value);
    operandG.scale = powerOfTwo(shiftG.value);
    u8 *tiles = shared + (stage & 1) * HALVES_BYTES;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      u8 *to = tiles + tileOf(j) * TILE_BYTES + placeOf(rowOf(j), quarter);
      *(uint2 *)to = operandX.halves(ownX[j * THREADS]);
      *(uint2 *)(to + SIDE * TILE_BYTES) = operandG.halves(ownG[j * THREADS]);
    }
    return factor;
  };

#pragma unroll
  for (int stage = 0; stage < STAGES; stage++) {
    if (stage < count) load(stage);
    commitCopies();
  }
  waitForCopies<STAGES - 1>();
  place(0);
  float sums[SIDE][8][4] = {};
  for (int stage = 0; stage < count; stage++) {
    // The halves of this stage are there, and all are done with those of the one before.
    publishCopies();
    __syncthreads();
    const u32 tileX = sharedAddress(shared + (stage & 1) * HALVES_BYTES + line * TILE_BYTES);
    const u32 tileG = sharedAddress(shared + (stage & 1) * HALVES_BYTES + SIDE * TILE_BYTES);
    u32 fragments[PIXELS / 16][4];
#pragma unroll
    for (int k = 0; k < PIXELS / 16; k++) {
      // Matrix i of A: pixels 8·(i / 2) … of these sixteen by channels 8·(i % 2) … of the warp's 16; transposed, rows
      // become channels.
      const int row = 16 * k + (lane / 16) * 8 + lane % 8;
      loadMatricesTransposed(fragments[k], tileX + row * 128 + (((2 * warpRow + (lane / 8) % 2) ^ (row & 7)) * 16));
    }
    beginGroup();
#pragma unroll
    for (int k = 0; k < PIXELS / 16; k++) {
#pragma unroll
      for (int n = 0; n < SIDE; n++) multiplyF16Group64(sums[n], fragments[k], describeColumns(tileG + n * TILE_BYTES + k * 2048));
    }
    endGroup();
    if (stage + STAGES < count) load(stage + STAGES);
    commitCopies();
    waitForCopies<STAGES - 1>();
    const float factor = stage + 1 < count ? place(stage + 1) : 1;
    waitForGroup();
    if (factor != 1.0f) {
#pragma unroll
      for (int i = 0; i < 32 * SIDE; i++) (&sums[0][0][0])[i] *= factor;
    }
  }

  if (channel0 + 64 * line >= inputs) return;
  auto back = [&](float sum) { return shiftG.back(shiftX.back(sum)) * operandX.one(); };
  result += (size_t)blockIdx.y * inputs * outputs;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int channel = channel0 + line * 64 + warpRow * 16 + lane / 4 + 8 * half;
    float *to = result + (size_t)channel * outputs + column0 + 2 * (lane % 4);
#pragma unroll
    for (int i = 0; i < 8 * SIDE; i++) {
      if (column0 + 64 * (i / 8) >= outputs) break;
      const float(&sum)[4] = sums[i / 8][i % 8];
      *(float2 *)(to + 8 * i) = make_float2(back(sum[2 * half]), back(sum[2 * half + 1]));
    }
  }
}

#endif
