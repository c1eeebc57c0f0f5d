// Sums over the rows of a tensor of two figures for each channel, in double precision, WIDTH neighbouring channels to a
// thread (4 where the channel count is a multiple of 4, else 1); the channel axis is the last one.
// -D: WIDTH.
#pragma once
#define THREADS 512
#include "lanes.cuh"
#include "reduce.cuh"

struct LanePairs {
  Pair v[WIDTH];
};
INLINE LanePairs readFresh(const LanePairs *from) {
  LanePairs pairs;
#pragma unroll
  EACH_LANE pairs.v[l] = readFresh(&from->v[l]);
  return pairs;
}
struct LaneTotals {
  typedef LanePairs Sum;
  static INLINE Sum empty() { return {}; }
  static INLINE Sum merge(const Sum &p, const Sum &q) {
    Sum sum;
#pragma unroll
    EACH_LANE sum.v[l] = {p.v[l].a + q.v[l].a, p.v[l].b + q.v[l].b};
    return sum;
  }
};
