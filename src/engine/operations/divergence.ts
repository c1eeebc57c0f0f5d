// What a network has yet to learn from another one that names the same classes: the soft targets of distillation
// (Hinton et al., 2015). Logits of any size are safe: the largest of a row is subtracted before anything overflows.

import { constant, type Expression, exp, held, log, rowMax, rowSum } from '../graph/expression.ts';
import type { Value } from '../graph/graph.ts';
import { formula } from './formula.ts';

/**
 * T²·KL(softmax(teacher/T) ‖ softmax(student/T)) of each row, [..., C] twice → [..., 1]; T² keeps the gradients as
 * large as those of labels whatever T is. The teacher is given: it takes no gradient.
 */
export function divergence(student: Value, teacher: Value, temperature: number): Value {
  return formula(
    'divergence',
    (student, teacher) => {
      const [q, p] = [tempered(student), tempered(teacher)];
      const cross = rowSum(p.probability.times(p.logit.minus(q.logit)));
      return cross
        .plus(log(q.total).minus(log(p.total)))
        .times(temperature)
        .times(temperature);
    },
    (g, _, student, teacher) => {
      const difference = tempered(student).probability.minus(tempered(teacher).probability);
      return [g.times(temperature).times(difference), undefined];
    },
  )(student, teacher);

  /** Logits over T, less the largest of them; Σ exp of these, and the softmax. */
  function tempered(logits: Expression) {
    const scaled = logits.times(1 / temperature);
    const logit = scaled.minus(held(rowMax(scaled)));
    const e = exp(logit);
    const total = rowSum(e);
    return { logit, total, probability: e.times(constant(1).over(total)) };
  }
}
