// Batch norm with what surrounds it: an addition and a relu behind it, the relu's gradient in front of its own. Bound
// by memory, so every pass over a tensor counts: relu(normalised + other) is formed in the pass that normalises, and
// the gradient of that relu needs no stored output, for the sign of a normalised value is formed again from x by the
// same operations; and the range of what is normalised moves in that pass too. One thread works on WIDTH neighbouring
// channels (4 where the channel count is a multiple of 4, else 1); the channel axis is the last one.
// -D: WIDTH.
#define THREADS 512
#include "clip.cuh"
#include "reduce.cuh"

struct __align__(4 * WIDTH) Lanes {
  float v[WIDTH];
};
INLINE Lanes read(const float *from, int vector) { return ((const Lanes *)from)[vector]; }
#define EACH_LANE for (int l = 0; l < WIDTH; l++)

/** What normalises a vector's channels: (x − mean)·factor + beta. */
struct Channels {
  Lanes mean, factor, beta;
  INLINE Channels(const float *gammas, const float *betas, const float *means, const float *variances, int vector, float epsilon) {
    mean = read(means, vector);
    beta = read(betas, vector);
    const Lanes gamma = read(gammas, vector), variance = read(variances, vector);
#pragma unroll
    EACH_LANE factor.v[l] = gamma.v[l] * rsqrtf(variance.v[l] + epsilon);
  }
  /** Written out, so that both directions round alike. */
  INLINE float normalised(float x, int l) const { return __fmaf_rn(__fsub_rn(x, mean.v[l]), factor.v[l], beta.v[l]); }
  /**
   * The normalised x plus `other`, and the relu of that where `rectified`, up to the limit unless that is no number.
   */
  INLINE Lanes sum(const Lanes &x, const Lanes &other, int rectified, float limit) const {
    Lanes result;
#pragma unroll
    EACH_LANE {
      const float value = normalised(x.v[l], l) + other.v[l];
      result.v[l] = rectified ? fminf(fmaxf(value, 0.0f), limit) : value;
    }
    return result;
  }
};

// Statistics.

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

/** A running average: `to` = alpha·before + beta·value; none where `to` is null. */
struct Average {
  const float *before;
  float *to;
  float alpha, beta;
  INLINE void move(int column, float value) const {
    if (to) to[column] = alpha * before[column] + beta * value;
  }
};

/**
 * Mean and biased variance, and running averages of both; in double precision the difference of the raw moments loses
 * nothing that a float could hold.
 */
struct Moments : LaneTotals {
  typedef Lanes Item;
  const float *x;
  float *mean, *variance;
  Average ofMean, ofVariance;
  int rows;
  INLINE Item load(int i) const { return read(x, i); }
  INLINE void visit(Sum &sum, const Item &item, int, int) const {
#pragma unroll
    EACH_LANE {
      const double value = item.v[l];
      sum.v[l].a += value;
      sum.v[l].b += value * value;
    }
  }
  INLINE void finish(int vector, const Sum &sum) const {
#pragma unroll
    EACH_LANE {
      const int column = vector * WIDTH + l;
      const double mu = sum.v[l].a / rows;
      const float center = (float)mu, spread = (float)fmax(sum.v[l].b / rows - mu * mu, 0.0);
      mean[column] = center;
      variance[column] = spread;
      ofMean.move(column, center);
      ofVariance.move(column, spread);
    }
  }
};
KERNEL moments(const float *x, float *mean, float *variance, Average ofMean, Average ofVariance, SHAPE) {
  REDUCE(Moments{{}, x, mean, variance, ofMean, ofVariance, rows});
}

/**
 * Whether a relu lets the gradient of a value through. A limit that is no number is none: no comparison with it holds.
 */
INLINE bool passes(float value, float limit) { return value > 0 && !(value >= limit); }

