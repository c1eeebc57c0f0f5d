// Philox4x32-10 (tensor/philox.ts): four random words of a counter and a key.
#pragma once
#include "common.cuh"

struct Random4 {
  u32 word[4];
};

/** Of the counter (first, 0, third, 0). */
INLINE Random4 philox(u32 first, u32 third, u32 key0, u32 key1) {
  u32 a = first, b = 0, c = third, d = 0;
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const u64 p = (u64)0xd2511f53u * a, q = (u64)0xcd9e8d57u * c;
    a = (u32)(q >> 32) ^ b ^ key0;
    c = (u32)(p >> 32) ^ d ^ key1;
    b = (u32)q;
    d = (u32)p;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return {{a, b, c, d}};
}
