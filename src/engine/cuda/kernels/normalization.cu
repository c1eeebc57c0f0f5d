// Batch norm with what surrounds it: an addition and a relu behind it, the relu's gradient in front of its own. Bound
// by memory, so every pass over a tensor counts: relu(normalised + other) is formed in the pass that normalises, and
// the gradient of that relu needs no stored output, for the sign of a normalised value is formed again from x by the
// same operations; and the range of what is normalised moves in that pass too. The statistics: moments.cu.
// -D: WIDTH.
#include "clip.cuh"
#include "normalization.cuh"

KERNEL gradient_sums(const float *g, const float *x, const float *gamma, const float *mean, const float *variance, float *dgamma,
                     float *dbeta, float epsilon, SHAPE) {
  REDUCE(GradientSums<false, Stored>{{}, {g}, x, gamma, nullptr, mean, variance, dgamma, dbeta, epsilon, 0});
}
KERNEL rectified_gradient_sums(const float *g, const float *x, const float *gamma, const float *beta, const float *mean,
                               const float *variance, float *dgamma, float *dbeta, float epsilon, float limit, SHAPE) {
  REDUCE(GradientSums<true, Stored>{{}, {g}, x, gamma, beta, mean, variance, dgamma, dbeta, epsilon, limit});
}

#define UNROLL 4
/**
 * (x − mean)·gamma/√(variance + epsilon) + beta, plus `other` unless null, and the relu of that where `rectified`, up
 * to the limit unless that is no number.
 */
KERNEL normalize(const float *x, const float *gamma, const float *beta, const float *mean, const float *variance, const float *other,
                 float *y, int count, int vectors, float epsilon, int rectified, float limit) {
  const int start = blockIdx.x * (256 * UNROLL) + threadIdx.x;
  Lanes values[UNROLL], others[UNROLL] = {};
#pragma unroll
  EACH_VECTOR(part, UNROLL, i) values[part] = readVector(x, i);
  if (other) {
#pragma unroll
    EACH_VECTOR(part, UNROLL, i) others[part] = readVector(other, i);
  }
#pragma unroll
  EACH_VECTOR(part, UNROLL, i) {
    const Channels channels(gamma, beta, mean, variance, (u32)i % (u32)vectors, epsilon);
    ((Lanes *)y)[i] = channels.sum(values[part], others[part], rectified, limit);
  }
}

/** The same, and the extremes of y move a range: one column of all vectors. */
struct RangedNormalize : Range {
  struct Item {
    Lanes x, other;
  };
  const float *x, *gamma, *beta, *mean, *variance, *other;
  float *y;
  int vectors, rectified;
  float epsilon, limit;
  const MovedRange &range;
  INLINE Item load(int i) const { return {readVector(x, i), other ? readVector(other, i) : Lanes()}; }
  INLINE void visit(Sum &sum, const Item &item, int i, int) const {
    const Channels channels(gamma, beta, mean, variance, (u32)i % (u32)vectors, epsilon);
    const Lanes result = channels.sum(item.x, item.other, rectified, limit);
    ((Lanes *)y)[i] = result;
#pragma unroll
    EACH_LANE sum = merge(sum, {result.v[l], result.v[l]});
  }
  INLINE void finish(int, Sum sum) const { range.move(sum.low, sum.high); }
};
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    normalize_range(const float *x, const float *gamma, const float *beta, const float *mean, const float *variance, const float *other,
                    float *y, int vectors, float epsilon, int rectified, float limit, const MovedRange range, SHAPE) {
  REDUCE(RangedNormalize{{}, x, gamma, beta, mean, variance, other, y, vectors, rectified, epsilon, limit, range});
}

KERNEL normalize_gradient(const float *g, const float *x, const float *gamma, const float *mean, const float *variance,
                          const float *dgamma, const float *dbeta, float *dx, int count, int vectors, float epsilon, float inverseRows) {
  gradient<false>(Stored{g}, x, gamma, nullptr, mean, variance, dgamma, dbeta, dx, count, vectors, epsilon, inverseRows, 0);
}
KERNEL rectified_normalize_gradient(const float *g, const float *x, const float *gamma, const float *beta, const float *mean,
                                    const float *variance, const float *dgamma, const float *dbeta, float *dx, int count, int vectors,
                                    float epsilon, float inverseRows, float limit) {
  gradient<true>(Stored{g}, x, gamma, beta, mean, variance, dgamma, dbeta, dx, count, vectors, epsilon, inverseRows, limit);
}
