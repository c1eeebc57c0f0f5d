// Dropout: what is drawn is said in ../graph/dropping.ts.

import { philox } from '../../tensor/philox.ts';
import { scaleOf, thresholdOf } from '../graph/dropping.ts';
import type { Kernels } from './kernel.ts';

export const dropout: Kernels<'dropout'> = {
  dropout: ([x, key], [y], attributes) => {
    const { stream, group } = attributes;
    const words = [key!.data[0]! >>> 0, key!.data[1]! >>> 0] as const;
    const threshold = thresholdOf(attributes);
    const scale = Math.fround(scaleOf(attributes));
    for (let unit = 0; unit * group < x!.data.length; unit++) {
      const kept = philox([Math.floor(unit / 4), 0, stream, 0], words)[unit % 4]! >= threshold;
      for (let i = unit * group; i < (unit + 1) * group; i++) y!.data[i] = kept ? x!.data[i]! * scale : 0;
    }
  },
};
