// What generated kernels are made of (lower/formula-text.ts): operators of float32 that are rounded once and never
// contracted, so that a result has the same bits in any kernel; vectors that are read as a whole; sums and maxima over
// the lanes or the threads that have a row. minimum, maximum: not a number where an operand is none.

typedef unsigned int u32;
#define INLINE __device__ __forceinline__

/** `W` neighbouring elements. */
template <int W> struct __align__(4 * W) Vector { float of[W]; };

INLINE float add(float a, float b) { return __fadd_rn(a, b); }
INLINE float subtract(float a, float b) { return __fsub_rn(a, b); }
INLINE float multiply(float a, float b) { return __fmul_rn(a, b); }
INLINE float divide(float a, float b) { return __fdiv_rn(a, b); }
INLINE float squareRoot(float a) { return __fsqrt_rn(a); }
INLINE float negate(float a) { return -a; }
INLINE float absolute(float a) { return fabsf(a); }
INLINE float nearest(float a) { return rintf(a); }
INLINE float powerOfTwo(float n) { return __int_as_float((__float2int_rz(n) + 127) << 23); }
INLINE float whereGreater(float a, float b, float c, float d) { return a > b ? c : d; }
INLINE float minimum(float a, float b) {
  float y;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}
INLINE float maximum(float a, float b) {
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}

/** What of an operand of `blocks` runs, each repeated, stands at a place of the result. */
INLINE int repeatedAt(int at, int length, int repeats, int blocks) {
  const u32 run = (u32)at / (u32)length;
  return (run / (u32)repeats) % (u32)blocks * length + (at - run * length);
}

struct Sum {
  static INLINE float nothing() { return 0.0f; }
  static INLINE float of(float a, float b) { return add(a, b); }
};
struct Max {
  static INLINE float nothing() { return __int_as_float(0xff800000); }
  static INLINE float of(float a, float b) { return maximum(a, b); }
};

/**
 * Over `LANES` neighbouring lanes, a power of two: the same value for each of them. All lanes of the warp take part.
 */
template <class Join, int LANES> INLINE float overLanes(float value) {
#pragma unroll
  for (int offset = LANES / 2; offset > 0; offset /= 2) value = Join::of(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}
/** Over all threads of a block, in the order of warps. */
template <class Join, int WARPS> INLINE float overBlock(float value) {
  __shared__ float parts[WARPS];
  value = overLanes<Join, 32>(value);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  value = parts[0];
#pragma unroll
  for (int warp = 1; warp < WARPS; warp++) value = Join::of(value, parts[warp]);
  return value;
}
