// Softmax cross-entropy over rows of logits; rows with a negative label are ignored.
#include "common.cuh"

INLINE double sumOfWarp(double value) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

/** One block of 1024 threads, a warp per row: mean loss over the rows with a label ≥ 0, probabilities, number of correct rows. */
extern "C" __global__ void __launch_bounds__(1024)
    softmax_cross_entropy(const float *logits, const int *labels, float *mean, float *probabilities, float *correct, int rows, int classes) {
  __shared__ double losses[32];
  __shared__ int hits[32], counts[32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  double loss = 0;
  int hit = 0, count = 0;
  for (int row = warp; row < rows; row += 32) {
    const float *z = logits + (size_t)row * classes;
    float highest = __int_as_float(0xff800000);
    int best = classes;
    for (int i = lane; i < classes; i += 32) {
      if (z[i] > highest) {
        highest = z[i];
        best = i;
      }
    }
    for (int distance = 16; distance > 0; distance /= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, highest, distance);
      const int at = __shfl_xor_sync(0xffffffffu, best, distance);
      if (other > highest || (other == highest && at < best)) {
        highest = other;
        best = at;
      }
    }
    double sum = 0;
    for (int i = lane; i < classes; i += 32) sum += exp((double)z[i] - highest);
    sum = sumOfWarp(sum);
    for (int i = lane; i < classes; i += 32) probabilities[(size_t)row * classes + i] = (float)(exp((double)z[i] - highest) / sum);
    const int label = labels[row];
    if (label < 0) continue;
    loss += log(sum) + highest - z[label];
    hit += best == label;
    count++;
  }
  if (lane == 0) {
    losses[warp] = loss;
    hits[warp] = hit;
    counts[warp] = count;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  loss = 0;
  hit = count = 0;
  for (int i = 0; i < 32; i++) {
    loss += losses[i];
    hit += hits[i];
    count += counts[i];
  }
  *mean = (float)(loss / max(1, count));
  *correct = (float)hit;
}
/** g/rows·(probability − target) for labelled rows, else 0. One block: it counts the labelled rows first. */
extern "C" __global__ void __launch_bounds__(1024)
    softmax_cross_entropy_gradient(const float *g, const float *probabilities, const int *labels, float *dlogits, int rows, int classes) {
  __shared__ int counts[32];
  int count = 0;
  for (int row = threadIdx.x; row < rows; row += 1024) count += labels[row] >= 0;
  count = __reduce_add_sync(0xffffffffu, count);
  if (threadIdx.x % 32 == 0) counts[threadIdx.x / 32] = count;
  __syncthreads();
  count = 0;
  for (int i = 0; i < 32; i++) count += counts[i];
  const float factor = *g / max(1, count);
  for (int i = threadIdx.x; i < rows * classes; i += 1024) {
    const int label = labels[i / classes];
    dlogits[i] = label < 0 ? 0.0f : factor * (probabilities[i] - (i % classes == label ? 1.0f : 0.0f));
  }
}
