// What an epoch's record says, worked out by hand on a network of one weight: means over the images (the last batch is
// short), the test split's own figures, the same when the epoch is begun in its middle.

import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { trainingBatches } from '../data/batches.ts';
import { datasetOf } from '../data/memory.ts';
import type { Program } from '../engine/backend.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import type { Model } from '../nn/models/model.ts';
import { f32 } from '../tensor/tensor.ts';
import { evaluator } from './evaluation.ts';
import { imageTask } from './images.ts';
import { atStart, type EpochRecord, type Position, type StepEvent, trainEpochs } from './loop.ts';

const model: Model = {
  name: 'one',
  description: 'logits 0 and x',
  minimumSize: 1,
  build: (layers, image, classes) => layers.linear('fc', layers.globalAveragePool(image), classes),
};
const train = { images: Uint8Array.of(1, 2, 4, 5, 9), labels: [0, 1, 1, 0, 1] };
const held = { images: Uint8Array.of(3, 7, 8), labels: [1, 0, 1] };
const dataset = datasetOf({
  ...{ name: 'five', height: 1, width: 1, channels: 1, maximum: 10, classes: 2 },
  ...{ train, test: held },
});
const task = imageTask(model, dataset);

// The mean of the training images is 21 / 5 of 10; Σ (raw − 4.2)² = 38.8.
const normalised = (raw: number) => (raw / 10 - 0.42) / (Math.sqrt(38.8 / 5) / 10);
const lossOf = (raw: number, label: number) => Math.log(1 + Math.exp(label === 1 ? -normalised(raw) : normalised(raw)));
const isRight = (raw: number, label: number) => normalised(raw) > 0 === (label === 1);

function sumsOf({ images, labels }: typeof train, numbers: Iterable<number> = images.keys()) {
  let [loss, correct, count] = [0, 0, 0];
  for (const k of numbers) {
    loss += lossOf(images[k]!, labels[k]!);
    correct += isRight(images[k]!, labels[k]!) ? 1 : 0;
    count++;
  }
  return { objective: loss, loss, metrics: { accuracy: correct }, targets: count };
}

async function openSession() {
  const session = await referenceBackend().openSession();
  session.write('fc.weight', f32([1, 1, 1, 2], [0, 1]));
  session.write('fc.bias', f32([2], [0, 0]));
  return session;
}

/** An epoch at rate 0, which leaves the weight. */
async function epochFrom(start: Position<'accuracy'>, more: { readonly fillLast?: boolean } = {}) {
  const session = await openSession();
  const records: EpochRecord<'accuracy'>[] = [];
  const events: StepEvent<'accuracy'>[] = [];
  await trainEpochs({
    ...{ session, task, dataset, arithmetic: { kind: 'float' }, epochs: 1, batchSize: 2, seed: 3, firstEpoch: 4 },
    ...{ momentum: 0, weightDecay: 0, learningRate: 0, schedule: 'constant', start, ...more },
    onStep: (event) => void events.push(event),
    onEpoch: async (record) => void records.push(record),
  });
  await session.dispose();
  expect(records).toHaveLength(1);
  return { record: records[0]!, events };
}

function expectRecord({ objective, training, test: measured }: EpochRecord<'accuracy'>) {
  const [seen, tested] = [sumsOf(train), sumsOf(held)];
  expect(objective).toBeCloseTo(seen.loss / 5, 6);
  expect(training.loss).toBeCloseTo(seen.loss / 5, 6);
  expect(training.metrics.accuracy).toBe(seen.metrics.accuracy / 5);
  expect(measured.loss).toBeCloseTo(tested.loss / 3, 6);
  expect(measured.metrics.accuracy).toBe(tested.metrics.accuracy / 3);
  expect(training.metrics.accuracy).not.toBe(measured.metrics.accuracy);
}

test('an epoch’s figures are means over its images, and the test figures those of the test images', async () => {
  const { record, events } = await epochFrom(atStart);
  expectRecord(record);
  expect(events.map(({ step, steps, examples }) => [step, steps, examples])).toEqual([
    [1, 3, 2],
    [2, 3, 2],
    [3, 3, 1],
  ]);
  expect(events.at(-1)!.soFar).toEqual(record.training);
});

test('an epoch that is begun behind its first step takes the others, and counts all', async () => {
  const { numbers } = trainingBatches(dataset, { seed: 3, epoch: 4, batchSize: 2 }).next().value!;
  const { record, events } = await epochFrom({ epoch: 0, step: 1, sums: sumsOf(train, numbers) });
  expect(events.map(({ step, examples }) => [step, examples])).toEqual([
    [2, 2],
    [3, 1],
  ]);
  expectRecord(record);
});

