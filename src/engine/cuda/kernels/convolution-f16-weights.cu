// Weights of convolutions on f16 matrix units: the tiles that `convolve_same` (convolution-f16.cu) and
// `multiply_pixels` (pointwise-f16.cu) copy as they are.
// Kernel: lay_out. -D: those of convolution-f16.cuh.
#include "convolution-f16.cuh"

#if WGMMA

#define THREADS 1024
/** Tiles of a block whose weights wait in registers for their power of two, as those of 3×3 windows do. */
#define HELD 9

/**
 * tiles[group][chunk][unit, taps sorted by class] = 64 × 64 halves of w, rows of 128 bytes, and shifts[group][chunk]
 * the power of two of its `units` tiles: the taps of a window, or neighbouring tiles of a single tap. Rows of w have
 * `length` floats; from one chunk, group or unit to the next there are so many as its `Apart` says. Grid: (chunks,
 * groups).
 */
KERNEL lay_out(const float *__restrict__ w, u8 *__restrict__ tiles, int *__restrict__ shifts, int length, int chunkApart, int groupApart,
               int unitApart, int units, int padding) {
  __shared__ u32 slots[THREADS / 32];
  static_assert(THREADS == 64 * 16, "a thread has the same vector of four floats of each tile");
  const int thread = threadIdx.x, row = thread / 16, quarter = thread % 16, at = blockIdx.y * gridDim.x + blockIdx.x;
  w += (size_t)blockIdx.x * chunkApart + (size_t)blockIdx.y * groupApart + (size_t)row * length + 4 * quarter;
  auto read = [&](int unit) { return *(const float4 *)(w + (size_t)unit * unitApart); };
  float4 held[HELD];
#pragma unroll
  for (int unit = 0; unit < HELD; unit++) held[unit] = unit < units ? read(unit) : make_float4(0, 0, 0, 0);
  u32 most = 0;
#pragma unroll
  for (int unit = 0; unit < HELD; unit++) most = max(most, largestOf(held[unit]));
#pragma unroll 4
  for (int unit = HELD; unit < units; unit++) most = max(most, largestOf(read(unit)));
  most = __reduce_max_sync(0xffffffffu, most);
  if (thread % 32 == 0) slots[thread / 32] = most;
  __syncthreads();
  most = __reduce_max_sync(0xffffffffu, slots[thread % 32]);
  const int shift = shiftFor(most);
  const float scale = powerOfTwo(shift);
  if (thread == 0) shifts[at] = shift;

  tiles += (size_t)at * units * 8192 + placeOf(row, quarter);
  auto write = [&](int unit, const float4 &v) { *(uint2 *)(tiles + sortedPlace(unit, padding) * 8192) = scaledHalves(v, scale); };
#pragma unroll
  for (int unit = 0; unit < HELD; unit++) {
    if (unit < units) write(unit, held[unit]);
  }
#pragma unroll 4
  for (int unit = HELD; unit < units; unit++) write(unit, read(unit));
}

#endif
