// What tests of several devices train: small networks on noise, with everything that a run may train with, and some
// steps of them on so many devices of one process, in double precision.

import { expect } from 'vitest';
import type { AugmentOptions } from '../src/data/augment.ts';
import { trainingBatches } from '../src/data/batches.ts';
import { datasetOf } from '../src/data/memory.ts';
import type { Session } from '../src/engine/backend.ts';
import { exactMultiplier, withSlopes } from '../src/multiplier/multiplier.ts';
import { columnStructure, productStructure } from '../src/multiplier/structure.ts';
import type { Model } from '../src/nn/models/model.ts';
import { initialTensor } from '../src/nn/parameters.ts';
import { constantsName } from '../src/quant/following-biases.ts';
import { type StateName, stateName } from '../src/quant/quantized.ts';
import { Random } from '../src/tensor/random.ts';
import { f32, sizeOf } from '../src/tensor/tensor.ts';
import { writeTeacher } from '../src/train/distillation.ts';
import { feedOf } from '../src/train/feed.ts';
import { imageTask } from '../src/train/images.ts';
import { type StepOptions, StepPrograms, type StepResult, stepKey } from '../src/train/step.ts';
import { type Arithmetic, buildNetwork, type QuantizedArithmetic, type Task } from '../src/train/task.ts';
import { sideBySide } from './engine/side-by-side.ts';

const COUNT = 72;
export const BATCH = 24;
const random = new Random(9);
const images = (count: number) => ({
  images: Uint8Array.from({ length: 36 * count }, () => random.integer(256)),
  labels: Array.from({ length: count }, () => random.integer(3)),
});
export const dataset = datasetOf({
  name: 'noise',
  height: 6,
  width: 6,
  channels: 1,
  train: images(COUNT),
  test: images(11),
});

export const modelWith = (withNorm: boolean, rate = 0): Model => ({
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
export const [plain, normed] = [imageTask(modelWith(false), dataset), imageTask(modelWith(true), dataset)];

const widths = { weightBits: 4, activationBits: 4 };
const [byColumn, byProduct] = [columnStructure(widths, 4), productStructure(widths)];
const layerNames = ['conv1', 'block.conv2', 'fc'];
const removed = Float32Array.from({ length: 16 }, (_, at) => (Math.floor(at / 4) + (at % 4) < 3 ? 1 : 0));
const error = Int32Array.from({ length: 256 }, (_, at) => -((at * 7) % 5));
const quantized = (more: Partial<QuantizedArithmetic>): QuantizedArithmetic => ({
  ...{ kind: 'quantized', ...widths, channelwise: true, multiplierOf: exactMultiplier },
  ...more,
});

export type Options = Omit<StepOptions<'accuracy'>, 'session' | 'task'>;
export const rule = { momentum: 0.9, weightDecay: 1e-3 };
export const float: Options = { arithmetic: { kind: 'float' }, ...rule };
export const perLayer = layerNames.map((name, at) => ({
  theta: `${name}.theta`,
  structure: byProduct,
  share: [0.5, 0.3, 0.2][at]!,
}));

/** What a run may train with. */
export const ways: Readonly<Record<string, Options>> = {
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
  'biases that follow θ': {
    arithmetic: quantized({
      ...{ quantizer: 'steps', following: new Set(['conv1', 'fc']) },
      multiplierOf: (layer) => ({ kind: 'structure', theta: `${layer}.theta`, structure: byProduct }),
    }),
    ...rule,
    structure: { power: { structures: perLayer }, weightDecay: 0 },
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

export function start(session: Session, task: Task, arithmetic: Arithmetic, thetas: readonly string[] = []): void {
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
  if (arithmetic.kind === 'quantized') {
    for (const layer of arithmetic.following ?? []) {
      const outputs = parameters.find(({ name }) => name === `${layer}.bias`)!.value.shape[0]!;
      const means = Float32Array.from({ length: outputs * 16 }, (_, at) => ((at * 7) % 11) / 20);
      session.write(constantsName(layer), f32([outputs, 16], means));
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

export interface Way {
  readonly task?: Task<'accuracy'>;
  readonly augment?: AugmentOptions;
  readonly ownMemory?: boolean;
  readonly precision?: 'single' | 'double';
  readonly batch?: number;
}

/** Some steps on so many devices: what each step told, and what every device holds behind them. */
export async function stepped(replicas: number, options: Options, way: Way = {}) {
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
export function difference(found: Outcome['variables'][number], wanted: Outcome['variables'][number]): number {
  expect(Object.keys(found).sort()).toEqual(Object.keys(wanted).sort());
  return Math.max(
    ...Object.entries(wanted).map(([name, values]) => {
      const most = Math.max(...Array.from(values, Math.abs), 1e-6);
      return Math.max(...Array.from(values, (value, at) => Math.abs(value - found[name]![at]!))) / most;
    }),
  );
}

export function expectSame(found: Outcome, wanted: Outcome, bound: number): void {
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

/** Batches of the training images as they are. */
export const feedOfTrain = () => ({ ...plain, read: dataset.train.read.bind(dataset.train) });
