// Element-wise operations, sums of parts, and updates and copies of many tensors in one launch.
#include "elementwise.cuh"

#define THREADS 256

KERNEL add(const float *a, const float *b, float *y, int count, float alpha, float beta) {
  map(y, count, [=](int i) { return alpha * a[i] + beta * b[i]; });
}
KERNEL affine(const float *x, float *y, int count, float scale, float offset) {
  map(y, count, [=](int i) { return scale * x[i] + offset; });
}
/** x·factors[c] + offsets[c] of u8 values. */
KERNEL image_to_float(const u8 *x, const float *factors, const float *offsets, float *y, int count, int channels) {
  map(y, count, [=](int i) { return x[i] * factors[i % channels] + offsets[i % channels]; });
}
KERNEL bias(const float *x, const float *b, float *y, int count, int channels) {
  map(y, count, [=](int i) { return x[i] + b[(u32)i % (u32)channels]; });
}
/**
 * y[i] = Σ_part parts[part·count + i], in order: the results of a sum that was cut into parts. One element per thread.
 */
KERNEL sum_parts(const float *parts, float *y, int count, int number) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  float sum = 0;
#pragma unroll 8
  for (int part = 0; part < number; part++) sum += parts[(size_t)part * count + i];
  y[i] = sum;
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
