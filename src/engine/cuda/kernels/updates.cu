// Updates of variables and copies, of many tensors in one launch: each block finds its piece of 4096 elements in a
// table (which tensor, first element). Outputs may be where an input of the same place is.
#include "common.cuh"

#define PIECE 4096
#define THREADS 256
#define UNROLL 4

/** Calls body(number of the value, element) for UNROLL elements at a time: `load` for all of them, then `store`. */
template <class Load, class Store> INLINE void eachOf(int first, int count, Load load, Store store) {
  const int last = min(count, first + PIECE);
  for (int start = first + threadIdx.x; start < last; start += UNROLL * THREADS) {
#pragma unroll
    for (int part = 0; part < UNROLL; part++) {
      const int i = start + part * THREADS;
      if (i < last) load(part, i);
    }
#pragma unroll
    for (int part = 0; part < UNROLL; part++) {
      const int i = start + part * THREADS;
      if (i < last) store(part, i);
    }
  }
}

struct SgdTensor {
  const float *p, *dp, *v;
  float *pNew, *vNew;
  u64 count;
};
/** v ← momentum·v + dp + decay·p; p ← p − rate·v, with Nesterov's momentum p − rate·(dp + decay·p + momentum·v). */
KERNEL sgd(const SgdTensor *tensors, const int2 *pieces, const float *rate, float momentum, float decay, int nesterov) {
  const SgdTensor t = tensors[pieces[blockIdx.x].x];
  const float learningRate = *rate;
  float p[UNROLL], v[UNROLL], dp[UNROLL];
  eachOf(
      pieces[blockIdx.x].y, (int)t.count,
      [&](int part, int i) {
        p[part] = t.p[i];
        v[part] = t.v[i];
        dp[part] = t.dp[i];
      },
      [&](int part, int i) {
        const float velocity = momentum * v[part] + dp[part] + decay * p[part];
        t.vNew[i] = velocity;
        if (nesterov) t.pNew[i] = p[part] - learningRate * (dp[part] + decay * p[part] + momentum * velocity);
        else t.pNew[i] = p[part] - learningRate * velocity;
      });
}

struct AdamTensor {
  const float *p, *dp, *m, *s;
  float *pNew, *mNew, *sNew;
  u64 count;
};
/** adam in graph/ops.ts; rest1 = 1 − beta1, rest2 = 1 − beta2; `decay` of the gradient, `ownDecay` of the parameter. */
KERNEL adam(const AdamTensor *tensors, const int2 *pieces, const float *rate, const float *corrections, float beta1, float rest1,
            float beta2, float rest2, float epsilon, float decay, float ownDecay) {
  const AdamTensor t = tensors[pieces[blockIdx.x].x];
  const float kept = 1.0f - *rate * ownDecay, step = *rate / corrections[0], root = sqrtf(corrections[1]);
  float p[UNROLL], m[UNROLL], s[UNROLL], dp[UNROLL];
  eachOf(
      pieces[blockIdx.x].y, (int)t.count,
      [&](int part, int i) {
        p[part] = t.p[i];
        m[part] = t.m[i];
        s[part] = t.s[i];
        dp[part] = t.dp[i];
      },
      [&](int part, int i) {
        const float d = dp[part] + decay * p[part];
        const float mean = beta1 * m[part] + rest1 * d, square = beta2 * s[part] + rest2 * (d * d);
        t.mNew[i] = mean;
        t.sNew[i] = square;
        t.pNew[i] = kept * p[part] - step * mean / (sqrtf(square) / root + epsilon);
      });
}

struct AverageTensor {
  const float *average, *x;
  float *averageNew;
  u64 count;
};
/** average ← keep·average + (1 − keep)·x. */
KERNEL moving_average(const AverageTensor *tensors, const int2 *pieces, const float *keep) {
  const AverageTensor t = tensors[pieces[blockIdx.x].x];
  const float kept = *keep, taken = 1.0f - kept;
  float average[UNROLL], x[UNROLL];
  eachOf(
      pieces[blockIdx.x].y, (int)t.count,
      [&](int part, int i) {
        average[part] = t.average[i];
        x[part] = t.x[i];
      },
      [&](int part, int i) { t.averageNew[i] = kept * average[part] + taken * x[part]; });
}

struct Transfer {
  const u32 *from;
  u32 *to;
  u64 words;
};
/** Copies of whole 4-byte words. */
KERNEL copy(const Transfer *transfers, const int2 *pieces) {
  const Transfer t = transfers[pieces[blockIdx.x].x];
  const int first = pieces[blockIdx.x].y, last = min((int)t.words, first + PIECE);
#pragma unroll 4
  for (int i = first + threadIdx.x; i < last; i += THREADS) t.to[i] = t.from[i];
}
