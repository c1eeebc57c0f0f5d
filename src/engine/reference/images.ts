// Batches of images gathered from a data set, and images mixed within a batch: the meaning of picks and boxes (see
// `gatherImages` and `mixImages` in graph/ops.ts).

import type { Kernels } from './kernel.ts';

export const images: Kernels<'gatherImages' | 'mixImages'> = {
  gatherImages: ([source, picks], [out]) => {
    const [, height, width, channels] = source!.shape as [number, number, number, number];
    out!.data.fill(0);
    for (let n = 0; n < out!.shape[0]!; n++) {
      const [number, dy, dx, mirrored] = picks!.data.subarray(4 * n, 4 * n + 4) as Int32Array;
      if (number! < 0) continue;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const column = mirrored === 1 ? width - 1 - x : x;
          const [fromY, fromX] = [y + dy!, column + dx!];
          if (fromY < 0 || fromY >= height || fromX < 0 || fromX >= width) continue;
          const from = ((number! * height + fromY) * width + fromX) * channels;
          out!.data.set(source!.data.subarray(from, from + channels), ((n * height + y) * width + x) * channels);
        }
      }
    }
  },
  mixImages: ([images, boxes, mixed], [out]) => {
    const [count, height, width, channels] = images!.shape as [number, number, number, number];
    const share = mixed!.data[0]!;
    for (let n = 0; n < count; n++) {
      const [partner, top, left, high, wide] = boxes!.data.subarray(5 * n, 5 * n + 5) as Int32Array;
      for (let pixel = 0; pixel < height * width; pixel++) {
        const [y, x] = [Math.floor(pixel / width), pixel % width];
        const inside = y >= top! && y < top! + high! && x >= left! && x < left! + wide!;
        for (let c = 0; c < channels; c++) {
          const at = pixel * channels + c;
          const own = images!.data[n * height * width * channels + at]!;
          const other = partner! < 0 ? 0 : images!.data[partner! * height * width * channels + at]!;
          out!.data[n * height * width * channels + at] = inside ? other : share * own + (1 - share) * other;
        }
      }
    }
  },
};
