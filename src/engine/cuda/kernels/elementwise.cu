// Operations in which each element of the output depends on the elements at the same position (and on per-channel or scalar values): one
// read, one write, bound by memory. A thread handles UNROLL elements that lie a block apart, so a warp's accesses are contiguous
// and several are in flight. Channel of element i: i % channels (the channel axis is the last one); channels = 1 for scalars.
// Arithmetic that decides codes, scales and zero points is done as the reference does it (float32 quotients, doubles for ranges).
#include "clip.cuh"
#include "common.cuh"

#define UNROLL 4

/** to[i] = value(i) for every i of this thread; all values are formed before the first is stored, so their reads overlap. */
template <class T, class F> INLINE void map(T *to, int count, F value) {
  const int start = blockIdx.x * (blockDim.x * UNROLL) + threadIdx.x;
  T values[UNROLL];
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    if (i < count) values[part] = value(i);
  }
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    if (i < count) to[i] = values[part];
  }
}
/** For operations with several outputs, on short vectors. */
#define EACH(i, count)                                                                                                       \
  for (int start = blockIdx.x * (blockDim.x * UNROLL) + threadIdx.x, part = 0; part < UNROLL; part++)                         \
    if (const int i = start + part * blockDim.x; i < count)

#define KERNEL extern "C" __global__ void __launch_bounds__(256)

KERNEL add(const float *a, const float *b, float *y, int count, float alpha, float beta) {
  map(y, count, [=](int i) { return alpha * a[i] + beta * b[i]; });
}
KERNEL affine(const float *x, float *y, int count, float scale, float offset) {
  map(y, count, [=](int i) { return scale * x[i] + offset; });
}
KERNEL scale_by(const float *x, const float *s, float *y, int count) {
  const float factor = *s;
  map(y, count, [=](int i) { return factor * x[i]; });
}
KERNEL broadcast(const float *x, float *y, int count) {
  const float value = *x;
  map(y, count, [=](int i) { return value; });
}
KERNEL relu(const float *x, float *y, int count) {
  map(y, count, [=](int i) { return fmaxf(x[i], 0.0f); });
}
KERNEL relu_gradient(const float *g, const float *y, float *dx, int count) {
  map(dx, count, [=](int i) { return y[i] > 0 ? g[i] : 0.0f; });
}
KERNEL clamp(const float *x, float *y, int count, float low, float high) {
  map(y, count, [=](int i) { return fminf(fmaxf(x[i], low), high); });
}
KERNEL divide(const float *a, const float *b, float *y, int count) {
  map(y, count, [=](int i) { return __fdiv_rn(a[i], b[i]); });
}
/** x·factors[c] + offsets[c] of u8 values. */
KERNEL image_to_float(const u8 *x, const float *factors, const float *offsets, float *y, int count, int channels) {
  map(y, count, [=](int i) { return x[i] * factors[i % channels] + offsets[i % channels]; });
}
KERNEL bias(const float *x, const float *b, float *y, int count, int channels) {
  map(y, count, [=](int i) { return x[i] + b[(u32)i % (u32)channels]; });
}
/** y[i] = Σ_part parts[part·count + i], in order: the results of a sum that was cut into parts. One element per thread. */
KERNEL sum_parts(const float *parts, float *y, int count, int number) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
#pragma unroll 8
  for (int part = 0; part < number; part++) sum += parts[(size_t)part * count + i];
  y[i] = sum;
}

// Quantisers.

INLINE u32 codeOf(float x, const Quotient &scale, float zero, float highest) {
  return (u32)fminf(fmaxf(rintf(scale.of(x)) + zero, 0.0f), highest);
}
KERNEL quantize(const float *x, const float *scale, const float *zero, u8 *codes, int count, int channels, float highest) {
  map(codes, count, [=](int i) {
    const int c = (u32)i % (u32)channels;
    return (u8)codeOf(x[i], Quotient(scale[c]), zero[c], highest);
  });
}
KERNEL dequantize(const u8 *codes, const float *scale, const float *zero, float *x, int count, int channels) {
  map(x, count, [=](int i) {
    const int c = (u32)i % (u32)channels;
    return (codes[i] - zero[c]) * scale[c];
  });
}
/** The same for one scale, four at a time. */
KERNEL tensor_quantize(const float4 *x, const float *scale, const float *zero, u32 *codes, int vectors, float highest) {
  const Quotient s(*scale);
  const float z = *zero;
  float4 values[UNROLL];
  const int start = blockIdx.x * (blockDim.x * UNROLL) + threadIdx.x;
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    if (i < vectors) values[part] = x[i];
  }
