// Convolutions on f16 matrix units and their input gradients, see convolution-f16.cuh; weights are laid out beforehand
// (convolution-f16-weights.cu).
//   convolve_same y[p][n] = Σ_tap Σ_k a[p + tap][k]·b[tap][k][n]: forward, or input gradient with the same weights,
//   taps flipped and tiles transposed as they are read
// -D: LOADS (vectors of four channels that a thread reads per chunk of the operand with margins), and those of
// convolution-f16.cuh.
#include "convolution-f16.cuh"

#if WGMMA

#define BM 128
#define STAGES 4
#define TILE_BYTES 8192

/**
 * 128 pixels × 64 columns per block, two warpgroups of 64 pixels each. Grid: (row tiles × column tiles, parts of the
 * inner chunks, CLASSES where results are `scatter`ed to the classes of pixels, those with most taps first); each part
 * has its own result. `transposed`: of the tiles of b rows are columns, column tiles are chunks and the last tap is the
 * first. `columnSums`: of each row tile [columns], null for none. Shared memory: STAGES tiles of weights, then the
 * pixels with margins and the row of zeros.
 */
extern "C" __global__ void __launch_bounds__(256, 2)
    convolve_same(const float *__restrict__ a, const u8 *__restrict__ weights, const int *__restrict__ shifts, float *__restrict__ result,
                  double2 *__restrict__ columnSums, const Geometry geometry, int chunksPerPart, int transposed) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[8];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int chunks = g.c / 64, taps = g.kh * g.kw, columnTiles = g.o / 64, pixels = g.pixels();
  const int row0 = (blockIdx.x / columnTiles) * BM, columnTile = blockIdx.x % columnTiles;
  const int margin = marginOf(g), rows = BM + 2 * margin;
  // Each class of pixels has results of its own.
  const bool scatter = STRIDE > 1 && transposed;
  // With one tap only the first class has any.
  const int firstClass = scatter ? CLASSES - 1 - blockIdx.z : 0, classes = scatter || taps == 1 ? 1 : CLASSES;
  const PixelClass own(firstClass, g.paddingY, scatter);
  const int tapsPerChunk = scatter ? own.taps() : taps;
  const int chunk0 = blockIdx.y * chunksPerPart, chunk1 = tapsPerChunk == 0 ? chunk0 : min(chunks, chunk0 + chunksPerPart);
  const int steps = (chunk1 - chunk0) * tapsPerChunk;
  u8 *tileA = shared + STAGES * TILE_BYTES;
  if (thread < 8) *(uint4 *)(tileA + rows * 128 + thread * 16) = make_uint4(0, 0, 0, 0);

  // The pixel whose matrix row this lane addresses, and the taps that lie inside its image, by their sorted places.
  const int r = warp * 16 + lane % 16;
  u32 inside = 0;
  if (row0 + r < pixels) {
    int image, y, x;
    g.locate(row0 + r, image, y, x);
    for (int number = firstClass; number < firstClass + classes; number++) {
      const PixelClass of(number, g.paddingY, scatter);
      int place = of.before;
      for (int ky = 0; ky < of.ofY.count; ky++)
        for (int kx = 0; kx < of.ofX.count; kx++, place++)
          if ((u32)(y + of.y + ky) < (u32)g.oh && (u32)(x + of.x + kx) < (u32)g.ow) inside |= 1u << place;
    }
  }

  Staged<Values, LOADS, 256> staged;
  Values operand;
  int ofWeights = 0;
  auto fetch = [&](int chunk, int number) {
    ofWeights = shifts[transposed ? chunk * columnTiles + columnTile : columnTile * chunks + chunk];
    if (STRIDE == 1 || scatter) staged.fetch(a + chunk * 64, g.c, row0 - margin, pixels, rows);
    else staged.fetchClass(a + chunk * 64, g.c, row0 - margin, pixels, rows, g, PixelClass(number, g.paddingY, false));
  };
  // Tiles of weights: as they lie, or of each chunk those of the class from its last tap to its first.
  int tile = transposed ? (chunk0 * columnTiles + columnTile) * taps + own.before + tapsPerChunk - 1 : (columnTile * chunks + chunk0) * taps;
  int loaded = 0;
  auto load = [&](int step) {
    const u32 to = sharedAddress(shared + (step % STAGES) * TILE_BYTES) + thread * 16;
    const u8 *from = weights + (size_t)tile * TILE_BYTES + thread * 16;
    copyAsync16(to, from, true);
    copyAsync16(to + TILE_BYTES / 2, from + TILE_BYTES / 2, true);
    tile += transposed ? -1 : 1;
    if (transposed && ++loaded == tapsPerChunk) {
      loaded = 0;
      tile += columnTiles * taps + tapsPerChunk;
    }
  };

  if (steps > 0) fetch(chunk0, firstClass);
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) {
    if (stage < steps) load(stage);
    commitCopies();
  }
  float sums[8][4] = {};
  Shift shift;
  int step = 0;
  for (int chunk = chunk0, number = firstClass; chunk < chunk1;) {
    u32 most = staged.largest(operand);
    if (lane == 0) slots[warp] = most;
    // From here on nobody reads the previous chunk.
    __syncthreads();
    for (int i = 0; i < 8; i++) most = max(most, slots[i]);
    const float factor = shift.adopt(shiftFor(most) + ofWeights);
    operand.scale = shift.value - ofWeights < -126 ? 0.0f : powerOfTwo(shift.value - ofWeights);
    if (factor != 1.0f) {
#pragma unroll
      for (int i = 0; i < 32; i++) (&sums[0][0])[i] *= factor;
    }
    staged.store(tileA, operand, rows);
    const PixelClass of(number, g.paddingY, scatter);
    if (++number == firstClass + classes) {
      number = firstClass;
      chunk++;
    }
    if (chunk < chunk1) fetch(chunk, number);
    int distance = of.y * g.ow + of.x, kx = 0;
    for (int tap = of.before; tap < of.before + of.taps(); tap++, step++) {
      waitForCopies<STAGES - 2>();
      publishCopies();
      __syncthreads();
      if (step + STAGES - 1 < steps) load(step + STAGES - 1);
      commitCopies();
      const int row = (inside >> tap) & 1 ? r + margin + distance : rows;
      const u32 from = sharedAddress(tileA) + row * 128;
      u32 fragments[4][4];
#pragma unroll
      for (int k = 0; k < 4; k++) loadMatrices(fragments[k], from + (((2 * k + lane / 16) ^ (row & 7)) * 16));
      const u32 tileB = sharedAddress(shared + (step % STAGES) * TILE_BYTES);
      auto multiply = [&](bool transposed) {
        beginGroup();
#pragma unroll
        for (int k = 0; k < 4; k++) multiplyF16Group64(sums, fragments[k], describeColumns(tileB + k * (transposed ? 32 : 2048)), transposed);
        endGroup();
        waitForGroup();
      };
      // The form of an instruction is a constant.
      if (transposed) multiply(true);
      else multiply(false);
      distance++;
      if (++kx == of.ofX.count) {
        kx = 0;
        distance += g.ow - of.ofX.count;
      }
    }
  }

  const ColumnSums<256> ofColumns{shared};
  // From here on nobody reads the operands.
  if (columnSums) __syncthreads();
  result += (size_t)blockIdx.y * pixels * (scatter ? CLASSES : 1) * g.o;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = warp * 16 + lane / 4 + 8 * half, pixel = row0 + row, column = 2 * (lane % 4);
    const bool isThere = pixel < pixels;
    float *to = result + (size_t)(scatter ? own.place(g, pixel) : pixel) * g.o + columnTile * 64 + column;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const float2 outputs = make_float2(shift.back(sums[n][2 * half]), shift.back(sums[n][2 * half + 1]));
      if (isThere) *(float2 *)(to + 8 * n) = outputs;
      if (columnSums) ofColumns.put(row, column + 8 * n, isThere ? outputs : make_float2(0, 0));
    }
  }
  if (columnSums) ofColumns.write(columnSums + (size_t)(row0 / BM) * g.o + columnTile * 64);
}

#endif
