// Counts of bits that meet, C_ij = Σ_k w[i]·x[j] for bits i of w and j of x, on Hopper's binary matrix unit (eight
// times the products per clock of 8-bit integers): the loop over tiles and the inner axis that a product by bits and
// the gradients of a structure share. Pairs of bits whose counts have the same factor are a group and share their
// sums.
// Operands are packed beforehand (approximate-bits.cu: `pack_codes` or `pack_windows`, and `pack_weights`). A unit is
// 128 steps of the inner axis (ky, kx, channel) of one plane, 16 bytes: 128 channels of a tap (CB = 128), or 64 of each
// of two taps that follow each other (CB = 64). With WINDOWS a packed pixel is the whole window of an output pixel, its
// inner axis in place of channels, zeros behind the last; to the counts the layer then has one tap.
//   x [pixel][block of CB channels][plane j][CB / 8 bytes]
//   w [tile of 64 columns][unit][plane i, the highest first][column][16 bytes]
// A stage has four units. In shared memory 8 rows × 16 bytes are contiguous, as the unit reads them without swizzle;
// the planes of x are 16 bytes further apart, so that copies of all planes of a row meet all banks.
// A block is persistent: one warpgroup copies stages, tile after tile, and two count, 64 rows × 64 columns each
// (BM = 128), or both the same rows, each its half of the stages (BM = 64). The bits of x come from registers. A unit
// that is alone in the last stage is multiplied for two pairs of a diagonal, (i, j) and (i − 1, j + 1), at once.
// Many groups of a single pair, a θ for each product say, would make a long program: they are counted in a loop whose
// rounds have a plane of x each; four of them have sums at once.
// -D: WBITS, ABITS, CB (64 or 128), BM (128 or 64), KH, KW, WINDOWS (0 or 1), STAGES (2 or 3), TAIL (units of the last
// stage, 0 if it is whole; BM = 64: 0, the stage is filled with zeros), GROUPS; lists: PAIR_W, PAIR_X (bits of each
// pair, group after group), MATES (1: the pair takes the next one along in a unit that is alone, 2: it is that one, 0:
// neither), FIRSTS (where each group begins, and the number of pairs). SINGLES: pairs that are counted in the loop;
// ROUND, a divisor: those of a round, 4 to 8; lists SINGLE_W, SINGLE_X, their bits.
#pragma once
#include "lists.cuh"

/** One warpgroup that copies, two that count. */
#define COPIERS 128
#define COUNTERS 256
#define THREADS (COPIERS + COUNTERS)
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
/**
 * Tiles whose rows are known at once: the one whose outputs are stored, those of all stages that are under way, and the
 * next, which is located before a stage of it is free.
 */
#define ROW_TILES (STAGES + 2)

LIST(weightBitOf, PAIR_W)
LIST(inputBitOf, PAIR_X)
LIST(mateOf, MATES)
LIST(firstOf, FIRSTS)
#if SINGLES
LIST(singleWeightBitOf, SINGLE_W)
LIST(singleInputBitOf, SINGLE_X)
/**
 * Where the planes of a pair are in a stage, in its two parts (of x that of the first of a round counts), and what the
 * pair's counts are multiplied with.
 */
struct Single {
  u32 a, b, factor;
};
/** Fills those of all pairs; `factorOf(Constant<pair>)`. All threads of a block call it. */
template <typename FactorOf> INLINE void placeSingles(Single *singles, FactorOf factorOf) {
  forEachConstant<0, SINGLES>([&](auto at) {
    constexpr int pair = decltype(at)::value, i = singleWeightBitOf(pair), j = singleInputBitOf(pair);
    if (threadIdx.x == pair) singles[pair] = {j * PLANE_A, (WBITS - 1 - i) * PLANE_B, factorOf(at)};
  });
}
#else
struct Single {};
#endif
/** Singles whose sums are formed at once. */
#define IN_FLIGHT 4

/** Of the packed pixels. */
#define TAPS (WINDOWS ? 1 : KH * KW)

/** Of the rows of a tile where the window begins, and the sum of its codes. */
struct Rows {
  int y[BM], x[BM], sum[BM];
};

/** In shared memory behind the stages; `blocks`, as many as the stages of a tile have, is the end. */
struct Control {
  /** A plane of weights that is empty. */
  uint4 zeros[BN];
  u64 full[STAGES], empty[STAGES];
  Rows rows[ROW_TILES];
  /** The pixel that each tap of each row meets in the tile that is copied, −1 outside the image; behind them no tap. */
  int pixels[TAPS + 1][BM];
  /** Of each block of channels of the inner axis its tap and its place in a pixel. */
  int2 blocks[1];
};

