// A task's figures, its loss and metrics: how a program gives them of a batch, how they are summed over batches, and
// their means over all targets. Invariant: a mean of a batch counts as often as the batch has targets, so a short last
// batch counts for what it is.

import type { Program } from '../engine/backend.ts';
import type { Graph, Value } from '../engine/graph/graph.ts';
import { partOfMean } from './replicas.ts';
import type { Outcome, Task } from './task.ts';

/** Of one batch: the loss as a mean, each metric as its task says; or over all of them: means. */
export interface Figures<M extends string = string> {
  readonly loss: number;
  readonly metrics: Readonly<Record<M, number>>;
}

/** Figures of a batch as values of a graph: of the whole, or the parts of them that a device has. */
export interface FigureValues<M extends string> {
  readonly loss: Value;
  readonly metrics: Readonly<Record<M, Value>>;
}

/** What a device has of the figures; `targets`: its share of them, `loss`: its part of the loss. */
export function partsOfFigures<M extends string>(
  { metrics: kinds }: Pick<Task<M>, 'metrics'>,
  outcome: Pick<Outcome<M>, 'loss' | 'metrics'>,
  targets: Value | undefined,
  loss = partOfMean(outcome.loss, targets),
): FigureValues<M> {
  const part = (value: Value, name: M) => (kinds[name].over === 'mean' ? partOfMean(value, targets) : value);
  return { loss, metrics: mapRecord(outcome.metrics, part) };
}

/** Those of the whole batch, brought together over all devices. */
export function wholeFigures<M extends string>({ loss, metrics }: FigureValues<M>): FigureValues<M> {
  const parts = [...new Set([loss, ...Object.values<Value>(metrics)])];
  const sums = loss.graph.reduced('sum', parts);
  const whole = (part: Value) => sums[parts.indexOf(part)]!;
  return { loss: whole(loss), metrics: mapRecord(metrics, whole) };
}

export function outputFigures<M extends string>(graph: Graph, { loss, metrics }: FigureValues<M>): void {
  graph.output('loss', loss);
  mapRecord(metrics, (value, name) => graph.output(name, value));
}

/** Those of the latest run; the promise is kept when the device has done it. */
export async function readFigures<M extends string>(
  program: Program,
  { metrics }: Pick<Task<M>, 'metrics'>,
): Promise<Figures<M>> {
  const names = Object.keys(metrics) as M[];
  const [loss, ...values] = await Promise.all(['loss', ...names].map((name) => readScalar(program, name)));
  return { loss: loss!, metrics: Object.fromEntries(names.map((name, k) => [name, values[k]!])) as Record<M, number> };
}

export async function readScalar(program: Program, name: string): Promise<number> {
  return (await program.read(name))[0]!;
}

export interface Sums<M extends string = string> extends Figures<M> {
  readonly targets: number;
}

export function noSums<M extends string>({ metrics }: Pick<Task<M>, 'metrics'>): Sums<M> {
  return { loss: 0, metrics: mapRecord(metrics, () => 0), targets: 0 };
}

/** With a batch of so many targets. */
export function added<M extends string>(
  sums: Sums<M>,
  { metrics }: Pick<Task<M>, 'metrics'>,
  batch: Figures<M>,
  targets: number,
): Sums<M> {
  return {
    loss: sums.loss + batch.loss * targets,
    metrics: mapRecord(metrics, ({ over }, name) => {
      const value = batch.metrics[name];
      return sums.metrics[name] + (over === 'sum' ? value : value * targets);
    }),
    targets: sums.targets + targets,
  };
}

/** Means over the targets. */
export function meansOf<M extends string>({ loss, metrics, targets }: Sums<M>): Figures<M> {
  return { loss: loss / targets, metrics: mapRecord(metrics, (sum) => sum / targets) };
}

export function mapRecord<K extends string, A, B>(
  record: Readonly<Record<K, A>>,
  map: (value: A, key: K) => B,
): Record<K, B> {
  const entries = Object.entries(record) as [K, A][];
  return Object.fromEntries(entries.map(([key, value]) => [key, map(value, key)])) as Record<K, B>;
}
