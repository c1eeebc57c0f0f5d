// Gradient of a trained structure by counts of bits that meet (axmConv2dGradients; the weights' own gradient is an
// ordinary product): with g the output gradient and C_ij of approximate-bits.cuh,
//   dm[i, j] = −2^(i+j) xScale Σ_{pixel, o} wScale[o] g[pixel, o] C_ij[pixel, o]
// Pairs of bits of one power whose parameter is the same are a group, whose sum is formed once.
// Counts are below 2^23: the bits of one, read as a float, are the denormal number count·2^−149, which a multiplication
// takes as it takes any other. So wScale·g, scaled by 2^96 against underflow, is multiplied with counts as they are.
// Sums are f32 in a thread, doubles over the blocks, always in the same order.
// Kernels: structure_dots, add_dots.
#ifdef BM
#include "approximate-bits.cuh"

/** Of what the counts are multiplied with. */
#define SCALE 0x1p96f

/**
 * partials[block][firstGroup + group] = Σ over the tiles of the block, of `allGroups` groups in all. Tiles are rows ×
 * columns, a block has each gridDim.x-th. -D, beside those of approximate-bits.cuh: PAIRS (the columns are even).
 */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    structure_dots(const u8 *__restrict__ x, const u8 *__restrict__ w, const float *__restrict__ gradient,
                   const float *__restrict__ wScale, float *__restrict__ partials, const Geometry geometry, int units,
                   int paddedColumns, int tiles, int firstGroup, int allGroups) {
  extern __shared__ __align__(128) u8 shared[];
  __shared__ Rows rows;
  __shared__ float warpSums[THREADS / 32][GROUPS];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int columnTiles = paddedColumns / BN, pixels = g.pixels();
  int2 *blocks = (int2 *)(shared + STAGES * STAGE_BYTES);
  locateBlocks(blocks, (units + UNITS - 1) / UNITS * BLOCKS, g);

  float sums[GROUPS] = {};
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row0 = tile / columnTiles * BM, column0 = tile % columnTiles * BN;
    locateRows(rows, row0, g);
    __syncthreads();
    // In the places of the warp's sums: rows group and group + 8, columns 2·quad and 2·quad + 1 of each eight.
    float factors[8][4];
    const int row = row0 + warp * 16 % BM + lane / 4, column = column0 + lane % 4 * 2;
#pragma unroll
    for (int ni = 0; ni < 8; ni++)
#pragma unroll
      for (int part = 0; part < 2; part++) {
        const int pixel = row + 8 * part, o = column + ni * 8;
        const float *from = gradient + (size_t)pixel * g.o + o;
        float2 value = {};
        if (pixel < pixels && o < g.o) {
          if (PAIRS) value = *(const float2 *)from;
          else value = make_float2(from[0], o + 1 < g.o ? from[1] : 0.0f);
          value.x *= wScale[o] * SCALE;
          value.y *= wScale[min(o + 1, g.o - 1)] * SCALE;
        }
        factors[ni][2 * part] = value.x;
        factors[ni][2 * part + 1] = value.y;
      }
    countBits(shared, x, w, rows, blocks, column0, units, paddedColumns, g, [&](auto group, const int(*counts)[4]) {
      float dots[4] = {};
#pragma unroll
      for (int ni = 0; ni < 8; ni++)
#pragma unroll
        for (int i = 0; i < 4; i++) dots[i] = fmaf(__int_as_float(counts[ni][i]), factors[ni][i], dots[i]);
      sums[decltype(group)::value] += (dots[0] + dots[1]) + (dots[2] + dots[3]);
    });
  }

#pragma unroll
  for (int group = 0; group < GROUPS; group++) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) sums[group] += __shfl_xor_sync(0xffffffffu, sums[group], distance);
    if (lane == 0) warpSums[warp][group] = sums[group];
  }
  __syncthreads();
  if (thread < GROUPS) {
    float sum = 0;
    for (int i = 0; i < THREADS / 32; i++) sum += warpSums[i][thread];
    partials[blockIdx.x * allGroups + firstGroup + thread] = sum;
  }
}
#else
#include "common.cuh"

#define SHARES 8

/**
 * dm from the sums of `blocks` blocks: that of a group at the entry which it is of, 0 elsewhere. `groupOf`: by entry,
 * −1: none. Block: 64 entries × SHARES of the blocks, which are added in order. -D: WBITS, ABITS.
 */
extern "C" __global__ void __launch_bounds__(64 * SHARES)
    add_dots(const float *__restrict__ partials, const int *__restrict__ groupOf, const float *__restrict__ xScale,
             float *__restrict__ dm, int blocks, int groups) {
  __shared__ double sums[SHARES][64];
  const int entry = threadIdx.x % 64, share = threadIdx.x / 64;
  const int group = entry < WBITS * ABITS ? groupOf[entry] : -1;
  double sum = 0;
  if (group >= 0) {
#pragma unroll 4
    for (int block = share; block < blocks; block += SHARES) sum += partials[block * groups + group];
  }
  sums[share][entry] = sum;
  __syncthreads();
  if (threadIdx.x >= WBITS * ABITS) return;
  for (int other = 1; other < SHARES; other++) sum += sums[other][entry];
  // The counts' 2^−149 and the scale of what they were multiplied with.
  dm[entry] = group < 0 ? 0.0f : (float)(sum * 0x1p53 * -(double)(1 << (entry / ABITS + entry % ABITS)) * *xScale);
}
#endif