/** Packed operands and their extents. */
struct Bits {
  const u8 *x, *w;
  /** Of the codes of x: [pixel][channels / 64]. */
  const int *sums;
  /** Of a packed pixel. */
  int channels;
  int units, columnTiles, tiles;
  INLINE int stages() const { return (units + UNITS - 1) / UNITS; }
  INLINE int row0(int tile) const { return tile / columnTiles * BM; }
  INLINE int column0(int tile) const { return tile % columnTiles * BN; }
};

/** For each block of channels where it is; behind the last there is no tap. */
INLINE void locateBlocks(Control &control, const Bits &bits) {
  const int perTap = bits.channels / CB;
  for (int at = threadIdx.x; at < bits.stages() * BLOCKS; at += THREADS) {
    const int tap = at / perTap;
    control.blocks[at] = make_int2(min(tap, TAPS), at - tap * perTap);
  }
}

/** Fills what copying and storing a tile need to know of its rows; those behind the last one read nothing. */
INLINE void locateRows(Control &control, Rows &rows, int row0, const Geometry &g) {
  const int r = threadIdx.x;
  if (r >= BM) return;
  const int row = row0 + r, count = g.pixels();
  int image, oy, ox;
  g.locate(min(row, count - 1), image, oy, ox);
  const int y = row < count ? oy * g.strideY - g.paddingY : -(1 << 20), x = ox * g.strideX - g.paddingX;
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++) {
#if WINDOWS
    control.pixels[tap][r] = row < count ? row : -1;
#else
    const int sy = y + tap / KW * g.dilationY, sx = x + tap % KW * g.dilationX;
    control.pixels[tap][r] = (u32)sy < (u32)g.h && (u32)sx < (u32)g.w ? (image * g.h + sy) * g.w + sx : -1;
#endif
  }
  control.pixels[TAPS][r] = -1;
  rows.y[r] = y;
  rows.x[r] = x;
}

/** Sums the codes of located rows, each by the thread that located it; as many reads as it has registers go at once. */
INLINE void sumRows(const Control &control, Rows &rows, const Bits &bits) {
  const int r = threadIdx.x, pieces = bits.channels / 64;
  if (r >= BM) return;
  constexpr int TOGETHER = TAPS > 4 ? 1 : 16 / TAPS;
  int sum = 0;
#pragma unroll TOGETHER
  for (int piece = 0; piece < pieces; piece++) {
#pragma unroll
    for (int tap = 0; tap < TAPS; tap++) {
      const int pixel = control.pixels[tap][r];
      const int ofPiece = bits.sums[(size_t)max(pixel, 0) * pieces + piece];
      sum += pixel < 0 ? 0 : ofPiece;
    }
  }
  rows.sum[r] = sum;
}

/** Copies the bits of x of `units` units of a stage to shared memory; the packed planes have less than 2^32 bytes. */
INLINE void copyRows(u32 to, int stage, int units, const Control &control, const Bits &bits) {
  // A thread copies one plane of one part of a unit, of some rows.
  constexpr int LANES = ABITS * PARTS, ROWS = COPIERS / LANES, COUNT = (BM + ROWS - 1) / ROWS, BYTES = CB / 8;
  const int plane = threadIdx.x % ABITS, part = threadIdx.x / ABITS % PARTS, r0 = threadIdx.x / LANES;
  if (r0 >= ROWS) return;
  const u32 pixelBytes = bits.channels / 8 * ABITS;
  u32 into = to + plane * PLANE_A + part * BYTES + r0 * 16;
  const int2 *block = control.blocks + stage * BLOCKS + part;
#pragma unroll 1
  for (int unit = 0; unit < units; unit++, block += PARTS, into += UNIT_A) {
    const int *pixels = control.pixels[block->x] + r0;
    const u8 *from = bits.x + (block->y * ABITS + plane) * BYTES;
    int met[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; i++) met[i] = BM % ROWS == 0 || r0 + i * ROWS < BM ? pixels[i * ROWS] : -1;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      if (BM % ROWS != 0 && r0 + i * ROWS >= BM) break;
      const u8 *source = from + (u32)max(met[i], 0) * pixelBytes;
#if CB == 128
      copyAsync16(into + i * (ROWS * 16), source, met[i] >= 0);
#else
      copyAsync8(into + i * (ROWS * 16), source, met[i] >= 0);
#endif
    }
  }
}

/** The place of a stage in shared memory, and the phase of its barriers: they go round. */
struct Slot {
  int at = 0;
  u32 phase = 0;
  INLINE void next() {
    if (++at == STAGES) {
      at = 0;
      phase ^= 1;
    }
  }
};

/** The bits of a warp's 16 rows × 256 steps: those at the shared address `a` and, behind them, at a + stride. */
INLINE void loadHalves(u32 (&bits)[4], u32 a, int stride) {
  const int lane = threadIdx.x % 32;
  loadMatrices(bits, a + lane / 16 * stride + lane % 16 * 16);
}

