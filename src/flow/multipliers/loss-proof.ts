// What a training step lowers, and the gradient with which that reaches the network, against the sums that they are by
// definition, in double precision: labels as written, smoothed and mixed, and what a teacher says. No formula, kernel
// or gradient rule of the engine has a part in it.

import { invariant, UserError } from '../../tensor/errors.ts';
import type { TensorData } from '../../tensor/tensor.ts';
import type { Teacher } from '../../train/distillation.ts';

export interface LossFound {
  /** The network's, [rows, classes]. */
  readonly logits: TensorData;
  /** ∂loss/∂logits. */
  readonly gradient: TensorData;
  readonly loss: number;
  /** What the rows are trained against. */
  readonly distributions: Float64Array;
  readonly taught?: { readonly logits: TensorData; readonly by: Pick<Teacher, 'weight' | 'temperature'> } | undefined;
}

/** Errors in float32: of a probability, and of each logit in proportion to its size. */
const TOLERANCE = 1e-5;
const LOGIT_TOLERANCE = 1e-6;

/** Throws a UserError where loss or gradient is another than the logits give. */
export function checkLoss({ logits, gradient, loss, distributions, taught }: LossFound, rows: number): void {
  const classes = logits.length / rows;
  invariant(distributions.length === logits.length, 'a distribution for each row of logits');
  const { weight: a, temperature: t } = taught?.by ?? { weight: 0, temperature: 1 };
  let sum = 0;
  let largest = 0;
  for (let row = 0; row < rows; row++) {
    const of = (values: ArrayLike<number>) =>
      Float64Array.from({ length: classes }, (_, at) => values[row * classes + at]!);
    const own = of(logits);
    // What is no number is no fault of the loss; training ends with it and says so.
    if (!own.every(Number.isFinite)) return;
    const size = largestOf(own, taught ? of(taught.logits) : []);
    largest = Math.max(largest, size);
    const target = of(distributions);
    const hard = logSoftmax(own);
    const [soft, teacher] = taught ? [logSoftmax(own, t), logSoftmax(of(taught.logits), t)] : [];
    for (let at = 0; at < classes; at++) {
      sum -= (1 - a) * target[at]! * hard[at]!;
      const given = teacher ? Math.exp(teacher[at]!) : 0;
      if (soft && given > 0) sum += a * t * t * given * (teacher![at]! - soft[at]!);
      const ofLabels = (1 - a) * (Math.exp(hard[at]!) - target[at]!);
      const ofTeacher = soft ? a * t * (Math.exp(soft[at]!) - given) : 0;
      const expected = (ofLabels + ofTeacher) / rows;
      const found = gradient[row * classes + at]!;
      const most = ((1 - a + a * t) * TOLERANCE + LOGIT_TOLERANCE * size) / rows;
      if (Math.abs(found - expected) <= most) continue;
      throw new UserError(
        `the gradient of the training step at logit ${at} of image ${row} is ${found}, but ${sources(taught)} give ${expected}; the gradient is not what was asked for`,
      );
    }
  }
  const expected = sum / rows;
  // The divergence is a difference of logarithms, whose rounding T² magnifies.
  const rounding = (1 - a + a * t) * largest + a * t * t * (1 + Math.log(classes));
  const most = TOLERANCE * Math.max(1, Math.abs(expected)) + LOGIT_TOLERANCE * rounding;
  if (Math.abs(loss - expected) <= most) return;
  throw new UserError(
    `the loss of the training step is ${loss}, but ${sources(taught)} give ${expected}; the loss is not what was asked for`,
  );
}

const sources = (taught: LossFound['taught']): string => (taught ? 'labels and teacher' : 'the labels');

const largestOf = (...lists: readonly ArrayLike<number>[]): number =>
  lists.reduce((most, list) => Array.from(list).reduce((found, one) => Math.max(found, Math.abs(one)), most), 0);

/** log softmax(logits/T). */
function logSoftmax(logits: Float64Array, temperature = 1): Float64Array {
  const scaled = logits.map((logit) => logit / temperature);
  const most = scaled.reduce((found, logit) => Math.max(found, logit), Number.NEGATIVE_INFINITY);
  const total = Math.log(scaled.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
  return scaled.map((logit) => logit - most - total);
}
