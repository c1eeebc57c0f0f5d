// Convolutions that keep the size of the image or halve it (stride 1 or 2, odd square kernel, half of it as padding,
// dense; heights and widths that the stride divides) on f16 matrix units of Hopper, for operands in f32: f16 has the 11
// significant bits of tf32 at half the bytes and twice the rate, and what its exponent lacks is a power of two per
// block. Each block scales what it reads so that its largest magnitude lies in [2^14, 2^15); where a later chunk has a
// larger one, the sums so far are scaled down, exactly. Weights are laid out with a power of two for each chunk, which
// the other operand makes good. Elements below 2^-29 of the largest lose bits, so the error
// relative to the whole is that of tf32.
// Since the image keeps its size, tap (ky, kx) of output pixel p is pixel p + (ky − padding)·w + kx − padding: a
// block's rows are a range of pixels with a margin on both sides, read once for all taps; taps outside the image point
// to a row of zeros.
// With stride 2 the pixels whose coordinates agree modulo 2 are a class, an image of the output's size: each tap meets
// one class, at a distance on the grid of output pixels. Forward, the classes are further chunks of the sum; each class
// of an input gradient is a product of its own, and so is that of each class with the output's gradient.
//   convolve_same y[p][n] = Σ_tap Σ_k a[p + tap][k]·b[tap][k][n]: forward, or input gradient with flipped taps and b
//   transposed
//   weight_gradient dw[tap][m][n] = Σ_p x[p + tap][m]·g[p][n], 3×3, with stride 2 also 1×1; x in f32 or, with CODES, as
//   codes of one scale and zero point
// Channels on both sides are multiples of 64. Shared tiles have rows of 128 bytes (64 halves), 16-byte chunk c of row r
// at c ^ (r % 8).
// -D: STRIDE (1 or 2), LOADS (vectors of four channels that a thread reads per chunk of the operand with margins),
// CODES (1: the weight gradient alone is there), WGMMA.
#include "common.cuh"

#if WGMMA

#define CLASSES (STRIDE * STRIDE)

/**
 * Along one axis, the taps of a window that meet pixels of class `at`: `first`, `first` + STRIDE, …, `count` of them.
 */
struct ClassTaps {
  int first, count;
  INLINE ClassTaps(int at, int padding) {
    first = STRIDE == 1 ? 0 : (padding + at) % STRIDE;
    count = (2 * padding + STRIDE - first) / STRIDE;
  }
};
/**
 * The taps of one class of pixels. Sorted by class, in the order of classes and within one by rows, they lie from
 * `before` on. `y`, `x`: how far on the grid of output pixels the first lies from the pixel; with `scatter` the
 * pixel is one of the class and what it meets is on the grid, else the other way about.
 */
struct PixelClass {
  int atY, atX, before, y, x;
  ClassTaps ofY, ofX;
  INLINE PixelClass(int number, int padding, bool scatter) : atY(number / STRIDE), atX(number % STRIDE), ofY(atY, padding), ofX(atX, padding) {
    const int ofZero = ClassTaps(0, padding).count;
    before = (atY ? ofZero * (2 * padding + 1) : 0) + (atX ? ofY.count * ofZero : 0);
    // What is divided is a multiple of the stride.
    y = (ofY.first - padding + (scatter ? atY : -atY)) / STRIDE;
    x = (ofX.first - padding + (scatter ? atX : -atX)) / STRIDE;
  }
  INLINE int taps() const { return ofY.count * ofX.count; }
  /** The number of the class's pixel at a pixel of the grid. */
  INLINE int place(const Geometry &g, int pixel) const {
    if (STRIDE == 1) return pixel;
    const int line = g.byRow.quotient(pixel), column = pixel - line * g.ow;
    return (STRIDE * line + atY) * (STRIDE * g.ow) + STRIDE * column + atX;
  }
};
/** Where a tap lies among those that are sorted by class. */
INLINE int sortedPlace(int tap, int padding) {
  if (STRIDE == 1) return tap;
  const int y = tap / (2 * padding + 1), x = tap - y * (2 * padding + 1);
  const PixelClass of((padding + y) % STRIDE * STRIDE + (padding + x) % STRIDE, padding, false);
  return of.before + y / STRIDE * of.ofX.count + x / STRIDE;
}
/** Pixels before and behind a range that its taps reach. */
INLINE int marginOf(const Geometry &g) { return (g.paddingY + STRIDE - 1) / STRIDE * (g.ow + 1); }

