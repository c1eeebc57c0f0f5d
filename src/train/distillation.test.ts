// What a teacher changes in a training step, against plain double-precision arithmetic: the loss and its gradient at
// temperatures and logits of all sizes, rows that do not count, what the teacher sees and how it is evaluated. Its own
// variables stay as they are, whatever else learns.

import { describe, expect, test } from 'vitest';
import { type AugmentOptions, noAugmentation } from '../data/augment.ts';
import { trainingBatches } from '../data/batches.ts';
import { memorySplit } from '../data/image-split.ts';
import { openDataset } from '../data/registry.ts';
import type { Split } from '../data/split.ts';
import type { Backend, Program, Session } from '../engine/backend.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { exactMultiplier } from '../multiplier/multiplier.ts';
import { RANDOM_KEY } from '../nn/layers.ts';
import type { Model } from '../nn/models/model.ts';
import { findModel } from '../nn/models/registry.ts';
import { initialTensor } from '../nn/parameters.ts';
import { stateName } from '../quant/quantized.ts';
import { Random } from '../tensor/random.ts';
import { f32, type HostTensor } from '../tensor/tensor.ts';
import { isTeachers, type Teacher, writeTeacher } from './distillation.ts';
import { feedOf, writeBatch } from './feed.ts';
import { imageTask } from './images.ts';
import { atStart, type LoopOptions, trainEpochs } from './loop.ts';
import { RATE, type StepOptions, trainingStep } from './step.ts';
import { buildNetwork, multiplyingLayers, type QuantizedArithmetic, type Task } from './task.ts';

const float = { kind: 'float' } as const;
const [ROWS, FEATURES, CLASSES] = [6, 5, 7];

/** Rows of numbers, each with a class and a share in what is learnt from a teacher; as many as there are. */
const rowsTask = (withShares: boolean): Task<never> => ({
  metrics: {},
  inputs: (graph, rows) => ({
    x: graph.input('x', [rows, FEATURES]),
    labels: graph.input('labels', [rows], 'i32'),
    ...(withShares ? { share: graph.input('share', [rows]) } : {}),
  }),
  network: (layers, { x, labels, share }) => {
    const values = layers.linear('fc', x!, CLASSES, { bias: false });
    const [loss] = layers.graph.apply('softmaxCrossEntropy', [values, labels!], {});
    return { loss: loss!, metrics: {}, logits: { values, ...(share ? { share } : {}) } };
  },
});

const random = new Random(7);
const drawn = (count: number, most: number) =>
  Float32Array.from({ length: count }, () => most * (2 * random.uniform() - 1));

/** logits / T less the logarithm of Σ exp. */
function logSoftmax(logits: readonly number[], temperature: number): number[] {
  const scaled = logits.map((one) => one / temperature);
  const most = Math.max(...scaled);
  const total = most + Math.log(scaled.reduce((sum, one) => sum + Math.exp(one - most), 0));
  return scaled.map((one) => one - total);
}

interface Example {
  readonly x: Float32Array;
  readonly labels: Int32Array;
  readonly share: Float32Array;
  readonly student: Float32Array;
  readonly teacher: Float32Array;
}

