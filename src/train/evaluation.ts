// Measures a network on a split: its loss and metrics with the session's current weights.

import { setImmediate } from 'node:timers/promises';
import { evaluationBatches } from '../data/batches.ts';
import { readAhead } from '../data/read-ahead.ts';
import type { Split } from '../data/split.ts';
import type { Program, Session } from '../engine/backend.ts';
import type { Graph } from '../engine/graph/graph.ts';
import { TooLargeError } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';
import { feedOf } from './feed.ts';
import {
  added,
  type Figures,
  meansOf,
  noSums,
  outputFigures,
  partsOfFigures,
  readFigures,
  wholeFigures,
} from './figures.ts';
import { ResultsInFlight } from './pipeline.ts';
import { partedInputs, partsOf, requireWhole, shareOfTargets, writeParted } from './replicas.ts';
import { type Arithmetic, buildNetwork, type Feed, type Mode, type Task } from './task.ts';

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
  const { replicas } = session.backend.device;
  const feed = feedOf(session, task, split);
  const compile = async (most: number): Promise<Compiled> => {
    const { graph, ...sizes } = measuring({ session, task, arithmetic, split, mode, aliasOf }, feed, most);
    return { ...sizes, program: await session.compile(graph) };
  };
  // Large images: half as many, until the device has room for them.
  const fitting = (size: number): Promise<Compiled> =>
    compile(size).catch((error: unknown) => {
      if (size <= replicas || !(error instanceof TooLargeError)) throw error;
      return fitting(Math.ceil(size / 2));
    });
  const { batchSize, parts, program } = await fitting(mostExamples(session, split, mode));
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
      const examples = request.numbers.length;
      writeParted(program, feed, { batch: result, examples, rows: batchSize, parts });
      await program.run();
      const counts = { examples, targets: result.targets };
      await inFlight.add(readFigures(program, task).then((figures) => ({ ...figures, ...counts })));
      await setImmediate();
    }
    await inFlight.settle();
    return { ...meansOf(sums), examples };
  };
  return Object.assign(measure, { dispose: () => program.dispose() });
}

/** Measures a network once, and gives its program up; options as those of `evaluator`. */
export async function evaluateOnce<M extends string>(...what: Parameters<typeof evaluator<M>>): Promise<Evaluation<M>> {
  const evaluate = await evaluator<M>(...what);
  try {
    return await evaluate();
  } finally {
    await evaluate.dispose();
  }
}

/** The size of as few batches as may be, with no more than `most` of `count` examples each, that leaves out fewest. */
export const wholeBatches = (count: number, most: number) => Math.floor(count / Math.ceil(count / most));

interface Measured {
  readonly session: Pick<Session, 'backend'>;
  readonly task: Task;
  readonly arithmetic: Arithmetic;
  readonly split: Split;
  readonly mode: EvaluationMode;
  readonly aliasOf?: ((variable: string) => string) | undefined;
}

/** The graph of an evaluator, for a device that has room for its batches. */
export function evaluationGraph(measured: Measured): Graph {
  const { session, task, split, mode } = measured;
  return measuring(measured, feedOf(session, task, split), mostExamples(session, split, mode)).graph;
}

/** Statistics of a batch are those of the whole: its size does not depend on the number of devices. */
function mostExamples({ backend }: Pick<Session, 'backend'>, { count }: Split, mode: EvaluationMode): number {
  const each = backend.device.ownMemory ? DEVICE_BATCH : HOST_BATCH;
  return Math.min(mode === 'statistics' ? each : each * backend.device.replicas, count);
}

/** The graph over batches of about `most` examples, which go over so many devices. */
function measuring({ session, task, arithmetic, split, mode, aliasOf }: Measured, feed: Feed, most: number) {
  const { device } = session.backend;
  // Padding fills a batch up to the same number of rows for each device.
  const whole = Math.ceil(most / device.replicas) * device.replicas;
  const size = mode === 'statistics' ? wholeBatches(split.count, most) : whole;
  const parts = partsOf(size, device, feed);
  const graphOptions = given({ aliasOf, replicas: parts });
  const { graph, ...outcome } = buildNetwork(task, arithmetic, mode, size / parts, feed, graphOptions);
  outputFigures(graph, wholeFigures(partsOfFigures(task, outcome, shareOfTargets(graph))));
  graph.assignments.clear();
  requireWhole(graph, partedInputs(feed, size, parts));
  return { batchSize: size, parts, graph };
}

interface Compiled {
  readonly batchSize: number;
  /** Over so many devices a batch goes. */
  readonly parts: number;
  readonly program: Program;
}

interface Counts {
  readonly examples: number;
  readonly targets: number;
}
