// What the devices of a batch have that is not simply rows: images that are mixed with partners, targets that each has
// another number of, a teacher, padding, drawn numbers, a last batch that does not divide; and where gradients are
// summed. Held against one device; the training steps themselves: replicas.test.ts.

import { describe, expect, test } from 'vitest';
import { sideBySide } from '../../test/engine/side-by-side.ts';
import {
  dataset,
  difference,
  expectSame,
  float,
  modelWith,
  normed,
  perLayer,
  plain,
  rule,
  start,
  stepped,
  ways,
} from '../../test/several-devices.ts';
import type { AugmentOptions } from '../data/augment.ts';
import type { Batch } from '../data/split.ts';
import { Graph, type Node } from '../engine/graph/graph.ts';
import { plan } from '../engine/graph/plan.ts';
import type { Model } from '../nn/models/model.ts';
import { initialTensor } from '../nn/parameters.ts';
import { Random } from '../tensor/random.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { writeTeacher } from './distillation.ts';
import { evaluator } from './evaluation.ts';
import { imageTask } from './images.ts';
import { atStart, type EpochRecord, trainEpochs } from './loop.ts';
import { keysOfParts, requireDivisible, requireWhole } from './replicas.ts';
import { StepPrograms, type StepResult, stepKey, trainingStep } from './step.ts';
import { buildNetwork, type Task } from './task.ts';

describe('mixed images', () => {
  const mixed: readonly [string, AugmentOptions][] = [
    ['mixup', { pad: 1, flip: true, mixup: 0.8 }],
    ['CutMix and boxes', { pad: 1, flip: true, cutmix: 1, erase: 0.5 }],
  ];
  test.each(mixed)('%s: partners are those of one device, also where it keeps the images', async (_, augment) => {
    for (const ownMemory of [false, true]) {
      const way = { augment, ownMemory };
      const one = await stepped(1, float, way);
      for (const replicas of [2, 3]) expectSame(await stepped(replicas, float, way), one, 1e-10);
    }
  });

  test('a batch that would part them is refused', () => {
    const device = { replicas: 4 };
    expect(() => requireDivisible(12, device, { together: 2 }, 'settings: train.batchSize')).toThrow(
      'settings: train.batchSize: 12 images for 4 devices, 2 images of which are mixed with each other; expected a multiple of 8: 8 or 16',
    );
    expect(() => requireDivisible(10, device, {})).toThrow('expected a multiple of 4: 8 or 12');
    requireDivisible(12, device, {});
    requireDivisible(7, { replicas: 1 }, { together: 2 });
  });
});

describe('a teacher', () => {
  const teacher = { arithmetic: float.arithmetic, weight: 0.7, temperature: 2 };
  test('teaches the parts as the whole', async () => {
    const options = { ...float, teacher };
    expectSame(await stepped(3, options), await stepped(1, options), 1e-10);
  });
});

/** Numbers to classes, rows of several targets of which some do not count, taught by shares of their own. */
const rows: Task<'right' | 'bits'> = {
  metrics: { right: { better: 'higher', over: 'sum' }, bits: { better: 'lower', over: 'mean' } },
  inputs: (graph, batchSize) => ({
    x: graph.input('x', [batchSize * 3, 4]),
    labels: graph.input('labels', [batchSize * 3], 'i32'),
    share: graph.input('share', [batchSize * 3]),
    scale: graph.input('scale', [4]),
  }),
  network: (layers, { x, labels, share, scale }) => {
    const values = layers.linear('fc', layers.add(x!, scale!), 5);
    const [loss, , right] = layers.graph.apply('softmaxCrossEntropy', [values, labels!], { smoothing: 0.1 });
    const bits = layers.graph.apply1('affine', [loss!], { scale: 1 / Math.LN2, offset: 0 });
    return { loss: loss!, metrics: { right: right!, bits }, logits: { values, share: share! } };
  },
};

/** Of 12 rows those from 8 on have no target at all, of the others each a different number. */
function batchOfRows(withTargets = true): Batch {
  const draw = new Random(3);
  const labels = Int32Array.from({ length: 36 }, (_, at) => (at < 24 && (at * 7) % 5 < 3 ? at % 5 : -1));
  const targetsOfRows = Array.from({ length: 12 }, (_, row) =>
    labels.slice(3 * row, 3 * row + 3).reduce((sum, label) => sum + (label >= 0 ? 1 : 0), 0),
  );
  const inputs = {
    ...{ x: Float32Array.from({ length: 144 }, () => draw.uniform()), labels, scale: Float32Array.of(1, 2, 3, 4) },
    share: Float32Array.from(labels, (label, at) => (label < 0 ? 0 : 0.25 + (at % 4) / 4)),
  };
  const targets = targetsOfRows.reduce((sum, own) => sum + own);
  return { inputs, targets, ...(withTargets ? { targetsOfRows } : {}) };
}

