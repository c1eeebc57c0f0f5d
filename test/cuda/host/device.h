// Just enough of CUDA C++ for a host compiler to run kernels: types, index variables, barriers, exchanges within a warp.
// The threads of a block are coroutines on one processor, which change at barriers; blocks run one after the other.
// Matrix units: those of tf32, f16 and bytes, and of f16, bytes and bits by warpgroups, their operands' loads, barriers of
// some warps, and copies to shared memory, which happen at once, so that a missing wait is not noticed. Other
// instructions, those of bf16 among them, end the program where they are called.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define NO_INSTRUCTION(...) noInstruction(#__VA_ARGS__)

struct dim3 {
  unsigned x, y, z;
};
struct Position {
  dim3 thread, block, threads, blocks;
};
extern "C" Position *position;
extern "C" unsigned char *dynamicShared;
extern "C" void barrier();
extern "C" void noInstruction(const char *text);
/** What lane `lane ^ offset` of the warp hands over, four bytes; all lanes call it. */
extern "C" unsigned exchange(unsigned value, unsigned offset);
/** A barrier of `count` threads of the block. */
extern "C" void meetOthers(unsigned number, unsigned count);
/** The other threads' turn. */
extern "C" void yield();
#define threadIdx (position->thread)
#define blockIdx (position->block)
#define blockDim (position->threads)
#define gridDim (position->blocks)
inline void __syncthreads() { barrier(); }
inline void __threadfence() {}

#define VECTOR_2(name, type)                                                                                                       \
  struct __align__(2 * sizeof(type)) name { type x, y; };                                                                          \
  inline name make_##name(type x, type y) { return {x, y}; }
#define VECTOR_4(name, type)                                                                                                       \
  struct __align__(16) name { type x, y, z, w; };                                                                                  \
  inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTOR_2(float2, float)
VECTOR_2(int2, int)
VECTOR_2(uint2, unsigned)
VECTOR_2(double2, double)
VECTOR_4(float4, float)
VECTOR_4(int4, int)
VECTOR_4(uint4, unsigned)

