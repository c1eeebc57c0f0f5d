// Gradients of the weights of 1×1 windows of stride 1 and of linear layers on f16 matrix units, see
// convolution-f16.cuh.
//   gradient_of_pixels dw[m][n] = Σ_p x[p][m]·g[p][n]; x in f32 or, with CODES, as codes of one scale and zero point
// -D: CODES (0 or 1), STRIDE 1, WGMMA.
#include "convolution-f16-codes.cuh"

#if WGMMA

#define TILE_BYTES 8192
#define BUFFER_BYTES (4 * TILE_BYTES)

/**
 * 128 input × 128 output channels per block, two warpgroups with 64 input channels each; where there are no more than
 * 64 left, the second tile of either is empty. Grid: (tiles, parts of the pixels), a part has stagesPerPart × 64 pixels
 * and its own result. Shared memory: two buffers of two tiles of x and two of g. `unit`, `zero`: the scale and the zero
 * point of codes, else null.
 */
extern "C" __global__ void __launch_bounds__(256, 1)
    gradient_of_pixels(const Element *__restrict__ x, const float *__restrict__ unit, const float *__restrict__ zero,
                       const float *__restrict__ gradient, float *__restrict__ result, int pixels, int inputs, int outputs,
                       int stagesPerPart) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[2][8];
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, line = warp / 4, warpRow = warp % 4;
  const int columnTiles = (outputs + 127) / 128;
  const int channel0 = (blockIdx.x / columnTiles) * 128, column0 = (blockIdx.x % columnTiles) * 128;
  const int first = blockIdx.y * stagesPerPart * 64, last = min(pixels, first + stagesPerPart * 64);
  const bool twoOfX = channel0 + 64 < inputs, twoOfG = column0 + 64 < outputs;

  Staged<Input, 4, 256> stagedX[2];
  Staged<Values, 4, 256> stagedG[2];
  auto fetch = [&](int pixel0) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      stagedX[i].fetch(x + channel0 + 64 * i, inputs, pixel0, i == 0 || twoOfX ? last : 0, 64);
      stagedG[i].fetch(gradient + column0 + 64 * i, outputs, pixel0, i == 0 || twoOfG ? last : 0, 64);
    }
  };
  Shift shiftX, shiftG;
  Input ofX(unit, zero);
  Values ofG;
  /** What is staged becomes halves; the factor that the sums so far take. All threads meet once, behind their reads. */
  auto place = [&](u8 *buffer) {
    u32 mostX = max(stagedX[0].largest(ofX), stagedX[1].largest(ofX)), mostG = max(stagedG[0].largest(ofG), stagedG[1].largest(ofG));
    if (lane == 0) {
      slots[0][warp] = mostX;
      slots[1][warp] = mostG;
    }
    __syncthreads();
    for (int i = 0; i < 8; i++) {
      mostX = max(mostX, slots[0][i]);
      mostG = max(mostG, slots[1][i]);
    }
    const float factor = shiftX.adopt(shiftFor(mostX)) * shiftG.adopt(shiftFor(mostG));
    ofX.scale = powerOfTwo(shiftX.value);
    ofG.scale = powerOfTwo(shiftG.value);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      stagedX[i].store(buffer + i * TILE_BYTES, ofX, 64);
      stagedG[i].store(buffer + (2 + i) * TILE_BYTES, ofG, 64);
    }
    return factor;
  };

  float sums[2][8][4] = {};
  fetch(first);
  place(shared);
  if (first + 64 < last) fetch(first + 64);
  int buffer = 0;
  for (int pixel0 = first; pixel0 < last; pixel0 += 64, buffer ^= BUFFER_BYTES) {
    publishCopies();
    __syncthreads();
    const u32 tileX = sharedAddress(shared + buffer + line * TILE_BYTES), tileG = sharedAddress(shared + buffer + 2 * TILE_BYTES);
    u32 fragments[4][4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      // Matrix i of A: pixels 8·(i / 2) … of this quarter by channels 8·(i % 2) … of the warp's 16; transposed, rows
      // become channels.
      const int row = 16 * k + (lane / 16) * 8 + lane % 8;
      loadMatricesTransposed(fragments[k], tileX + row * 128 + (((2 * warpRow + (lane / 8) % 2) ^ (row & 7)) * 16));
    }
    beginGroup();
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
      for (int n = 0; n < 2; n++) multiplyF16Group64(sums[n], fragments[k], describeColumns(tileG + n * TILE_BYTES + k * 2048));
    }
    endGroup();
    float factor = 1;
    if (pixel0 + 64 < last) {
      factor = place(shared + (buffer ^ BUFFER_BYTES));
      if (pixel0 + 128 < last) fetch(pixel0 + 128);
    }
    waitForGroup();
    if (factor != 1.0f) {
#pragma unroll
      for (int i = 0; i < 64; i++) (&sums[0][0][0])[i] *= factor;
    }
  }

  if (line == 1 && !twoOfX) return;
  auto back = [&](float sum) { return shiftG.back(shiftX.back(sum)) * ofX.one(); };
  result += (size_t)blockIdx.y * inputs * outputs;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int channel = channel0 + line * 64 + warpRow * 16 + lane / 4 + 8 * half;
    float *to = result + (size_t)channel * outputs + column0 + 2 * (lane % 4);
#pragma unroll
    for (int n = 0; n < 16; n++) {
      if (n == 8 && !twoOfG) break;
      const float(&sum)[4] = sums[n / 8][n % 8];
      *(float2 *)(to + 8 * n) = make_float2(back(sum[2 * half]), back(sum[2 * half + 1]));
    }
  }
}

#endif