/** dbeta = Σ g, dgamma = Σ g·x̂; RECTIFIED: g counts where a relu of the normalised value lets it through. */
template <bool RECTIFIED> struct GradientSums : LaneTotals {
  struct Item {
    Lanes g, x;
  };
  const float *g, *x, *gamma, *beta, *mean, *variance;
  float *dgamma, *dbeta;
  float epsilon, limit;
  INLINE Item load(int i) const { return {read(g, i), read(x, i)}; }
  INLINE void visit(Sum &sum, const Item &item, int, int vector) const {
    const Lanes center = read(mean, vector);
    const Channels channels(gamma, RECTIFIED ? beta : mean, mean, variance, vector, epsilon);
#pragma unroll
    EACH_LANE {
      const float slope = !RECTIFIED || passes(channels.normalised(item.x.v[l], l), limit) ? item.g.v[l] : 0.0f;
      sum.v[l].a += slope;
      sum.v[l].b += (double)(slope * (item.x.v[l] - center.v[l]));
    }
  }
  INLINE void finish(int vector, const Sum &sum) const {
#pragma unroll
    EACH_LANE {
      const int column = vector * WIDTH + l;
      dbeta[column] = (float)sum.v[l].a;
      dgamma[column] = (float)(sum.v[l].b / sqrt((double)variance[column] + epsilon));
    }
  }
};
KERNEL gradient_sums(const float *g, const float *x, const float *gamma, const float *mean, const float *variance, float *dgamma,
                     float *dbeta, float epsilon, SHAPE) {
  REDUCE(GradientSums<false>{{}, g, x, gamma, nullptr, mean, variance, dgamma, dbeta, epsilon, 0});
}
KERNEL rectified_gradient_sums(const float *g, const float *x, const float *gamma, const float *beta, const float *mean,
                               const float *variance, float *dgamma, float *dbeta, float epsilon, float limit, SHAPE) {
  REDUCE(GradientSums<true>{{}, g, x, gamma, beta, mean, variance, dgamma, dbeta, epsilon, limit});
}

// Elements. A thread has UNROLL vectors that lie a block of 256 threads apart, all read before the first is written.

#define UNROLL 4
/** The vectors of this thread, as `part` and its number `i`. */
#define EACH_VECTOR(part, i) for (int part = 0, i = start; part < UNROLL; part++, i += 256) if (i < count)

/**
 * (x − mean)·gamma/√(variance + epsilon) + beta, plus `other` unless null, and the relu of that where `rectified`, up
 * to the limit unless that is no number.
 */
KERNEL normalize(const float *x, const float *gamma, const float *beta, const float *mean, const float *variance, const float *other,
                 float *y, int count, int vectors, float epsilon, int rectified, float limit) {
  const int start = blockIdx.x * (256 * UNROLL) + threadIdx.x;
  Lanes values[UNROLL], others[UNROLL] = {};
#pragma unroll
  EACH_VECTOR(part, i) values[part] = read(x, i);
  if (other) {
#pragma unroll
    EACH_VECTOR(part, i) others[part] = read(other, i);
  }
#pragma unroll
  EACH_VECTOR(part, i) {
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
  INLINE Item load(int i) const { return {read(x, i), other ? read(other, i) : Lanes()}; }
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

/**
 * gamma/√(variance + epsilon)·(g − sumG/rows − x̂·sumGx/rows), with sumG = dbeta and sumGx = dgamma; RECTIFIED as
 * above.
 */
template <bool RECTIFIED>
INLINE void gradient(const float *g, const float *x, const float *gamma, const float *beta, const float *mean, const float *variance,
                     const float *dgamma, const float *dbeta, float *dx, int count, int vectors, float epsilon, float inverseRows,
                     float limit) {
  const int start = blockIdx.x * (256 * UNROLL) + threadIdx.x;
  Lanes slopes[UNROLL], values[UNROLL];
#pragma unroll
  EACH_VECTOR(part, i) {
    slopes[part] = read(g, i);
    values[part] = read(x, i);
  }
#pragma unroll
  EACH_VECTOR(part, i) {
    const int vector = (u32)i % (u32)vectors;
    const Channels channels(gamma, RECTIFIED ? beta : mean, mean, variance, vector, epsilon);
    const Lanes spread = read(variance, vector), sumG = read(dbeta, vector), sumGx = read(dgamma, vector);
    Lanes result;
#pragma unroll
    EACH_LANE {
      const float value = values[part].v[l], inverse = rsqrtf(spread.v[l] + epsilon), unit = (value - channels.mean.v[l]) * inverse;
      const float slope = !RECTIFIED || passes(channels.normalised(value, l), limit) ? slopes[part].v[l] : 0.0f;
      result.v[l] = channels.factor.v[l] * (slope - sumG.v[l] * inverseRows - unit * (sumGx.v[l] * inverseRows));
    }
    ((Lanes *)dx)[i] = result;
  }
}
KERNEL normalize_gradient(const float *g, const float *x, const float *gamma, const float *mean, const float *variance,
                          const float *dgamma, const float *dbeta, float *dx, int count, int vectors, float epsilon, float inverseRows) {
  gradient<false>(g, x, gamma, nullptr, mean, variance, dgamma, dbeta, dx, count, vectors, epsilon, inverseRows, 0);
}
KERNEL rectified_normalize_gradient(const float *g, const float *x, const float *gamma, const float *beta, const float *mean,
                                    const float *variance, const float *dgamma, const float *dbeta, float *dx, int count, int vectors,
                                    float epsilon, float inverseRows, float limit) {
  gradient<true>(g, x, gamma, beta, mean, variance, dgamma, dbeta, dx, count, vectors, epsilon, inverseRows, limit);
}
