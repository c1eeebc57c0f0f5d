// Softmax cross-entropy; see kernels/loss.cu.

import { integers, launch } from './launch.ts';
import { type Lowerings, noChoice, tensors, theOnlyPath, type WaysOf } from './lowering.ts';

type Loss = 'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient';

export const lossWays: WaysOf<Loss> = { softmaxCrossEntropy: noChoice, softmaxCrossEntropyGradient: noChoice };

const SOURCE = { file: 'loss.cu', defines: {} };
const SIZE = { grid: 1, block: 1024 };

export const loss: Lowerings<Loss> = {
  softmaxCrossEntropy: ({ inputs: [logits] }) => {
    const [rows, classes] = logits!.shape as [number, number];
    return {
      path: theOnlyPath,
      launches: (at) => [
        launch(SOURCE, 'softmax_cross_entropy', SIZE, {
          ...tensors(at, 'logits', 'labels', 'mean', 'probabilities', 'correct'),
          ...integers({ rows, classes }),
        }),
      ],
    };
  },

  softmaxCrossEntropyGradient: ({ outputs: [dlogits] }) => {
    const [rows, classes] = dlogits!.shape as [number, number];
    return {
      path: theOnlyPath,
      launches: (at) => [
        launch(SOURCE, 'softmax_cross_entropy_gradient', SIZE, {
          ...tensors(at, 'g', 'probabilities', 'labels', 'dlogits'),
          ...integers({ rows, classes }),
        }),
      ],
    };
  },
};
