// Products of f32 matrices in batches on matrix units: y[batch] = scale·a[batch]·b[batch]. A block has one tile of one
// batch, so that small matrices are one block each; the inner range is passed over as a whole.
// MODE (product.cuh): 0 a [rows][inner] by b [inner][columns], 1 b is [columns][inner], 2 a is [inner][rows]. STAGES
// stages by cp.async.
// VA, VB: words per copy of an operand: 4 where its contiguous axis is a multiple of 4 (16-byte alignment), else 1.
// PAIRS: 1 where the column count is even, so that results are stored two at a time.
#define WARPS_K 1
#include "product.cuh"

/** OUTER runs of INNER contiguous words from `outer0`, `inner0` on; zeros from the ends on. */
template <int OUTER, int INNER, int STRIDE, int V>
INLINE void copyTile(float *tile, const float *from, int pitch, int outer0, int outerEnd, int inner0, int innerEnd) {
  constexpr int CHUNKS = INNER / V, LANES = THREADS / CHUNKS;
  static_assert(THREADS % CHUNKS == 0 && OUTER % LANES == 0, "tile and threads");
  const int chunk = threadIdx.x % CHUNKS, lane = threadIdx.x / CHUNKS, inner = inner0 + chunk * V;
  // All addresses of single words at once would take too many registers.
#pragma unroll(V == 4 ? 16 : 4)
  for (int i = 0; i < OUTER / LANES; i++) {
    const int at = lane + i * LANES, outer = outer0 + at;
    const bool valid = outer < outerEnd && inner < innerEnd;
    copyWords<V>(sharedAddress(tile + at * STRIDE + chunk * V), from + (valid ? (size_t)outer * pitch + inner : 0), valid);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    matrix_product(const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ y, int rows, int columns, int inner, float scale) {
  extern __shared__ __align__(16) float shared[];
  const int columnTiles = (columns + BN - 1) / BN, tiles = (rows + BM - 1) / BM * columnTiles;
  const int batch = blockIdx.x / tiles, tile = blockIdx.x - batch * tiles;
  const int row0 = tile / columnTiles * BM, column0 = tile % columnTiles * BN;
  a += (size_t)batch * rows * inner;
  b += (size_t)batch * columns * inner;
  y += (size_t)batch * rows * columns;
  const int steps = (inner + BK - 1) / BK;

  auto load = [&](int step) {
    float *tileA = shared + (step % STAGES) * STAGE_WORDS, *tileB = tileA + A_WORDS;
    const int k0 = step * BK;
#if MODE == 2
    copyTile<BK, BM, A_STRIDE, VA>(tileA, a, rows, k0, inner, row0, rows);
#else
    copyTile<BM, BK, A_STRIDE, VA>(tileA, a, inner, row0, rows, k0, inner);
#endif
#if MODE == 1
    copyTile<BN, BK, B_STRIDE, VB>(tileB, b, inner, column0, columns, k0, inner);
#else
    copyTile<BK, BN, B_STRIDE, VB>(tileB, b, columns, k0, inner, column0, columns);
#endif
  };

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warpRow = (warp / WARPS_N) * (BM / WARPS_M), warpColumn = (warp % WARPS_N) * (BN / WARPS_N);
  float sums[MI][NI][4] = {};
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) {
    if (stage < steps) load(stage);
    commitCopies();
  }
  for (int step = 0; step < steps; step++) {
    waitForCopies<STAGES - 2>();
    __syncthreads();
    if (step + STAGES - 1 < steps) load(step + STAGES - 1);
    commitCopies();
    const float *tileA = shared + (step % STAGES) * STAGE_WORDS;
    multiplyStage(sums, tileA, tileA + A_WORDS, warpRow, warpColumn, 0);
  }

#pragma unroll
  for (int mi = 0; mi < MI; mi++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + warpRow + mi * 16 + lane / 4 + 8 * half;
      if (row >= rows) continue;
#pragma unroll
      for (int ni = 0; ni < NI; ni++) {
        const int column = column0 + warpColumn + ni * 8 + 2 * (lane % 4);
        float *to = y + (size_t)row * columns + column;
        const float low = scale * sums[mi][ni][2 * half], high = scale * sums[mi][ni][2 * half + 1];
        if (PAIRS) {
          if (column < columns) *(float2 *)to = make_float2(low, high);
        } else {
          if (column < columns) to[0] = low;
          if (column + 1 < columns) to[1] = high;
        }
      }
    }
}
