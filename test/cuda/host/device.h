// Just enough of CUDA C++ for a host compiler to run kernels that use no matrix units: types, index variables, barriers.
// The threads of a block are coroutines on one processor, which change at barriers; blocks run one after the other.
// What is not there (asynchronous copies, matrix instructions) ends the program where it is called.
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
#define NO_INSTRUCTION(...) noInstruction()

struct dim3 {
  unsigned x, y, z;
};
struct Position {
  dim3 thread, block, threads, blocks;
};
extern "C" Position *position;
extern "C" unsigned char *dynamicShared;
extern "C" void barrier();
extern "C" void noInstruction();
/** What lane `lane ^ offset` of the warp hands over, four bytes. */
extern "C" unsigned exchange(unsigned value, unsigned offset);
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
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
template <class T> inline T __ldcg(const T *from) { return *from; }
inline unsigned atomicAdd(unsigned *at, unsigned more) { const unsigned before = *at; *at += more; return before; }
inline unsigned atomicMax(unsigned *at, unsigned value) { const unsigned before = *at; if (value > before) *at = value; return before; }
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 4; i++) c += ((a >> 8 * i) & 255) * ((b >> 8 * i) & 255);
  return c;
}
/** Four bytes of b·2^32 + a, each picked by four bits. */
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned picks) {
  const unsigned long long bytes = (unsigned long long)b << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) result |= (unsigned)(bytes >> 8 * (picks >> 4 * i & 7) & 255) << 8 * i;
  return result;
}
inline size_t __cvta_generic_to_shared(const void *p) { return (size_t)p; }

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
