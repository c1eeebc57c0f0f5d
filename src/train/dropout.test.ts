// What dropout draws in training: the wanted share, other elements in other places and other steps, the same again when
// the step is done again, its activations are computed again, or the run is resumed; nothing in evaluation.

import { expect, test } from 'vitest';
import { datasetOf } from '../data/memory.ts';
import { Graph } from '../engine/graph/graph.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { Layers, multiplyFloat, RANDOM_KEY } from '../nn/layers.ts';
import type { Model } from '../nn/models/model.ts';
import { f32 } from '../tensor/tensor.ts';
import { imageTask } from './images.ts';
import { atStart, type Position, trainEpochs } from './loop.ts';
import { stepKey, trainingStep } from './step.ts';
import { buildNetwork, type Feed } from './task.ts';

const shape = [40, 250];

/** Two places that drop, and one that drops examples, on ones. */
async function drawn(key: Int32Array, rate = 0.3) {
  const session = await referenceBackend().openSession();
  const graph = new Graph();
  const nn = new Layers(graph, { training: true, random: true, multiply: multiplyFloat });
  const ones = graph.input('ones', shape);
  graph.output('first', nn.dropout(ones, rate));
  graph.output('second', nn.dropout(ones, rate));
  graph.output('paths', nn.dropPath(ones, rate));
  const program = await session.compile(graph);
  program.write('ones', new Float32Array(10_000).fill(1));
  program.write(RANDOM_KEY, key);
  await program.run();
  const [first, second, paths] = (await Promise.all(
    ['first', 'second', 'paths'].map((name) => program.read(name)),
  )) as [Float32Array, Float32Array, Float32Array];
  await session.dispose();
  return { first, second, paths };
}

const share = (values: ArrayLike<number>, is: (value: number, at: number) => boolean) =>
  Array.from(values).filter(is).length / values.length;

test('the wanted share is dropped, the mean stays, and places and steps draw apart', async () => {
  const { first, second, paths } = await drawn(stepKey(1, 2, 3));
  // Six deviations of a share of 10 000: 0.0275.
  expect(Math.abs(share(first, (value) => value === 0) - 0.3)).toBeLessThan(0.0275);
  expect(new Set(first)).toEqual(new Set([0, Math.fround(1 / 0.7)]));
  expect(Math.abs(first.reduce((sum, value) => sum + value, 0) / first.length - 1)).toBeLessThan(0.04);
  for (const other of [second, (await drawn(stepKey(1, 2, 4))).first, (await drawn(stepKey(1, 3, 3))).first]) {
    // Of two that draw apart both keep 0.49, both drop 0.09.
    expect(Math.abs(share(first, (value, at) => value === other[at]) - 0.58)).toBeLessThan(0.03);
  }
  for (let example = 0; example < 40; example++) {
    expect(new Set(paths.slice(250 * example, 250 * (example + 1))).size).toBe(1);
  }
  const dropped = share(paths, (value) => value === 0);
  expect(dropped).toBeGreaterThan(0);
  expect(dropped).toBeLessThan(0.75);
  expect(await drawn(stepKey(1, 2, 3))).toEqual({ first, second, paths });
});

test('neighbouring steps and elements do not go together', async () => {
  const { first } = await drawn(stepKey(7, 0, 0), 0.5);
  for (const apart of [1, 2, 3, 4, 16, 250]) {
    const alike = share(first.slice(apart), (value, at) => (value === 0) === (first[at] === 0));
    expect(Math.abs(alike - 0.5)).toBeLessThan(0.03);
  }
});

const model: Model = {
  name: 'dropping',
  description: 'a block with drop-path, dropout before the logits',
  minimumSize: 1,
  // Values of the block are large enough to be computed again; its activation needs what was dropped before it.
  build: (nn, image, classes) => {
    const x = nn.conv('stem', image, { out: 5, kernel: 1 });
    const y = nn.block('block', () =>
      nn.add(x, nn.hardSwish(nn.dropPath(nn.conv('block.conv', x, { out: 5, kernel: 1 }), 0.4))),
    );
    return nn.linear('fc', nn.dropout(nn.globalAveragePool(y), 0.3), classes);
  },
};
const SIDE = 32;
const images = (count: number) => ({
  images: Uint8Array.from({ length: count * SIDE ** 2 }, (_, at) => (at * 37 + (at >> 4) * 11) % 256),
  labels: Array.from({ length: count }, (_, at) => at % 2),
});
const dataset = datasetOf({
  ...{ name: 'some', height: SIDE, width: SIDE, channels: 1, maximum: 255, classes: 2 },
  ...{ train: images(22), test: images(4) },
});
const task = imageTask(model, dataset);
const feed: Feed = { inputs: task.inputs, read: dataset.train.read };

