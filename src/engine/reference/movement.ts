// Movements, element by element.

import { boxSize } from '../graph/movement.ts';
import type { Kernels } from './kernel.ts';

export const movement: Kernels<'move'> = {
  move: (inputs, [out], { boxes }) => {
    out!.data.fill(0);
    for (const box of boxes) {
      const { extents, from, to } = box;
      const { data } = inputs[box.input]!;
      for (let n = 0; n < boxSize(box); n++) {
        let [rest, source, target] = [n, from.first, to.first];
        for (let axis = extents.length - 1; axis >= 0; axis--) {
          const at = rest % extents[axis]!;
          rest = Math.floor(rest / extents[axis]!);
          source += at * from.strides[axis]!;
          target += at * to.strides[axis]!;
        }
        out!.data[target] = data[source]!;
      }
    }
  },
};
