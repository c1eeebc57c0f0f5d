// Images gathered from a data set, and mixed within a batch; see kernels/images.cu.

import { ceilDivide } from './geometry.ts';
import { integers, launch } from './launch.ts';
import { type Lowerings, noChoice, tensors, theOnlyPath, type WaysOf } from './lowering.ts';

const THREADS = 256;

type Images = 'gatherImages' | 'mixImages';

export const imageWays: WaysOf<Images> = { gatherImages: noChoice, mixImages: noChoice };

export const images: Lowerings<Images> = {
  gatherImages: ({ outputs: [out] }) => {
    const [count, height, width, channels] = out!.shape as [number, number, number, number];
    const size = { grid: ceilDivide(count * height * width, THREADS), block: THREADS };
    return {
      path: theOnlyPath,
      launches: (at) => [
        launch({ file: 'images.cu', defines: {} }, 'gather_images', size, {
          ...tensors(at, 'images', 'picks', 'out'),
          ...integers({ count, height, width, channels }),
        }),
      ],
    };
  },
  mixImages: ({ outputs: [out] }) => {
    const [count, height, width, channels] = out!.shape as [number, number, number, number];
    const size = { grid: ceilDivide(count * height * width, THREADS), block: THREADS };
    return {
      path: theOnlyPath,
      launches: (at) => [
        launch({ file: 'images.cu', defines: {} }, 'mix_images', size, {
          ...tensors(at, 'x', 'boxes', 'share', 'out'),
          ...integers({ count, height, width, channels }),
        }),
      ],
    };
  },
};