async function openSession() {
  const session = await wasmBackend({ threads: 1 }).openSession();
  for (const { name, value } of buildNetwork(task, { kind: 'float' }, 'train', 1).layers.parameters) {
    const count = value.shape.reduce((a, b) => a * b, 1);
    session.write(
      name,
      f32(
        value.shape,
        Float32Array.from({ length: count }, (_, at) => Math.sin(at + 1) / 3),
      ),
    );
  }
  return session;
}

/** Weights after two epochs; `stopAt`: stopped there and gone on in the same session, as from a checkpoint. */
async function trained({ seed = 5, stopAt = -1, recompute = false } = {}) {
  const session = await openSession();
  let start: Position<'accuracy'> = atStart;
  for (let part = stopAt < 0 ? 1 : 0; part < 2; part++) {
    const stop = new AbortController();
    const goOnAt = async (next: Position<'accuracy'>) => {
      start = next;
    };
    let steps = 0;
    const run = trainEpochs<'accuracy'>({
      ...{ session, task, dataset, arithmetic: { kind: 'float' }, epochs: 2, batchSize: 4, seed, firstEpoch: 0 },
      ...{ momentum: 0, weightDecay: 0, learningRate: 0.1, schedule: 'constant', start, recompute },
      signal: stop.signal,
      save: { due: () => false, at: goOnAt },
      onStep: () => void (part === 0 && ++steps === stopAt && stop.abort()),
      onEpoch: (_, next) => goOnAt(next),
    });
    if (part === 1) await run;
    else await expect(run).rejects.toThrow();
    if (part === 0) expect(start.step, 'in the middle of an epoch').toBeGreaterThan(0);
  }
  const weights = await Promise.all(
    session.variableNames().map(async (name) => [name, [...(await session.read(name)).data]] as const),
  );
  await session.dispose();
  return Object.fromEntries(weights);
}

test('a resumed run and one that computes activations again have the same bits; another seed has others', async () => {
  const whole = await trained();
  expect(await trained({ stopAt: 2 })).toEqual(whole);
  expect(await trained({ recompute: true })).toEqual(whole);
  expect(await trained({ seed: 6 })).not.toEqual(whole);
});

test('what a block computes again draws again', () => {
  const options = { task, arithmetic: { kind: 'float' }, momentum: 0, weightDecay: 0, recompute: true } as const;
  const dropped = trainingStep(options, feed, 4).graph.nodes.filter(({ op }) => op === 'dropout');
  expect(dropped.map(({ attributes }) => (attributes as { stream: number }).stream)).toEqual([0, 1, 1, 0, 0]);
});

test('only a training step draws', () => {
  const isDrawn = (graph: Graph) => graph.inputs.has(RANDOM_KEY);
  const float = { kind: 'float' } as const;
  for (const mode of ['evaluate', 'calibrate', 'statistics'] as const) {
    const { graph } = buildNetwork(task, float, mode, 2);
    expect([mode, isDrawn(graph), graph.nodes.some(({ op }) => op === 'dropout')]).toEqual([mode, false, false]);
  }
  const step = trainingStep({ task, arithmetic: float, momentum: 0, weightDecay: 0 } as never, feed, 2);
  expect(isDrawn(step.graph)).toBe(true);
  // Forward and backward of each of the two places.
  expect(step.graph.nodes.filter(({ op }) => op === 'dropout')).toHaveLength(4);
  const graph = new Graph();
  const x = graph.input('x', [2, 3]);
  const nn = new Layers(graph, { training: true, random: true, multiply: multiplyFloat });
  expect(nn.dropout(x, 0)).toBe(x);
  expect(() => nn.dropPath(x, 1)).toThrow('a rate of dropout of 1: expected 0 to less than 1');
});
