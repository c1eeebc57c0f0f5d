// Learning from a teacher (Hinton et al., 2015): another network, whose weights stand still, looks at the same batch,
// and its probabilities are targets beside the labels. It is built into the graph of the training step before the
// network that learns, as it is evaluated, on the same input values. Invariant: its variables have names of their own,
// which no model has (`#`); nothing assigns them, and the gradient does not lead there, since it depends on nothing
// that learns. It is no part of a checkpoint: who resumes writes it anew.

import type { Session } from '../engine/backend.ts';
import { rowMean, rowSum } from '../engine/graph/expression.ts';
import type { Graph, Value } from '../engine/graph/graph.ts';
import { divergence } from '../engine/operations/divergence.ts';
import { formula } from '../engine/operations/formula.ts';
import { UserError } from '../tensor/errors.ts';
import { type HostTensor, sizeOf } from '../tensor/tensor.ts';
import { partOfEqual } from './replicas.ts';
import { type Arithmetic, type Inputs, type Logits, networkOn, type Outcome, type Task } from './task.ts';

/** A network to learn from; its weights are in the session by `writeTeacher`. */
export interface Teacher {
  readonly arithmetic: Arithmetic;
  /** a in (1 − a)·loss + a·T²·KL(teacher ‖ student): above 0, to 1. */
  readonly weight: number;
  /** T, by which both networks' logits are divided; above 0. */
  readonly temperature: number;
}

const SCOPE = 'teacher#';

/** Whether a variable, or a label, is a teacher's. */
export const isTeachers = (name: string): boolean => name.startsWith(SCOPE);

/** Writes the tensors of a network, by their names, as those of the teacher. */
export function writeTeacher(session: Session, tensors: ReadonlyMap<string, HostTensor>): void {
  for (const [name, tensor] of tensors) session.write(`${SCOPE}${name}`, tensor);
}

/** Appends the teacher, and gives its logits. */
export function appendTeacher(graph: Graph, inputs: Inputs, task: Task, { arithmetic }: Teacher): Logits {
  return graph.scoped(SCOPE, () => logitsOf(networkOn(graph, inputs, task, arithmetic, 'evaluate')));
}

/**
 * (1 − a)·loss + a·T²·KL, the divergence as a mean over the rows by their shares; a scalar of the graph. On several
 * devices the part that a device has of it, given that of the loss.
 */
export function taughtLoss<M extends string>(
  outcome: Outcome<M>,
  given: Logits,
  { weight, temperature }: Pick<Teacher, 'weight' | 'temperature'>,
  loss = outcome.loss,
): Value {
  const { values, share } = logitsOf(outcome);
  const { graph } = values;
  return graph.labelled('loss', () => {
    const rows = divergence(values, given.values, temperature);
    const each = graph.apply1('reshape', [rows], { shape: [sizeOf(rows.shape)] });
    const own = share ? ofShares(each, share) : partOfEqual(meanOfAll(each));
    const mean = graph.apply1('reshape', [own], { shape: [] });
    return graph.apply1('add', [loss, mean], { alpha: 1 - weight, beta: weight });
  });
}

const meanOfAll = formula('mean', (x) => rowMean(x));
const meanByShare = formula('mean by share', (x, share) => rowSum(x.times(share)).over(rowSum(share)));
const partByShare = formula('part by share', (x, share, all) => rowSum(x.times(share)).over(all));
const totalOf = formula('shares', (share) => rowSum(share));

function ofShares(each: Value, share: Value): Value {
  const { graph } = each;
  if (graph.replicas === 1) return meanByShare(each, share);
  const [all] = graph.reduced('sum', [totalOf(share)]);
  return partByShare(each, share, all!);
}

function logitsOf({ logits }: Outcome<string>): Logits {
  if (logits) return logits;
  throw new UserError('the task does not say where its logits are (Outcome.logits), so its network cannot be taught');
}
