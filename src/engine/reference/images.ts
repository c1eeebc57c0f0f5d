// Batches of images gathered from a data set: the meaning of a pick (see `gatherImages` in graph/ops.ts).

import type { Kernels } from './kernel.ts';

export const images: Kernels<'gatherImages'> = {
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
};
