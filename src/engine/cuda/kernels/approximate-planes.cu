// The approximate convolution as one integer matrix product over planes (forward of axmConv2d for exact products,
// structures and factored tables):
//   Σ_k AxM(w, x) = Σ_k constant(w) + Σ_p Σ_k V_p(x)·U_p(w)
// V_p is made of the bits of x in registers: x & mask_p, one AND per four codes, or, where a place is given, the AND of
// the bits of the mask put at that place; or it is a function of x that is no short sum of such products, read from
// codes mapped beforehand (`map_codes`).
// U_p is tabulated for the codes of w and expanded once per step by `weights`: for a structure v_p(w) = w − Σ_i m[i, j]
// 2^i w[i] with the bits j of the plane, m in [0, 1], as one u8 digit where it is an integer, else as 1 + FDIGITS
// digits, a fixed-point number rounded to nearest whose digits sum to v·2^(8−WBITS) = digit0 + digit1/256 +
// digit2/65536; for a factored table one digit, u8 or s8, from the host (TABULATED).
// Sums are int32, one per position of the digits. They may wrap on the way (constant(w) can be large), the whole sum
// must not.
// A code of a padded tap is 0 and V_p(0) = 0, so it adds nothing in any plane; constant(w) is summed over the valid
// taps only (OFFSETS).
// Layout: x NHWC u8, w [kh, kw, I/groups, O] u8; the expanded weights are [group][K/32][slice][NP][32] with slice =
// (plane, digit) and NP = columns padded to BN: one stage's tile is contiguous. Rows of 32 bytes in shared memory; the
// two 16-byte halves of rows 4…7 of each 8 are swapped, so ldmatrix meets all banks. Tiling: BM×BN per block, WARPS_K
// chunks of 32 codes of the inner axis per stage, each for its own group of warps, whose sums are added at the end;
// STAGES stages.
// WGMMA = 1 (Hopper): a warpgroup's 64 rows × 64 or 128 columns per instruction, the bits from registers, the weights
// from shared memory.
// COLUMNS = 1: x was gathered to [pixel][group][KP] beforehand (`gather`): the path for channel counts that are no
// multiple of 16.
// -D: PLANES, SLICES (digits of all planes), SOURCES (the codes and their functions), WBITS, ABITS, ALL_SIGNS (those of
// any plane); lists (1)(2)(4) with an entry per plane: MASKS (bits of x), PLACES (where their AND goes, −1: they stay
// where they are; of a function: how far its values go left, which fit), READS (which source), SIGNS (1: V is signed,
// 2: U is), FRACTIONS (1: it has FDIGITS more digits), BITS (the bit j whose column of m it loses; −1: none).
#include "lists.cuh"
#include "output-tile.cuh"

#define THREADS (32 * WARPS_M * WARPS_N * WARPS_K)
#define MI (BM / WARPS_M / 16)
#define NI (BN / WARPS_N / 8)
#define CHUNK_BYTES ((SOURCES * BM + SLICES * BN) * 32)
#define STAGE_BYTES (WARPS_K * CHUNK_BYTES)
#define ACCUMULATORS (SLICES > PLANES ? 1 + FDIGITS : 1)

LIST(maskOf, MASKS)
LIST(placeOf, PLACES)
LIST(sourceOf, READS)
LIST(signsOf, SIGNS)
LIST(fractionOf, FRACTIONS)
LIST(bitOf, BITS)
INLINE constexpr int digitsOf(int plane) { return 1 + FDIGITS * fractionOf(plane); }
/**
 * Left shift of the weights of a plane: with a fraction the first digit uses all of its eight bits; all planes of a
 * kernel agree.
 */
#define WEIGHT_SHIFT (SLICES > PLANES ? 8 - WBITS : 0)
/** Planes whose operands are in registers at the same time; two such batches are under way. */
#define BATCH 8

/** V of a plane for four packed codes of its source. */
INLINE u32 operandOf(u32 codes, int plane) {
  const int mask = maskOf(plane), place = placeOf(plane);
  if (sourceOf(plane) > 0) return codes << place;
  if (place < 0) return codes & (u32)mask * 0x01010101u;
  u32 all = 0x01010101u << place;
#pragma unroll
  for (int bit = 0; bit < 8; bit++) {
    if ((mask >> bit) & 1) all &= bit > place ? codes >> (bit - place) : codes << (place - bit);
  }
  return all;
}

