// Batches of images gathered from a data set in device memory, moved and mirrored (gatherImages in graph/ops.ts). One
// thread per pixel of the batch, columns fastest, so that a warp reads a row of an image.
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
