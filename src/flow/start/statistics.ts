// Batch norm's running statistics, estimated anew: what they would be under the multiplier that is now in the network,
// on training images, changed as in training where changes are given. Mean and variance are pooled over all batches,
// not a moving average, so that the result does not depend on what was stored before.
// Invariant: weights, biases and quantisers stay as they are.

import { type AugmentOptions, noAugmentation } from '../../data/augment.ts';
import { trainingBatches } from '../../data/batches.ts';
import type { Dataset } from '../../data/dataset.ts';
import { readAhead } from '../../data/read-ahead.ts';
import type { Session } from '../../engine/backend.ts';
import type { Node } from '../../engine/graph/graph.ts';
import { invariant } from '../../tensor/errors.ts';
import { f32 } from '../../tensor/tensor.ts';
import { feedOf, writeBatch } from '../../train/feed.ts';
import { type Arithmetic, buildNetwork, type Task } from '../../train/task.ts';

const BATCH = 128;

/** Training images, changed as in the phase, that exploration takes them from in the end. */
export const SETTLING = 2048;

/**
 * Over `images` images (whole batches of them, at least one) in the order of the seed; returns how many batch norms
 * there are.
 */
export async function reestimateStatistics(
  session: Session,
  task: Task,
  arithmetic: Arithmetic,
  dataset: Dataset,
  { images, seed, augment = noAugmentation }: Images & { readonly seed: number },
): Promise<number> {
  const network = statisticsGraph(session, task, arithmetic, dataset, { images, augment });
  if (!network) return 0;
  const { graph, norms, feed, batchSize } = network;
  const program = await session.compile(graph);
  const batches = trainingBatches(dataset, { seed, epoch: 0, batchSize, augment });
  const pools = norms.map(({ channels }) => new Pool(channels));
  let left = Math.max(1, Math.floor(images / batchSize));
  for await (const { result } of readAhead(batches, (selection, signal) => feed.read(selection, batchSize, signal))) {
    writeBatch(program, result);
    await program.run();
    for (const [at, pool] of pools.entries()) {
      pool.add(await program.read(`${at}.mean`), await program.read(`${at}.variance`));
    }
    if (--left === 0) break;
  }
  await program.dispose();
  norms.forEach(({ name, channels, count }, at) => {
    const { mean, variance } = pools[at]!.statistics(count);
    session.write(`${name}.running_mean`, f32([channels], mean));
    session.write(`${name}.running_var`, f32([channels], variance));
  });
  return norms.length;
}

interface Images {
  readonly images: number;
  /** Default: none. */
  readonly augment?: AugmentOptions;
}

/** The graph over a batch, its batch norms, and how batches are read; undefined where there are no batch norms. */
export function statisticsGraph(
  session: Pick<Session, 'backend'>,
  task: Task,
  arithmetic: Arithmetic,
  dataset: Dataset,
  { images, augment = noAugmentation }: Images,
) {
  const batchSize = Math.min(BATCH, images, dataset.train.count);
  const feed = feedOf(session, task, dataset.train, augment);
  const { graph } = buildNetwork(task, arithmetic, 'statistics', batchSize, feed);
  const norms = graph.nodes.filter((node): node is Node<'batchNorm'> & Node => node.op === 'batchNorm').map(normOf);
  if (norms.length === 0) return undefined;
  norms.forEach(({ node }, at) => {
    graph.output(`${at}.mean`, node.outputs[1]!);
    graph.output(`${at}.variance`, node.outputs[2]!);
  });
  // The moving averages of training are not wanted: what is written in the end is all that changes.
  graph.assignments.clear();
  return { graph, norms, feed, batchSize };
}

/** A batch norm with its name, its channels and the elements behind each of a batch's means. */
function normOf(node: Node<'batchNorm'>) {
  const [x, gamma] = node.inputs;
  const { source } = gamma!;
  invariant(source.kind === 'variable', 'a batch norm whose gain is no variable');
  const channels = gamma!.shape[0]!;
  const count = x!.shape.reduce((product, size) => product * size, 1) / channels;
  return { node, name: source.name.replace(/\.weight$/, ''), channels, count };
}

/** Mean and unbiased variance of all batches together, from those of each; batches have the same size. */
class Pool {
  readonly #means: Float64Array;
  readonly #squares: Float64Array;
  #batches = 0;

  constructor(channels: number) {
    this.#means = new Float64Array(channels);
    this.#squares = new Float64Array(channels);
  }

  add(mean: ArrayLike<number>, variance: ArrayLike<number>): void {
    this.#batches++;
    for (let c = 0; c < this.#means.length; c++) {
      this.#means[c]! += mean[c]!;
      this.#squares[c]! += variance[c]! + mean[c]! ** 2;
    }
  }

  /** `count` elements are behind each mean of a batch. */
  statistics(count: number): { mean: Float32Array; variance: Float32Array } {
    const elements = count * this.#batches;
    const unbiased = elements / Math.max(1, elements - 1);
    const mean = this.#means.map((sum) => sum / this.#batches);
    const variance = this.#squares.map((sum, c) => Math.max(0, sum / this.#batches - mean[c]! ** 2) * unbiased);
    return { mean: Float32Array.from(mean), variance: Float32Array.from(variance) };
  }
}
