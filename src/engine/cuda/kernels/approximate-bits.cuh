// Counts of bits that meet, C_ij = Σ_k w[i]·x[j] for bits i of w and j of x, on Hopper's binary matrix unit (eight times
// the products per clock of 8-bit integers): the loop over the inner axis that a product by bits and the gradients of a
// structure share. Pairs of bits whose counts have the same factor are a group and share their sums.
// Operands are packed beforehand (approximate-bits.cu, `pack_codes` and `pack_weights`). A unit is 128 steps of the
// inner axis (ky, kx, channel) of one plane, 16 bytes: 128 channels of a tap (CB = 128), or 64 of each of two taps that
// follow each other (CB = 64). Inside a block of CB channels the order is that of packing, the same for both operands.
//   x [pixel][block of CB channels][plane j][CB / 8 bytes]; w [unit][plane i, the highest first][column][16 bytes]
// A stage has four units. In shared memory 8 rows × 16 bytes are contiguous, as the unit reads them without swizzle; the
// planes of x are 16 bytes further apart, so that copies of all planes of a row meet all banks.
// A block of two warpgroups has 128 rows × 64 columns, or 64 × 64 with the stages' halves shared out (BM = 64). The bits
// of x come from registers. A unit that is alone in the last stage is multiplied for two pairs of a diagonal, (i, j) and
// (i − 1, j + 1), at once.
// -D: WBITS, ABITS, CB (64 or 128), BM (128 or 64), STAGES (2 or 3), TAIL (units of the last stage, 0 if it is whole;
// BM = 64: 0, the stage is filled with zeros), GROUPS; lists: PAIR_W, PAIR_X (bits of each pair, group after group),
// MATES (1: the pair takes the next one along in a unit that is alone, 2: it is that one, 0: neither), FIRSTS (where each
// group begins, and the number of pairs).
#pragma once
#include "lists.cuh"

#define THREADS 256
#define BN 64
#define UNITS 4
#define WARPS_K (128 / BM)
#define STEPS (2 / WARPS_K)
#define PLANE_A (BM * 16 + 16)
#define UNIT_A (ABITS * PLANE_A)
#define PLANE_B (BN * 16)
#define UNIT_B (WBITS * PLANE_B)
#define STAGE_BYTES (UNITS * (UNIT_A + UNIT_B))
/** Blocks of channels in a unit, and in a stage. */
#define PARTS (128 / CB)
#define BLOCKS (UNITS * PARTS)

LIST(weightBitOf, PAIR_W)
LIST(inputBitOf, PAIR_X)
LIST(mateOf, MATES)
LIST(firstOf, FIRSTS)

/** Where the rows of a tile read: the first pixel of the image, and where the window begins. */
struct Rows {
  int base[BM], y[BM], x[BM];
};

/** Fills `rows` for the tile that begins at row0; rows behind the last one read nothing. */
INLINE void locateRows(Rows &rows, int row0, const Geometry &g) {
  for (int r = threadIdx.x; r < BM; r += THREADS) {
    const int row = row0 + r, count = g.pixels();
    int image, oy, ox;
    g.locate(min(row, count - 1), image, oy, ox);
    rows.base[r] = image * g.h * g.w;
    rows.y[r] = row < count ? oy * g.strideY - g.paddingY : -(1 << 20);
    rows.x[r] = ox * g.strideX - g.paddingX;
  }
}

/** For each block of channels of the inner axis its tap, dy << 16 | dx, and its place in a pixel; none behind the last. */
INLINE void locateBlocks(int2 *blocks, int count, const Geometry &g) {
  const int perTap = g.c / CB, all = g.kh * g.kw * perTap;
  for (int at = threadIdx.x; at < count; at += THREADS) {
    const int tap = at / perTap, ky = tap / g.kw, kx = tap - ky * g.kw;
    const int where = ky * g.dilationY << 16 | kx * g.dilationX;
    blocks[at] = make_int2(at < all ? where : 1 << 30, at - tap * perTap);
  }
}

/** Copies a stage of both operands to shared memory. */
INLINE void loadStage(u32 to, int stage, const u8 *x, const u8 *w, const Rows &rows, const int2 *blocks, int column0, int units,
                      int paddedColumns, const Geometry &g) {
  const int perPixel = g.c / CB;
  constexpr int COPIES = BM * PARTS * ABITS;
#pragma unroll
  for (int unit = 0; unit < UNITS; unit++) {
#pragma unroll
    for (int i = 0; i < (COPIES + THREADS - 1) / THREADS; i++) {
      const int at = threadIdx.x + i * THREADS;
      if (COPIES % THREADS != 0 && at >= COPIES) break;
      const int plane = at % ABITS, part = at / ABITS % PARTS, r = at / (ABITS * PARTS);
      const int2 block = blocks[stage * BLOCKS + unit * PARTS + part];
      const int sy = rows.y[r] + (block.x >> 16), sx = rows.x[r] + (block.x & 0xffff);
      const bool valid = (u32)sy < (u32)g.h && (u32)sx < (u32)g.w;
      const size_t from = valid ? ((size_t)(rows.base[r] + sy * g.w + sx) * perPixel + block.y) * ABITS + plane : 0;
      const u32 into = to + unit * UNIT_A + plane * PLANE_A + r * 16;
#if CB == 128
      copyAsync16(into, x + from * 16, valid);
#else
      copyAsync8(into + part * 8, x + from * 8, valid);
#endif
    }
  }
  constexpr int WEIGHTS = UNITS * WBITS * BN;
#pragma unroll
  for (int i = 0; i < (WEIGHTS + THREADS - 1) / THREADS; i++) {
    const int at = threadIdx.x + i * THREADS;
    if (WEIGHTS % THREADS != 0 && at >= WEIGHTS) break;
    const int n = at % BN, plane = at / BN % WBITS, unit = at / (BN * WBITS);
    const bool valid = stage * UNITS + unit < units;
    const size_t from = valid ? (size_t)((stage * UNITS + unit) * WBITS + plane) * paddedColumns + column0 + n : 0;
    copyAsync16(to + UNITS * UNIT_A + at * 16, w + from * 16, valid);
  }
}