describe('targets', () => {
  const options = { ...float, teacher: { arithmetic: float.arithmetic, weight: 0.4, temperature: 3 } };
  const run = async (replicas: number, batch: Batch) => {
    const session = await sideBySide(replicas, { precision: 'double' });
    const { parameters } = buildNetwork(rows, float.arithmetic, 'train', 1).layers;
    parameters.forEach((parameter, at) => void session.write(parameter.name, initialTensor(parameter, 1, at)));
    writeTeacher(session, new Map(parameters.map((one, at) => [one.name, initialTensor(one, 2, at)])));
    const feed = { ...rows, read: async () => batch };
    const programs = new StepPrograms({ session, task: rows, ...options }, feed);
    const place = { rate: 0.02, thetaRate: undefined, key: stepKey(0, 0, 0) };
    const results: StepResult<'right' | 'bits'>[] = [];
    for (const number of [1, 2, 3]) results.push(await (await programs.start(batch, 12, { ...place, number })).result);
    const split = { count: 12, read: async () => batch };
    const evaluation = await (await evaluator(session, rows, float.arithmetic, split))();
    return { results, evaluation, variables: session.variables() };
  };

  test('count once each, however many a device has, and a device may have none', async () => {
    const one = await run(1, batchOfRows());
    for (const replicas of [2, 3, 4]) {
      const found = await run(replicas, batchOfRows());
      expect(difference(found.variables[0]!, one.variables[0]!)).toBeLessThan(1e-10);
      for (const [at, result] of [...one.results, one.evaluation].entries()) {
        const own = [...found.results, found.evaluation][at]!;
        expect(own.metrics.right).toBe(result.metrics.right);
        expect(own.metrics.bits).toBeCloseTo(result.metrics.bits, 6);
        expect(own.loss).toBeCloseTo(result.loss, 6);
      }
    }
    expect(one.results[2]!.objective).toBeLessThan(one.results[0]!.objective - 0.01);
  });

  test('must be known by row', async () => {
    await expect(run(2, batchOfRows(false))).rejects.toThrow('does not say how many each row has');
    const graph = (task: Task) => () =>
      trainingStep({ ...float, task }, { ...task, read: async () => batchOfRows() }, 12, 2);
    const across: Task = { ...rows, inputs: (g, size) => ({ ...rows.inputs(g, size), y: g.input('y', [4, size]) }) };
    expect(graph(rows)).not.toThrow();
    expect(graph(across)).toThrow('the input y of the task has the shape [4, 12] for 12 rows and [4, 6] for 6');
  });
});

test('an evaluation over several devices is that of one, padding and all', async () => {
  const evaluate = async (replicas: number, mode: 'evaluate' | 'statistics') => {
    const session = await sideBySide(replicas, { precision: 'double' });
    start(session, normed, float.arithmetic);
    return await (await evaluator(session, normed, float.arithmetic, dataset.test, undefined, mode))();
  };
  for (const mode of ['evaluate', 'statistics'] as const) {
    const one = await evaluate(1, mode);
    expect(one.examples).toBe(11);
    for (const replicas of [2, 3, 8, 11]) {
      const found = await evaluate(replicas, mode);
      expect(found).toEqual({ ...one, loss: expect.closeTo(one.loss, 6) });
    }
  }
});

test('devices drop different elements, the first those of one device, and hold the same weights', async () => {
  const task = imageTask(modelWith(false, 0.5), dataset);
  const keys = keysOfParts(stepKey(4, 0, 1), 3);
  expect(new Set(keys).size).toBe(6);
  expect(keys.slice(0, 2)).toEqual(stepKey(4, 0, 1));
  const [one, found] = [await stepped(1, float, { task }), await stepped(2, float, { task })];
  expect(found.variables[1]).toEqual(found.variables[0]);
  expect(difference(found.variables[0]!, one.variables[0]!)).toBeGreaterThan(1e-3);
});

test('what is not brought together is noticed before it is trained with', () => {
  const graph = new Graph({ replicas: 2 });
  const x = graph.input('x', [4]);
  const sum = graph.apply1('sum', [x], {});
  graph.output('sum', graph.reduced('sum', [sum])[0]!);
  requireWhole(graph, new Set(['x']));
  graph.assign(graph.variable('weight', []), sum);
  expect(() => requireWhole(graph, new Set(['x']))).toThrow('weight differs between devices');
});

