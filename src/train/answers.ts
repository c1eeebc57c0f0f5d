// What a network answers to the examples of a split, and how far two networks' answers are apart. A loss does not tell
// that: of examples that are known by heart it stays near 0 until much has gone wrong, falls by chance as often as it
// rises, and what a dozen small changes do to it together is not the sum of what each does. Squared distances of
// logits are never below 0, and those of independent small changes add up.
// Batch norm has the statistics of each batch, as a network has them that adapts to what it is given.

import { evaluationBatches } from '../data/batches.ts';
import type { Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import { invariant } from '../tensor/errors.ts';
import type { TensorData } from '../tensor/tensor.ts';
import { wholeBatches } from './evaluation.ts';
import { feedOf, writeBatch } from './feed.ts';
import { type Arithmetic, buildNetwork, type Task } from './task.ts';

/** Logits, a row for each example, less the mean of the row, which softmax does not see. */
export interface Answers {
  readonly classes: number;
  readonly values: Float64Array;
}

/** Examples of a batch. */
const BATCH = 128;
const LOGITS = 'answers.logits';

/** Answers of the session's network, with its values of the moment. */
export interface Asked {
  (): Promise<Answers>;
  /** Sets an input that the arithmetic has beside those of the task; it stays until it is set again. */
  set(name: string, data: TensorData): void;
  /** Gives up its program. */
  dispose(): Promise<void>;
}

/** The network that answers, and how its batches are read. */
export function answeringNetwork(
  session: Parameters<typeof feedOf>[0],
  task: Task,
  arithmetic: Arithmetic,
  split: Split,
) {
  const batchSize = wholeBatches(split.count, BATCH);
  const feed = feedOf(session, task, split);
  const { graph, logits } = buildNetwork(task, arithmetic, 'statistics', batchSize, feed);
  invariant(logits, 'a network that does not say where its logits are');
  graph.output(LOGITS, logits.values);
  graph.assignments.clear();
  return { graph, feed, batchSize, classes: logits.values.shape.at(-1)! };
}

/** Compiles the question once. Batches are all of one size: fewer examples than there are batches are left out. */
export async function asked(session: Session, task: Task, arithmetic: Arithmetic, split: Split): Promise<Asked> {
  const { graph, feed, batchSize, classes } = answeringNetwork(session, task, arithmetic, split);
  const program = await session.compile(graph);
  const count = split.count - (split.count % batchSize);
  const ask = async (): Promise<Answers> => {
    const values: number[] = [];
    for (const selection of evaluationBatches({ count }, batchSize)) {
      writeBatch(program, await feed.read(selection, batchSize));
      await program.run();
      for (const value of await program.read(LOGITS)) values.push(value);
    }
    return { classes, values: centred(values, classes) };
  };
  return Object.assign(ask, {
    set: (name: string, data: TensorData) => program.write(name, data),
    dispose: () => program.dispose(),
  });
}

/** Asks once. */
export async function askOnce(...what: Parameters<typeof asked>): Promise<Answers> {
  const ask = await asked(...what);
  try {
    return await ask();
  } finally {
    await ask.dispose();
  }
}

function centred(values: readonly number[], classes: number): Float64Array {
  const found = Float64Array.from(values);
  for (let row = 0; row < found.length; row += classes) {
    const own = found.subarray(row, row + classes);
    const mean = own.reduce((sum, value) => sum + value, 0) / classes;
    own.forEach((value, at) => {
      own[at] = value - mean;
    });
  }
  return found;
}

/**
 * Σ (z − z₀)² / Σ z₀² over all answers: 0 for the same ones; at 1 what was changed is as large as the answers
 * themselves. Not a number where an answer is none: then it is infinite.
 */
export function distance(answers: Answers, from: Answers): number {
  invariant(answers.values.length === from.values.length, 'answers to other examples');
  let [apart, all] = [0, 0];
  for (const [at, value] of from.values.entries()) {
    apart += (answers.values[at]! - value) ** 2;
    all += value ** 2;
  }
  if (!Number.isFinite(apart)) return Number.POSITIVE_INFINITY;
  return apart / Math.max(all, Number.MIN_VALUE);
}
