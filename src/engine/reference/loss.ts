// Softmax cross-entropy over rows of logits; rows with a negative label are ignored, so a short batch can be filled up.

import { channels, type Kernels, type Operand } from './kernel.ts';

function countLabelled({ data }: Operand): number {
  let count = 0;
  for (const label of data) if (label >= 0) count++;
  return count;
}

export const loss: Kernels<'softmaxCrossEntropy' | 'softmaxCrossEntropyGradient'> = {
  softmaxCrossEntropy: ([logits, labels], [mean, probabilities, correct], { smoothing = 0 }) => {
    const classes = channels(logits!);
    let total = 0;
    let hits = 0;
    for (let row = 0; row < labels!.data.length; row++) {
      const z = Array.from(logits!.data.subarray(row * classes, (row + 1) * classes));
      const highest = z.reduce((a, b) => Math.max(a, b));
      const exponentials = z.map((value) => Math.exp(value - highest));
      const sum = exponentials.reduce((a, b) => a + b, 0);
      probabilities!.data.set(
        exponentials.map((e) => e / sum),
        row * classes,
      );
      const label = labels!.data[row]!;
      if (label < 0) continue;
      const others = z.reduce((a, b) => a + b, 0) / classes;
      total +=
        Math.log(sum) + highest - (smoothing === 0 ? z[label]! : (1 - smoothing) * z[label]! + smoothing * others);
      if (z.indexOf(highest) === label) hits++;
    }
    mean!.data[0] = total / Math.max(1, countLabelled(labels!));
    correct!.data[0] = hits;
  },
  softmaxCrossEntropyGradient: ([g, probabilities, labels], [dlogits], { smoothing = 0 }) => {
    const classes = channels(probabilities!);
    const factor = g!.data[0]! / Math.max(1, countLabelled(labels!));
    for (let i = 0; i < dlogits!.data.length; i++) {
      const label = labels!.data[Math.floor(i / classes)]!;
      const target = (i % classes === label ? 1 - smoothing : 0) + smoothing / classes;
      dlogits!.data[i] = label < 0 ? 0 : factor * (probabilities!.data[i]! - target);
    }
  },
};
