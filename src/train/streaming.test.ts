// Training on images that are read while the device computes: by a slow reader the same bits as from memory, its errors
// by the image's name, and nothing left behind when it is stopped.

import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { noAugmentation } from '../data/augment.ts';
import { type ImageReader, type ImageSplit, streamedSplit } from '../data/image-split.ts';
import { datasetOf } from '../data/memory.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import type { Model } from '../nn/models/model.ts';
import { f32 } from '../tensor/tensor.ts';
import { imageTask } from './images.ts';
import { atStart, type Position, trainEpochs } from './loop.ts';

const model: Model = {
  name: 'two',
  description: 'a linear layer on two pixels',
  minimumSize: 1,
  build: (layers, image, classes) =>
    layers.linear('fc', layers.graph.apply1('reshape', [image], { shape: [image.shape[0]!, 2] }), classes),
};
const count = 11;
const images = Uint8Array.from({ length: 2 * count }, (_, k) => (37 * k) % 256);
const labels = Array.from({ length: count }, (_, k) => k % 2);
const memory = datasetOf({
  ...{ name: 'pairs', height: 1, width: 2, channels: 1, classes: 2, augment: noAugmentation },
  ...{ train: { images, labels }, test: { images, labels } },
});

/** The training split from a reader that takes a while for each image; `read` is told how many were begun before it. */
function slow(read?: (number: number, begun: number, signal: AbortSignal) => Promise<void>) {
  let [reading, most, begun] = [0, 0, 0];
  const reader: ImageReader = {
    labels: memory.train.labels,
    nameOf: (number) => `${number}.png`,
    draw: () => undefined,
    read: async (number, _view, target, signal) => {
      const before = begun++;
      most = Math.max(most, ++reading);
      try {
        await setTimeout(1 + (number % 3), undefined, { signal });
        await read?.(number, before, signal);
        target.set(images.subarray(2 * number, 2 * number + 2));
      } finally {
        reading--;
      }
    },
  };
  return { split: streamedSplit(reader, memory), reading: () => reading, most: () => most };
}

interface Options {
  readonly start?: Position<'accuracy'>;
  readonly variables?: readonly number[];
  readonly signal?: AbortSignal;
  readonly onStep?: (step: number) => void;
  /** A program was started. */
  readonly onRun?: () => void;
}

async function trained(
  train: ImageSplit,
  { start = atStart, variables = [0.1, -0.2, 0.3, 0.1, 0, 0], signal, onStep, onRun }: Options = {},
) {
  const session = await referenceBackend().openSession();
  session.write('fc.weight', f32([1, 1, 2, 2], variables.slice(0, 4)));
  session.write('fc.bias', f32([2], variables.slice(4)));
  const compile = session.compile.bind(session);
  session.compile = async (graph) => {
    const program = await compile(graph);
    const run = program.run.bind(program);
    return Object.assign(program, { run: () => run().finally(onRun) });
  };
  const saved: { position: Position<'accuracy'>; variables: number[] }[] = [];
  const variablesNow = async () => [...(await session.read('fc.weight')).data, ...(await session.read('fc.bias')).data];
  const losses: number[] = [];
  try {
    await trainEpochs({
      ...{ session, task: imageTask(model, memory), dataset: { ...memory, train }, arithmetic: { kind: 'float' } },
      ...{ epochs: 2, batchSize: 4, seed: 5, firstEpoch: 0, start },
      ...{ momentum: 0, weightDecay: 0, learningRate: 0.1, schedule: 'constant' },
      onStep: ({ step, objective }) => {
        losses.push(objective);
        onStep?.(step);
      },
      onEpoch: async () => {},
      save: {
        due: () => false,
        at: async (position) => void saved.push({ position, variables: await variablesNow() }),
      },
      ...(signal ? { signal } : {}),
    });
    return { losses, saved, variables: await variablesNow(), error: undefined };
  } catch (error) {
    return { losses, saved, variables: await variablesNow(), error: error as Error };
  } finally {
    await session.dispose();
  }
}

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(async () => {
  await setTimeout(10);
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

test('a slow reader gives the bits that memory gives, and reads one batch ahead', async () => {
  const fromMemory = await trained(memory.train);
  const { split, reading, most } = slow();
  const streamed = await trained(split);
  expect(streamed.error).toBeUndefined();
  expect(streamed.losses).toHaveLength(6);
  expect(streamed).toEqual(fromMemory);
  // Two batches of four at a time, and none left at the end.
  expect([most(), reading()]).toEqual([8, 0]);
});

test('an image that cannot be read ends training with its name', async () => {
  const { split, reading } = slow(async (number) => {
    if (number === 6) throw new Error('not a PNG');
  });
  const { error } = await trained(split);
  expect(error!.message).toBe('cannot read the image 6.png: not a PNG');
  expect(reading()).toBe(0);
});

test('stopped in the middle of a read it saves the step before, and goes on from there to the same bits', async () => {
  const whole = await trained(memory.train);
  const stop = new AbortController();
  // The third batch of an epoch never comes.
  const { split, reading } = slow((_, begun, signal) => {
    if (begun < 8) return Promise.resolve();
    return new Promise((_give, fail) => {
      signal.addEventListener('abort', () => fail(signal.reason));
    });
  });
  let runs = 0;
  const stopped = trained(split, { signal: stop.signal, onRun: () => void runs++ });
  while (runs < 2 || reading() < 3) await setTimeout(1);
  expect([runs, reading()]).toEqual([2, 3]);
  stop.abort(new Error('enough'));
  const { error, saved } = await stopped;
  expect(error!.message).toBe('enough');
  expect(reading()).toBe(0);
  expect(saved.map(({ position }) => [position.epoch, position.step])).toEqual([[0, 2]]);
  const [{ position, variables }] = saved as [(typeof saved)[0]];
  const rest = await trained(slow().split, { start: position, variables });
  expect(rest.losses).toEqual(whole.losses.slice(2));
  expect(rest.variables).toEqual(whole.variables);
});

test('stopped before its first batch it saves the beginning', async () => {
  const stop = new AbortController();
  stop.abort(new Error('at once'));
  const { error, saved } = await trained(slow().split, { signal: stop.signal });
  expect([error!.message, saved.map(({ position }) => position)]).toEqual(['at once', [{ epoch: 0, step: 0 }]]);
});
