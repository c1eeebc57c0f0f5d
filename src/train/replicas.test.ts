// A batch on 2, 3 and 8 devices against the same batch on one: after several steps all that a run keeps is the same, in
// double precision to 1e-10, whatever layers multiply with and the loss holds; and all devices hold the same bits.
// Batch norm with each device's own statistics is worked out from steps on one device. What devices have that is not
// simply rows: parts.test.ts.

import { describe, expect, test } from 'vitest';
import { sideBySide } from '../../test/engine/side-by-side.ts';
import { replicatedReference } from '../../test/replicas.ts';
import {
  BATCH,
  dataset,
  difference,
  expectSame,
  feedOfTrain,
  float,
  normed,
  rule,
  start,
  stepped,
  ways,
} from '../../test/several-devices.ts';
import { trainingBatches } from '../data/batches.ts';
import type { Session } from '../engine/backend.ts';
import { atStart, type EpochRecord, trainEpochs } from './loop.ts';
import { StepPrograms, stepKey } from './step.ts';
import { buildNetwork } from './task.ts';

describe.each(Object.entries(ways))('%s', (_, options) => {
  test('is on several devices what it is on one', async () => {
    const one = await stepped(1, options);
    for (const replicas of [2, 3, 8]) expectSame(await stepped(replicas, options), one, 1e-10);
  });
});

test('in single precision within its rounding, and with the same bits again', async () => {
  const options = ways['float, AdamW, clipped, averaged']!;
  const single = { precision: 'single' } as const;
  const one = await stepped(1, options, single);
  for (const replicas of [2, 8]) {
    const found = await stepped(replicas, options, single);
    expectSame(found, one, 2e-4);
    expect(await stepped(replicas, options, single)).toEqual(found);
  }
});

describe('batch norm', () => {
  const published = { ...ways['published: ranges that move, clips, one structure']!, batchNorm: 'batch' } as const;
  test.each([
    ['float', { ...float, batchNorm: 'batch', recompute: true } as const],
    ['quantised', published],
  ])('of the whole batch, %s: statistics and gradients of one device', async (_, options) => {
    const one = await stepped(1, options, { task: normed });
    for (const replicas of [2, 3]) expectSame(await stepped(replicas, options, { task: normed }), one, 1e-9);
  });

  test('of each device: its own gradients and statistics, and their means are what all go on with', async () => {
    const [replicas, momentum, weightDecay] = [3, 0.9, 1e-3];
    // As the program reads it.
    const rate = Math.fround(0.05);
    const found = await stepped(replicas, float, { task: normed });
    // By hand: each part of the batch as a step of its own at rate 1 from the weights of the moment.
    const names = buildNetwork(normed, float.arithmetic, 'train', 1).layers.parameters;
    const session = await sideBySide(1, { precision: 'double' });
    start(session, normed, float.arithmetic);
    const programs = new StepPrograms({ session, task: normed, ...float, momentum: 0, weightDecay: 0 }, feedOfTrain());
    const velocities = new Map<string, Float64Array>();
    for (const selection of trainingBatches(dataset, { seed: 4, epoch: 0, batchSize: BATCH })) {
      const before = session.variables()[0]!;
      const changes = new Map<string, Float64Array>();
      for (let part = 0; part < replicas; part++) {
        for (const { name } of names) session.set(name, before[name]!);
        const rows = BATCH / replicas;
        const own = { numbers: selection.numbers.slice(part * rows, (part + 1) * rows) };
        const batch = await feedOfTrain().read(own, rows);
        await (await programs.start(batch, rows, { rate: 1, thetaRate: undefined, number: 1, key: stepKey(0, 0, 0) }))
          .result;
        const after = session.variables()[0]!;
        for (const { name } of names) {
          const sum = changes.get(name) ?? new Float64Array(before[name]!.length);
          changes.set(
            name,
            sum.map((value, at) => value + (after[name]![at]! - before[name]![at]!) / replicas),
          );
        }
      }
      for (const { name, trainable } of names) {
        const change = changes.get(name)!;
        const old = Float64Array.from(before[name]!);
        const velocity = (velocities.get(name) ?? new Float64Array(old.length)).map(
          (value, at) => momentum * value - change[at]! + weightDecay * old[at]!,
        );
        velocities.set(name, velocity);
        session.set(
          name,
          old.map((value, at) => (trainable ? value - rate * velocity[at]! : value + change[at]!)),
        );
      }
    }
    const wanted = session.variables()[0]!;
    for (const { name } of names) {
      expect(difference({ [name]: found.variables[2]![name]! }, { [name]: wanted[name]! }), name).toBeLessThan(1e-10);
    }
    for (const other of found.variables.slice(1)) expect(other).toEqual(found.variables[0]);
  });
});

test('a phase on the devices of other processes, as over sockets: the same bits as side by side', async () => {
  const trained = async (session: Session) => {
    start(session, normed, float.arithmetic);
    const records: EpochRecord[] = [];
    await trainEpochs({
      ...{ session, task: normed, dataset, arithmetic: float.arithmetic, ...rule, batchNorm: 'batch' },
      ...{ epochs: 2, batchSize: 32, learningRate: 0.02, schedule: 'cosine', seed: 3, firstEpoch: 0, start: atStart },
      onEpoch: async (record) => void records.push(record),
    });
    const tensors = await Promise.all(session.variableNames().map(async (name) => [name, await session.read(name)]));
    await session.dispose();
    return { records, tensors };
  };
  const { backend } = await replicatedReference(2);
  const found = await trained(await backend.openSession());
  expect(found).toEqual(await trained(await sideBySide(2)));
  const one = await trained(await sideBySide(1));
  expect(found).not.toEqual(one);
  expect(found.records[1]!.test.loss).toBeCloseTo(one.records[1]!.test.loss, 4);
});