/**
 * The power of two that brings a magnitude, given as bits, to [2^14, 2^15); at most 126, for all that is smaller and
 * for zero.
 */
INLINE int shiftFor(u32 magnitude) { return min(126, 14 + 127 - (int)(magnitude >> 23)); }
/** 2^e, −126 ≤ e ≤ 127. */
INLINE float powerOfTwo(int e) { return __uint_as_float((u32)(e + 127) << 23); }
INLINE u32 magnitude(float x) { return __float_as_uint(x) & 0x7fffffffu; }
INLINE u32 largestOf(const float4 &v) { return max(max(magnitude(v.x), magnitude(v.y)), max(magnitude(v.z), magnitude(v.w))); }
INLINE u32 packF16(float low, float high) {
  u32 packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;\n" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
INLINE uint2 scaledHalves(const float4 &v, float scale) {
  return make_uint2(packF16(v.x * scale, v.y * scale), packF16(v.z * scale, v.w * scale));
}
/** Where vector `quarter` (four halves) of row `row` lies in a tile. */
INLINE u32 placeOf(int row, int quarter) { return row * 128 + (((quarter / 2) ^ (row & 7)) * 16) + (quarter % 2) * 8; }

/** An operand in f32: vectors of four channels, and the halves that they become when all are multiplied by `scale`. */
struct Values {
  typedef float Element;
  typedef float4 Vector;
  float scale = 1;
  INLINE Values() {}
  INLINE Values(const float *, const float *) {}
  static INLINE Vector zeros() { return make_float4(0, 0, 0, 0); }
  /** As bits. */
  INLINE u32 largest(const Vector &v) const { return largestOf(v); }
  INLINE uint2 halves(const Vector &v) const { return scaledHalves(v, scale); }
  /** What a value of one is worth. */
  INLINE float one() const { return 1; }
};
/**
 * The same of codes with one scale and zero point, as multiples of that scale: integers, which f16 holds exactly while
 * they have no more than 11 bits.
 */
struct Codes {
  typedef u8 Element;
  typedef u32 Vector;
  float scale = 1, unit, zero;
  INLINE Codes(const float *unit, const float *zero) : unit(*unit), zero(*zero) {}
  static INLINE Vector zeros() { return 0; }
  /** Of any codes, so that no chunk has a larger one than those before. */
  INLINE u32 largest(Vector) const { return max(magnitude(zero), magnitude(255 - zero)); }
  INLINE uint2 halves(Vector word) const {
    const float a = word & 0xff, b = word >> 8 & 0xff, c = word >> 16 & 0xff, d = word >> 24;
    return scaledHalves(make_float4(a - zero, b - zero, c - zero, d - zero), scale);
  }
  INLINE float one() const { return unit; }
};

/**
 * Vectors of four channels that the threads of a block hold on their way to a tile: thread i has quarter i % 16 of
 * every (THREADS / 16)th row.
 */
template <class Operand, int VECTORS, int THREADS> struct Staged {
  typedef typename Operand::Element Element;
  typedef typename Operand::Vector Vector;
  Vector v[VECTORS];
  /**
   * Rows from pixel `first` on, those outside 0 ≤ row < rows and first + row < last as zeros; `from` is the tensor's
   * first wanted channel.
   */
  INLINE void fetch(const Element *from, int channels, int first, int last, int rows) {
    const int row = threadIdx.x / 16;
    from += (long long)(first + row) * channels + (threadIdx.x % 16) * 4;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      const int at = row + j * (THREADS / 16), pixel = first + at;
      v[j] = at < rows && pixel >= 0 && pixel < last ? *(const Vector *)from : Operand::zeros();
      from += (THREADS / 16) * channels;
    }
  }
  /** The same of a class of pixels: `from` is its tensor's first wanted channel, rows are pixels of the grid. */
  INLINE void fetchClass(const Element *from, int channels, int first, int last, int rows, const Geometry &g, const PixelClass &of) {
    const int row = threadIdx.x / 16;
    from += (threadIdx.x % 16) * 4;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      const int at = row + j * (THREADS / 16), pixel = first + at;
      const bool wanted = at < rows && pixel >= 0 && pixel < last;
      v[j] = wanted ? *(const Vector *)(from + (size_t)of.place(g, pixel) * channels) : Operand::zeros();
    }
  }
  /** The largest magnitude of the warp's vectors, as bits. */
  INLINE u32 largest(const Operand &operand) const {
    u32 most = 0;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) most = max(most, operand.largest(v[j]));
    return __reduce_max_sync(0xffffffffu, most);
  }
  INLINE void store(u8 *tile, const Operand &operand, int rows) const {
    static_assert(THREADS % 128 == 0, "a thread's rows agree modulo 8");
    const int row = threadIdx.x / 16;
    tile += placeOf(row, threadIdx.x % 16);
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
      if (row + j * (THREADS / 16) < rows) *(uint2 *)(tile + j * (THREADS * 8)) = operand.halves(v[j]);
    }
  }
};

