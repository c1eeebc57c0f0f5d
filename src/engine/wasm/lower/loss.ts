// Softmax cross-entropy: ../kernels/loss.ts.

import { CUTS, cuts, pathOf } from '../../graph/paths.ts';
import { launch } from './launch.ts';
import { Layout, type Lowerings, rowsPerPart, type WaysOf } from './lowering.ts';
import type { Loss } from './records.ts';

const MOST_ROWS_PER_PART = 16;
/** Fewer where there are many classes. */
const rowsPerPartOf = (classes: number): number => Math.min(MOST_ROWS_PER_PART, rowsPerPart(classes));

const byRows = { rows: { runs: CUTS } } as const;
const pathOfRows = (rows: number, perPart: number) => pathOf(byRows, 'rows', { runs: cuts(rows, perPart) });

export const lossWays: WaysOf<'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient'> = {
  softmaxCrossEntropy: byRows,
  softmaxCrossEntropyGradient: byRows,
};

export const loss: Lowerings<'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient'> = {
  softmaxCrossEntropy: ({ inputs: [type], attributes: { smoothing = 0 } }) => {
    const [rows, classes] = type!.shape as [number, number];
    const perPart = rowsPerPartOf(classes);
    const layout = new Layout();
    const losses = layout.take(rows * 12);
    return {
      path: pathOfRows(rows, perPart),
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
          rowsPerPart: perPart,
          smoothing,
        };
        return [launch('softmaxRows', Math.ceil(rows / perPart), record), launch('meanLoss', 1, record)];
      },
    };
  },

  softmaxCrossEntropyGradient: ({ outputs: [type], attributes: { smoothing = 0 } }) => {
    const [rows, classes] = type!.shape as [number, number];
    const perPart = rowsPerPartOf(classes);
    return {
      path: pathOfRows(rows, perPart),
      launches: ({ inputs: [g, probabilities, labels], outputs: [gradient] }) => [
        launch('softmaxGradient', Math.ceil(rows / perPart), {
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
          rowsPerPart: perPart,
          smoothing,
        }),
      ],
    };
  },
};
