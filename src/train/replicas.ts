// A batch over several devices: each computes the rows of its part, and what is a sum or a mean over the batch is
// brought together by `Graph.reduced`. Here: into how many parts a batch goes, what is written for them, and which
// values of a graph are of one part alone. A device's mean over its targets counts in the mean over all by its share of
// the targets, which parts may have different numbers of.
// Invariant: what a program stores and what it yields is the same on every device, to the bit (`requireWhole`). A batch
// that does not divide is computed whole by every device, which is right too, only no faster.

import type { Batch } from '../data/split.ts';
import type { Device, Program } from '../engine/backend.ts';
import { constant, input } from '../engine/graph/expression.ts';
import { Graph, type Node, type Value } from '../engine/graph/graph.ts';
import { formula } from '../engine/operations/formula.ts';
import { RANDOM_KEY } from '../nn/layers.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { Random, streams } from '../tensor/random.ts';
import { sameShape } from '../tensor/tensor.ts';
import { writeBatch } from './feed.ts';
import type { Feed } from './task.ts';

/** Program inputs: the targets of a device's rows, one number for each device, and those of the batch; [1]. */
const OWN_TARGETS = 'ownTargets';
const ALL_TARGETS = 'allTargets';

/** Over how many devices a batch of so many rows goes: over all, or each computes it whole. */
export function partsOf(rows: number, { replicas }: Pick<Device, 'replicas'>, { together = 1 }: Feed): number {
  return rows % (replicas * together) === 0 ? replicas : 1;
}

/** Throws where a batch could not go over all devices. `what`: the setting, for the message. */
export function requireDivisible(
  batchSize: number,
  { replicas }: Pick<Device, 'replicas'>,
  { together = 1 }: Pick<Feed, 'together'>,
  what = 'the batch size',
): void {
  const unit = replicas * together;
  if (replicas === 1 || batchSize % unit === 0) return;
  const why = together > 1 ? `, ${together} images of which are mixed with each other` : '';
  const near = [Math.floor(batchSize / unit) * unit, Math.ceil(batchSize / unit) * unit].filter((size) => size > 0);
  throw new UserError(
    `${what}: ${batchSize} images for ${replicas} devices${why}; expected a multiple of ${unit}: ${near.join(' or ')}`,
  );
}

/** What the mean over a device's targets counts in the mean over all, []; undefined where there is one device. */
export function shareOfTargets(graph: Graph): Value | undefined {
  if (graph.replicas === 1) return undefined;
  const [own, all] = [graph.input(OWN_TARGETS, [1]), graph.input(ALL_TARGETS, [1])];
  return graph.labelled('loss', () => graph.apply1('reshape', [share(own, all)], { shape: [] }));
}

const share = formula('share of the targets', (own, all) => own.over(all));

/** A device's part of a mean over all targets: the sum over the devices is that mean. */
export const partOfMean = (mean: Value, share: Value | undefined): Value =>
  share ? mean.graph.apply1('scaleBy', [mean, share], {}) : mean;

/**
 * The parts that a device has of a mean over all rows, of which every device has as many. Of a weighted sum the weights
 * are divided: it costs nothing then.
 */
export const partOfEqual = (mean: Value): Value => {
  const { graph, source } = mean;
  const { replicas } = graph;
  if (replicas === 1) return mean;
  if (source.kind === 'node' && source.node.op === 'add') {
    const { inputs, attributes } = source.node as Node as Node<'add'>;
    const { alpha, beta } = attributes;
    return graph.apply1('add', inputs, { alpha: alpha / replicas, beta: beta / replicas });
  }
  const outputs = [{ of: input(0).over(constant(replicas)), per: 'element' }] as const;
  return graph.apply1('formula', [mean], { name: 'part of a mean', shape: mean.shape, outputs });
};

