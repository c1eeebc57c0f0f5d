// Dropout; see kernels/dropout.cu.

import { sizeOf } from '../../../tensor/tensor.ts';
import { scaleOf, thresholdOf } from '../../graph/dropping.ts';
import { FILLING, filling, pathOf } from '../../graph/paths.ts';
import { ceilDivide } from './geometry.ts';
import { floats, integers, type KernelSource, launch } from './launch.ts';
import { type Lowerings, tensors, type WaysOf } from './lowering.ts';

const SOURCE: KernelSource = { file: 'dropout.cu', defines: {} };
const THREADS = 256;

const ways = {
  elements: { vectors: FILLING },
  'groups, four elements at a time': {},
  'groups, one element at a time': {},
} as const;

export const dropoutWays: WaysOf<'dropout'> = { dropout: ways };

export const dropout: Lowerings<'dropout'> = {
  dropout: ({ inputs: [x], attributes }) => {
    const { stream, group } = attributes;
    const count = sizeOf(x!.shape);
    const each = group === 1;
    const width = each || group % 4 === 0 ? 4 : 1;
    const vectors = ceilDivide(count, width);
    const size = { grid: ceilDivide(vectors, THREADS), block: THREADS };
    const name = each ? 'drop_elements' : width === 4 ? 'drop_groups_of_fours' : 'drop_groups';
    const extents = each ? { count, vectors } : { vectors, inGroup: group / width };
    const drawn = { stream, threshold: thresholdOf(attributes) | 0 };
    return {
      path: each
        ? pathOf(ways, 'elements', { vectors: filling(count, 4) })
        : pathOf(ways, width === 4 ? 'groups, four elements at a time' : 'groups, one element at a time', {}),
      launches: (at) => [
        launch(SOURCE, name, size, {
          ...tensors(at, 'x', 'key', 'y'),
          ...integers({ ...extents, ...drawn }),
          ...floats({ scale: scaleOf(attributes) }),
        }),
      ],
    };
  },
};
