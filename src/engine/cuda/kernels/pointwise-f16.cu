// Products of pixels' channels with a matrix of weights (1×1 windows of stride 1, linear layers) on f16 matrix units
// and their input gradients, see convolution-f16.cuh; weights are laid out beforehand (convolution-f16-weights.cu).
//   multiply_pixels y[p][n] = Σ_k a[p][k]·b[k][n] (+ bias[n])
// Without taps nothing is read twice from shared memory, so the way from L2 is what costs: a block has as many columns
// as registers allow, and while the unit multiplies one chunk the next one becomes halves.
// -D: TILES (tiles of 64 columns of a block), STRIDE 1, WGMMA.
#include "convolution-f16.cuh"

#if WGMMA

#define BM 128
#define STAGES 4
#define TILE_BYTES 8192
#define STAGE_BYTES (TILES * TILE_BYTES)

/**
 * `bias`: f32 [columns], null for none.
 * 128 pixels × TILES·64 columns per block, two warpgroups of 64 pixels each. Grid: (row tiles × column groups, parts of
 * the inner chunks); each part has its own result. Shared memory: STAGES chunks of weights, then two of pixels.
 */
extern "C" __global__ void __launch_bounds__(256, TILES > 2 ? 1 : 2)
    multiply_pixels(const float *__restrict__ a, const u8 *__restrict__ weights, const int *__restrict__ shifts,
                    const float *__restrict__ bias, float *__restrict__ result, int pixels, int inner, int columns, int chunksPerPart) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[8];
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int chunks = inner / 64, groups = columns / (64 * TILES);
  const int row0 = (blockIdx.x / groups) * BM, group = blockIdx.x % groups;
  const int chunk0 = blockIdx.y * chunksPerPart, chunk1 = min(chunks, chunk0 + chunksPerPart);
  u8 *tilesA = shared + STAGES * STAGE_BYTES;

  Staged<Values, BM * 16 / 256, 256> staged;
  Values operand;
  int ofWeights = 0;
  auto fetch = [&](int chunk) {
    ofWeights = shifts[group * chunks + chunk];
    staged.fetch(a + chunk * 64, inner, row0, pixels, BM);
  };
  auto load = [&](int chunk) {
    const u32 to = sharedAddress(shared + ((chunk - chunk0) % STAGES) * STAGE_BYTES) + thread * 16;
    const u8 *from = weights + (size_t)(group * chunks + chunk) * STAGE_BYTES + thread * 16;
#pragma unroll
    for (int i = 0; i < STAGE_BYTES; i += 256 * 16) copyAsync16(to + i, from + i, true);
  };
  Shift shift;
  /** What is staged becomes halves; the factor that the sums so far take. All threads meet once, behind their reads. */
  auto place = [&](int chunk) {
    u32 most = staged.largest(operand);
    if (lane == 0) slots[warp] = most;
    __syncthreads();
    for (int i = 0; i < 8; i++) most = max(most, slots[i]);
    const float factor = shift.adopt(shiftFor(most) + ofWeights);
    operand.scale = shift.value - ofWeights < -126 ? 0.0f : powerOfTwo(shift.value - ofWeights);
    staged.store(tilesA + ((chunk - chunk0) & 1) * (BM * 128), operand, BM);
    return factor;
  };

  fetch(chunk0);
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) {
    if (chunk0 + stage < chunk1) load(chunk0 + stage);
    commitCopies();
  }
  float sums[TILES][8][4] = {};
  place(chunk0);
  if (chunk0 + 1 < chunk1) fetch(chunk0 + 1);
  const int r = warp * 16 + lane % 16;
  for (int chunk = chunk0; chunk < chunk1; chunk++) {
    waitForCopies<STAGES - 2>();
    publishCopies();
    __syncthreads();
    const u32 from = sharedAddress(tilesA + ((chunk - chunk0) & 1) * (BM * 128)) + r * 128;
    u32 fragments[4][4];
#pragma unroll
    for (int k = 0; k < 4; k++) loadMatrices(fragments[k], from + (((2 * k + lane / 16) ^ (r & 7)) * 16));
    const u32 tileB = sharedAddress(shared + ((chunk - chunk0) % STAGES) * STAGE_BYTES);
    beginGroup();
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
      for (int n = 0; n < TILES; n++) multiplyF16Group64(sums[n], fragments[k], describeColumns(tileB + n * TILE_BYTES + k * 2048));
    }
    endGroup();
    float factor = 1;
    if (chunk + 1 < chunk1) {
      // Its barrier is behind every wait for the chunk before, whose weights are replaced.
      factor = place(chunk + 1);
      if (chunk + STAGES - 1 < chunk1) load(chunk + STAGES - 1);
      if (chunk + 2 < chunk1) fetch(chunk + 2);
    }
    commitCopies();
    waitForGroup();
    if (factor != 1.0f) {
#pragma unroll
      for (int i = 0; i < 32 * TILES; i++) (&sums[0][0][0])[i] *= factor;
    }
  }

  result += (size_t)blockIdx.y * pixels * columns;
  const int column0 = group * (64 * TILES) + 2 * (lane % 4);
#pragma unroll
  for (int i = 0; i < 8 * TILES; i++) {
    const int column = column0 + 8 * i;
    const float2 added = biasOfTwo(bias, column);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int pixel = row0 + warp * 16 + lane / 4 + 8 * half;
      if (pixel >= pixels) continue;
      const float first = shift.back(sums[i / 8][i % 8][2 * half]), second = shift.back(sums[i / 8][i % 8][2 * half + 1]);
      // Not contracted: the product is rounded before.
      *(float2 *)(result + (size_t)pixel * columns + column) = make_float2(__fadd_rn(first, added.x), __fadd_rn(second, added.y));
    }
  }
}

#endif