/** Offset of 16-byte half `half` of row `row` in a tile with rows of 32 bytes. */
INLINE u32 tileOffset(int row, int half) { return row * 32 + ((half ^ ((row >> 2) & 1)) * 16); }

#ifdef BM
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    multiply(const u8 *__restrict__ x, const u8 *__restrict__ mapped, int mappedStride, const u8 *__restrict__ weights,
             const int *__restrict__ tapSums, const int *__restrict__ tapConstants, const ZeroPoints zero,
             const float *__restrict__ bias, float *__restrict__ y, const Geometry geometry, int paddedInner, int paddedColumns) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ int rowBase[BM], rowY[BM], rowX[BM], rowSum[BM];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = blockIdx.z;
  const int gi = g.inputs(), columns = g.outputs(), rows = g.pixels(), inner = g.inner();
  const int columnTiles = paddedColumns / BN;
  const int row0 = (blockIdx.x / columnTiles) * BM, column0 = (blockIdx.x % columnTiles) * BN;
  const int chunks = paddedInner / 32, steps = (chunks + WARPS_K - 1) / WARPS_K;

  for (int r = thread; r < BM; r += THREADS) {
    const int row = row0 + r;
    int image, oy, ox;
    g.locate(min(row, rows - 1), image, oy, ox);
#if COLUMNS
    rowBase[r] = row < rows ? row : -1;
#else
    rowBase[r] = image * g.h * g.w;
#endif
    rowY[r] = row < rows ? oy * g.strideY - g.paddingY : -(1 << 20);
    rowX[r] = ox * g.strideX - g.paddingX;
    rowSum[r] = 0;
  }
  __syncthreads();

  // A thread copies the same half of the same chunk in every stage.
  const int half = thread % 2, chunkOfThread = thread / 2 % WARPS_K;
#if !COLUMNS
  // The tap in pixels from the window's begin.
  int channel = chunkOfThread * 32 + half * 16, tapX = 0, tapY = 0;
  const int endX = g.kw * g.dilationX;
  auto enterTap = [&]() {
    while (channel >= gi) {
      channel -= gi;
      if ((tapX += g.dilationX) == endX) { tapX = 0; tapY += g.dilationY; }
    }
  };
  enterTap();
#endif
  const u8 *weightTile = weights + (size_t)group * chunks * SLICES * paddedColumns * 32 + (size_t)column0 * 32;
  auto load = [&](int step, int stage) {
    const int chunk = step * WARPS_K + chunkOfThread;
    const u32 tileA = sharedAddress(shared + stage * STAGE_BYTES) + chunkOfThread * CHUNK_BYTES, tileB = tileA + SOURCES * BM * 32;
    const int k = chunk * 32 + half * 16, first = thread / (2 * WARPS_K);
    constexpr int LANES = THREADS / (2 * WARPS_K);
#pragma unroll
    for (int i = 0; i < BM / LANES; i++) {
      const int r = first + i * LANES;
#if COLUMNS
      const bool valid = rowBase[r] >= 0 && k < paddedInner;
      const size_t from = valid ? ((size_t)rowBase[r] * g.groups + group) * paddedInner + k : 0;
#else
      const int sy = rowY[r] + tapY, sx = rowX[r] + tapX;
      const bool valid = k < inner && (u32)sy < (u32)g.h && (u32)sx < (u32)g.w;
      const size_t from = valid ? (size_t)(rowBase[r] + sy * g.w + sx) * g.c + group * gi + channel : 0;
#endif
      copyAsync16(tileA + tileOffset(r, half), x + from, valid);
#pragma unroll
      for (int f = 0; f < SOURCES - 1; f++) {
        copyAsync16(tileA + (1 + f) * (BM * 32) + tileOffset(r, half), mapped + (size_t)f * mappedStride + from, valid);
      }
    }
#pragma unroll
    for (int i = 0; i < (SLICES * BN + LANES - 1) / LANES; i++) {
      const int row = first + i * LANES, slice = row / BN, n = row % BN;
      if (slice >= SLICES) break;
      const bool valid = chunk < chunks;
      const u8 *from = weightTile + (valid ? ((size_t)(chunk * SLICES + slice) * paddedColumns + n) * 32 + half * 16 : 0);
      copyAsync16(tileB + slice * (BN * 32) + tileOffset(n, half), from, valid);
    }
#if !COLUMNS
    channel += 32 * WARPS_K;
    enterTap();
#endif
  };

  int sums[ACCUMULATORS][MI][NI][4] = {};
  const int warpK = warp / (WARPS_M * WARPS_N), warpOfChunk = warp % (WARPS_M * WARPS_N);
  const int warpRow = (warpOfChunk / WARPS_N) * (BM / WARPS_M), warpColumn = (warpOfChunk % WARPS_N) * (BN / WARPS_N);
  // Addresses of this lane's matrix rows inside a stage.
  u32 rowA[MI];
