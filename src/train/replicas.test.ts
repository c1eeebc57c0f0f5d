// A batch on 2, 3 and 8 devices against the same batch on one: after several steps all that a run keeps is the same, in
// double precision to 1e-10, whatever the layers multiply with, what is added to the loss and how many targets a device
// has; and every device holds the same bits. Batch norm with each device's own statistics is worked out from steps on
// one device. Devices are those of test/engine/side-by-side.ts.

import { describe, expect, test } from 'vitest';
import { type SideBySide, sideBySide } from '../../test/engine/side-by-side.ts';
import type { AugmentOptions } from '../data/augment.ts';
import { trainingBatches } from '../data/batches.ts';
import { datasetOf } from '../data/memory.ts';
import type { Batch } from '../data/split.ts';
import { Graph, type Node } from '../engine/graph/graph.ts';
import { exactMultiplier, withSlopes } from '../multiplier/multiplier.ts';
import { columnStructure, productStructure } from '../multiplier/structure.ts';
import type { Model } from '../nn/models/model.ts';
import { initialTensor } from '../nn/parameters.ts';
import { type StateName, stateName } from '../quant/quantized.ts';
import { Random } from '../tensor/random.ts';
import { f32, sizeOf } from '../tensor/tensor.ts';
import { writeTeacher } from './distillation.ts';
import { evaluator } from './evaluation.ts';
import { feedOf } from './feed.ts';
import { imageTask } from './images.ts';
import { atStart, type EpochRecord, trainEpochs } from './loop.ts';
import { keysOfParts, requireDivisible, requireWhole } from './replicas.ts';
import { type StepOptions, StepPrograms, type StepResult, stepKey, trainingStep } from './step.ts';
import { type Arithmetic, buildNetwork, type QuantizedArithmetic, type Task } from './task.ts';

const COUNT = 72;
const BATCH = 24;
const random = new Random(9);
const images = (count: number) => ({
  images: Uint8Array.from({ length: 36 * count }, () => random.integer(256)),
  labels: Array.from({ length: count }, () => random.integer(3)),
});
const dataset = datasetOf({ name: 'noise', height: 6, width: 6, channels: 1, train: images(COUNT), test: images(11) });

const modelWith = (withNorm: boolean, rate = 0): Model => ({
  name: 'small',
  description: 'two convolutions, the second in a block, and a linear layer',
  minimumSize: 3,
  build: (nn, image, classes) => {
    const norm = (name: string, x: Parameters<typeof nn.relu>[0]) => (withNorm ? nn.batchNorm(name, x) : x);
    const x = nn.relu(norm('norm1', nn.conv('conv1', image, { out: 4, kernel: 3, stride: 2, bias: !withNorm })));
    const y = nn.block('block', () => nn.add(x, norm('norm2', nn.conv('block.conv2', x, { out: 4, kernel: 1 }))));
    return nn.linear('fc', nn.dropout(nn.globalAveragePool(nn.relu(y)), rate), classes);
  },
});
const [plain, normed] = [imageTask(modelWith(false), dataset), imageTask(modelWith(true), dataset)];

const widths = { weightBits: 4, activationBits: 4 };
const [byColumn, byProduct] = [columnStructure(widths, 4), productStructure(widths)];
const layerNames = ['conv1', 'block.conv2', 'fc'];
const removed = Float32Array.from({ length: 16 }, (_, at) => (Math.floor(at / 4) + (at % 4) < 3 ? 1 : 0));
const error = Int32Array.from({ length: 256 }, (_, at) => -((at * 7) % 5));
const quantized = (more: Partial<QuantizedArithmetic>): QuantizedArithmetic => ({
  ...{ kind: 'quantized', ...widths, channelwise: true, multiplierOf: exactMultiplier },
  ...more,
});

type Options = Omit<StepOptions<'accuracy'>, 'session' | 'task'>;
const rule = { momentum: 0.9, weightDecay: 1e-3 };
const float: Options = { arithmetic: { kind: 'float' }, ...rule };
const perLayer = layerNames.map((name, at) => ({
  theta: `${name}.theta`,
  structure: byProduct,
  share: [0.5, 0.3, 0.2][at]!,
}));

/** What a run may train with. */
const ways: Readonly<Record<string, Options>> = {
  'float, AdamW, clipped, averaged': {
    ...float,
    ...{ optimizer: 'adamw', clipGradient: 0.3, average: 0.9, recompute: true },
  },
  'published: ranges that move, clips, one structure': {
    arithmetic: quantized({ multiplierOf: () => ({ kind: 'structure', theta: 'theta', structure: byColumn }) }),
    ...{
      ...rule,
      structure: {
        power: { lambda: 0.7, structures: [{ theta: 'theta', structure: byColumn, share: 1 }] },
        weightDecay: 1e-2,
      },
    },
  },
  'good: steps, a structure for each layer that is pushed, λ from outside': {
    arithmetic: quantized({
      quantizer: 'steps',
      multiplierOf: (layer) => ({ kind: 'structure', theta: `${layer}.theta`, structure: byProduct }),
    }),
    ...{ ...rule, optimizer: 'nesterov', stepRate: 0.5, recompute: 'light' },
    structure: { power: { structures: perLayer }, weightDecay: 0, harden: 0.5 },
  },
  'phase 3: a removal, gradients by rows': {
    arithmetic: quantized({
      quantizer: 'steps',
      multiplierOf: () => withSlopes({ kind: 'removal', removed }, widths, 'rows'),
    }),
    ...rule,
  },
  'phase 3: a table': { arithmetic: quantized({ multiplierOf: () => ({ kind: 'table', error }) }), ...rule },
};