template <class T, class U> inline auto min(T a, U b) { return a < b ? a : b; }
template <class T, class U> inline auto max(T a, U b) { return a < b ? b : a; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
inline unsigned __float_as_uint(float x) { unsigned u; memcpy(&u, &x, 4); return u; }
inline float __uint_as_float(unsigned u) { float x; memcpy(&x, &u, 4); return x; }
inline float __int_as_float(int i) { return __uint_as_float(i); }
inline double __hiloint2double(int high, int low) {
  const unsigned long long bits = (unsigned long long)(unsigned)high << 32 | (unsigned)low;
  double x;
  memcpy(&x, &bits, 8);
  return x;
}
inline float __frcp_rn(float x) { return 1 / x; }
inline float rsqrtf(float x) { return (float)(1 / sqrt((double)x)); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline int __float2int_rz(float a) { return (int)a; }
template <class T> inline T __shfl_xor_sync(unsigned, T value, unsigned offset) {
  unsigned words[sizeof(T) / 4];
  memcpy(words, &value, sizeof(T));
  for (unsigned &word : words) word = exchange(word, offset);
  memcpy(&value, words, sizeof(T));
  return value;
}
inline int __all_sync(unsigned mask, bool holds) {
  for (unsigned offset = 16; offset > 0; offset /= 2) holds = holds & __shfl_xor_sync(mask, (unsigned)holds, offset);
  return holds;
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
template <class T> inline T __ldcg(const T *from) { return *from; }
inline unsigned atomicAdd(unsigned *at, unsigned more) { const unsigned before = *at; *at += more; return before; }
inline unsigned atomicMax(unsigned *at, unsigned value) { const unsigned before = *at; if (value > before) *at = value; return before; }
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 4; i++) c += ((a >> 8 * i) & 255) * ((b >> 8 * i) & 255);
  return c;
}
/** The halves of a times the low bytes of b. */
inline unsigned __dp2a_lo(unsigned a, unsigned b, unsigned c) { return c + (a & 0xffff) * (b & 255) + (a >> 16) * (b >> 8 & 255); }
/** Shared memory has addresses of its own, as descriptors of matrices need: from SHARED on. */
enum { SHARED = 1024 };
inline size_t __cvta_generic_to_shared(const void *p) { return (size_t)((const unsigned char *)p - dynamicShared) + SHARED; }
inline unsigned char *inShared(unsigned address) { return dynamicShared + (address - SHARED); }

inline unsigned __reduce_max_sync(unsigned, unsigned value) {
  for (unsigned offset = 16; offset > 0; offset /= 2) value = max(value, exchange(value, offset));
  return value;
}

typedef _Float16 half;
inline unsigned packF16(float low, float high) {
  const half both[2] = {(half)low, (half)high};
  unsigned packed;
  memcpy(&packed, both, 4);
  return packed;
}

inline void copyAsync16(unsigned to, const void *from, bool valid) {
  if (valid) memcpy(inShared(to), from, 16);
  else memset(inShared(to), 0, 16);
}
inline void copyAsync8(unsigned to, const void *from, bool valid) {
  if (valid) memcpy(inShared(to), from, 8);
  else memset(inShared(to), 0, 8);
}
inline void copyAsync4(unsigned to, const void *from, bool valid) {
  if (valid) memcpy(inShared(to), from, 4);
  else memset(inShared(to), 0, 4);
}
inline void waitForAllCopies() {}
inline void commitCopies() {}
inline void publishCopies() {}
template <int PENDING> inline void waitForCopies() {}

/** Row `lane % 8` of matrix `lane / 8` is at the lane's address; lane l gets elements 2·(l % 4), + 1 of row l / 4. */
template <bool TRANSPOSED> inline void loadEightByEight(unsigned (&r)[4], unsigned address) {
  const unsigned lane = threadIdx.x % 32;
  for (unsigned matrix = 0; matrix < 4; matrix++) {
    unsigned short pair[2];
    for (unsigned i = 0; i < 2; i++) {
      const unsigned row = TRANSPOSED ? 2 * (lane % 4) + i : lane / 4, column = TRANSPOSED ? lane / 4 : 2 * (lane % 4) + i;
      const unsigned from = exchange(address, lane ^ (8 * matrix + row));
      memcpy(&pair[i], inShared(from) + 2 * column, 2);
    }
    memcpy(&r[matrix], pair, 4);
  }
}
inline void loadMatrices(unsigned (&r)[4], unsigned address) { loadEightByEight<false>(r, address); }
inline void loadMatricesTransposed(unsigned (&r)[4], unsigned address) { loadEightByEight<true>(r, address); }

/** m16n8k8 as a warp holds it: a of rows l / 4 + 8·(i % 2), inner l % 4 + 4·(i / 2); b of inner l % 4 + 4·i, column l / 4. */
inline void multiplyTf32(float (&d)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
  const unsigned lane = threadIdx.x % 32, a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
  auto operand = [](unsigned word) { return __uint_as_float(word & 0xffffe000u); };
  float rows[2][8], columns[2][8];
  for (unsigned quad = 0; quad < 4; quad++) {
    for (unsigned i = 0; i < 4; i++) rows[i % 2][quad + 4 * (i / 2)] = operand(exchange(a[i], lane ^ (lane / 4 * 4 + quad)));
    for (unsigned i = 0; i < 4; i++) {
      const unsigned column = 2 * (lane % 4) + i / 2;
      columns[i / 2][quad + 4 * (i % 2)] = operand(exchange(b[i % 2], lane ^ (column * 4 + quad)));
    }
  }
  for (unsigned i = 0; i < 4; i++)
    for (unsigned k = 0; k < 8; k++) d[i] += rows[i / 2][k] * columns[i % 2][k];
}

/** A barrier in shared memory: arrivals and bytes that its phase still waits for, arrivals of each, and the phase. */
struct PhaseBarrier {
  short left, bytes16;
  unsigned short arrivals;
  unsigned short phase;
  void settle() {
    if (left == 0 && bytes16 == 0) left = arrivals, phase ^= 1;
  }
};
inline PhaseBarrier &barrierAt(unsigned address) { return *(PhaseBarrier *)inShared(address); }
inline void initBarrier(unsigned at, int arrivals) { barrierAt(at) = {(short)arrivals, 0, (unsigned short)arrivals, 0}; }
inline void publishBarriers() {}
inline void arriveAt(unsigned at) { barrierAt(at).left--, barrierAt(at).settle(); }
inline void arriveWithCopies(unsigned at) { arriveAt(at); }
inline void arriveWithBytes(unsigned at, unsigned bytes) { barrierAt(at).bytes16 += bytes / 16, arriveAt(at); }
inline void waitForPhase(unsigned at, unsigned phase) {
  while (barrierAt(at).phase == phase) yield();
}
inline void copyBulk(unsigned to, const void *from, unsigned bytes, unsigned at) {
  memcpy(inShared(to), from, bytes);
  barrierAt(at).bytes16 -= bytes / 16, barrierAt(at).settle();
}
inline void meet(int number, int threads) { meetOthers(number, threads); }
template <int COUNT> inline void takeRegisters() {}
template <int COUNT> inline void giveRegisters() {}
inline void __syncwarp() { exchange(0, 0); }
inline int __double2int_rn(double x) { return (int)nearbyint(x); }
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const unsigned long long both = (unsigned long long)high << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) result |= (unsigned)(both >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
  return result;
}