/** (1 − a)·CE + a·T²·KL of linear networks, and its gradient by the student's weights [FEATURES, CLASSES]. */
function byHand({ x, labels, share, student, teacher }: Example, { weight, temperature }: Omit<Teacher, 'arithmetic'>) {
  const logitsOf = (w: Float32Array, row: number) =>
    Array.from({ length: CLASSES }, (_, c) =>
      Array.from({ length: FEATURES }, (_, f) => x[row * FEATURES + f]! * w[f * CLASSES + c]!).reduce((a, b) => a + b),
    );
  const labelled = labels.filter((label) => label >= 0).length;
  const shares = share.reduce((a, b) => a + b);
  let objective = 0;
  const gradient = new Float64Array(FEATURES * CLASSES);
  for (let row = 0; row < ROWS; row++) {
    const [z, t] = [logitsOf(student, row), logitsOf(teacher, row)];
    const hard = labels[row]! < 0 ? 0 : (1 - weight) / labelled;
    const soft = (weight * share[row]!) / shares;
    const [plain, q, p] = [logSoftmax(z, 1), logSoftmax(z, temperature), logSoftmax(t, temperature)];
    if (hard > 0) objective -= hard * plain[labels[row]!]!;
    p.forEach((logP, c) => {
      objective += soft * temperature ** 2 * Math.exp(logP) * (logP - q[c]!);
      const slope =
        hard * (Math.exp(plain[c]!) - (c === labels[row] ? 1 : 0)) +
        soft * temperature * (Math.exp(q[c]!) - Math.exp(logP));
      for (let f = 0; f < FEATURES; f++) gradient[f * CLASSES + c]! += slope * x[row * FEATURES + f]!;
    });
  }
  return { objective, gradient };
}

const splitOf = ({ x, labels, share }: Example, withShares: boolean): Split => ({
  count: ROWS,
  read: async () => ({ inputs: { x, labels, ...(withShares ? { share } : {}) }, targets: ROWS }),
});

const weights = (data: Float32Array) => f32([1, 1, FEATURES, CLASSES], data);

/** What is drawn of a step. */
const KEY = Int32Array.of(3, 4);

/** The first batch of an epoch. */
const firstOf = (train: Split, batchSize: number, augment: AugmentOptions = noAugmentation) =>
  trainingBatches({ name: 'rows', train }, { seed: 5, epoch: 0, batchSize, augment }).next().value!;

/** A program of one plain step at a rate, over the first batch. */
async function stepOf<M extends string>(
  session: Session,
  options: Omit<StepOptions<M>, 'session' | 'momentum' | 'weightDecay'>,
  split: Split,
  size: number,
  rate: number,
  augment?: AugmentOptions,
): Promise<Program> {
  const feed = feedOf(session, options.task, split, augment);
  const { graph } = trainingStep({ momentum: 0, weightDecay: 0, ...options }, feed, size);
  const program = await session.compile(graph);
  writeBatch(program, await feed.read(firstOf(split, size, augment), size));
  if (graph.inputs.has(RANDOM_KEY)) program.write(RANDOM_KEY, KEY);
  program.write(RATE, Float32Array.of(rate));
  await program.run();
  return program;
}

describe.each([
  ['reference', () => referenceBackend()],
  ['wasm', () => wasmBackend({ threads: 1 })],
] as [string, () => Backend][])('the loss of a taught step and its gradient, on %s', (_, backend) => {
  test.each([
    [0.9, 4, 1, false],
    [0.5, 1, 4, false],
    [1, 20, 4, true],
    [0.3, 2, 60, true],
    [0.9, 1, 300, false],
  ])('weight %f, temperature %f, weights up to %f, shares: %s', async (weight, temperature, most, withShares) => {
    const labels = Int32Array.of(0, 3, withShares ? -1 : 2, 6, 1, 5);
    const share = withShares ? Float32Array.of(1, 2, 0, 1, 0.5, 1) : new Float32Array(ROWS).fill(1);
    const [student, teacher] = [drawn(FEATURES * CLASSES, most), drawn(FEATURES * CLASSES, most)];
    const example: Example = { x: drawn(ROWS * FEATURES, 1), labels, share, student, teacher };
    const expected = byHand(example, { weight, temperature });
    const session = await backend().openSession();
    session.write('fc.weight', weights(student));
    writeTeacher(session, new Map([['fc.weight', weights(teacher)]]));
    const options = {
      task: rowsTask(withShares),
      arithmetic: float,
      teacher: { arithmetic: float, weight, temperature },
    };
    const program = await stepOf(session, options, splitOf(example, withShares), ROWS, 1);
    const objective = (await program.read('objective'))[0]!;
    const after = (await session.read('fc.weight')).data;
    const largest = Math.max(...expected.gradient.map(Math.abs));
    expect(Math.abs(objective / expected.objective - 1)).toBeLessThan(2e-5);
    expected.gradient.forEach((slope, at) => {
      // The weights hold the difference to the rounding of what they are.
      expect(Math.abs(student[at]! - after[at]! - slope)).toBeLessThan(1e-5 * largest + 2e-7 * most);
    });
    expect((await session.read('teacher#fc.weight')).data).toEqual(teacher);
    await session.dispose();
  });
});

