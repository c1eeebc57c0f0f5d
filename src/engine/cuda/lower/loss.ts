// Softmax cross-entropy; see kernels/loss.cu.

import { COUNTS, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { ceilDivide } from './geometry.ts';
import { addresses, floats, integers, launch } from './launch.ts';
import { Layout, type Lowerings, tensors, type WaysOf } from './lowering.ts';

type Loss = 'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient';

const ways = { 'a warp per row': { blocks: COUNTS }, 'a block per row': { blocks: COUNTS } } as const;
const gradientWays = {
  'a warp per row': { blocks: COUNTS, rounds: COUNTS },
  'a block per row': { blocks: COUNTS, rounds: COUNTS },
} as const;
export const lossWays: WaysOf<Loss> = { softmaxCrossEntropy: ways, softmaxCrossEntropyGradient: gradientWays };

const THREADS = 256;
const WARP = 32;
/** Up to so many classes a warp has a row: eight of them per thread. */
const FEW_CLASSES = 256;
/** Each block of the gradient counts the labels: no more of them per multiprocessor than run at a time. */
const GRADIENT_BLOCKS = 8;

/** How rows of so many classes are shared out: the threads of one, the blocks of all. */
function sharing(rows: number, classes: number) {
  const few = classes <= FEW_CLASSES;
  const lanes = few ? WARP : THREADS;
  return {
    way: few ? 'a warp per row' : 'a block per row',
    source: { file: 'loss.cu', defines: { LANES: lanes } },
    blocks: ceilDivide(rows, THREADS / lanes),
  } as const;
}

export const loss: Lowerings<Loss> = {
  softmaxCrossEntropy: ({ inputs: [logits], attributes: { smoothing = 0 } }) => {
    const [rows, classes] = logits!.shape as [number, number];
    const { way, source, blocks } = sharing(rows, classes);
    const layout = new Layout();
    const lossesAt = layout.take(8 * rows);
    const hitsAt = layout.take(4 * rows);
    return {
      path: pathOf(ways, way, { blocks: oneOrSeveral(blocks) }),
      workspaceBytes: layout.bytes,
      launches: (at) => {
        const [losses, hits] = [at.workspace + lossesAt, at.workspace + hitsAt];
        return [
          launch(
            source,
            'softmax_cross_entropy',
            { grid: blocks, block: THREADS },
            {
              ...tensors(at, 'logits', 'labels', 'mean', 'probabilities', 'correct'),
              ...addresses({ losses, hits, counter: at.memory.counters(1) }),
              ...integers({ rows, classes }),
              ...floats({ smoothing }),
            },
          ),
        ];
      },
    };
  },

  softmaxCrossEntropyGradient: ({ outputs: [dlogits], attributes: { smoothing = 0 } }, { multiprocessors }) => {
    const [rows, classes] = dlogits!.shape as [number, number];
    const { way, source, blocks: all } = sharing(rows, classes);
    const blocks = Math.min(all, GRADIENT_BLOCKS * multiprocessors);
    return {
      path: pathOf(gradientWays, way, { blocks: oneOrSeveral(blocks), rounds: oneOrSeveral(ceilDivide(all, blocks)) }),
      launches: (at) => [
        launch(
          source,
          'softmax_cross_entropy_gradient',
          { grid: blocks, block: THREADS },
          {
            ...tensors(at, 'g', 'probabilities', 'labels', 'dlogits'),
            ...integers({ rows, classes }),
            ...floats({ smoothing }),
          },
        ),
      ],
    };
  },
};
