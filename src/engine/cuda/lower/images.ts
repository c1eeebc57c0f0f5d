// Images gathered from a data set; see kernels/images.cu.

import { ceilDivide } from './geometry.ts';
import { address, i32, launch } from './launch.ts';
import { alwaysTheSame, type Lowerings } from './lowering.ts';

const THREADS = 256;

export const imageLowerings: Lowerings<'gatherImages'> = {
  gatherImages: {
    ...alwaysTheSame,
    launches: ({ outputs: [out] }, { inputs, outputs }) => {
      const [count, height, width, channels] = out!.shape as [number, number, number, number];
      return [
        launch(
          { file: 'images.cu', defines: {} },
          'gather_images',
          ceilDivide(count * height * width, THREADS),
          THREADS,
          [...[...inputs, ...outputs].map(address), ...[count, height, width, channels].map(i32)],
        ),
      ];
    },
  },
};
