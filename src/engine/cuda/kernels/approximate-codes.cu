// Preparations that the emulations of an approximate convolution share: sums of weight codes per tap, gathered
// activation codes for layers whose channel count does not allow 16-byte copies, and activation codes mapped by
// functions.
#include "common.cuh"

/**
 * sums[tap][o] = Σ over the input channels of w[tap][channel][o], or of values[w] where values are given.
 * Block (32, 8); grid (taps, ⌈o/32⌉).
 */
extern "C" __global__ void tap_sums(const u8 *__restrict__ w, const int *__restrict__ values, int *__restrict__ sums, int channels,
                                    int outputs) {
  __shared__ int partial[8][32];
  const int column = blockIdx.y * 32 + threadIdx.x;
  int sum = 0;
  if (column < outputs) {
    for (int channel = threadIdx.y; channel < channels; channel += 8) {
      const int code = w[(size_t)(blockIdx.x * channels + channel) * outputs + column];
      sum += values ? values[code] : code;
    }
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < outputs) {
    for (int i = 1; i < 8; i++) sum += partial[i][threadIdx.x];
    sums[blockIdx.x * outputs + column] = sum;
  }
}

/**
 * columns[pixel][group][k] = the code that tap and channel k of the pixel's window meet, 0 outside the image and behind
 * the last k.
 */
extern "C" __global__ void gather(const u8 *__restrict__ x, u8 *__restrict__ columns, const Geometry geometry, int paddedInner) {
  const Geometry &g = geometry;
  const int gi = g.inputs(), inner = g.inner();
  const int words = paddedInner / 4, total = g.pixels() * g.groups * words;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < total; i += gridDim.x * blockDim.x) {
    const int row = i / words, k0 = (i - row * words) * 4, pixel = row / g.groups, group = row - pixel * g.groups;
    int image, oy, ox;
    g.locate(pixel, image, oy, ox);
    u32 word = 0;
#pragma unroll
    for (int byte = 0; byte < 4; byte++) {
      const int k = k0 + byte;
      if (k >= inner) break;
      const int tap = k / gi, channel = k - tap * gi, ky = tap / g.kw, kx = tap - ky * g.kw;
      const int sy = oy * g.strideY - g.paddingY + ky * g.dilationY, sx = ox * g.strideX - g.paddingX + kx * g.dilationX;
      if ((u32)sy < (u32)g.h && (u32)sx < (u32)g.w) {
        word |= (u32)x[((size_t)(image * g.h + sy) * g.w + sx) * g.c + group * gi + channel] << (8 * byte);
      }
    }
    ((u32 *)columns)[i] = word;
  }
}

/**
 * mapped[f][i] = functions[f][codes[i]] four codes at a time; the functions' images are `stride` bytes apart.
 * Grid: (any, functions). Block: 256 threads.
 */
extern "C" __global__ void map_codes(const u32 *__restrict__ codes, const u8 *__restrict__ functions, u8 *__restrict__ mapped, int words,
                                     int stride) {
  __shared__ u8 function[256];
  function[threadIdx.x] = functions[blockIdx.y * 256 + threadIdx.x];
  __syncthreads();
  u32 *to = (u32 *)(mapped + (size_t)blockIdx.y * stride);
  for (int i = blockIdx.x * 256 + threadIdx.x; i < words; i += gridDim.x * 256) {
    const u32 four = codes[i];
    to[i] = function[four & 0xff] | function[(four >> 8) & 0xff] << 8 | function[(four >> 16) & 0xff] << 16 |
            (u32)function[four >> 24] << 24;
  }
}
