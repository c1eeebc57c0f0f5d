// Neighbouring channels of one pixel of an NHWC image as a vector: 16 bytes where the channel count is a multiple of
// four, else one float. Addresses are aligned to the vector.
// -D: WIDTH, 4 or 1.
#pragma once
#include "common.cuh"

struct __align__(4 * WIDTH) Lanes {
  float v[WIDTH];
};
INLINE Lanes readLanes(const float *from) {
  Lanes lanes;
#if WIDTH == 4
  *(float4 *)lanes.v = *(const float4 *)from;
#else
  lanes.v[0] = *from;
#endif
  return lanes;
}
INLINE void writeLanes(float *to, const Lanes &lanes) {
#if WIDTH == 4
  *(float4 *)to = *(const float4 *)lanes.v;
#else
  *to = lanes.v[0];
#endif
}
/** The vector with this number of a tensor. */
INLINE Lanes readVector(const float *from, int vector) { return ((const Lanes *)from)[vector]; }
INLINE void writeVector(float *to, int vector, const Lanes &lanes) { ((Lanes *)to)[vector] = lanes; }
#define EACH_LANE for (int l = 0; l < WIDTH; l++)
