// Softmax cross-entropy: ../kernels/loss.ts.

import { CUTS, cuts, pathOf } from '../../graph/paths.ts';
import { launch } from './launch.ts';
import { Layout, type Lowerings, type WaysOf } from './lowering.ts';
import type { Loss } from './records.ts';

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
        const record: Loss = {
          logits: logits!,
          labels: labels!,
          probabilities: probabilities!,
          rowLosses: workspace + losses,
          loss: mean!,
          correct: correct!,
          g: 0,
          gradient: 0,
          rows,
          classes,
          rowsPerPart: ROWS_PER_PART,
        };
        return [launch('softmaxRows', Math.ceil(rows / ROWS_PER_PART), record), launch('meanLoss', 1, record)];
      },
    };
  },

  softmaxCrossEntropyGradient: ({ outputs: [type] }) => {
    const [rows, classes] = type!.shape as [number, number];
    return {
      path: pathOfRows(rows),
      launches: ({ inputs: [g, probabilities, labels], outputs: [gradient] }) => [
        launch('softmaxGradient', Math.ceil(rows / ROWS_PER_PART), {
          logits: 0,
          labels: labels!,
          probabilities: probabilities!,
          rowLosses: 0,
          loss: 0,
          correct: 0,
          g: g!,
          gradient: gradient!,
          rows,
          classes,
          rowsPerPart: ROWS_PER_PART,
        }),
      ],
    };
  },
};
