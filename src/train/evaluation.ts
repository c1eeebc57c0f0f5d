// Measures a network on a split: its loss and accuracy with the session's current weights.

import { setImmediate } from 'node:timers/promises';
import { evaluationBatches } from '../data/batches.ts';
import type { Split } from '../data/dataset.ts';
import type { Program, Session } from '../engine/backend.ts';
import { feedOf } from './feed.ts';
import { UnderWay } from './pipeline.ts';
import { type Arithmetic, buildNetwork, type Task } from './task.ts';

export interface Evaluation {
  readonly loss: number;
  readonly accuracy: number;
  readonly images: number;
}

/** Images per batch on the host, and on a device of its own, which needs more to be busy. */
const HOST_BATCH = 128;
const DEVICE_BATCH = 512;

/** Compiles the evaluation of a network on a split once; the result measures it with the weights of the moment. */
export async function evaluator(
  session: Session,
  task: Task,
  arithmetic: Arithmetic,
  split: Split,
): Promise<(onBatch?: (images: number) => void) => Promise<Evaluation>> {
  const batchSize = session.backend.device.ownMemory ? DEVICE_BATCH : HOST_BATCH;
  const feed = feedOf(session, split, task.images);
  const { graph, crossEntropy, correct } = buildNetwork(task, arithmetic, 'evaluate', batchSize, feed);
  graph.output('crossEntropy', crossEntropy);
  graph.output('correct', correct);
  const program = await session.compile(graph);
  return async (onBatch) => {
    let loss = 0;
    let hits = 0;
    const underWay = new UnderWay<BatchResult>(({ crossEntropy: mean, correct: right, count }) => {
      loss += mean * count;
      hits += right;
      onBatch?.(count);
    });
    for (const batch of evaluationBatches(split, batchSize)) {
      feed.write(program, batch, batchSize);
      await program.run();
      await underWay.add(resultOf(program, batch.count));
      await setImmediate();
    }
    await underWay.settle();
    return { loss: loss / split.count, accuracy: hits / split.count, images: split.count };
  };
}

interface BatchResult {
  readonly crossEntropy: number;
  readonly correct: number;
  readonly count: number;
}

async function resultOf(program: Program, count: number): Promise<BatchResult> {
  const [crossEntropy, correct] = await Promise.all([program.read('crossEntropy'), program.read('correct')]);
  return { crossEntropy: crossEntropy[0]!, correct: correct[0]!, count };
}
