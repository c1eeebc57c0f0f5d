// Gradient of a trained structure by counts of bits that meet (axmConv2dGradients; the weights' own gradient is an
// ordinary product): with g the output gradient and C_ij of approximate-bits.cuh,
//   dm[i, j] = −2^(i+j) xScale Σ_{pixel, o} wScale[o] g[pixel, o] C_ij[pixel, o]
// Pairs of bits of one power whose parameter is the same are a group, whose sum is formed once.
// Counts are multiplied as those of approximate-bits.cu are: wScale·g, scaled by 2^96 (it is finite below 2^32), with
// counts as they are, and the sums are those of a scale of 2^−53.
// Sums are f32 in a thread, doubles over the blocks, always in the same order.
// Kernels: structure_dots, add_dots.
#ifdef BM
#include "approximate-bits.cuh"

/** Of what the counts are multiplied with. */
#define SCALE 0x1p96f

/**
 * partials[block][group, then single] = Σ over the tiles of the block. Grid: as many blocks as the device has
 * multiprocessors, or one per tile. -D, beside those of approximate-bits.cuh: PAIRS (the
 * columns are even).
 */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    structure_dots(const Bits bits, const float *__restrict__ gradient, const float *__restrict__ wScale, float *__restrict__ partials,
                   const Geometry geometry) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ float warpSums[COUNTERS / 32][GROUPS + SINGLES];
  __shared__ Single singles[SINGLES + 1];
#if SINGLES
  // Of singles the sums of every fourth lane.
  __shared__ float laneSums[SINGLES][COUNTERS / 32][4];
  placeSingles(singles, [](auto) { return 0u; });
  for (int at = threadIdx.x; at < SINGLES * (COUNTERS / 32) * 4; at += THREADS) (&laneSums[0][0][0])[at] = 0;
#endif
  const Geometry &g = geometry;
  const int thread = threadIdx.x - COPIERS, warp = thread / 32, lane = threadIdx.x % 32, pixels = g.pixels();
  // In the places of a warp's counts: rows group and group + 8, columns 2·quad and 2·quad + 1 of each eight.
  // All is set where warps count, and read there: other warps have fewer registers.
  float factors[8][4], sums[GROUPS + 1], ofRound[8];
  int firstColumn;
  bool isScaled;
  // The first stage of a tile is there, and so are the gradients, which were asked for before it.
  auto scaleOnce = [&]() {
    if (isScaled) return;
    isScaled = true;
#pragma unroll
    for (int ni = 0; ni < 8; ni++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const float scale = wScale[min(firstColumn + ni * 8 + i, g.o - 1)] * SCALE;
        factors[ni][i] *= scale;
        factors[ni][2 + i] *= scale;
      }
  };
  auto dot = [&](const int(*counts)[4]) {
    float dots[4] = {};
#pragma unroll
    for (int ni = 0; ni < 8; ni++)
#pragma unroll
      for (int i = 0; i < 4; i++) dots[i] = fmaf(__int_as_float(counts[ni][i]), factors[ni][i], dots[i]);
    return (dots[0] + dots[1]) + (dots[2] + dots[3]);
  };
  countTiles(
      shared, bits, g, singles,
      [&](int tile) {
        const int row = bits.row0(tile) + warp * 16 % BM + lane / 4;
        firstColumn = bits.column0(tile) + lane % 4 * 2;
        isScaled = false;
        if (tile == blockIdx.x) {
#pragma unroll
          for (int group = 0; group < GROUPS; group++) sums[group] = 0;
        }
#pragma unroll
        for (int ni = 0; ni < 8; ni++)
#pragma unroll
          for (int part = 0; part < 2; part++) {
            const int pixel = row + 8 * part, o = firstColumn + ni * 8;
            const float *from = gradient + (size_t)pixel * g.o + o;
            float2 value = {};
            if (pixel < pixels && o < g.o) {
              if (PAIRS) value = *(const float2 *)from;
              else value = make_float2(from[0], o + 1 < g.o ? from[1] : 0.0f);
            }
            factors[ni][2 * part] = value.x;
            factors[ni][2 * part + 1] = value.y;
          }
      },
      scaleOnce, [&](auto group, const int(*counts)[4]) { sums[decltype(group)::value] += dot(counts); },
      [&](int first, auto at, const int(*counts)[4]) { ofRound[decltype(at)::value] = dot(counts); },
      [&](int first) {
#if SINGLES
        // Lanes halve what they have to sum, until each has one of the round, of every fourth lane.
        constexpr int HALVED = ROUND > 4 ? 8 : 4;
#pragma unroll
        for (int i = ROUND; i < HALVED; i++) ofRound[i] = 0;
        int at = 0;
        forEachConstant<2, 5>([&](auto step) {
          constexpr int distance = 64 >> decltype(step)::value, half = HALVED * 2 >> decltype(step)::value;
          if constexpr (half == 0) ofRound[0] += __shfl_xor_sync(0xffffffffu, ofRound[0], distance);
#pragma unroll
          for (int i = 0; i < half; i++) {
            const bool upper = lane & distance;
            const float given = upper ? ofRound[i] : ofRound[i + half];
            ofRound[i] = (upper ? ofRound[i + half] : ofRound[i]) + __shfl_xor_sync(0xffffffffu, given, distance);
          }
          if (lane & distance) at += half;
        });
        if (at < ROUND && (HALVED == 8 || (lane & 4) == 0)) laneSums[first + at][warp][lane % 4] += ofRound[0];
#endif
      },
      [&](int tile, const Rows &) {
        if (tile + gridDim.x < bits.tiles) return;
#pragma unroll
        for (int group = 0; group < GROUPS; group++) {
#pragma unroll
          for (int distance = 16; distance > 0; distance /= 2) sums[group] += __shfl_xor_sync(0xffffffffu, sums[group], distance);
          if (lane == 0) warpSums[warp][group] = sums[group];
        }
#if SINGLES
        __syncwarp();
        for (int at = lane; at < SINGLES; at += 32) {
          const float *of = laneSums[at][warp];
          warpSums[warp][GROUPS + at] = (of[0] + of[1]) + (of[2] + of[3]);
        }
#endif
      });
  __syncthreads();
  if (threadIdx.x < GROUPS + SINGLES) {
    float sum = 0;
    for (int i = 0; i < COUNTERS / 32; i++) sum += warpSums[i][threadIdx.x];
    partials[blockIdx.x * (GROUPS + SINGLES) + threadIdx.x] = sum;
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
