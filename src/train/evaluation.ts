// Measures a network on a split: its loss and metrics with the session's current weights.

import { setImmediate } from 'node:timers/promises';
import { evaluationBatches } from '../data/batches.ts';
import { readAhead } from '../data/read-ahead.ts';
import type { Split } from '../data/split.ts';
import type { Program, Session } from '../engine/backend.ts';
import { TooLargeError } from '../tensor/errors.ts';
import { feedOf, writeBatch } from './feed.ts';
import { added, type Figures, meansOf, noSums, outputFigures, readFigures } from './figures.ts';
import { ResultsInFlight } from './pipeline.ts';
import { type Arithmetic, buildNetwork, type Mode, type Task } from './task.ts';

export interface Evaluation<M extends string = string> extends Figures<M> {
  readonly examples: number;
}

/** With the stored statistics of batch norm, or with those of each batch. */
export type EvaluationMode = Extract<Mode, 'evaluate' | 'statistics'>;

/** Examples per batch on the host, and on a device of its own, which needs more to be busy. */
const HOST_BATCH = 128;
const DEVICE_BATCH = 512;

/** Measures a network with the weights of the moment. */
export interface Evaluator<M extends string = string> {
  (onBatch?: (examples: number) => void): Promise<Evaluation<M>>;
  /** Gives up its program. */
  dispose(): Promise<void>;
}

/**
 * Compiles the evaluation of a network on a split once; it lives as long as the session, or until it is disposed of.
 * `aliasOf`: variables that stand for those of the network, such as their averages. Nothing is stored, whatever the
 * mode. Statistics of a batch would be those of its padding, too: with them batches are all of one size, and some
 * examples are left out, fewer than there are batches.
 */
export async function evaluator<M extends string>(
  session: Session,
  task: Task<M>,
  arithmetic: Arithmetic,
  split: Split,
  aliasOf?: (variable: string) => string,
  mode: EvaluationMode = 'evaluate',
): Promise<Evaluator<M>> {
  const feed = feedOf(session, task, split);
  const compile = async (most: number): Promise<Compiled> => {
    const size = mode === 'statistics' ? wholeBatches(split.count, most) : most;
    const { graph, ...outcome } = buildNetwork(...([task, arithmetic, mode, size, feed, aliasOf] as const));
    outputFigures(graph, outcome);
    graph.assignments.clear();
    return { batchSize: size, program: await session.compile(graph) };
  };
  // Large images: half as many, until the device has room for them.
  const fitting = (size: number): Promise<Compiled> =>
    compile(size).catch((error: unknown) => {
      if (size === 1 || !(error instanceof TooLargeError)) throw error;
      return fitting(Math.ceil(size / 2));
    });
  const { batchSize, program } = await fitting(
    Math.min(session.backend.device.ownMemory ? DEVICE_BATCH : HOST_BATCH, split.count),
  );
  const measure = async (onBatch?: (examples: number) => void) => {
    let sums = noSums(task);
    let examples = 0;
    const inFlight = new ResultsInFlight<Figures<M> & Counts>((batch) => {
      sums = added(sums, task, batch, batch.targets);
      examples += batch.examples;
      onBatch?.(batch.examples);
    });
    const count = mode === 'statistics' ? split.count - (split.count % batchSize) : split.count;
    const batches = readAhead(evaluationBatches({ count }, batchSize), (selection, signal) =>
      feed.read(selection, batchSize, signal),
    );
    for await (const { request, result } of batches) {
      writeBatch(program, result);
      await program.run();
      const counts = { examples: request.numbers.length, targets: result.targets };
      await inFlight.add(readFigures(program, task).then((figures) => ({ ...figures, ...counts })));
      await setImmediate();
    }
    await inFlight.settle();
    return { ...meansOf(sums), examples };
  };
  return Object.assign(measure, { dispose: () => program.dispose() });
}

/** The size of as few batches as may be, with no more than `most` of `count` examples each, that leaves out fewest. */
const wholeBatches = (count: number, most: number) => Math.floor(count / Math.ceil(count / most));

interface Compiled {
  readonly batchSize: number;
  readonly program: Program;
}

interface Counts {
  readonly examples: number;
  readonly targets: number;
}
