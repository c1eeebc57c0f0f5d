// Weights of convolutions on f16 matrix units: the tiles that `convolve_same` (convolution-f16.cu) copies as they are.
// Kernel: lay_out. -D: those of convolution-f16.cuh.
#include "convolution-f16.cuh"

#if WGMMA

/**
 * tiles[column tiles][chunk][tap, sorted by class] = 64 inner × 64 column halves, shifts[column tiles][chunk] their
 * power of two. w is [tap][inner][column], or, transposed, [last tap − tap][column][inner]. With a single tap
 * `together` neighbouring column tiles lie in the place of taps and share their power of two, else it is 1.
 * Grid: (chunks, column tiles / together).
 */
extern "C" __global__ void __launch_bounds__(512)
    lay_out(const float *__restrict__ w, u8 *__restrict__ tiles, int *__restrict__ shifts, int inner, int columns, int taps, int transposed,
            int padding, int together) {
  __shared__ u32 slots[16];
  const int chunk = blockIdx.x, group = blockIdx.y, columnTile = group * together, thread = threadIdx.x;
  // Both ways the block's weights are 64 rows of 64 neighbours per tap.
  const int length = transposed ? inner : columns, rows = transposed ? columns : inner;
  w += (size_t)((transposed ? columnTile : chunk) * 64) * length + (transposed ? chunk : columnTile) * 64;
  // From one tap to the next, or from one column tile to that beside it.
  const size_t apart = together == 1 ? (size_t)rows * length : transposed ? 64 * (size_t)length : 64;
  const int units = together == 1 ? taps : together;
  auto read = [&](int unit, int row, int quarter) { return *(const float4 *)(w + unit * apart + (size_t)row * length + 4 * quarter); };
  u32 most = 0;
#pragma unroll 6
  for (int i = thread; i < units * 64 * 16; i += 512) most = max(most, largestOf(read(i / 1024, i / 16 % 64, i % 16)));
  most = __reduce_max_sync(0xffffffffu, most);
  if (thread % 32 == 0) slots[thread / 32] = most;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 16; i++) most = max(most, slots[i]);
  const int shift = shiftFor(most);
  const float scale = powerOfTwo(shift);
  if (thread == 0) shifts[group * gridDim.x + chunk] = shift;

  tiles += (size_t)(group * gridDim.x + chunk) * units * 8192;
  if (!transposed) {
#pragma unroll 6
    for (int i = thread; i < units * 64 * 16; i += 512) {
      const int tap = i / 1024, k = i / 16 % 64, quarter = i % 16;
      *(uint2 *)(tiles + sortedPlace(tap, padding) * 8192 + placeOf(k, quarter)) = scaledHalves(read(tap, k, quarter), scale);
    }
    return;
  }
  // Four columns by four inner ones a time; neighbouring threads read rows of 128 bytes and write 32 to each row.
  for (int i = thread; i < units * 16 * 16; i += 512) {
    const int tap = i / 256, column = i % 4 + i / 32 % 4 * 4, k = i / 4 % 8 + i / 128 % 2 * 8;
    float4 v[4];
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = read(together == 1 ? taps - 1 - tap : tap, 4 * column + j, k);
    u8 *to = tiles + sortedPlace(tap, padding) * 8192;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float *from = &v[0].x + j;
      *(uint2 *)(to + placeOf(4 * k + j, column)) = scaledHalves(make_float4(from[0], from[4], from[8], from[12]), scale);
    }
  }
}

#endif