#pragma unroll
  for (int mi = 0; mi < MI; mi++) rowA[mi] = tileOffset(warpRow + mi * 16 + lane % 16, lane / 16);
#if !WGMMA
  u32 rowB[NI / 2];
#pragma unroll
  for (int ni = 0; ni < NI / 2; ni++) {
    rowB[ni] = SOURCES * BM * 32 + tileOffset(warpColumn + ni * 16 + lane % 8 + (lane / 16) * 8, (lane / 8) % 2);
  }
#endif

#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) {
    if (stage < steps) load(stage, stage);
    commitCopies();
  }
  for (int step = 0; step < steps; step++) {
    waitForCopies<STAGES - 2>();
#if WGMMA
    publishCopies();
#endif
    __syncthreads();
    const int next = step + STAGES - 1;
    if (next < steps) load(next, next % STAGES);
    commitCopies();
    const u8 *stage = shared + (step % STAGES) * STAGE_BYTES;
    const u32 base = sharedAddress(stage) + warpK * CHUNK_BYTES;
#if WGMMA
    // One warp has 16 rows and all columns (MI = 1, NI = BN / 8), four warps make a group.
    u32 codes[SOURCES][4];
#pragma unroll
    for (int source = 0; source < SOURCES; source++) loadMatrices(codes[source], base + source * (BM * 32) + rowA[0]);
    int slice = 0;
#pragma unroll
    for (int first = 0; first < PLANES; first += BATCH) {
      u32 operands[BATCH][4];
#pragma unroll
      for (int plane = first; plane < min(first + BATCH, PLANES); plane++)
#pragma unroll
        for (int i = 0; i < 4; i++) operands[plane - first][i] = operandOf(codes[sourceOf(plane)][i], plane);
      beginGroup();
#pragma unroll
      for (int plane = first; plane < min(first + BATCH, PLANES); plane++) {
        const u32 tile = base + SOURCES * (BM * 32) + slice * (BN * 32);
        const u32(&v)[4] = operands[plane - first];
        const bool signedV = (ALL_SIGNS & 1) && (signsOf(plane) & 1), signedU = (ALL_SIGNS & 2) && (signsOf(plane) & 2);
        constexpr int COLUMN_SUMS = BN / 8;
        // A tile of 128 columns, or the two first digits of one of 64 side by side: one instruction.
        const bool together = BN == 64 && digitsOf(plane) >= 2;
        if (together) multiplyBytesGroup128(&sums[0][0][0], v, describeRows(tile));
#pragma unroll
        for (int digit = together ? 2 : 0; digit < digitsOf(plane); digit++) {
          int(*d)[4] = &sums[0][0][0] + digit * COLUMN_SUMS;
          const u64 u = describeRows(tile + digit * (BN * 32));
          if (BN == 128) multiplyBytesGroup128(d, v, u, signedV, signedU);
          else multiplyBytesGroup64(d, v, u, signedV, signedU);
        }
        slice += digitsOf(plane);
      }
      endGroup();
      // The batch before this one is done with its registers.
      if (first > 0) waitForGroup<1>();
    }
#else
    u32 codes[SOURCES][MI][4];
#pragma unroll
    for (int source = 0; source < SOURCES; source++)
#pragma unroll
      for (int mi = 0; mi < MI; mi++) loadMatrices(codes[source][mi], base + source * (BM * 32) + rowA[mi]);
    int slice = 0;
#pragma unroll
    for (int plane = 0; plane < PLANES; plane++) {
      u32 operands[MI][4];
      const bool signedV = (ALL_SIGNS & 1) && (signsOf(plane) & 1), signedU = (ALL_SIGNS & 2) && (signsOf(plane) & 2);
#pragma unroll
      for (int mi = 0; mi < MI; mi++)
#pragma unroll
        for (int i = 0; i < 4; i++) operands[mi][i] = operandOf(codes[sourceOf(plane)][mi][i], plane);
#pragma unroll
      for (int digit = 0; digit < digitsOf(plane); digit++) {
#pragma unroll
        for (int ni = 0; ni < NI / 2; ni++) {
          u32 w[4];
          loadMatrices(w, base + rowB[ni] + slice * (BN * 32));
#pragma unroll
          for (int mi = 0; mi < MI; mi++) {
            multiplyBytes(sums[digit][mi][2 * ni], operands[mi], w[0], w[1], signedV, signedU);
            multiplyBytes(sums[digit][mi][2 * ni + 1], operands[mi], w[2], w[3], signedV, signedU);
          }
        }
        slice++;
      }
    }
#endif
#pragma unroll
    for (int i = 0; i < (BM + THREADS - 1) / THREADS; i++) {
      const int r = thread + i * THREADS;
      if (r < BM) {
        u32 sum = rowSum[r];
#pragma unroll
        for (int chunk = 0; chunk < WARPS_K; chunk++) {
          const uint4 *row = (const uint4 *)(stage + chunk * CHUNK_BYTES + r * 32);
          const uint4 p = row[0], q = row[1];
          sum = __dp4a(p.x, 0x01010101u, sum);
          sum = __dp4a(p.y, 0x01010101u, sum);
          sum = __dp4a(p.z, 0x01010101u, sum);
          sum = __dp4a(p.w, 0x01010101u, sum);
          sum = __dp4a(q.x, 0x01010101u, sum);
          sum = __dp4a(q.y, 0x01010101u, sum);
          sum = __dp4a(q.z, 0x01010101u, sum);
          sum = __dp4a(q.w, 0x01010101u, sum);
        }
        rowSum[r] = (int)sum;
      }
    }
#if WGMMA
    waitForGroup();
#endif
  }
  waitForCopies<0>();
  __syncthreads();
