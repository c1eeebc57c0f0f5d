// The first operand of gradients of weights on f16 matrix units: values, or with CODES (0 or 1) codes of one scale and
// zero point; see convolution-f16.cuh.
#pragma once
#include "convolution-f16.cuh"

#if WGMMA

/**
 * `Values` for codes with one scale and zero point, as multiples of that scale: integers, which f16 holds exactly while
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

#if CODES
typedef Codes Input;
#else
typedef Values Input;
#endif
typedef Input::Element Element;

#endif