/**
 * Counts of a stage for all groups, `take(Constant<group>, sums)` for each in turn; FULL pairs of units from the
 * begin of `a` and `b`, and where ALONE one more unit. `a`: shared address of the warp's rows, `b`: of the weights,
 * `zeros`: of a plane of zeros behind both.
 */
template <int FULL, bool ALONE, typename Take> INLINE void countStage(u32 a, u32 b, u32 zeros, Take take) {
  u32 bits[ABITS][FULL + ALONE][4];
#pragma unroll
  for (int plane = 0; plane < ABITS; plane++) {
#pragma unroll
    for (int step = 0; step < FULL; step++) loadHalves(bits[plane][step], a + step * 2 * UNIT_A + plane * PLANE_A, UNIT_A);
    // The plane and the next one; behind the last there is something that meets zeros.
    if (ALONE) loadHalves(bits[plane][FULL], a + FULL * 2 * UNIT_A + plane * PLANE_A, PLANE_A);
  }
  // Two groups take turns: while one is counted the sums of the other are taken.
  int sums[2][8][4];
  forEachConstant<0, GROUPS + 1>([&](auto at) {
    constexpr int group = decltype(at)::value;
    if constexpr (group < GROUPS) {
      int(*d)[4] = sums[group % 2];
      beginGroup();
      forEachConstant<firstOf(group), firstOf(group + 1)>([&](auto of) {
        constexpr int pair = decltype(of)::value, i = weightBitOf(pair), j = inputBitOf(pair), mate = mateOf(pair);
        constexpr bool begins = pair == firstOf(group);
        constexpr int plane = (WBITS - 1 - i) * PLANE_B;
#pragma unroll
        for (int step = 0; step < FULL; step++) {
          countBitsGroup64(d, bits[j][step], halvesAt(b, plane + step * 2 * UNIT_B, UNIT_B), begins && step == 0);
        }
        if constexpr (ALONE && mate < 2) {
          // A pair without a neighbour: its second half meets zeros.
          const u64 w = mate == 1 ? halvesAt(b, plane + FULL * 2 * UNIT_B, PLANE_B) : halvesAnd(b, plane + FULL * 2 * UNIT_B, zeros);
          countBitsGroup64(d, bits[j][FULL], w, begins && FULL == 0);
        }
      });
      endGroup();
    }
    if constexpr (group > 0) {
      constexpr int taken = group - 1;
      int(*d)[4] = sums[taken % 2];
      waitForGroup<(group < GROUPS ? 1 : 0)>();
      takeSums(d);
      take(Constant<taken>{}, d);
    }
  });
}

#if SINGLES
/**
 * Counts of a stage for all singles: for each of a round in turn `take(first, Constant<number>, sums)`, then
 * `end(first)`; else as countStage.
 */
template <int FULL, bool ALONE, typename Take, typename End>
INLINE void countSingles(u32 a, u32 b, u32 zeros, const Single *singles, Take take, End end) {
#pragma unroll 1
  for (int first = 0; first < SINGLES; first += ROUND) {
    // Four at a time have registers. Of sums that were used again in a round, ptxas 13.0 left the first products out.
    int sums[ROUND][8][4];
    // The compiler wants that none is under way from one round to the next, which reads another plane of x.
    u32 bits[FULL + ALONE][4];
    const u32 plane = a + singles[first].a;
#pragma unroll
    for (int step = 0; step < FULL; step++) loadHalves(bits[step], plane + step * 2 * UNIT_A, UNIT_A);
    if (ALONE) loadHalves(bits[FULL], plane + FULL * 2 * UNIT_A, PLANE_A);
    forEachConstant<0, ROUND + IN_FLIGHT - 1>([&](auto at) {
      constexpr int begun = decltype(at)::value, taken = begun - (IN_FLIGHT - 1);
      if constexpr (begun < ROUND) {
        int(*d)[4] = sums[begun];
        const u32 of = b + singles[first + begun].b;
        beginGroup();
#pragma unroll
        for (int step = 0; step < FULL; step++) countBitsGroup64(d, bits[step], halvesAt(of, step * 2 * UNIT_B, UNIT_B), step == 0);
        // The second half meets zeros.
        if (ALONE) countBitsGroup64(d, bits[FULL], halvesAnd(of, FULL * 2 * UNIT_B, zeros), FULL == 0);
        endGroup();
      }
      if constexpr (taken >= 0) {
        constexpr int rest = ROUND - 1 - taken;
        waitForGroup<(rest < IN_FLIGHT - 1 ? rest : IN_FLIGHT - 1)>();
        takeSums(sums[taken]);
        take(first, Constant<taken>{}, sums[taken]);
      }
    });
    end(first);
  }
}
#endif

