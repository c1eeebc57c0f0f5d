// Batch norm and relu in front of a max pool, the stem of many networks, without the tensor between them: windows take
// their maxima of values that are normalised as they are read, and the gradient of such a value is formed, where it is
// read, from those of the windows around it. What is written is that of pooling.cu behind normalization.cu, to the bit.
// -D: as pooling.cuh.
#include "normalization.cuh"
#include "pooling.cuh"

/** A thread has a window and WIDTH channels; `count` of them. */
extern "C" __global__ void __launch_bounds__(256)
    normalized_max_pool(const float *x, const float *gamma, const float *beta, const float *mean, const float *variance, float *y,
                        Taps *taps, const Pool p, int count, float epsilon, float limit) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Place at(p, i);
  const Channels channels(gamma, beta, mean, variance, at.vector, epsilon);
  const Maxima maxima = firstMaxima(p, at, [&](int vector) { return channels.sum(readVector(x, vector), {}, 1, limit); });
  writeVector(y, i, maxima.values);
  taps[i] = maxima.chosen();
}

#if FEW
/** Gradients of pixels, formed from those of the windows that took their maximum there. */
struct Pooled {
  typedef Neighbours Item;
  static constexpr int AT_ONCE = 2;
  const float *g;
  const Taps *taps;
  const Pool &p;
  INLINE Item load(int vector) const {
    const Place at(p, vector);
    return neighboursOf(g, taps, p, at, rowsWith(p, at).first, columnsWith(p, at).first);
  }
  static INLINE Lanes of(const Item &item) {
    Lanes sum = {};
    item.addTo(sum);
    return sum;
  }
};

/** A block has a multiprocessor to itself: registers are there for all that a thread reads at once. */
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    pooled_gradient_sums(const float *g, const Taps *taps, const Pool p, const float *x, const float *gamma, const float *beta,
                         const float *mean, const float *variance, float *dgamma, float *dbeta, float epsilon, float limit, SHAPE) {
  REDUCE_BY(Pooled::AT_ONCE, GradientSums<true, Pooled>{{}, {g, taps, p}, x, gamma, beta, mean, variance, dgamma, dbeta, epsilon, limit});
}
extern "C" __global__ void __launch_bounds__(256)
    pooled_normalize_gradient(const float *g, const Taps *taps, const Pool p, const float *x, const float *gamma, const float *beta,
                              const float *mean, const float *variance, const float *dgamma, const float *dbeta, float *dx, int count,
                              int vectors, float epsilon, float inverseRows, float limit) {
  gradient<true>(Pooled{g, taps, p}, x, gamma, beta, mean, variance, dgamma, dbeta, dx, count, vectors, epsilon, inverseRows, limit);
}
#endif