test('a last batch that is filled up takes the first images of the epoch again, and counts them', async () => {
  const { record, events } = await epochFrom(atStart, { fillLast: true });
  expect(events.map(({ examples }) => examples)).toEqual([2, 2, 2]);
  const order = [...trainingBatches(dataset, { seed: 3, epoch: 4, batchSize: 2, dropLast: false })].flatMap(
    ({ numbers }) => [...numbers],
  );
  const seen = sumsOf(train, [...order, order[0]!]);
  expect(record.training.loss).toBeCloseTo(seen.loss / 6, 6);
  expect(record.training.metrics.accuracy).toBeCloseTo(seen.metrics.accuracy / 6, 12);
  const short = await epochFrom(atStart);
  expect(short.events.map(({ examples }) => examples)).toEqual([2, 2, 1]);
  expect(short.record.training.loss).not.toBeCloseTo(seen.loss / 6, 4);
});

test('an evaluation counts the images of the split and nothing behind them', async () => {
  const session = await openSession();
  const batches: number[] = [];
  const evaluate = await evaluator(session, task, { kind: 'float' }, dataset.train);
  const { loss, metrics, examples } = await evaluate((count) => void batches.push(count));
  const sums = sumsOf(train);
  expect(loss).toBeCloseTo(sums.loss / 5, 6);
  expect(metrics).toEqual({ accuracy: sums.metrics.accuracy / 5 });
  expect([examples, batches]).toEqual([5, [5]]);
  await session.dispose();
});

/** A session that tells what is compiled and started, and whose results take a while. */
async function observedSession(tell: (event: string) => void) {
  const session = await openSession();
  const compile = session.compile.bind(session);
  const alive = new Set<Program>();
  let steps = 0;
  session.compile = async (graph) => {
    const kind = graph.inputs.has('learningRate') ? 'step' : 'evaluation';
    const size = graph.inputs.get('labels')!.shape[0];
    tell(`compile ${kind} of ${size}`);
    const program = await compile(graph);
    const [run, read, dispose] = [program.run, program.read, program.dispose].map((method) => method.bind(program)) as [
      Program['run'],
      Program['read'],
      Program['dispose'],
    ];
    alive.add(program);
    return Object.assign(program, {
      run: async () => {
        if (kind === 'step') tell(`start ${++steps}`);
        await run();
      },
      read: async (name: string) => {
        const values = await read(name);
        await setTimeout(5);
        return values;
      },
      dispose: async () => {
        alive.delete(program);
        await dispose();
      },
    } satisfies Partial<Program>);
  };
  return { session, alive };
}

async function observedTraining() {
  const events: string[] = [];
  const tell = (event: string) => void events.push(event);
  const { session, alive } = await observedSession(tell);
  let reads = 0;
  const read: typeof dataset.train.read = (...asked) => {
    tell(`read ${++reads}`);
    return dataset.train.read(...asked);
  };
  let results = 0;
  await trainEpochs({
    ...{ session, task, dataset: { ...dataset, train: { ...dataset.train, read } }, arithmetic: { kind: 'float' } },
    ...{ epochs: 3, batchSize: 1, seed: 3, firstEpoch: 0, start: atStart },
    ...{ momentum: 0, weightDecay: 0, learningRate: 0, schedule: 'constant' },
    onStep: () => tell(`result ${++results}`),
    onEpoch: async ({ epoch }) => tell(`epoch ${epoch}`),
  });
  const left = alive.size;
  await session.dispose();
  return { events, left };
}

test('each program is compiled once for all epochs, the largest first, and given up at the end', async () => {
  const { events, left } = await observedTraining();
  expect(events.filter((event) => event.startsWith('compile'))).toEqual([
    'compile step of 1',
    'compile evaluation of 3',
  ]);
  expect(left).toBe(0);
});

test('a batch is read and two steps are started before the result of the one before is waited for', async () => {
  const { events } = await observedTraining();
  const ofFirst = events.slice(0, events.indexOf('epoch 1')).filter((event) => !event.startsWith('compile'));
  expect(ofFirst).toEqual([
    ...['read 1', 'read 2', 'start 1', 'read 3', 'start 2', 'read 4', 'start 3', 'result 1', 'read 5', 'start 4'],
    ...['result 2', 'start 5', 'result 3', 'result 4', 'result 5'],
  ]);
});
