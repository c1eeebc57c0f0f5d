// Dropout of elements and of groups of them (graph/dropping.ts). A thread has four neighbouring elements, which one
// block of random words decides, or up to four of a group.
#define THREADS 256
#include "philox.cuh"

/** Each element by itself; `vectors`: of four elements, the last one perhaps not filled. */
KERNEL drop_elements(const float *x, const int *key, float *y, int count, int vectors, int stream, int threshold, float scale) {
  const int block = blockIdx.x * THREADS + threadIdx.x;
  if (block >= vectors) return;
  const Random4 drawn = philox(block, stream, key[0], key[1]);
  if (4 * block + 3 < count) {
    const float4 value = ((const float4 *)x)[block];
    ((float4 *)y)[block] = {
        drawn.word[0] >= (u32)threshold ? value.x * scale : 0.0f, drawn.word[1] >= (u32)threshold ? value.y * scale : 0.0f,
        drawn.word[2] >= (u32)threshold ? value.z * scale : 0.0f, drawn.word[3] >= (u32)threshold ? value.w * scale : 0.0f};
  } else {
    for (int l = 0; 4 * block + l < count; l++) {
      y[4 * block + l] = drawn.word[l] >= (u32)threshold ? x[4 * block + l] * scale : 0.0f;
    }
  }
}

/** All elements of a group alike; `vectors`: in all, `inGroup` in each group. */
template <class Vector, class Scaled>
INLINE void dropGroups(const float *x, const int *key, float *y, int vectors, int inGroup, int stream, int threshold, Scaled scaled) {
  const int at = blockIdx.x * THREADS + threadIdx.x;
  if (at >= vectors) return;
  const u32 group = (u32)at / (u32)inGroup;
  const Random4 drawn = philox(group / 4, stream, key[0], key[1]);
  const u32 word = group & 2 ? (group & 1 ? drawn.word[3] : drawn.word[2]) : (group & 1 ? drawn.word[1] : drawn.word[0]);
  ((Vector *)y)[at] = word >= (u32)threshold ? scaled(((const Vector *)x)[at]) : Vector{};
}
KERNEL drop_groups(const float *x, const int *key, float *y, int vectors, int inGroup, int stream, int threshold, float scale) {
  dropGroups<float>(x, key, y, vectors, inGroup, stream, threshold, [=](float value) { return value * scale; });
}
KERNEL drop_groups_of_fours(const float *x, const int *key, float *y, int vectors, int inGroup, int stream, int threshold,
                            float scale) {
  dropGroups<float4>(x, key, y, vectors, inGroup, stream, threshold, [=](float4 value) {
    return float4{value.x * scale, value.y * scale, value.z * scale, value.w * scale};
  });
}