/** The inputs of a program over so many devices of which each device has its own rows. */
export function partedInputs(feed: Pick<Feed, 'inputs'>, rows: number, replicas: number): ReadonlySet<string> {
  const [whole, part] = [rows, rows / replicas].map((size) => {
    const graph = new Graph();
    feed.inputs(graph, size);
    return graph.inputs;
  });
  const parted = [RANDOM_KEY, OWN_TARGETS];
  for (const [name, { shape }] of whole!) {
    const own = part!.get(name)?.shape ?? [];
    if (sameShape(shape, own)) continue;
    const [first = 0, ...rest] = own;
    if (!sameShape(shape, [first * replicas, ...rest])) {
      throw new UserError(
        `the input ${name} of the task has the shape [${shape.join(', ')}] for ${rows} rows and [${own.join(', ')}] for ${rows / replicas}; on ${replicas} devices the rows of a batch must lie along its first axis`,
      );
    }
    parted.push(name);
  }
  return new Set(parted);
}

/** The values of a graph that differ from device to device: they follow from parted inputs and are not reduced. */
function parts({ inputs, nodes }: Graph, parted: ReadonlySet<string>): ReadonlySet<Value> {
  const found = new Set([...inputs].flatMap(([name, value]) => (parted.has(name) ? [value] : [])));
  for (const node of nodes) {
    if (node.op === 'allReduce' || !node.inputs.some((value) => found.has(value))) continue;
    for (const value of node.outputs) found.add(value);
  }
  return found;
}

/**
 * What is assigned so far and differs from device to device (running statistics) becomes its mean over them: parts of
 * it go to `add`, and the means are assigned by the result, with what gives the sum of a part.
 */
export function averageAssigned(
  graph: Graph,
  parted: ReadonlySet<string>,
  add: (part: Value) => void,
): (sumOf: (part: Value) => Value) => void {
  if (graph.replicas === 1) return () => {};
  const own = parts(graph, parted);
  const differing = [...graph.assignments].filter(([, value]) => own.has(value));
  const shares = graph.labelled('statistics', () =>
    differing.map(([name, value]) => [name, partOfEqual(value)] as const),
  );
  for (const [, share] of shares) add(share);
  return (sumOf) => {
    for (const [name, share] of shares) graph.assignments.set(name, sumOf(share));
  };
}

/** Throws where a device would store or yield what is its own alone: a sum was forgotten. */
export function requireWhole(graph: Graph, parted: ReadonlySet<string>): void {
  if (graph.replicas === 1) return;
  const own = parts(graph, parted);
  for (const [name, value] of [...graph.assignments, ...graph.outputs]) {
    invariant(!own.has(value), `${name} differs between devices; it was to be reduced over them`);
  }
}

/** A batch as a program of so many parts takes it. */
export interface Parted {
  readonly batch: Batch;
  /** Of the batch, and rows, padding included. */
  readonly examples: number;
  readonly rows: number;
  readonly parts: number;
}

/** Sets the inputs of a program over so many devices, or of one that each runs as a whole, for the run to come. */
export function writeParted(program: Program, { arrange }: Feed, { batch, examples, rows, parts }: Parted): void {
  writeBatch(program, arrange && parts > 1 ? { ...batch, inputs: arrange(batch.inputs, rows, parts) } : batch);
  if (parts === 1) return;
  program.write(OWN_TARGETS, targetsOfParts(batch, examples, rows, parts));
  program.write(ALL_TARGETS, Float32Array.of(batch.targets));
}

function targetsOfParts({ targets, targetsOfRows }: Batch, examples: number, rows: number, parts: number) {
  if (!targetsOfRows && targets !== examples) {
    throw new UserError(
      `a split gives ${targets} targets for ${examples} examples and does not say how many each row has (Batch.targetsOfRows); on ${parts} devices each must know its own`,
    );
  }
  const own = new Float32Array(parts);
  const each = rows / parts;
  for (let row = 0; row < rows; row++) {
    own[Math.floor(row / each)]! += targetsOfRows ? targetsOfRows[row]! : Number(row < examples);
  }
  const sum = own.reduce((total, one) => total + one);
  invariant(sum === targets, `the rows of a batch have ${sum} targets, the batch ${targets}`);
  return own;
}

/** The keys of what each of so many devices draws in a step, one behind the other; the first has the step's own. */
export function keysOfParts(key: Int32Array, parts: number): Int32Array {
  const others = Array.from({ length: parts - 1 }, (_, at) => {
    const random = new Random(key[0]! >>> 0, streams.dropout, key[1]! >>> 0, at + 1);
    return [random.bits(), random.bits()];
  });
  return Int32Array.from([...key, ...others.flat()]);
}
