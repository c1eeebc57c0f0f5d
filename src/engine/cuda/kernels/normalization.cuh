// What the kernels of batch norm share beside its statistics (moments.cu): normalising, and its gradient, of stored
// gradients and of those that are formed where they are read. One thread works on WIDTH neighbouring channels (4 where
// the channel count is a multiple of 4, else 1), a vector; the channel axis is the last one.
// -D: WIDTH, of lane-totals.cuh.
#pragma once
#include "lane-totals.cuh"

/** What normalises a vector's channels: (x − mean)·factor + beta. */
struct Channels {
  Lanes mean, factor, beta;
  INLINE Channels(const float *gammas, const float *betas, const float *means, const float *variances, int vector, float epsilon) {
    mean = readVector(means, vector);
    beta = readVector(betas, vector);
    const Lanes gamma = readVector(gammas, vector), variance = readVector(variances, vector);
#pragma unroll
    EACH_LANE factor.v[l] = gamma.v[l] * rsqrtf(variance.v[l] + epsilon);
  }
  /** Written out, so that both directions round alike. */
  INLINE float normalised(float x, int l) const { return __fmaf_rn(__fsub_rn(x, mean.v[l]), factor.v[l], beta.v[l]); }
  /** The relu of a value, which is no number where that is none, up to the limit unless that is none. */
  static INLINE float limited(float value, float limit) {
    const float positive = value <= 0 ? 0.0f : value;
    return positive > limit ? limit : positive;
  }
  /** The normalised x plus `other`, and the relu of that where `rectified`. */
  INLINE Lanes sum(const Lanes &x, const Lanes &other, int rectified, float limit) const {
    Lanes result;
#pragma unroll
    EACH_LANE {
      const float value = normalised(x.v[l], l) + other.v[l];
      result.v[l] = rectified ? limited(value, limit) : value;
    }
    return result;
  }
};

/**
 * Whether a relu lets the gradient of a value through. A limit that is no number is none: no comparison with it holds.
 */
INLINE bool passes(float value, float limit) { return value > 0 && !(value >= limit); }

/**
 * Gradients of values as they are stored: load() reads what gives those of a vector, of() gives them. So many vectors
 * are read before the first is worked on.
 */
struct Stored {
  typedef Lanes Item;
  static constexpr int AT_ONCE = 4;
  const float *g;
  INLINE Item load(int vector) const { return readVector(g, vector); }
  static INLINE Lanes of(const Item &item) { return item; }
};

/**
 * dbeta = Σ g, dgamma = Σ g·x̂ of gradients as `Gradients` has them; RECTIFIED: g counts where a relu of the normalised
 * value lets it through.
 */
template <bool RECTIFIED, class Gradients> struct GradientSums : LaneTotals {
  struct Item {
    typename Gradients::Item g;
    Lanes x;
  };
  Gradients gradients;
  const float *x, *gamma, *beta, *mean, *variance;
  float *dgamma, *dbeta;
  float epsilon, limit;
  INLINE Item load(int i) const { return {gradients.load(i), readVector(x, i)}; }
  INLINE void visit(Sum &sum, const Item &item, int, int vector) const {
    const Lanes center = readVector(mean, vector);
    const Channels channels(gamma, RECTIFIED ? beta : mean, mean, variance, vector, epsilon);
    const Lanes g = Gradients::of(item.g);
#pragma unroll
    EACH_LANE {
      const float slope = !RECTIFIED || passes(channels.normalised(item.x.v[l], l), limit) ? g.v[l] : 0.0f;
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

// Elements. A thread has several vectors that lie a block of 256 threads apart, all read before the first is written.

/** The vectors of this thread, of `parts`, as `part` and its number `i`. */
#define EACH_VECTOR(part, parts, i) for (int part = 0, i = start; part < parts; part++, i += 256) if (i < count)

/**
 * gamma/√(variance + epsilon)·(g − sumG/rows − x̂·sumGx/rows), with sumG = dbeta and sumGx = dgamma; RECTIFIED as
 * above.
 */
template <bool RECTIFIED, class Gradients>
INLINE void gradient(const Gradients &gradients, const float *x, const float *gamma, const float *beta, const float *mean, const float *variance,
                     const float *dgamma, const float *dbeta, float *dx, int count, int vectors, float epsilon, float inverseRows,
                     float limit) {
  constexpr int PARTS = Gradients::AT_ONCE;
  const int start = blockIdx.x * (256 * PARTS) + threadIdx.x;
  typename Gradients::Item items[PARTS];
  Lanes values[PARTS];
#pragma unroll
  EACH_VECTOR(part, PARTS, i) {
    items[part] = gradients.load(i);
    values[part] = readVector(x, i);
  }
#pragma unroll
  EACH_VECTOR(part, PARTS, i) {
    const int vector = (u32)i % (u32)vectors;
    const Channels channels(gamma, RECTIFIED ? beta : mean, mean, variance, vector, epsilon);
    const Lanes spread = readVector(variance, vector), sumG = readVector(dbeta, vector), sumGx = readVector(dgamma, vector);
    const Lanes slopes = Gradients::of(items[part]);
    Lanes result;
#pragma unroll
    EACH_LANE {
      const float value = values[part].v[l], inverse = rsqrtf(spread.v[l] + epsilon), unit = (value - channels.mean.v[l]) * inverse;
      const float slope = !RECTIFIED || passes(channels.normalised(value, l), limit) ? slopes.v[l] : 0.0f;
      result.v[l] = channels.factor.v[l] * (slope - sumG.v[l] * inverseRows - unit * (sumGx.v[l] * inverseRows));
    }
    ((Lanes *)dx)[i] = result;
  }
}