/**
 * A block's shift of one operand, or of the products of two; it only falls. `adopt` gives the factor that the sums so
 * far take.
 */
struct Shift {
  int value = 2 * 126;
  INLINE float adopt(int most) {
    const int next = min(value, most), fall = value - next;
    value = next;
    return fall > 126 ? 0.0f : powerOfTwo(-fall);
  }
  /** What the sums are multiplied by in the end. */
  INLINE float back(float sum) const {
    const int half = value / 2;
    return sum * powerOfTwo(-half) * powerOfTwo(half - value);
  }
};

#if !CODES

// Weights: the tiles that `convolve_same` copies as they are.

/**
 * tiles[column tile][chunk][tap, sorted by class] = 64 inner × 64 column halves, shifts[column tile][chunk] their power
 * of two. w is [tap][inner][column], or, transposed, [last tap − tap][column][inner].
 * Grid: (chunks, column tiles).
 */
extern "C" __global__ void __launch_bounds__(512)
    lay_out(const float *__restrict__ w, u8 *__restrict__ tiles, int *__restrict__ shifts, int inner, int columns, int taps, int transposed,
            int padding) {
  __shared__ u32 slots[16];
  const int chunk = blockIdx.x, columnTile = blockIdx.y, thread = threadIdx.x;
  // Both ways the block's weights are 64 rows of 64 neighbours per tap.
  const int length = transposed ? inner : columns, rows = transposed ? columns : inner;
  w += (size_t)((transposed ? columnTile : chunk) * 64) * length + (transposed ? chunk : columnTile) * 64;
  auto read = [&](int tap, int row, int quarter) { return *(const float4 *)(w + ((size_t)tap * rows + row) * length + 4 * quarter); };
  u32 most = 0;
#pragma unroll 6
  for (int i = thread; i < taps * 64 * 16; i += 512) most = max(most, largestOf(read(i / 1024, i / 16 % 64, i % 16)));
  most = __reduce_max_sync(0xffffffffu, most);
  if (thread % 32 == 0) slots[thread / 32] = most;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 16; i++) most = max(most, slots[i]);
  const int shift = shiftFor(most);
  const float scale = powerOfTwo(shift);
  if (thread == 0) shifts[columnTile * gridDim.x + chunk] = shift;

  tiles += (size_t)(columnTile * gridDim.x + chunk) * taps * 8192;
  if (!transposed) {
#pragma unroll 6
    for (int i = thread; i < taps * 64 * 16; i += 512) {
      const int tap = i / 1024, k = i / 16 % 64, quarter = i % 16;
      *(uint2 *)(tiles + sortedPlace(tap, padding) * 8192 + placeOf(k, quarter)) = scaledHalves(read(tap, k, quarter), scale);
    }
    return;
  }
  // Four columns by four inner ones a time; neighbouring threads read rows of 128 bytes and write 32 to each row.
  for (int i = thread; i < taps * 16 * 16; i += 512) {
    const int tap = i / 256, column = i % 4 + i / 32 % 4 * 4, k = i / 4 % 8 + i / 128 % 2 * 8;
    float4 v[4];
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = read(taps - 1 - tap, 4 * column + j, k);
    u8 *to = tiles + sortedPlace(tap, padding) * 8192;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float *from = &v[0].x + j;
      *(uint2 *)(to + placeOf(4 * k + j, column)) = scaledHalves(make_float4(from[0], from[4], from[8], from[12]), scale);
    }
  }
}

