// Images gathered from a data set, and mixed within a batch: ../kernels/images.ts.

import { pathOf } from '../../graph/paths.ts';
import { launch } from './launch.ts';
import type { Lowerings, WaysOf } from './lowering.ts';

const byImage = { 'a part per image': {} } as const;

type Images = 'gatherImages' | 'mixImages';

export const imageWays: WaysOf<Images> = { gatherImages: byImage, mixImages: byImage };

export const images: Lowerings<Images> = {
  gatherImages: ({ outputs: [out] }) => {
    const [count, height, width, channels] = out!.shape as [number, number, number, number];
    return {
      path: pathOf(byImage, 'a part per image', {}),
      launches: ({ inputs: [source, picks], outputs: [to] }) => [
        launch('gatherImages', count, { images: source!, picks: picks!, out: to!, height, width, channels }),
      ],
    };
  },
  mixImages: ({ outputs: [out] }) => {
    const [count, height, width, channels] = out!.shape as [number, number, number, number];
    return {
      path: pathOf(byImage, 'a part per image', {}),
      launches: ({ inputs: [x, boxes, share], outputs: [to] }) => [
        launch('mixImages', count, { x: x!, boxes: boxes!, share: share!, out: to!, height, width, channels }),
      ],
    };
  },
};