const digits = await openDataset('digits');
const part = ({ images, labels }: typeof digits.train, count: number) =>
  memorySplit({ count, images: images!.subarray(0, 64 * count), labels: labels.subarray(0, count) }, digits);
const [train, held] = [part(digits.train, 96), part(digits.test, 32)];
const augment: AugmentOptions = { pad: 1, flip: true, cutout: 3, mixup: 0.8 };

/** A network that is the same while it learns and when it is evaluated, or is not. */
const small = (isSame: boolean): Model => ({
  ...{ name: 'small', description: 'a convolution and a linear layer', minimumSize: 3 },
  build: (layers, image, classes) => {
    const x = layers.relu(layers.conv('conv', image, { out: 4, kernel: 3, padding: 1, bias: true }));
    const pooled = layers.globalAveragePool(isSame ? x : layers.dropout(layers.batchNorm('bn', x), 0.5));
    return layers.linear('fc', pooled, classes);
  },
});

type Tensors = ReadonlyMap<string, HostTensor>;

/** Parameters at their start. */
function initial(task: Task, seed: number): Tensors {
  const { parameters } = buildNetwork(task, float, 'evaluate', 1).layers;
  return new Map(parameters.map((parameter, at) => [parameter.name, initialTensor(parameter, seed, at)]));
}

async function sessionWith(student: Tensors, teacher: Tensors): Promise<Session> {
  const session = await wasmBackend({ threads: 1 }).openSession();
  for (const [name, tensor] of student) session.write(name, tensor);
  writeTeacher(session, teacher);
  return session;
}

const largest = (values: ArrayLike<number>) => Math.max(...Array.from(values, Math.abs));

