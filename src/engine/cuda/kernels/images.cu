// Batches of images gathered from a data set in device memory, moved and mirrored, and images mixed within a batch
// (gatherImages and mixImages in graph/ops.ts). One thread per pixel of the batch, columns fastest, so that a warp
// reads a row of an image.
#include "common.cuh"

#define THREADS 256

struct Pick {
  int number, dy, dx, mirrored;
};

KERNEL gather_images(const u8 *images, const Pick *picks, u8 *out, int count, int height, int width, int channels) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count * height * width) return;
  const int x = at % width, y = at / width % height;
  const Pick pick = picks[at / width / height];
  const int fromY = y + pick.dy, fromX = (pick.mirrored == 1 ? width - 1 - x : x) + pick.dx;
  const bool inside = pick.number >= 0 && fromY >= 0 && fromY < height && fromX >= 0 && fromX < width;
  const u8 *from = images + (((long long)pick.number * height + fromY) * width + fromX) * channels;
  for (int c = 0; c < channels; c++) out[(long long)at * channels + c] = inside ? from[c] : 0;
}

struct MixBox {
  int partner, top, left, height, width;
};

KERNEL mix_images(const float *x, const MixBox *boxes, const float *share, float *out, int count, int height, int width, int channels) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count * height * width) return;
  const int column = at % width, row = at / width % height, image = at / width / height;
  const MixBox box = boxes[image];
  const bool inside = row >= box.top && row < box.top + box.height && column >= box.left && column < box.left + box.width;
  const float own = *share, others = 1.0f - own;
  const float *from = x + (size_t)at * channels;
  const float *partner = x + ((size_t)max(0, box.partner) * height * width + row * width + column) * channels;
  for (int c = 0; c < channels; c++) {
    const float theirs = box.partner < 0 ? 0.0f : partner[c];
    out[(size_t)at * channels + c] = inside ? theirs : own * from[c] + others * theirs;
  }
}
