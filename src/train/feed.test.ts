import { expect, test } from 'vitest';
import { firstExamples } from '../data/batches.ts';
import { memorySplit } from '../data/image-split.ts';
import { openDataset } from '../data/registry.ts';
import type { Batch, Selection } from '../data/split.ts';
import type { Graph } from '../engine/graph/graph.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { findModel } from '../nn/models/registry.ts';
import { initialTensor } from '../nn/parameters.ts';
import { TooLargeError, UserError } from '../tensor/errors.ts';
import { evaluator } from './evaluation.ts';
import { feedOf } from './feed.ts';
import { imageTask } from './images.ts';
import { atStart, type EpochRecord, type Position, trainEpochs } from './loop.ts';
import { buildNetwork } from './task.ts';

const digits = await openDataset('digits');
const select = (split: typeof digits.train, count: number) =>
  memorySplit(
    { count, images: split.images!.subarray(0, 64 * count), labels: split.labels.subarray(0, count) },
    digits,
  );
const dataset = {
  ...digits,
  train: select(digits.train, 150),
  test: select(digits.test, 70),
  augment: { pad: 2, flip: true },
};
const task = imageTask(findModel('resnet8'), dataset);
const arithmetic = { kind: 'float' } as const;

async function trained(ownMemory: boolean, save?: { due: () => boolean; at: (next: Position) => Promise<void> }) {
  const backend = wasmBackend({ threads: 1 });
  Object.assign(backend, { device: { ...backend.device, ownMemory } });
  const session = await backend.openSession();
  const { parameters } = buildNetwork(task, arithmetic, 'evaluate', 1).layers;
  parameters.forEach((parameter, position) => {
    session.write(parameter.name, initialTensor(parameter, 1, position));
  });
  const records: EpochRecord[] = [];
  const steps: number[] = [];
  const schedule = { learningRate: 0.05, weightDecay: 5e-4, momentum: 0.9, schedule: 'cosine' } as const;
  await trainEpochs({
    ...schedule,
    session,
    task,
    dataset,
    arithmetic,
    epochs: 2,
    batchSize: 32,
    seed: 3,
    firstEpoch: 0,
    start: atStart,
    onStep: ({ step }) => steps.push(step),
    onEpoch: async (record) => {
      records.push(record);
    },
    ...(save ? { save } : {}),
  });
  const { data } = await session.read(parameters[0]!.name);
  const evaluation = await (await evaluator(session, task, arithmetic, dataset.test))();
  await session.dispose();
  return { records, steps, weights: Array.from(data), evaluation };
}

test('a split kept by the device trains to the same bits as one that the host gathers', async () => {
  const host = await trained(false);
  const resident = await trained(true);
  expect(resident.steps).toEqual(host.steps);
  expect(resident.weights).toEqual(host.weights);
  // Evaluation takes larger batches there: the mean loss is summed in another order.
  expect(resident.evaluation).toEqual({ ...host.evaluation, loss: expect.closeTo(host.evaluation.loss, 5) });
});

test('steps are reported in order, and a position is saved only when all steps before it are', async () => {
  const reported: Position[] = [];
  let asked = 0;
  const { steps } = await trained(false, {
    due: () => ++asked === 3,
    at: async (position) => {
      reported.push(position);
    },
  });
  expect(steps).toEqual([1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
  expect(reported).toHaveLength(1);
  expect(reported[0]).toMatchObject({ epoch: 0, step: 3, sums: { targets: 96 } });
  expect(reported[0]!.sums!.loss).toBeGreaterThan(0);
});

test.each<[string, (batch: Batch) => Batch, RegExp]>([
  [
    'too few values',
    ({ inputs, ...rest }) => ({ ...rest, inputs: { ...inputs, images: inputs.images!.subarray(1) } }),
    /asked for 2 rows and gave 127 values in a Uint8Array for the input images; 128 of type u8 were expected/,
  ],
  [
    'values of another type',
    ({ inputs, ...rest }) => ({ ...rest, inputs: { ...inputs, labels: Uint8Array.of(1, 2) } }),
    /gave 2 values in a Uint8Array for the input labels; 2 of type i32 were expected/,
  ],
  [
    'an input less',
    ({ inputs, ...rest }) => ({ ...rest, inputs: { images: inputs.images! } }),
    /nothing for the input labels; 2 of type i32/,
  ],
  [
    'an input more',
    ({ inputs, ...rest }) => ({ ...rest, inputs: { ...inputs, picks: inputs.labels! } }),
    /gave an input picks; images and labels alone were expected/,
  ],
  ['no targets', (batch) => ({ ...batch, targets: 0 }), /gave 0 targets; at least one was expected/],
  ['targets that are no number', (batch) => ({ ...batch, targets: Number.NaN }), /gave NaN targets/],
])('a batch with %s is refused', async (_, change, message) => {
  const session = await wasmBackend({ threads: 1 }).openSession();
  const { train } = dataset;
  const split = {
    count: train.count,
    read: async (...asked: Parameters<typeof train.read>) => change(await train.read(...asked)),
  };
  const reading = feedOf(session, task, split).read(firstExamples(2), 2);
  await expect(reading).rejects.toThrow(UserError);
  await expect(reading).rejects.toThrow(message);
  await session.dispose();
});

test('a split may be an object with methods', async () => {
  class Shifted {
    readonly count = 3;
    readonly #first = 5;
    read({ numbers }: Selection, rows: number) {
      return dataset.train.read({ numbers: numbers.map((number) => number + this.#first) }, rows);
    }
  }
  const session = await wasmBackend({ threads: 1 }).openSession();
  const batch = await feedOf(session, task, new Shifted()).read(firstExamples(3), 3);
  expect(batch).toEqual(await dataset.train.read(firstExamples(3, 5), 3));
  await session.dispose();
});

test('an evaluation takes batches that the device has room for', async () => {
  const session = await wasmBackend({ threads: 1 }).openSession();
  buildNetwork(task, arithmetic, 'evaluate', 1).layers.parameters.forEach((parameter, position) => {
    session.write(parameter.name, initialTensor(parameter, 1, position));
  });
  const compile = session.compile.bind(session);
  const whole = await (await evaluator(session, task, arithmetic, dataset.test))();
  const asked: number[] = [];
  const limit = (most: number) =>
    Object.assign(session, {
      compile: async (graph: Graph) => {
        const rows = graph.inputs.get('labels')!.shape[0]!;
        asked.push(rows);
        if (rows > most) throw new TooLargeError('too large');
        return await compile(graph);
      },
    });
  const parts = await (await evaluator(limit(32), task, arithmetic, dataset.test))();
  // No larger than the split.
  expect(asked).toEqual([70, 35, 18]);
  expect(parts.metrics).toEqual(whole.metrics);
  expect(parts.examples).toBe(70);
  expect(parts.loss).toBeCloseTo(whole.loss, 5);
  await expect(evaluator(limit(0), task, arithmetic, dataset.test)).rejects.toThrow('too large');
  await session.dispose();
});