describe('a teacher', () => {
  const alone: Teacher = { arithmetic: float, weight: 1, temperature: 4 };

  test('that is the student has nothing to teach: it sees the same crops, holes and mixtures', async () => {
    const task = imageTask(small(true), digits);
    const student = initial(task, 1);
    const moved = async (teacher: Tensors) => {
      const session = await sessionWith(student, teacher);
      const program = await stepOf(session, { task, arithmetic: float, teacher: alone }, train, 32, 1, augment);
      const objective = (await program.read('objective'))[0]!;
      const moves: number[] = [];
      for (const [name, { data }] of student) {
        const after = (await session.read(name)).data;
        moves.push(largest(Array.from(data, (one, at) => after[at]! - one)));
      }
      await session.dispose();
      return { objective, most: largest(moves) };
    };
    const same = await moved(student);
    expect(Math.abs(same.objective)).toBeLessThan(1e-5);
    expect(same.most).toBeLessThan(1e-6);
    const other = await moved(initial(task, 2));
    expect(other.objective).toBeGreaterThan(1e-2);
    expect(other.most).toBeGreaterThan(1e-2);
  });

  test('is evaluated: stored statistics, and nothing dropped, while the student trains', async () => {
    const task = imageTask(small(false), digits);
    const parameters = initial(task, 1);
    const session = await sessionWith(parameters, parameters);
    const program = await stepOf(session, { task, arithmetic: float, teacher: alone }, train, 32, 0);
    const logitsIn = async (mode: 'train' | 'evaluate') => {
      const { graph, logits } = buildNetwork(task, float, mode, 32);
      graph.output('logits', logits!.values);
      const alone = await session.compile(graph);
      writeBatch(alone, await train.read(firstOf(train, 32), 32));
      if (mode === 'train') alone.write(RANDOM_KEY, KEY);
      await alone.run();
      const values = Array.from(await alone.read('logits'));
      return Array.from({ length: 32 }, (_, row) => values.slice(row * digits.classes, (row + 1) * digits.classes));
    };
    const objective = (await program.read('objective'))[0]!;
    // After the step, whose rate was 0; the running statistics of the student have moved, those of the teacher not.
    for (const [name, tensor] of parameters) session.write(name, tensor);
    const [teacher, student] = [await logitsIn('evaluate'), await logitsIn('train')];
    const divergences = teacher.map((row, at) => {
      const [p, q] = [logSoftmax(row, 4), logSoftmax(student[at]!, 4)];
      return p.reduce((sum, logP, c) => sum + 16 * Math.exp(logP) * (logP - q[c]!), 0);
    });
    const expected = divergences.reduce((a, b) => a + b) / 32;
    expect(expected).toBeGreaterThan(1e-3);
    expect(Math.abs(objective / expected - 1)).toBeLessThan(1e-3);
    await session.dispose();
  });

  test('stays as it is, whatever learns, and recomputation changes no bit', async () => {
    const task = imageTask(findModel('resnet8'), digits);
    const arithmetic: QuantizedArithmetic = {
      ...{ kind: 'quantized', weightBits: 4, activationBits: 4, channelwise: true, quantizer: 'steps' },
      multiplierOf: () => exactMultiplier(),
    };
    const student = new Map(initial(task, 1));
    for (const { name, weightShape } of multiplyingLayers(task)) {
      const scales = f32([weightShape[3]!], new Float32Array(weightShape[3]!).fill(0.05));
      student.set(stateName(name, 'weight', 'scale'), scales);
      student.set(
        stateName(name, 'weight', 'zero_point'),
        f32(scales.shape, new Float32Array(scales.data.length).fill(8)),
      );
      student.set(stateName(name, 'input', 'scale'), f32([], [0.2]));
      student.set(stateName(name, 'input', 'zero_point'), f32([], [2]));
    }
    const trained = async (recompute: boolean) => {
      const session = await sessionWith(student, student);
      const options: Partial<LoopOptions<'accuracy'>> = { average: 0.9, clipGradient: 1, recompute };
      await trainEpochs({
        ...{ session, task, arithmetic, epochs: 1, batchSize: 64, seed: 3, firstEpoch: 0, start: atStart },
        dataset: { name: 'digits', train, test: held, augment },
        ...{ learningRate: 0.01, weightDecay: 1e-3, momentum: 0.9, schedule: 'constant' },
        ...{ teacher: { arithmetic, weight: 0.9, temperature: 4 }, onEpoch: async () => {}, ...options },
      });
      const found = new Map<string, HostTensor>();
      for (const name of session.variableNames()) found.set(name, await session.read(name));
      await session.dispose();
      return found;
    };
    const found = await trained(false);
    const teachers = [...found].filter(([name]) => isTeachers(name));
    expect(new Map(teachers.map(([name, tensor]) => [name.replace('teacher#', ''), tensor]))).toEqual(student);
    expect(found.get('conv1.weight')).not.toEqual(student.get('conv1.weight'));
    expect(found.get('conv1.input_scale')).not.toEqual(student.get('conv1.input_scale'));
    expect(await trained(true)).toEqual(found);
  });

  test('needs a task that says where its logits are', () => {
    const task = rowsTask(false);
    const silent: Task<never> = {
      ...task,
      network: (...given) => ({ loss: task.network(...given).loss, metrics: {} }),
    };
    const options = { task: silent, arithmetic: float, teacher: alone, momentum: 0, weightDecay: 0 };
    expect(() => trainingStep(options, task as never, ROWS)).toThrow(/does not say where its logits are/);
  });
});