test('gradients are summed where the backward pass has them, in buckets of some size', () => {
  const wide: Model = {
    ...modelWith(false),
    build: (nn, image, classes) => {
      const x = nn.linear('large', nn.flatten(image), 90_000);
      return nn.linear('fc', nn.relu(nn.linear('middle', nn.relu(x), 50)), classes);
    },
  };
  const task = imageTask(wide, dataset);
  const { graph } = trainingStep({ ...float, task }, { ...task, read: dataset.train.read }, 8, 2);
  const reductions = graph.nodes.filter(({ op }) => op === 'allReduce');
  // Loss and metric go with the first.
  expect(reductions.map(({ inputs }) => inputs.map(({ shape }) => sizeOf(shape)))).toEqual([
    [1, 1, 3, 150, 50, 4_500_000],
    [90_000, 36 * 90_000],
  ]);
  const at = (node: Node) => graph.nodes.indexOf(node);
  const last = graph.nodes.findLast(({ label }) => label === 'large')!;
  expect(at(reductions[0]!)).toBeLessThan(at(last));
  // Where there is one device there is nothing to bring together.
  const { nodes } = trainingStep({ ...float, task }, { ...task, read: dataset.train.read }, 8).graph;
  expect(nodes.some(({ op }) => op === 'allReduce')).toBe(false);
});

test('layers that take the same values ask the other devices for their extremes once', async () => {
  const branching: Model = {
    ...modelWith(true),
    build: (nn, image, classes) => {
      const x = nn.relu(nn.conv('conv1', image, { out: 4, kernel: 3, bias: true }));
      const branch = (name: string) => nn.batchNorm(`norm.${name}`, nn.conv(name, x, { out: 4, kernel: 1 }));
      return nn.linear('fc', nn.globalAveragePool(nn.relu(nn.add(branch('left'), branch('right')))), classes);
    },
  };
  const task = imageTask(branching, dataset);
  const options = { ...ways['published: ranges that move, clips, one structure']!, batchNorm: 'batch' } as const;
  const { graph } = trainingStep({ ...options, task }, { ...task, read: dataset.train.read }, 8, 2);
  const ranges = plan(graph).steps.flatMap(({ node }) =>
    node.op === 'allReduce' && (node as Node as Node<'allReduce'>).attributes.kind === 'min' ? [node] : [],
  );
  expect(ranges.map(({ label }) => label)).toEqual(['conv1', 'left', 'fc']);
  expectSame(await stepped(2, options, { task }), await stepped(1, options, { task }), 1e-9);
});

test('a phase with a short last batch, λ found while training and hard θ in the end is that of one device', async () => {
  const options = ways['good: steps, a structure for each layer that is pushed, λ from outside']!;
  const trained = async (replicas: number) => {
    const session = await sideBySide(replicas);
    const { power, weightDecay } = options.structure!;
    start(
      session,
      plain,
      options.arithmetic,
      perLayer.map(({ theta }) => theta),
    );
    const records: EpochRecord[] = [];
    const powers: number[] = [];
    await trainEpochs({
      ...{ session, task: plain, dataset, arithmetic: options.arithmetic, ...rule },
      ...{ epochs: 2, batchSize: 30, learningRate: 0.02, schedule: 'cosine', average: 0.5, seed: 3, firstEpoch: 0 },
      structure: {
        ...{ power, weightDecay, learningRate: 0.05, harden: 0.5 },
        target: { aim: { power: 0.6, isLimit: true, from: 0.8 } },
      },
      start: atStart,
      fillLast: false,
      onStep: ({ power }) => void powers.push(power!),
      onEpoch: async (record) => void records.push(record),
    });
    return { records, powers, variables: session.variables() };
  };
  // Of 72 images the last 12 do not divide: every device computes them all.
  const [one, five] = [await trained(1), await trained(5)];
  expect(five.variables[1]).toEqual(five.variables[0]);
  expect(five.powers.length).toBe(one.powers.length);
  for (const [at, power] of one.powers.entries()) expect(five.powers[at]).toBeCloseTo(power, 4);
  expect(five.records[1]!.theta).toEqual(one.records[1]!.theta);
  expect(five.records[1]!.control!.lambda / one.records[1]!.control!.lambda).toBeCloseTo(1, 3);
  expect(five.records[1]!.test.loss).toBeCloseTo(one.records[1]!.test.loss, 3);
});