/** Of an operand of bits as halvesAt describes it: word `word` (of 8) of row `row`. */
inline unsigned bitsOf(unsigned long long operand, unsigned row, unsigned word) {
  const unsigned base = (unsigned)(operand & 0x3fff) << 4, half = (unsigned)(operand >> 16 & 0x3fff) << 4, eight = (unsigned)(operand >> 32 & 0x3fff) << 4;
  unsigned bits;
  memcpy(&bits, inShared(base + row / 8 * eight + row % 8 * 16 + word / 4 * half + word % 4 * 4), 4);
  return bits;
}
/** Of the warp's 16 rows the two that a lane has sums of, as eight words each: a as in m16n8k32, of whatever type. */
inline void gatherRows(unsigned (&rows)[2][8], const unsigned (&a)[4]) {
  const unsigned lane = threadIdx.x % 32;
  for (unsigned quad = 0; quad < 4; quad++)
    for (unsigned i = 0; i < 4; i++) rows[i % 2][quad + 4 * (i / 2)] = exchange(a[i], lane ^ (lane / 4 * 4 + quad));
}
/** Counts of m64n64k256 for the warp's 16 rows. */
inline void countBitsGroup64(int (*d)[4], const unsigned (&a)[4], unsigned long long b, bool first) {
  const unsigned lane = threadIdx.x % 32;
  unsigned rows[2][8];
  gatherRows(rows, a);
  for (unsigned n = 0; n < 8; n++)
    for (unsigned i = 0; i < 4; i++) {
      int count = first ? 0 : d[n][i];
      for (unsigned word = 0; word < 8; word++)
        count += __builtin_popcount(rows[i / 2][word] & bitsOf(b, 8 * n + 2 * (lane % 4) + i % 2, word));
      d[n][i] = count;
    }
}
inline void takeSums(int (*)[4]) {}

inline void beginGroup() {}
inline void endGroup() {}
template <int PENDING = 0> inline void waitForGroup() {}
inline float halfOf(const unsigned (&words)[8], unsigned k) {
  half value;
  memcpy(&value, (const char *)words + 2 * k, 2);
  return (float)value;
}
/**
 * The warp's 16 rows of m64n64k16: a[0], a[1] are elements 2q, 2q + 1 of rows l / 4 and l / 4 + 8, a[2], a[3] those eight
 * further; b are 16 rows of 64 halves, or transposed 64 rows of 16, 128 bytes apart, 16-byte chunks swizzled by the row.
 */
