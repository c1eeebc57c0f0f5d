// Pooling over windows of an NHWC image, and the softmax cross-entropy. Pooling: one thread per element, channels fastest, so that a warp
// reads contiguous channels of one pixel. Gradients gather: each input element visits the windows that contain it, nothing is
// scattered. Padding never wins a maximum and counts as zeros in an average.
#include "common.cuh"

struct Pool {
  int n, h, w, c, oh, ow, kh, kw, stride, padding;
};

/** The tap (ky·kw + kx) of the first maximum of a window, row by row, and its value. */
INLINE int firstMaximum(const float *x, const Pool &p, int image, int oy, int ox, int channel, float &most) {
  int best = -1;
  most = 0;
  for (int ky = 0; ky < p.kh; ky++) {
    const int y = oy * p.stride - p.padding + ky;
    if ((u32)y >= (u32)p.h) continue;
    for (int kx = 0; kx < p.kw; kx++) {
      const int column = ox * p.stride - p.padding + kx;
      if ((u32)column >= (u32)p.w) continue;
      const float value = x[((image * p.h + y) * p.w + column) * p.c + channel];
      if (best < 0 || value > most) {
        best = ky * p.kw + kx;
        most = value;
      }
    }
  }
  return best;
}

struct Place {
  int image, y, x, channel;
  INLINE Place(int i, int h, int w, int c) {
    channel = i % c;
    i /= c;
    x = i % w;
    i /= w;
    y = i % h;
    image = i / h;
  }
};
#define EACH(i, count) for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
#define KERNEL extern "C" __global__ void __launch_bounds__(256)

KERNEL max_pool(const float *x, float *y, const Pool p) {
  EACH(i, p.n * p.oh * p.ow * p.c) {
    const Place at(i, p.oh, p.ow, p.c);
    float most;
    firstMaximum(x, p, at.image, at.y, at.x, at.channel, most);
    y[i] = most;
  }
}
/** taps[i] = the tap that window i takes its maximum from. */
KERNEL max_pool_taps(const float *x, u16 *taps, const Pool p) {
  EACH(i, p.n * p.oh * p.ow * p.c) {
    const Place at(i, p.oh, p.ow, p.c);
    float most;
    taps[i] = (u16)firstMaximum(x, p, at.image, at.y, at.x, at.channel, most);
  }
}
KERNEL max_pool_gradient(const float *g, const u16 *taps, float *dx, const Pool p) {
  EACH(i, p.n * p.h * p.w * p.c) {
    const Place at(i, p.h, p.w, p.c);
    float sum = 0;
    // Windows oy with oy·stride − padding ≤ y < oy·stride − padding + kh.
    const int y0 = max(0, (at.y + p.padding - p.kh + p.stride) / p.stride), y1 = min(p.oh - 1, (at.y + p.padding) / p.stride);
    const int x0 = max(0, (at.x + p.padding - p.kw + p.stride) / p.stride), x1 = min(p.ow - 1, (at.x + p.padding) / p.stride);
    for (int oy = y0; oy <= y1; oy++)
      for (int ox = x0; ox <= x1; ox++) {
        const int window = ((at.image * p.oh + oy) * p.ow + ox) * p.c + at.channel;
        const int tap = (at.y - oy * p.stride + p.padding) * p.kw + at.x - ox * p.stride + p.padding;
        if (taps[window] == tap) sum += g[window];
      }
    dx[i] = sum;
  }
}
KERNEL average_pool(const float *x, float *y, const Pool p) {
  EACH(i, p.n * p.oh * p.ow * p.c) {
    const Place at(i, p.oh, p.ow, p.c);
    float sum = 0;
    for (int ky = 0; ky < p.kh; ky++)
      for (int kx = 0; kx < p.kw; kx++) {
        const int row = at.y * p.stride - p.padding + ky, column = at.x * p.stride - p.padding + kx;
        if ((u32)row < (u32)p.h && (u32)column < (u32)p.w) sum += x[((at.image * p.h + row) * p.w + column) * p.c + at.channel];
      }
    y[i] = sum / (p.kh * p.kw);
  }
}
KERNEL average_pool_gradient(const float *g, float *dx, const Pool p) {
  EACH(i, p.n * p.h * p.w * p.c) {
    const Place at(i, p.h, p.w, p.c);
    float sum = 0;
    const int y0 = max(0, (at.y + p.padding - p.kh + p.stride) / p.stride), y1 = min(p.oh - 1, (at.y + p.padding) / p.stride);
    const int x0 = max(0, (at.x + p.padding - p.kw + p.stride) / p.stride), x1 = min(p.ow - 1, (at.x + p.padding) / p.stride);
    for (int oy = y0; oy <= y1; oy++)
      for (int ox = x0; ox <= x1; ox++) sum += g[((at.image * p.oh + oy) * p.ow + ox) * p.c + at.channel];
    dx[i] = sum / (p.kh * p.kw);
  }
}

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
