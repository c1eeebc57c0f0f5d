// Images gathered from a data set: ../kernels/images.ts.

import { pathOf } from '../../graph/paths.ts';
import { launch } from './launch.ts';
import type { Lowerings, WaysOf } from './lowering.ts';

const byImage = { 'a part per image': {} } as const;

export const imageWays: WaysOf<'gatherImages'> = { gatherImages: byImage };

export const images: Lowerings<'gatherImages'> = {
  gatherImages: ({ outputs: [out] }) => {
    const [count, height, width, channels] = out!.shape as [number, number, number, number];
    return {
      path: pathOf(byImage, 'a part per image', {}),
      launches: ({ inputs: [source, picks], outputs: [to] }) => [
        launch('gatherImages', count, { images: source!, picks: picks!, out: to!, height, width, channels }),
      ],
    };
  },
};
