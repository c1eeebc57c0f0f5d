// Images gathered from a data set: assembly/images.ts.

import { pathOf } from '../../graph/paths.ts';
import type { Lowerings, WaysOf } from './lowering.ts';

const byImage = { 'a part per image': {} } as const;

export const imageWays: WaysOf<'gatherImages'> = { gatherImages: byImage };

export const images: Lowerings<'gatherImages'> = {
  gatherImages: ({ outputs: [out] }) => {
    const [count, ...extents] = out!.shape;
    return {
      path: pathOf(byImage, 'a part per image', {}),
      launches: ({ inputs: [source, picks], outputs: [to] }) => [
        { kernel: 'gatherImages', parts: count!, record: [source!, picks!, to!, ...extents] },
      ],
    };
  },
};