function start(session: SideBySide, task: Task, arithmetic: Arithmetic, thetas: readonly string[] = []): void {
  const { parameters, multiplying } = buildNetwork(task, arithmetic, 'train', 1).layers;
  parameters.forEach((parameter, at) => void session.write(parameter.name, initialTensor(parameter, 1, at)));
  for (const { name, weightShape } of multiplying) {
    for (const [operand, shape] of [
      ['weight', [weightShape[3]!]],
      ['input', []],
    ] as const) {
      const zero = operand === 'weight' ? 8 : 3;
      const states = { scale: 0.11, zero_point: zero, min: -1, max: 2, clip_upper: 4, clip_lower: 4 };
      for (const [state, value] of Object.entries(states)) {
        const values = new Float32Array(sizeOf(shape)).fill(value);
        session.write(stateName(name, operand, state as StateName), f32(shape, values));
      }
    }
  }
  for (const theta of thetas) {
    const { count } = theta === 'theta' ? byColumn : byProduct;
    session.write(
      theta,
      f32(
        [count],
        Float32Array.from({ length: count }, (_, at) => ((at * 5) % 7) / 8),
      ),
    );
  }
}

interface Way {
  readonly task?: Task<'accuracy'>;
  readonly augment?: AugmentOptions;
  readonly ownMemory?: boolean;
  readonly precision?: 'single' | 'double';
  readonly batch?: number;
}

/** Some steps on so many devices: what each step told, and what every device holds behind them. */
async function stepped(replicas: number, options: Options, way: Way = {}) {
  const { task = plain, augment, ownMemory = false, precision = 'double', batch: batchSize = BATCH } = way;
  const session = await sideBySide(replicas, { precision, ownMemory });
  start(
    session,
    task,
    options.arithmetic,
    options.structure?.power.structures.map(({ theta }) => theta),
  );
  if (options.teacher) {
    const { parameters } = buildNetwork(task, options.teacher.arithmetic, 'evaluate', 1).layers;
    writeTeacher(
      session,
      new Map(parameters.map((parameter, at) => [parameter.name, initialTensor(parameter, 2, at)])),
    );
  }
  const feed = feedOf(session, task, dataset.train, augment);
  const programs = new StepPrograms({ session, task, ...options }, feed);
  const results: StepResult[] = [];
  const data = { ...dataset, augment: augment ?? { pad: 0, flip: false } };
  let number = 0;
  for (const selection of trainingBatches(data, { seed: 4, epoch: 0, batchSize })) {
    number++;
    const thetaRate = options.structure && 0.05;
    const place = { rate: 0.05, thetaRate, push: 2, lambda: 0.4, number, key: stepKey(4, 0, number) };
    const { numbers } = selection;
    const { result } = await programs.start(await feed.read(selection, numbers.length), numbers.length, place);
    results.push(await result);
  }
  const variables = session.variables();
  await session.dispose();
  return { results, variables };
}

type Outcome = Awaited<ReturnType<typeof stepped>>;

/** The largest difference between two devices, over the largest value of each variable. */
function difference(found: Outcome['variables'][number], wanted: Outcome['variables'][number]): number {
  expect(Object.keys(found).sort()).toEqual(Object.keys(wanted).sort());
  return Math.max(
    ...Object.entries(wanted).map(([name, values]) => {
      const most = Math.max(...Array.from(values, Math.abs), 1e-6);
      return Math.max(...Array.from(values, (value, at) => Math.abs(value - found[name]![at]!))) / most;
    }),
  );
}

function expectSame(found: Outcome, wanted: Outcome, bound: number): void {
  // Every device holds the same bits.
  for (const other of found.variables.slice(1)) expect(other).toEqual(found.variables[0]);
  expect(difference(found.variables[0]!, wanted.variables[0]!)).toBeLessThan(bound);
  for (const [at, result] of wanted.results.entries()) {
    const own = found.results[at]!;
    // Figures are read as float32.
    for (const what of ['loss', 'objective', 'power'] as const) {
      if (result[what] !== undefined) expect(Math.abs(own[what]! - result[what])).toBeLessThan(bound + 2e-7);
    }
    expect(own.metrics).toEqual(result.metrics);
  }
}

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

const feedOfTrain = () => ({ ...plain, read: dataset.train.read.bind(dataset.train) });

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
  const reductions = graph.nodes.filter(({ op, label }) => op === 'allReduce' && label === 'gradients');
  expect(reductions.map(({ inputs }) => inputs.map(({ shape }) => sizeOf(shape)))).toEqual([
    [3, 150, 50, 4_500_000],
    [90_000, 36 * 90_000],
  ]);
  const at = (node: Node) => graph.nodes.indexOf(node);
  const last = graph.nodes.findLast(({ label }) => label === 'large')!;
  expect(at(reductions[0]!)).toBeLessThan(at(last));
  // Where there is one device there is nothing to bring together.
  const { nodes } = trainingStep({ ...float, task }, { ...task, read: dataset.train.read }, 8).graph;
  expect(nodes.some(({ op }) => op === 'allReduce')).toBe(false);
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
  const [one, two] = [await trained(1), await trained(2)];
  expect(two.variables[1]).toEqual(two.variables[0]);
  expect(two.powers.length).toBe(one.powers.length);
  for (const [at, power] of one.powers.entries()) expect(two.powers[at]).toBeCloseTo(power, 4);
  expect(two.records[1]!.theta).toEqual(one.records[1]!.theta);
  expect(two.records[1]!.control!.lambda / one.records[1]!.control!.lambda).toBeCloseTo(1, 3);
  expect(two.records[1]!.test.loss).toBeCloseTo(one.records[1]!.test.loss, 3);
});