/**
 * The tiles of a block. Of the warpgroups that count, each calls for its part of a tile `begin(tile)`, for each stage
 * `beginStage()` when it is there, for each group of it `take(Constant<group>, sums)`, for rounds of the `singles`
 * `takeSingle` and `endRound` (countSingles), and `finish(tile, rows)`; their warps and threads count from 0.
 */
template <typename Begin, typename BeginStage, typename Take, typename TakeSingle, typename EndRound, typename Finish>
INLINE void countTiles(u8 *shared, const Bits &bits, const Geometry &g, const Single *singles, Begin begin, BeginStage beginStage, Take take,
                       TakeSingle takeSingle, EndRound endRound, Finish finish) {
  Control &control = *(Control *)(shared + STAGES * STAGE_BYTES);
  const u32 base = sharedAddress(shared), full = sharedAddress(control.full), empty = sharedAddress(control.empty);
  const u32 zeros = sharedAddress(control.zeros);
  if (threadIdx.x == 0) {
    for (int slot = 0; slot < STAGES; slot++) {
      initBarrier(full + 8 * slot, COPIERS + 1);
      initBarrier(empty + 8 * slot, COUNTERS / 32);
    }
    publishBarriers();
  }
  if (threadIdx.x < BN) control.zeros[threadIdx.x] = make_uint4(0, 0, 0, 0);
  locateBlocks(control, bits);
  publishCopies();
  __syncthreads();
  const int stages = bits.stages();
  Slot slot;
  if (threadIdx.x < COPIERS) {
    // Together as many as the block is launched with, 168 for each thread: for more it would wait for ever.
    giveRegisters<72>();
    for (int tile = blockIdx.x, number = 0; tile < bits.tiles; tile += gridDim.x, number++) {
      // All are done with the pixels of the tile before.
      meet(1, COPIERS);
      Rows &rows = control.rows[number % ROW_TILES];
      locateRows(control, rows, bits.row0(tile), g);
      meet(1, COPIERS);
      const u8 *weights = bits.w + (size_t)(tile % bits.columnTiles) * bits.units * UNIT_B;
      for (int stage = 0; stage < stages; stage++) {
        waitForPhase(empty + 8 * slot.at, slot.phase ^ 1);
        const u32 to = base + slot.at * STAGE_BYTES;
        const int units = min(UNITS, bits.units - stage * UNITS);
        if (threadIdx.x == 0) {
          const u32 bytes = units * UNIT_B;
          arriveWithBytes(full + 8 * slot.at, bytes);
          copyBulk(to + UNITS * UNIT_A, weights + (size_t)stage * UNITS * UNIT_B, bytes, full + 8 * slot.at);
        }
        copyRows(to, stage, WARPS_K > 1 ? UNITS : units, control, bits);
        // Needed when the tile ends: its first copies are under way meanwhile.
        if (stage == 0) sumRows(control, rows, bits);
        arriveWithCopies(full + 8 * slot.at);
        // All blocks begin at once, and the way from L2 is what they wait for: the first stage has it for itself.
        if (number == 0 && stage == 0) waitForPhase(full + 8 * slot.at, slot.phase);
        slot.next();
      }
    }
    waitForAllCopies();
  } else {
    takeRegisters<216>();
    const int warp = threadIdx.x / 32 - COPIERS / 32, warpgroup = warp / 4;
    // Of a shared tile the rows of this warp, or the half of the stage that its warpgroup has.
    const u32 ofA = WARPS_K == 1 ? warp * 256 : warpgroup * 2 * UNIT_A + warp % 4 * 256;
    const u32 ofB = UNITS * UNIT_A + (WARPS_K == 1 ? 0 : warpgroup * 2 * UNIT_B);
    const int whole = TAIL ? stages - 1 : stages;
    auto count = [&](auto pairs, auto alone) {
      const u32 a = base + slot.at * STAGE_BYTES + ofA, b = base + slot.at * STAGE_BYTES + ofB;
      waitForPhase(full + 8 * slot.at, slot.phase);
      beginStage();
#if GROUPS
      countStage<decltype(pairs)::value, decltype(alone)::value != 0>(a, b, zeros, take);
#endif
#if SINGLES
      countSingles<decltype(pairs)::value, decltype(alone)::value != 0>(a, b, zeros, singles, takeSingle, endRound);
#endif
      __syncwarp();
      if (threadIdx.x % 32 == 0) arriveAt(empty + 8 * slot.at);
      slot.next();
    };
    for (int tile = blockIdx.x, number = 0; tile < bits.tiles; tile += gridDim.x, number++) {
      begin(tile);
      for (int stage = 0; stage < whole; stage++) count(Constant<STEPS>{}, Constant<0>{});
#if TAIL
      count(Constant<TAIL / 2>{}, Constant<TAIL % 2>{});
#endif
      finish(tile, control.rows[number % ROW_TILES]);
    }
  }
}
