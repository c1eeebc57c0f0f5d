// The report of a network as integers, as text in Markdown: what agrees, what differs and why, and what the hardware
// must hold.

import type { IntegerFigures } from '../../integer/compare.ts';

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
/** A share that is not nothing never looks like nothing. */
const shareOf = (share: number): string => (share > 0 && share < 5e-5 ? '< 0.01 %' : percent(share));

/** `of`: whose network it is, one line. */
export function integerReport(of: string, figures: IntegerFigures): string {
  const { images, accuracy, floatAccuracy, agreement, largestLogitDifference, logitSpread, layers, islands } = figures;
  const rows = layers.map((layer) =>
    [
      ...[layer.layer, layer.multiplier, layer.accumulatorBits, `${layer.terms[0]} … ${layer.terms[1]}`],
      ...[layer.productSumBits, `${layer.seen[0]} … ${layer.seen[1]}`, shareOf(layer.codesThatDiffer)],
      layer.largestDifference,
    ].join(' | '),
  );
  return `# ${of} as integers

On ${images} test images:

| | |
|---|---|
| accuracy, integers | ${percent(accuracy)} |
| accuracy, float-scaled | ${percent(floatAccuracy)} |
| same class named | ${percent(agreement)} |
| largest difference of a logit | ${largestLogitDifference.toExponential(2)} (logits of an image spread over ${logitSpread.toFixed(2)}) |

Both networks multiply the same codes with the same multipliers; sums are exact. They differ where a value lies so near to
the boundary of two codes that float32 and the rounding of integers fall on different sides.

| layer | multiplier | accumulator bits | proved partial sums | bits of bare products | sums seen | codes that differ | by at most |
|---|---|---|---|---|---|---|---|
${rows.map((row) => `| ${row} |`).join('\n')}

Bits are those of two's complement. Bare products are Σ AxM(w, x), before anything is taken off for zero points: what an
array accumulates that corrects sums behind it. Partial sums are proved for every image, sums seen are those of these.

${islandText(islands)}`;
}

function islandText(islands: readonly string[]): string {
  if (islands.length === 0) return 'Nothing is computed in floating point.\n';
  return `In float32, since no integer operation expresses it:\n\n${islands.map((one) => `- ${one}\n`).join('')}`;
}
