// Softmax cross-entropy: assembly/loss.ts.

import { CUTS, cuts, pathOf } from '../../graph/paths.ts';
import { Layout, type Lowerings, type WaysOf } from './lowering.ts';

const ROWS_PER_PART = 16;

const byRows = { rows: { runs: CUTS } } as const;
const pathOfRows = (rows: number) => pathOf(byRows, 'rows', { runs: cuts(rows, ROWS_PER_PART) });

export const lossWays: WaysOf<'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient'> = {
  softmaxCrossEntropy: byRows,
  softmaxCrossEntropyGradient: byRows,
};

export const loss: Lowerings<'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient'> = {
  softmaxCrossEntropy: ({ inputs: [type] }) => {
    const [rows, classes] = type!.shape as [number, number];
    const layout = new Layout();
    const losses = layout.take(rows * 12);
    return {
      path: pathOfRows(rows),
      workspaceBytes: layout.bytes,
      launches: ({ inputs: [logits, labels], outputs: [mean, probabilities, correct], workspace }) => {
        const tensors = [logits!, labels!, probabilities!, workspace + losses, mean!, correct!, 0, 0];
        const record = [...tensors, rows, classes, ROWS_PER_PART];
        return [
          { kernel: 'softmaxRows', parts: Math.ceil(rows / ROWS_PER_PART), record },
          { kernel: 'meanLoss', parts: 1, record },
        ];
      },
    };
  },

  softmaxCrossEntropyGradient: ({ outputs: [type] }) => {
    const [rows, classes] = type!.shape as [number, number];
    return {
      path: pathOfRows(rows),
      launches: ({ inputs: [g, probabilities, labels], outputs: [gradient] }) => [
        {
          kernel: 'softmaxGradient',
          parts: Math.ceil(rows / ROWS_PER_PART),
          record: [0, labels!, probabilities!, 0, 0, 0, g!, gradient!, rows, classes, ROWS_PER_PART],
        },
      ],
    };
  },
};
