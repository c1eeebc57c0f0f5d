// Images gathered from a data set: assembly/images.ts.

import type { Lowerings } from '../launch.ts';

export const images: Lowerings<'gatherImages'> = {
  gatherImages: ({ outputs: [out] }) => {
    const [count, ...extents] = out!.shape;
    return {
      launches: ({ inputs: [source, picks], outputs: [to] }) => [
        { kernel: 'gatherImages', parts: count!, record: [source!, picks!, to!, ...extents] },
      ],
    };
  },
};