/** The bits of a warp's 16 rows × 256 steps: `a` is the shared address of the first unit's row 0 of these. */
INLINE void loadBits(u32 (&bits)[4], u32 a, int plane) {
  const int lane = threadIdx.x % 32;
  loadMatrices(bits, a + lane / 16 * UNIT_A + plane * PLANE_A + lane % 16 * 16);
}

/**
 * Counts of a stage for all groups, `take(Constant<group>, sums)` for each in turn; FULL pairs of units from the begin of `a` and
 * `b`, and where ALONE one more unit. `a`: shared address of the warp's rows, `b`: of the weights.
 */
template <int FULL, bool ALONE, typename Take> INLINE void countStage(u32 a, u32 b, Take take) {
  u32 bits[ABITS][FULL + 1][4];
#pragma unroll
  for (int plane = 0; plane < ABITS; plane++) {
#pragma unroll
    for (int step = 0; step < FULL; step++) loadBits(bits[plane][step], a + step * 2 * UNIT_A, plane);
    if (ALONE) {
      u32 half[2];
      loadTwoMatrices(half, a + FULL * 2 * UNIT_A + plane * PLANE_A + threadIdx.x % 16 * 16);
      bits[plane][FULL][0] = half[0];
      bits[plane][FULL][1] = half[1];
    }
  }
  // Two groups take turns: while one is counted the sums of the other are taken. The first count of a group is not added
  // to what is there, but the compiler gives sums that begin anew other registers, of which there are not enough.
  int sums[2][8][4] = {};
  forEachConstant<0, GROUPS + 1>([&](auto at) {
    constexpr int group = decltype(at)::value;
    if constexpr (group < GROUPS) {
      int(*d)[4] = sums[group & 1];
      beginGroup();
      forEachConstant<firstOf(group), firstOf(group + 1)>([&](auto of) {
        constexpr int pair = decltype(of)::value, i = weightBitOf(pair), j = inputBitOf(pair), mate = mateOf(pair);
        constexpr bool begins = pair == firstOf(group);
        const u32 plane = b + (WBITS - 1 - i) * PLANE_B;
#pragma unroll
        for (int step = 0; step < FULL; step++) {
          countBitsGroup64(d, bits[j][step], describeHalves(plane + step * 2 * UNIT_B, UNIT_B), begins && step == 0);
        }
        if constexpr (ALONE && mate < 2) {
          constexpr int next = mate == 1 ? j + 1 : j;
          const u32 two[4] = {bits[j][FULL][0], bits[j][FULL][1], mate == 1 ? bits[next][FULL][0] : 0,
                              mate == 1 ? bits[next][FULL][1] : 0};
          countBitsGroup64(d, two, describeHalves(plane + FULL * 2 * UNIT_B, mate == 1 ? PLANE_B : 0), begins && FULL == 0);
        }
      });
      endGroup();
    }
    if constexpr (group > 0) {
      int(*d)[4] = sums[(group - 1) & 1];
      if constexpr (group < GROUPS) waitForGroup<1>();
      else waitForGroup();
      takeSums(d);
      take(Constant<group - 1>{}, d);
    }
  });
}

/** The loop over the inner axis: `take(Constant<group>, sums)` for each stage and group of a warpgroup's part of the tile. */
template <typename Take>
INLINE void countBits(u8 *shared, const u8 *x, const u8 *w, const Rows &rows, const int2 *blocks, int column0, int units,
                      int paddedColumns, const Geometry &g, Take take) {
  const int warp = threadIdx.x / 32, warpgroup = warp / 4;
  const int stages = (units + UNITS - 1) / UNITS;
  // Of a shared tile the rows of this warp, or the half of the stage that its warpgroup has.
  const u32 ofWarp = (WARPS_K == 1 ? warp : warp % 4) * 256;
  const u32 unitsA = WARPS_K == 1 ? 0 : warpgroup * 2 * UNIT_A, unitsB = WARPS_K == 1 ? 0 : warpgroup * 2 * UNIT_B;
  const u32 base = sharedAddress(shared);
  auto load = [&](int stage) {
    if (stage < stages) {
      loadStage(base + stage % STAGES * STAGE_BYTES, stage, x, w, rows, blocks, column0, units, paddedColumns, g);
    }
    commitCopies();
  };
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) load(stage);
  auto arrive = [&](int stage) {
    waitForCopies<STAGES - 2>();
    publishCopies();
    __syncthreads();
    load(stage + STAGES - 1);
    return base + stage % STAGES * STAGE_BYTES;
  };
  const int whole = TAIL ? stages - 1 : stages;
  for (int stage = 0; stage < whole; stage++) {
    const u32 tile = arrive(stage);
    countStage<STEPS, false>(tile + unitsA + ofWarp, tile + UNITS * UNIT_A + unitsB, take);
  }
#if TAIL
  const u32 tile = arrive(whole);
  countStage<TAIL / 2, TAIL % 2 == 1>(tile + ofWarp, tile + UNITS * UNIT_A, take);
#endif
  waitForCopies<0>();
  __syncthreads();
}