#if WARPS_K > 1
  // The first group of warps takes over the others' sums.
  constexpr int GROUP = 32 * WARPS_M * WARPS_N;
  for (int from = 1; from < WARPS_K; from++) {
    int *exchange = (int *)shared + thread % GROUP;
    if (warpK == from) {
#pragma unroll
      for (int i = 0; i < ACCUMULATORS * MI * NI * 4; i++) exchange[i * GROUP] = (&sums[0][0][0][0])[i];
    }
    __syncthreads();
    if (warpK == 0) {
#pragma unroll
      for (int i = 0; i < ACCUMULATORS * MI * NI * 4; i++) (&sums[0][0][0][0])[i] += exchange[i * GROUP];
    }
    __syncthreads();
  }
#endif

  // Sums of the weight codes, and of their constants, over rectangles of taps.
  const Rectangles ofCodes = {(int *)shared, BN}, ofConstants = {ofCodes.sums + (g.kh + 1) * (g.kw + 1) * BN, BN};
  const int areaWords = (g.kh + 1) * (g.kw + 1) * BN;
  const ColumnTerms terms((double *)(ofCodes.sums + (1 + OFFSETS) * areaWords), BN);
  for (int i = thread; i < (1 + OFFSETS) * BN; i += THREADS) {
    const int n = i % BN, column = column0 + n < columns ? group * columns + column0 + n : -1;
    sumRectangles(i < BN ? ofCodes : ofConstants, i < BN ? tapSums : tapConstants, n, column, g.o, g.kh, g.kw);
    if (i >= BN || column < 0) continue;
    terms.scale[n] = (double)*zero.xScale * zero.wScale[column];
    terms.zero[n] = zero.wZero[column];
    terms.bias[n] = biasOf(bias, column);
    terms.ofCodes[n] = ofCodes.sums[areaWords - BN + n];
  }
  __syncthreads();
  if (warpK > 0) return;

  const OutputTile tile = {row0, column0, group, warpRow, warpColumn, rowSum, rowY, rowX};
  storeDequantized<MI, NI, FOURS>(tile, terms, ofCodes, g, *zero.xZero, y, [&](int mi, int ni, int element, const TapsInside &taps, int n) {
    const int2 constants = OFFSETS ? taps(ofConstants.sums + n) : make_int2(0, 0);
    double2 pair = {0, 0};
#pragma unroll
    for (int digit = ACCUMULATORS - 1; digit >= 0; digit--) {
      // Added as integers that wrap: only the whole must fit.
      const u32 first = sums[digit][mi][ni][element] + (digit == 0 ? constants.x : 0);
      const u32 second = sums[digit][mi][ni][element + 1] + (digit == 0 ? constants.y : 0);
      pair.x = pair.x * 0.00390625 + doubleOf((int)first);
      pair.y = pair.y * 0.00390625 + doubleOf((int)second);
    }
    return make_double2(pair.x / (1 << WEIGHT_SHIFT), pair.y / (1 << WEIGHT_SHIFT));
  });
}
#else

