// Gradients of the weights of convolutions on f16 matrix units, see convolution-f16.cuh.
//   weight_gradient dw[tap][m][n] = Σ_p x[p + tap][m]·g[p][n], 3×3, with stride 2 also 1×1; x in f32 or, with CODES, as
//   codes of one scale and zero point
// -D: LOADS (vectors of four channels that a thread reads per chunk of the operand with margins), CODES (0 or 1), and
// those of convolution-f16.cuh.
#include "convolution-f16-codes.cuh"

#if WGMMA

/** As many as a window of 3×3 has rows, or the most of a class of its taps. */
#define WARPGROUPS (4 - STRIDE)
/**
 * 64 input × 64 output channels for all nine taps, or those of a class, per block; a warpgroup has the taps of one
 * kernel row. Grid: (tiles, parts of the pixels, classes, those with most taps first), a part has stagesPerPart × 64
 * pixels and its own result. Shared memory: 64 pixels of g, then those of x with margins and zeros. `unit`, `zero`: the
 * scale and the zero point of codes, else null.
 */
extern "C" __global__ void __launch_bounds__(128 * WARPGROUPS, STRIDE)
    weight_gradient(const Element *__restrict__ x, const float *__restrict__ unit, const float *__restrict__ zero,
                    const float *__restrict__ gradient, float *__restrict__ result, const Geometry geometry, int stagesPerPart) {
  constexpr int THREADS = 128 * WARPGROUPS, ROW_TAPS = WARPGROUPS, ROWS_G = (64 * 16 + THREADS - 1) / THREADS;
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[2][THREADS / 32];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, line = warp / 4, warpRow = warp % 4;
  const int columnTiles = g.o / 64, pixels = g.pixels();
  const int channel0 = (blockIdx.x / columnTiles) * 64, column0 = (blockIdx.x % columnTiles) * 64;
  const int first = blockIdx.y * stagesPerPart * 64, last = min(pixels, first + stagesPerPart * 64);
  const int margin = marginOf(g), rows = 64 + 2 * margin;
  const PixelClass of(gridDim.z - 1 - blockIdx.z, g.paddingY, false);
  u8 *tileG = shared, *tileX = shared + 8192;
  if (thread < 8) *(uint4 *)(tileX + rows * 128 + thread * 16) = make_uint4(0, 0, 0, 0);

  Staged<Input, LOADS, THREADS> stagedX;
  Staged<Values, ROWS_G, THREADS> stagedG;
  auto fetch = [&](int pixel0) {
    if (STRIDE == 1) stagedX.fetch(x + channel0, g.c, pixel0 - margin, pixels, rows);
    else stagedX.fetchClass(x + channel0, g.c, pixel0 - margin, pixels, rows, g, of);
    stagedG.fetch(gradient + column0, g.o, pixel0, last, 64);
  };

  float sums[ROW_TAPS][8][4] = {};
  Shift shiftX, shiftG;
  Input ofX(unit, zero);
  Values ofG;
  fetch(first);
  for (int pixel0 = first; pixel0 < last; pixel0 += 64) {
    u32 mostX = stagedX.largest(ofX), mostG = stagedG.largest(ofG);
    if (lane == 0) {
      slots[0][warp] = mostX;
      slots[1][warp] = mostG;
    }
    // From here on nobody reads the previous stage.
    __syncthreads();
    for (int i = 0; i < THREADS / 32; i++) {
      mostX = max(mostX, slots[0][i]);
      mostG = max(mostG, slots[1][i]);
    }
    const float factor = shiftX.adopt(shiftFor(mostX)) * shiftG.adopt(shiftFor(mostG));
    ofX.scale = powerOfTwo(shiftX.value);
    ofG.scale = powerOfTwo(shiftG.value);
    if (factor != 1.0f) {
#pragma unroll
      for (int i = 0; i < 32 * ROW_TAPS; i++) (&sums[0][0][0])[i] *= factor;
    }
    stagedX.store(tileX, ofX, rows);
    stagedG.store(tileG, ofG, 64);
    publishCopies();
    __syncthreads();
    if (pixel0 + 64 < last) fetch(pixel0 + 64);
    if (STRIDE > 1 && line >= of.ofY.count) continue;
#pragma unroll
    for (int k = 0; k < 4; k++) {
      // Matrix i of A: pixels 8·(i / 2) … of this quarter by channels 8·(i % 2) … of the warp's 16; transposed, rows
      // become channels.
      const int at = 16 * k + (lane / 16) * 8 + lane % 8;
      int image, py, px;
      g.locate(min(pixel0 + at, pixels - 1), image, py, px);
      const bool inside = (u32)(py + of.y + line) < (u32)g.oh;
      u32 fragments[ROW_TAPS][4];
#pragma unroll
      for (int kx = 0; kx < ROW_TAPS; kx++) {
        const bool valid = inside && (u32)(px + of.x + kx) < (u32)g.ow && (STRIDE == 1 || kx < of.ofX.count);
        const int row = valid ? at + margin + (of.y + line) * g.ow + of.x + kx : rows;
        loadMatricesTransposed(fragments[kx], sharedAddress(tileX) + row * 128 + (((2 * warpRow + (lane / 8) % 2) ^ (row & 7)) * 16));
      }
      beginGroup();
#pragma unroll
      for (int kx = 0; kx < ROW_TAPS; kx++) multiplyF16Group64(sums[kx], fragments[kx], describeColumns(sharedAddress(tileG) + k * 2048));
      endGroup();
      waitForGroup();
    }
  }

  if (STRIDE > 1 && line >= of.ofY.count) return;
  auto back = [&](float sum) { return shiftG.back(shiftX.back(sum)) * ofX.one(); };
  result += (size_t)blockIdx.y * g.kh * g.kw * g.c * g.o;
#pragma unroll
  for (int kx = 0; kx < ROW_TAPS; kx++) {
    if (STRIDE > 1 && kx >= of.ofX.count) continue;
    const int tap = (of.ofY.first + STRIDE * line) * g.kw + of.ofX.first + STRIDE * kx;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int channel = channel0 + warpRow * 16 + lane / 4 + 8 * half;
      float *to = result + ((size_t)tap * g.c + channel) * g.o + column0 + 2 * (lane % 4);
#pragma unroll
      for (int n = 0; n < 8; n++) {
        *(float2 *)(to + 8 * n) = make_float2(back(sums[kx][n][2 * half]), back(sums[kx][n][2 * half + 1]));
      }
    }
  }
}

#endif
