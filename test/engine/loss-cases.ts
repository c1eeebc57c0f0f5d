// The softmax cross-entropy over any number of classes: rows shared by a warp or a block, one block or several, more
// rows than run at a time.

import { Random } from '../../src/tensor/random.ts';
import { f32, tensor } from '../../src/tensor/tensor.ts';
import { type Case, make } from './cases.ts';

/** Labels up to the last class; `ignored`: every so many rows one has none. */
function rowsOf(rows: number, classes: number, ignored = rows + 1, smoothing = 0): Case {
  const labels = Array.from({ length: rows }, (_, row) => {
    if (row % ignored === ignored - 1) return -1;
    return row % 3 === 0 ? classes - 1 : Math.floor((row * classes) / rows);
  });
  // A stream of its own: the inputs of other cases do not depend on these.
  const random = new Random(20261125, rows, classes);
  const logits = Float32Array.from({ length: rows * classes }, () => 6 * random.uniform() - 3);
  const inputs = [f32([rows, classes], logits), tensor('i32', [rows], Int32Array.from(labels))];
  const note = `${rows} rows of ${classes} classes${smoothing > 0 ? `, smoothed by ${smoothing}` : ''}`;
  const attributes = smoothing > 0 ? { smoothing } : {};
  return make('softmaxCrossEntropy', note, inputs, attributes, { differentiate: [0] });
}

export const lossCases: readonly Case[] = [
  rowsOf(140, 7, 5),
  rowsOf(12, 256, 4),
  rowsOf(1, 300),
  rowsOf(20, 300, 6),
  rowsOf(5, 1000, 3),
  rowsOf(3, 50_257, 3),
  rowsOf(21, 10, 5, 0.1),
  rowsOf(6, 300, 6, 0.3),
];
