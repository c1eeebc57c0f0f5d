// Softmax cross-entropy over rows of logits; rows with a negative label are ignored. LANES threads share a row: a warp
// where there are few classes, a block where there are many. With few classes exponentials are formed in double
// precision; with many in float, and their sums in double. The last block to finish adds the losses of the rows in an
// order that the number of rows decides, so results depend neither on timing nor on the number of blocks.
// -D: LANES (32 or THREADS).
#include "common.cuh"

#define THREADS 256
#define ROWS (THREADS / LANES)

/** The largest value met, and its first place. */
struct Peak {
  float value;
  int at;
};
struct Higher {
  INLINE Peak operator()(const Peak &a, const Peak &b) const { return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a; }
};
struct Plus {
  template <class T> INLINE T operator()(T a, T b) const { return a + b; }
};
INLINE double exchange(double value, int distance) { return __shfl_xor_sync(0xffffffffu, value, distance); }
INLINE int exchange(int value, int distance) { return __shfl_xor_sync(0xffffffffu, value, distance); }
INLINE Peak exchange(const Peak &peak, int distance) {
  return {__shfl_xor_sync(0xffffffffu, peak.value, distance), __shfl_xor_sync(0xffffffffu, peak.at, distance)};
}

/** What a warp's values combine to, in each of its threads. */
template <class T, class F> INLINE T acrossWarp(T value, F combine) {
  for (int distance = 16; distance > 0; distance /= 2) value = combine(value, exchange(value, distance));
  return value;
}
/** The same of a block's; all threads call it. */
template <class T, class F> INLINE T acrossBlock(T value, F combine) {
  __shared__ T ofWarp[THREADS / 32];
  value = acrossWarp(value, combine);
  __syncthreads();
  if (threadIdx.x % 32 == 0) ofWarp[threadIdx.x / 32] = value;
  __syncthreads();
  value = ofWarp[0];
  for (int warp = 1; warp < THREADS / 32; warp++) value = combine(value, ofWarp[warp]);
  return value;
}

#if LANES == 32
INLINE double exponential(float z, float highest) { return exp((double)z - highest); }
INLINE float share(double part, double sum) { return (float)(part / sum); }
template <class T, class F> INLINE T acrossRow(T value, F combine) { return acrossWarp(value, combine); }
#else
INLINE float exponential(float z, float highest) { return expf(z - highest); }
INLINE float share(float part, double sum) { return part * (float)(1.0 / sum); }
template <class T, class F> INLINE T acrossRow(T value, F combine) { return acrossBlock(value, combine); }
#endif

/** The labels that count, of all rows; all threads of a block call it. */
INLINE int labelled(const int *labels, int rows) {
  int count = 0;
  for (int row = threadIdx.x; row < rows; row += THREADS) count += labels[row] >= 0;
  return acrossBlock(count, Plus());
}

/**
 * Probabilities; mean loss over the labelled rows and the number of correct ones, by way of losses and hits of each
 * row. Grid: ⌈rows / ROWS⌉. `counter`: a word that is zero before and after.
 */
KERNEL softmax_cross_entropy(const float *logits, const int *labels, float *mean, float *probabilities, float *correct, double *losses,
                             int *hits, u32 *counter, int rows, int classes, float smoothing) {
  __shared__ double chains[32];
  __shared__ bool last;
  const int lane = threadIdx.x % LANES, row = blockIdx.x * ROWS + threadIdx.x / LANES;
  if (row < rows) {
    const float *z = logits + (size_t)row * classes;
    float *to = probabilities + (size_t)row * classes;
    Peak peak = {__int_as_float(0xff800000), classes};
    for (int i = lane; i < classes; i += LANES) {
      const float value = z[i];
      if (value > peak.value) peak = {value, i};
    }
    peak = acrossRow(peak, Higher());
    double sum = 0;
    for (int i = lane; i < classes; i += LANES) sum += exponential(z[i], peak.value);
    sum = acrossRow(sum, Plus());
    for (int i = lane; i < classes; i += LANES) to[i] = share(exponential(z[i], peak.value), sum);
    double others = 0;
    if (smoothing > 0) {
      for (int i = lane; i < classes; i += LANES) others += z[i];
      others = acrossRow(others, Plus()) / classes;
    }
    if (lane == 0) {
      const int label = labels[row];
      if (label < 0) losses[row] = 0.0;
      else if (smoothing > 0) losses[row] = log(sum) + peak.value - ((1.0 - smoothing) * z[label] + smoothing * others);
      else losses[row] = log(sum) + peak.value - z[label];
      hits[row] = peak.at == label;
    }
  }

  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(counter, 1) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  const int count = labelled(labels, rows);
  int hit = 0;
  for (int at = threadIdx.x; at < rows; at += THREADS) hit += __ldcg(hits + at);
  hit = acrossBlock(hit, Plus());
  // 32 chains of every 32nd row, then the chains.
  if (threadIdx.x < 32) {
    double loss = 0;
#pragma unroll 8
    for (int at = threadIdx.x; at < rows; at += 32) loss += __ldcg(losses + at);
    chains[threadIdx.x] = loss;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  double loss = 0;
  for (int chain = 0; chain < 32; chain++) loss += chains[chain];
  *mean = (float)(loss / max(1, count));
  *correct = (float)hit;
  *counter = 0;
}

/** g/labelled·(probability − smoothed target) for labelled rows, else 0. Grid: any; blocks take ROWS rows in turn. */
KERNEL softmax_cross_entropy_gradient(const float *g, const float *probabilities, const int *labels, float *dlogits, int rows,
                                      int classes, float smoothing) {
  const float ofAll = smoothing / classes, ofLabel = 1.0f - smoothing + ofAll;
  const float factor = *g / max(1, labelled(labels, rows));
  const int lane = threadIdx.x % LANES;
  for (int row = blockIdx.x * ROWS + threadIdx.x / LANES; row < rows; row += gridDim.x * ROWS) {
    const int label = labels[row];
    const float *from = probabilities + (size_t)row * classes;
    float *to = dlogits + (size_t)row * classes;
#pragma unroll 4
    for (int i = lane; i < classes; i += LANES) to[i] = label < 0 ? 0.0f : factor * (from[i] - (i == label ? ofLabel : ofAll));
  }
}