#pragma unroll
  for (int part = 0; part < UNROLL; part++) {
    const int i = start + part * blockDim.x;
    const float4 &v = values[part];
    if (i < vectors) {
      codes[i] = codeOf(v.x, s, z, highest) | codeOf(v.y, s, z, highest) << 8 | codeOf(v.z, s, z, highest) << 16 |
                 codeOf(v.w, s, z, highest) << 24;
    }
  }
}
KERNEL tensor_dequantize(const u32 *codes, const float *scale, const float *zero, float4 *x, int vectors) {
  const float s = *scale, z = *zero;
  map(x, vectors, [=](int i) {
    const u32 word = codes[i];
    return make_float4(((word & 0xff) - z) * s, ((word >> 8 & 0xff) - z) * s, ((word >> 16 & 0xff) - z) * s, ((word >> 24) - z) * s);
  });
}
/** Share of the gradients of the extremes among the elements that attain them; lows and highs count those per channel. */
KERNEL extremes_gradient(const float *gMin, const float *gMax, const float *x, const float *min, const float *max, const float *lows,
                         const float *highs, float *dx, int count, int channels) {
  map(dx, count, [=](int i) {
    const int c = (u32)i % (u32)channels;
    return (x[i] == min[c] ? gMin[c] / lows[c] : 0.0f) + (x[i] == max[c] ? gMax[c] / highs[c] : 0.0f);
  });
}
KERNEL range_to_scale(const float *min, const float *max, const float *factor, float *scale, float *zero, int count, float levels) {
#pragma unroll
  EACH(i, count) {
    const double f = *factor, low = f * min[i], s = fmax((f * max[i] - low) / levels, 1.1920928955078125e-7);
    scale[i] = (float)s;
    zero[i] = (float)rint(-low / s);
  }
}
KERNEL clip_scale(const float *min, const float *max, const float *upper, const float *lower, float *scale, float *zero, int count,
                  float levels) {
#pragma unroll
  EACH(i, count) clippedScale(min[i], max[i], upper[i], lower[i], levels, scale + i, zero + i);
}
KERNEL clip_scale_gradient(const float *gScale, const float *min, const float *max, const float *upper, const float *lower, float *dmin,
                           float *dmax, float *dupper, float *dlower, int count, float levels) {
#pragma unroll
  EACH(i, count) {
    const double up = sigmoid(upper[i]), down = sigmoid(lower[i]), raw = (up * max[i] - down * min[i]) / levels;
    const double g = raw == limit(raw, 1e-5, 1e4) ? gScale[i] / (double)levels : 0.0;
    const double highest = max[i], lowest = min[i];
    dmax[i] = (float)(g * up);
    dmin[i] = (float)(-g * down);
    dupper[i] = (float)(g * up * (1 - up) * highest);
    dlower[i] = (float)(-g * down * (1 - down) * lowest);
  }
}

// Structures.

/** m[at] = θ[index[at]], 0 where the index is negative. */
KERNEL structure_matrix(const float *theta, const int *index, float *m, int count) {
  map(m, count, [=](int i) { return index[i] < 0 ? 0.0f : theta[index[i]]; });
}
/** dθ[c] = Σ dm[at] over index[at] = c, in order. */
KERNEL structure_matrix_gradient(const float *dm, const int *index, float *dtheta, int count, int entries) {
#pragma unroll
  EACH(i, count) {
    double sum = 0;
    for (int at = 0; at < entries; at++) sum += index[at] == i ? dm[at] : 0.0f;
    dtheta[i] = (float)sum;
  }
}

// Many tensors in one launch. Each block finds its piece in a table: (which tensor, first element).

struct SgdTensor {
  const float *p, *dp, *v;
  float *pNew, *vNew;
  u64 count;
};
/** v ← momentum·v + dp + decay·p; p ← p − rate·v. A piece has 4096 elements. */
KERNEL sgd(const SgdTensor *tensors, const int2 *pieces, const float *rate, float momentum, float decay) {
  const SgdTensor t = tensors[pieces[blockIdx.x].x];
  const int first = pieces[blockIdx.x].y, last = min((int)t.count, first + 4096);
  const float learningRate = *rate;
  for (int start = first + threadIdx.x; start < last; start += 4 * 256) {
    float p[4], v[4], dp[4];
#pragma unroll
    for (int part = 0; part < 4; part++) {
      const int i = start + part * 256;
      if (i >= last) break;
      p[part] = t.p[i];
      v[part] = t.v[i];
      dp[part] = t.dp[i];
    }
#pragma unroll
    for (int part = 0; part < 4; part++) {
      const int i = start + part * 256;
      if (i >= last) break;
      const float velocity = momentum * v[part] + dp[part] + decay * p[part];
      t.vNew[i] = velocity;
      t.pNew[i] = p[part] - learningRate * velocity;
    }
  }
}
struct Transfer {
  const u32 *from;
  u32 *to;
  u64 words;
};
/** Copies of whole 4-byte words, a piece of 4096 each. */
KERNEL copy(const Transfer *transfers, const int2 *pieces) {
  const Transfer t = transfers[pieces[blockIdx.x].x];
  const int first = pieces[blockIdx.x].y, last = min((int)t.words, first + 4096);
#pragma unroll 4
  for (int i = first + threadIdx.x; i < last; i += 256) t.to[i] = t.from[i];
}