#define BM 128
#define STAGES 4
#define TILE_BYTES 8192

/**
 * 128 pixels × 64 columns per block, two warpgroups of 64 pixels each. Grid: (row tiles × column tiles, parts of the
 * inner chunks, CLASSES where results are `scatter`ed to the classes of pixels, those with most taps first); each part
 * has its own result. Shared memory: STAGES tiles of weights, then the pixels with margins and the row of zeros.
 */
extern "C" __global__ void __launch_bounds__(256, 2)
    convolve_same(const float *__restrict__ a, const u8 *__restrict__ weights, const int *__restrict__ shifts, float *__restrict__ result,
                  const Geometry geometry, int chunksPerPart, int scatter) {
  extern __shared__ __align__(1024) u8 shared[];
  __shared__ u32 slots[8];
  const Geometry &g = geometry;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int chunks = g.c / 64, taps = g.kh * g.kw, columnTiles = g.o / 64, pixels = g.pixels();
  const int row0 = (blockIdx.x / columnTiles) * BM, columnTile = blockIdx.x % columnTiles;
  const int margin = marginOf(g), rows = BM + 2 * margin;
  // With one tap only the first class has any.
  const int firstClass = STRIDE > 1 && scatter ? CLASSES - 1 - blockIdx.z : 0, classes = scatter || taps == 1 ? 1 : CLASSES;
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
    ofWeights = shifts[columnTile * chunks + chunk];
    if (STRIDE == 1 || scatter) staged.fetch(a + chunk * 64, g.c, row0 - margin, pixels, rows);
    else staged.fetchClass(a + chunk * 64, g.c, row0 - margin, pixels, rows, g, PixelClass(number, g.paddingY, false));
  };
  // Tiles of weights, those of a class where it is alone.
  const u8 *tiles = weights + ((size_t)(columnTile * chunks + chunk0) * taps + (scatter ? own.before : 0)) * TILE_BYTES;
  int loaded = 0;
  auto load = [&](int step) {
    const u32 to = sharedAddress(shared + (step % STAGES) * TILE_BYTES) + thread * 16;
    const u8 *from = tiles + thread * 16;
    copyAsync16(to, from, true);
    copyAsync16(to + TILE_BYTES / 2, from + TILE_BYTES / 2, true);
    tiles += TILE_BYTES;
    if (STRIDE > 1 && ++loaded == tapsPerChunk) {
      loaded = 0;
      tiles += (taps - tapsPerChunk) * TILE_BYTES;
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
      beginGroup();
#pragma unroll
      for (int k = 0; k < 4; k++) multiplyF16Group64(sums, fragments[k], describeColumns(tileB + k * 2048));
      endGroup();
      waitForGroup();
      distance++;
      if (++kx == of.ofX.count) {
        kx = 0;
        distance += g.ow - of.ofX.count;
      }
    }
  }

  result += (size_t)blockIdx.y * pixels * (scatter ? CLASSES : 1) * g.o;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int pixel = row0 + warp * 16 + lane / 4 + 8 * half;
    if (pixel >= pixels) continue;
    float *to = result + (size_t)(scatter ? own.place(g, pixel) : pixel) * g.o + columnTile * 64 + 2 * (lane % 4);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      *(float2 *)(to + 8 * n) = make_float2(shift.back(sums[n][2 * half]), shift.back(sums[n][2 * half + 1]));
    }
  }
}

typedef Values Input;
#else
typedef Codes Input;
#endif
typedef Input::Element Element;
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
