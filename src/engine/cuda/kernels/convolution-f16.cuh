// Convolutions that keep the size of the image or halve it (stride 1 or 2, odd square kernel, half of it as padding,
// dense; heights and widths that the stride divides) on f16 matrix units of Hopper, for operands in f32: f16 has the 11
// significant bits of tf32 at half the bytes and twice the rate, and what its exponent lacks is a power of two per
// block. Each block scales what it reads so that its largest magnitude lies in [2^14, 2^15); where a later chunk has a
// larger one, the sums so far are scaled down, exactly. Weights are laid out with a power of two for each chunk, which
// the other operand makes good. Elements below 2^-29 of the largest lose bits, so the error relative to the whole is
// that of tf32.
// Since the image keeps its size, tap (ky, kx) of output pixel p is pixel p + (ky − padding)·w + kx − padding: a
// block's rows are a range of pixels with a margin on both sides, read once for all taps; taps outside the image point
// to a row of zeros.
// With stride 2 the pixels whose coordinates agree modulo 2 are a class, an image of the output's size: each tap meets
// one class, at a distance on the grid of output pixels. Forward, the classes are further chunks of the sum; each class
// of an input gradient is a product of its own, and so is that of each class with the output's gradient.
// Kernels: convolution-f16-weights.cu, convolution-f16.cu, convolution-f16-gradient.cu, a file each: a module has what
// its launches take, and nothing is compiled beside it.
// Channels on both sides are multiples of 64. Shared tiles have rows of 128 bytes (64 halves), 16-byte chunk c of row r
// at c ^ (r % 8).
// -D: STRIDE (1 or 2), WGMMA.
#include "common.cuh"

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
 * A magnitude as bits that compare as it does: those of |x| doubled, and one more in the exponent, which is as quick as
 * dropping the sign, so that infinity and NaN wrap round to less than any number's: scaled by the power of two of the
 * others they stay what they are, and nothing else is lost for them.
 */
INLINE u32 magnitude(float x) { return 2 * __float_as_uint(x) + 0x1000000u; }
INLINE u32 largestOf(const float4 &v) { return max(max(magnitude(v.x), magnitude(v.y)), max(magnitude(v.z), magnitude(v.w))); }
/** The power of two that brings a magnitude to [2^14, 2^15); at most 126, for all that is smaller and for zero. */
INLINE int shiftFor(u32 magnitude) { return min(126, 14 + 128 - (int)(magnitude >> 24)); }
/** 2^e, −126 ≤ e ≤ 127. */
INLINE float powerOfTwo(int e) { return __uint_as_float((u32)(e + 127) << 23); }
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

/**
 * Sums of a block's outputs, and of their squares, over its rows, half as many as it has THREADS: of 64 columns at a
 * time, in double precision and always in one order. Shared memory, in place of what the block has there: the outputs,
 * rows apart by as much as lets pairs of eight neighbouring rows lie in banks of their own, then sums of 32 rows each.
 */
template <int THREADS> struct ColumnSums {
  static constexpr int PITCH = 72, ROWS = THREADS / 2, BYTES = ROWS * PITCH * 4;
  u8 *shared;
  INLINE void put(int row, int column, float2 outputs) const { *(float2 *)((float *)shared + row * PITCH + column) = outputs; }
  /** The first of 64 sums; all threads of the block have put what they have, and may put more afterwards. */
  INLINE void write(double2 *to) const {
    const int group = threadIdx.x / 64, column = threadIdx.x % 64;
    const float *from = (const float *)shared + group * 32 * PITCH + column;
    double2 *sums = (double2 *)(shared + BYTES), sum = make_double2(0, 0);
    __syncthreads();
#pragma unroll 8
    for (int row = 0; row < 32; row++) {
      const double value = from[row * PITCH];
      sum.x += value;
      sum.y += value * value;
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (group > 0) return;
    for (int other = 1; other < THREADS / 64; other++) {
      sum.x += sums[other * 64 + column].x;
      sum.y += sums[other * 64 + column].y;
    }
    to[column] = sum;
  }
};