/**
 * Expands weight codes to the digits of U_p(w), transposed to 32 inner codes per column. Block: 256 threads, 32 inner
 * codes × WIDTH columns, at most 64.
 * Grid: (inner / 32, padded columns / WIDTH, groups). `given`: the structure m, f32 [WBITS, ABITS], or TABULATED: the
 * digits, u8 [SLICES][2^WBITS].
 */
extern "C" __global__ void __launch_bounds__(256)
    weights(const u8 *__restrict__ w, const void *__restrict__ given, u8 *__restrict__ expanded, int inner, int columns, int stride,
            int paddedColumns) {
  __shared__ u8 table[SLICES][1 << WBITS];
  __shared__ u8 tile[32][WIDTH + 4];
  const int thread = threadIdx.x, step = blockIdx.x, column0 = blockIdx.y * WIDTH, group = blockIdx.z;
#if TABULATED
  for (int i = thread; i < (SLICES << WBITS); i += 256) table[i >> WBITS][i & ((1 << WBITS) - 1)] = ((const u8 *)given)[i];
#else
  for (int code = thread; code < (1 << WBITS); code += 256) {
    const float *m = (const float *)given;
    int slice = 0;
#pragma unroll
    for (int plane = 0; plane < PLANES; plane++) {
      double value = code;
      if (bitOf(plane) >= 0) {
        for (int i = 0; i < WBITS; i++) {
          if ((code >> i) & 1) value -= (double)m[i * ABITS + bitOf(plane)] * (1 << i);
        }
      }
      constexpr int SHIFT = WEIGHT_SHIFT;
      const int places = 8 * (digitsOf(plane) - 1), highest = (256 << places) - 1;
      const int fixed = min(max(__double2int_rn(value * (1 << (SHIFT + places))), 0), highest);
      for (int digit = 0; digit < digitsOf(plane); digit++) table[slice++][code] = (u8)(fixed >> (places - 8 * digit));
    }
  }
#endif
  for (int i = thread; i < 32 * WIDTH; i += 256) {
    const int k = step * 32 + i / WIDTH, column = column0 + i % WIDTH;
    tile[i / WIDTH][i % WIDTH] = k < inner && column < columns ? w[(size_t)k * stride + group * columns + column] : 0;
  }
  __syncthreads();
  for (int i = thread; i < WIDTH * 8; i += 256) {
    const int n = i / 8, k4 = (i % 8) * 4;
    const u8 codes[4] = {tile[k4][n], tile[k4 + 1][n], tile[k4 + 2][n], tile[k4 + 3][n]};
#pragma unroll
    for (int slice = 0; slice < SLICES; slice++) {
      const u32 word = table[slice][codes[0]] | table[slice][codes[1]] << 8 | table[slice][codes[2]] << 16 |
                       (u32)table[slice][codes[3]] << 24;
      const size_t row = ((size_t)(group * gridDim.x + step) * SLICES + slice) * paddedColumns + column0 + n;
      *(u32 *)(expanded + row * 32 + k4) = word;
    }
  }
}
#endif
