// Products of pixels' channels with a matrix of weights (1×1 windows of stride 1, linear layers) on f16 matrix units
// and their input gradients, see convolution-f16.cuh; weights are laid out beforehand (convolution-f16-weights.cu).
//   multiply_pixels y[p][n] = Σ_k a[p][k]·b[k][n] (+ bias[n])
// Without taps nothing is read twice from shared memory, so the way from L2 is what costs: a block has as many pixels
// and columns as its registers and shared memory allow. While the unit multiplies one chunk of 64 inner channels the
// next one, which is there as it was, becomes halves, and the one behind it is on its way.
// -D: WARPGROUPS (of 64 pixels each), TILES (of 64 columns), STRIDE 1, WGMMA.
#include "convolution-f16.cuh"

#if WGMMA

#define THREADS (128 * WARPGROUPS)
#define BM (64 * WARPGROUPS)
#define RAW_BYTES (BM * 256)
#define HALVES_BYTES (BM * 128)
#define WEIGHT_STAGES 3
#define STAGE_BYTES (TILES * 8192)

/**
 * Grid: (row tiles × column groups, parts of the inner chunks); each part has its own result. Shared memory: two chunks
 * of pixels in f32, two in f16, three of weights. `bias`: f32 [columns], null for none; `columnSums`: of each row tile
 * [columns], null for none. `transposed`: rows of the tiles of b are columns.
 */
KERNEL multiply_pixels(const float *__restrict__ a, const u8 *__restrict__ weights, const int *__restrict__ shifts,
                       const float *__restrict__ bias, float *__restrict__ result, double2 *__restrict__ columnSums, int pixels, int inner,
                       int columns, int chunksPerPart, int transposed) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[THREADS / 32];
  u8 *raw = shared, *halves = shared + 2 * RAW_BYTES, *ofWeights = halves + 2 * HALVES_BYTES;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int chunks = inner / 64, groups = columns / (64 * TILES);
  const int row0 = (blockIdx.x / groups) * BM, group = blockIdx.x % groups;
  const int chunk0 = blockIdx.y * chunksPerPart, count = min(chunks - chunk0, chunksPerPart);
  weights += (size_t)(group * chunks + chunk0) * STAGE_BYTES;
  shifts += group * chunks + chunk0;

  // A thread has the four channels from 4·(thread % 16) on of every (THREADS / 16)th row, from the copy to the halves.
  constexpr int VECTORS = BM * 16 / THREADS;
  const int row = thread / 16, quarter = thread % 16;
  const float *from = a + (size_t)(row0 + row) * inner + chunk0 * 64 + quarter * 4;
  auto load = [&](int chunk) {
    const u32 to = sharedAddress(raw + (chunk & 1) * RAW_BYTES) + thread * 16;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      const bool valid = row0 + row + j * (THREADS / 16) < pixels;
      copyAsync16(to + j * (THREADS * 16), valid ? from + chunk * 64 + (size_t)j * (THREADS / 16) * inner : a, valid);
    }
    const u32 stage = sharedAddress(ofWeights + chunk % WEIGHT_STAGES * STAGE_BYTES) + thread * 16;
    const u8 *laid = weights + (size_t)chunk * STAGE_BYTES + thread * 16;
#pragma unroll
    for (int i = 0; i < STAGE_BYTES; i += THREADS * 16) {
      if (STAGE_BYTES % (THREADS * 16) == 0 || i + thread * 16 < STAGE_BYTES) copyAsync16(stage + i, laid + i, true);
    }
  };
  Shift shift;
  Values operand;
  /** A chunk becomes halves; the factor that the sums so far take. All threads meet once. */
  auto place = [&](int chunk) {
    const float4 *own = (const float4 *)(raw + (chunk & 1) * RAW_BYTES) + thread;
    u32 most = 0;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) most = max(most, operand.largest(own[j * THREADS]));
    most = __reduce_max_sync(0xffffffffu, most);
    if (lane == 0) slots[warp] = most;
    __syncthreads();
    for (int i = 0; i < THREADS / 32; i++) most = max(most, slots[i]);
    const int ofChunk = shifts[chunk];
    const float factor = shift.adopt(shiftFor(most) + ofChunk);
    operand.scale = shift.value - ofChunk < -126 ? 0.0f : powerOfTwo(shift.value - ofChunk);
    static_assert(THREADS % 128 == 0, "a thread's rows agree modulo 8");
    u8 *to = halves + (chunk & 1) * HALVES_BYTES + placeOf(row, quarter);
#pragma unroll
    for (int j = 0; j < VECTORS; j++) *(uint2 *)(to + j * (THREADS * 8)) = operand.halves(own[j * THREADS]);
    return factor;
  };

  load(0);
  commitCopies();
  if (count > 1) load(1);
  commitCopies();
  waitForCopies<1>();
  place(0);
  float sums[TILES][8][4] = {};
  const int r = warp * 16 + lane % 16;
  for (int chunk = 0; chunk < count; chunk++) {
    // Halves and weights of this chunk are there, and all are done with those of the one before.
    publishCopies();
    __syncthreads();
    const u32 tileA = sharedAddress(halves + (chunk & 1) * HALVES_BYTES) + r * 128;
    u32 fragments[4][4];
#pragma unroll
    for (int k = 0; k < 4; k++) loadMatrices(fragments[k], tileA + (((2 * k + lane / 16) ^ (r & 7)) * 16));
    const u32 tileB = sharedAddress(ofWeights + chunk % WEIGHT_STAGES * STAGE_BYTES);
    auto multiply = [&](bool transposed) {
      beginGroup();
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const u32 from = tileB + k * (transposed ? 32 : 2048);
#pragma unroll
        for (int n = 0; n < TILES; n++) multiplyF16Group64(sums[n], fragments[k], describeColumns(from + n * 8192), transposed);
      }
      endGroup();
    };
    // The form of an instruction is a constant.
    if (transposed) multiply(true);
    else multiply(false);
    if (chunk + 2 < count) load(chunk + 2);
    commitCopies();
    waitForCopies<1>();
    const float factor = chunk + 1 < count ? place(chunk + 1) : 1;
    waitForGroup();
    if (factor != 1.0f) {
#pragma unroll
      for (int i = 0; i < 32 * TILES; i++) (&sums[0][0][0])[i] *= factor;
    }
  }

  const ColumnSums<THREADS> ofColumns{shared};
  // From here on nobody reads the operands.
  if (columnSums) __syncthreads();
  result += (size_t)blockIdx.y * pixels * columns;
  const int first = 2 * (lane % 4), column0 = group * (64 * TILES) + first;
#pragma unroll
  for (int i = 0; i < 8 * TILES; i++) {
    const int column = column0 + 8 * i;
    const float2 added = biasOfTwo(bias, column);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = warp * 16 + lane / 4 + 8 * half, pixel = row0 + row;
      const float2 products = make_float2(shift.back(sums[i / 8][i % 8][2 * half]), shift.back(sums[i / 8][i % 8][2 * half + 1]));
      // Not contracted: the product is rounded before.
      const float2 outputs = make_float2(__fadd_rn(products.x, added.x), __fadd_rn(products.y, added.y));
      const bool isThere = pixel < pixels;
      if (isThere) *(float2 *)(result + (size_t)pixel * columns + column) = outputs;
      if (columnSums) ofColumns.put(row, first + 8 * (i % 8), isThere ? outputs : make_float2(0, 0));
    }
    if (columnSums && i % 8 == 7) ofColumns.write(columnSums + (size_t)(row0 / BM) * columns + (group * TILES + i / 8) * 64);
  }
}

#endif