inline void multiplyF16Group64(float (*d)[4], const unsigned (&a)[4], unsigned long long b, bool transposed = false) {
  const unsigned lane = threadIdx.x % 32, base = (unsigned)(b & 0x3fff) << 4;
  unsigned rows[2][8];
  gatherRows(rows, a);
  for (unsigned n = 0; n < 8; n++)
    for (unsigned i = 0; i < 4; i++) {
      const unsigned column = 8 * n + 2 * (lane % 4) + i % 2;
      float sum = d[n][i];
      for (unsigned k = 0; k < 16; k++) {
        half value;
        const unsigned at = base + (transposed ? 128 * column + 2 * k : 128 * k + 2 * column);
        // As the unit does it: bits of the address.
        memcpy(&value, inShared(at ^ ((at / 128) % 8 * 16)), 2);
        sum += halfOf(rows[i / 2], k) * (float)value;
      }
      d[n][i] = sum;
    }
}

/** Of 8-bit integers the one in byte `at` of a word. */
inline int byteOf(unsigned word, unsigned at, bool isSigned) {
  const unsigned byte = word >> 8 * at & 255;
  return isSigned ? (signed char)byte : (int)byte;
}
/** Of the eight columns the two that a lane has sums of, as eight words each: b as in m16n8k32, of whatever type. */
inline void gatherColumns(unsigned (&columns)[2][8], unsigned b0, unsigned b1) {
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 2; i++)
    for (unsigned quad = 0; quad < 4; quad++) {
      const unsigned from = (2 * (lane % 4) + i) * 4 + quad;
      columns[i][quad] = exchange(b0, lane ^ from);
      columns[i][quad + 4] = exchange(b1, lane ^ from);
    }
}
inline void multiplyBytes(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, bool signedA = false, bool signedB = false) {
  unsigned rows[2][8], columns[2][8];
  gatherRows(rows, a), gatherColumns(columns, b0, b1);
  for (unsigned i = 0; i < 4; i++)
    for (unsigned k = 0; k < 32; k++) d[i] += byteOf(rows[i / 2][k / 4], k % 4, signedA) * byteOf(columns[i % 2][k / 4], k % 4, signedB);
}
inline void multiplyF16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  unsigned rows[2][8], columns[2][8];
  gatherRows(rows, a), gatherColumns(columns, b0, b1);
  for (unsigned i = 0; i < 4; i++)
    for (unsigned k = 0; k < 16; k++) d[i] += halfOf(rows[i / 2], k) * halfOf(columns[i % 2], k);
}
/** m64nNk32 for the warp's 16 rows; b as describeRows says: bits of the address are swizzled, as the unit does it. */
inline void multiplyBytesGroup(int (*d)[4], unsigned columns, const unsigned (&a)[4], unsigned long long b, bool signedA, bool signedB) {
  const unsigned base = (unsigned)(b & 0x3fff) << 4;
  unsigned rows[2][8];
  gatherRows(rows, a);
  for (unsigned n = 0; n < columns / 8; n++)
    for (unsigned i = 0; i < 4; i++)
      for (unsigned word = 0; word < 8; word++) {
        const unsigned at = base + 32 * (8 * n + 2 * (threadIdx.x % 4) + i % 2) + 4 * word;
        unsigned four;
        memcpy(&four, inShared(at ^ (at / 128 % 2 * 16)), 4);
        for (unsigned k = 0; k < 4; k++) d[n][i] += byteOf(rows[i / 2][word], k, signedA) * byteOf(four, k, signedB);
      }
}
inline void multiplyBytesGroup64(int (*d)[4], const unsigned (&a)[4], unsigned long long b, bool signedA = false, bool signedB = false) {
  multiplyBytesGroup(d, 64, a, b, signedA, signedB);
}
inline void multiplyBytesGroup128(int (*d)[4], const unsigned (&a)[4], unsigned long long b, bool signedA = false, bool signedB = false) {
  multiplyBytesGroup(d, 128, a, b, signedA, signedB);
}

/** Calls a kernel with a parameter block: each argument at its natural alignment. */
template <class... A> inline void invoke(void (*kernel)(A...), const unsigned char *block) {
  size_t at = 0;
  auto next = [&]<class T>(T *) {
    at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
    T value;
    memcpy((void *)&value, block + at, sizeof(T));
    at += sizeof(T);
    return value;
  };
  struct Call {
    void (*kernel)(A...);
    Call(void (*kernel)(A...), A... arguments) { kernel(arguments...); }
  };
  Call{kernel, next((A *)nullptr)...};
}
