// Training with each optimiser, with averages, clipping, warm-up, smoothed labels, and boxes and mixtures of images:
// stopped in the middle of an epoch and gone on from what a resume point holds, it ends with the same bits; and a
// device that keeps the images trains to the same bits as one that is sent them.

import { describe, expect, test } from 'vitest';
import type { AugmentOptions } from '../data/augment.ts';
import { trainingBatches } from '../data/batches.ts';
import { memorySplit } from '../data/image-split.ts';
import { openDataset } from '../data/registry.ts';
import type { Session } from '../engine/backend.ts';
import { Graph, type Value } from '../engine/graph/graph.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { exactMultiplier } from '../multiplier/multiplier.ts';
import type { Layers } from '../nn/layers.ts';
import { findModel } from '../nn/models/registry.ts';
import { initialTensor } from '../nn/parameters.ts';
import { sha256 } from '../tensor/files.ts';
import { f32, type HostTensor, tensor } from '../tensor/tensor.ts';
import { feedOf, writeBatch } from './feed.ts';
import { imageTask } from './images.ts';
import { atStart, type EpochRecord, type LoopOptions, type Position, trainEpochs } from './loop.ts';
import { isTrainingState } from './optimizer.ts';
import { buildNetwork, type QuantizedArithmetic } from './task.ts';

const digits = await openDataset('digits');
const select = (split: typeof digits.train, count: number) =>
  memorySplit(
    { count, images: split.images!.subarray(0, 64 * count), labels: split.labels.subarray(0, count) },
    digits,
  );
const [train, held] = [select(digits.train, 80), select(digits.test, 40)];
const task = imageTask(findModel('resnet8'), digits).smoothed(0.1);
const arithmetic = { kind: 'float' } as const;
/** Operands of 3×4 bits whose steps learn. */
const steps: QuantizedArithmetic = {
  ...{ kind: 'quantized', weightBits: 3, activationBits: 4, channelwise: true, quantizer: 'steps' },
  multiplierOf: exactMultiplier,
};

interface Saved {
  readonly position: Position<'accuracy'>;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

interface Way {
  readonly ownMemory?: boolean;
  readonly stopAt?: number;
  readonly from?: Saved;
}

type Settings = Partial<LoopOptions<'accuracy'>> & { readonly augment: AugmentOptions };

async function trained({ augment, ...settings }: Settings, { ownMemory = false, stopAt, from }: Way = {}) {
  const backend = wasmBackend({ threads: 1 });
  Object.assign(backend, { device: { ...backend.device, ownMemory } });
  const session = await backend.openSession();
  if (from) for (const [name, value] of from.tensors) session.write(name, value);
  else {
    buildNetwork(task, arithmetic, 'evaluate', 1).layers.parameters.forEach((parameter, position) => {
      session.write(parameter.name, initialTensor(parameter, 1, position));
    });
    if (settings.arithmetic === steps) writeSteps(session);
  }
  const tensorsNow = async () => {
    const tensors = new Map<string, HostTensor>();
    for (const name of session.variableNames()) tensors.set(name, await session.read(name));
    return tensors;
  };
  let saved: Saved | undefined;
  const records: EpochRecord[] = [];
  const stop = new AbortController();
  let asked = 0;
  const dataset = { name: 'digits', train, test: held, augment };
  const running = trainEpochs({
    ...{ session, task, dataset, arithmetic, epochs: 2, batchSize: 32, seed: 3, firstEpoch: 0 },
    ...{
      learningRate: 0.01,
      weightDecay: 1e-3,
      momentum: 0.9,
      schedule: 'cosine-steps',
      start: from?.position ?? atStart,
    },
    ...settings,
    onEpoch: async (record) => void records.push(record),
    signal: stop.signal,
    save: {
      due: () => {
        if (++asked === stopAt) stop.abort();
        return asked === stopAt;
      },
      at: async (position) => {
        saved = { position, tensors: await tensorsNow() };
      },
    },
  });
  if (stopAt !== undefined) await expect(running).rejects.toThrow();
  else await running;
  const tensors = await tensorsNow();
  await session.dispose();
  return { saved, records, tensors };
}

/** Coarse steps to begin with; the image's zero point is inside its codes. */
function writeSteps(session: Session): void {
  for (const { name, weightShape } of buildNetwork(task, steps, 'evaluate', 1).layers.multiplying) {
    const write = (state: string, shape: readonly number[], value: number) =>
      session.write(`${name}.${state}`, f32(shape, new Float32Array(shape[0] ?? 1).fill(value)));
    write('weight_scale', [weightShape[3]], 0.1);
    write('weight_zero_point', [weightShape[3]], 4);
    write('input_scale', [], 0.2);
    write('input_zero_point', [], name === 'conv1' ? 5 : 0);
  }
}

type Tensors = ReadonlyMap<string, HostTensor>;
const bitsOf = (tensors: Tensors) =>
  Object.fromEntries(
    [...tensors].map(([name, { data }]) => [
      name,
      sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ]),
  );
const modelOf = (tensors: Tensors) => bitsOf(new Map([...tensors].filter(([name]) => !isTrainingState(name))));

const plain = { pad: 1, flip: false };
const ways: [string, Settings][] = [
  ['SGD with an average', { average: 0.9, warmupSteps: 3, augment: plain }],
  [
    'Nesterov, erased and cut',
    { optimizer: 'nesterov', clipGradient: 0.5, augment: { ...plain, erase: 0.5, cutmix: 1 } },
  ],
  ['Adam, mixed', { optimizer: 'adam', learningRate: 1e-3, augment: { ...plain, mixup: 0.4, repeat: 2 } }],
  [
    'AdamW with all of it',
    {
      ...{ optimizer: 'adamw', learningRate: 1e-3, decayOf: 'weights', rates: ['fc.*=2'], average: 0.95, warmup: 0.5 },
      augment: { ...plain, cutout: 3, mixup: 1, cutmix: 1 },
    },
  ],
];

const learned: Settings = { arithmetic: steps, stepRate: 0.5, rates: ['fc.*_scale=2'], augment: plain };
ways.push(
  ['steps by SGD, with an average', { ...learned, average: 0.9 }],
  ['steps by AdamW', { ...learned, optimizer: 'adamw', learningRate: 1e-3, clipGradient: 1 }],
);

describe.each(ways)('%s', (_, settings) => {
  test('ends with the same bits when it was stopped in an epoch, and wherever the images are', async () => {
    const whole = await trained(settings);
    const { saved } = await trained(settings, { stopAt: 4 });
    expect(saved!.position).toMatchObject({ epoch: 1, step: 2 });
    const resumed = await trained(settings, { from: saved! });
    expect(bitsOf(resumed.tensors)).toEqual(bitsOf(whole.tensors));
    expect(resumed.records).toEqual(whole.records.slice(1));
    const resident = await trained(settings, { ownMemory: true });
    expect(modelOf(resident.tensors)).toEqual(modelOf(whole.tensors));
  });
});

test('what is evaluated and kept is the average of weights and statistics', async () => {
  const settings: Settings = { average: 0.5, epochs: 1, augment: plain };
  const { tensors, records } = await trained(settings);
  const name = 'fc.weight';
  expect(tensors.get(name)).toEqual(tensors.get(`${name}#average`));
  const without = await trained({ ...settings, average: 0 });
  expect(without.tensors.get(name)).not.toEqual(tensors.get(name));
  expect(without.records[0]!.training).toEqual(records[0]!.training);
  expect(without.records[0]!.test).not.toEqual(records[0]!.test);
  // Running statistics are averaged too, and counters of an optimiser are not.
  expect([...tensors.keys()]).toContain('bn1.running_var#average');
  expect([...tensors.keys()].filter((key) => key.includes('#velocity#'))).toEqual([]);
});

test('the smoothed cross-entropy against two labels, and its gradient, by the formula', async () => {
  const logits = [0.5, -1, 2, 0.25, 1.5, -0.75];
  const [smoothing, own] = [0.2, 0.7];
  const [labels, others] = [
    [2, 0],
    [1, 0],
  ];
  let loss = 0;
  const gradient: number[] = [];
  for (const row of [0, 1]) {
    const z = logits.slice(3 * row, 3 * row + 3);
    const sum = z.reduce((total, value) => total + Math.exp(value), 0);
    z.forEach((value, c) => {
      const of = (label: number) => (label === c ? 1 - smoothing : 0) + smoothing / 3;
      const target = own * of(labels![row]!) + (1 - own) * of(others![row]!);
      loss -= (target * (value - Math.log(sum))) / 2;
      gradient.push((Math.exp(value) / sum - target) / 2);
    });
  }
  const graph = new Graph();
  const z = graph.variable('z', [2, 3]);
  const labelled = (values: readonly number[]) => graph.constant(tensor('i32', [2], Int32Array.from(values)));
  const [one, oneProbabilities] = graph.apply('softmaxCrossEntropy', [z, labelled(labels!)], { smoothing });
  const [two] = graph.apply('softmaxCrossEntropy', [z, labelled(others!)], { smoothing });
  graph.output('loss', graph.apply1('add', [one!, two!], { alpha: own, beta: 1 - own }));
  const parts = [labels!, others!].map((of) =>
    graph.apply1('softmaxCrossEntropyGradient', [graph.scalar(1), oneProbabilities!, labelled(of)], { smoothing }),
  );
  graph.output('gradient', graph.apply1('add', parts, { alpha: own, beta: 1 - own }));
  for (const backend of [referenceBackend(), wasmBackend({ threads: 1 })]) {
    const session = await backend.openSession();
    session.write('z', f32([2, 3], logits));
    const program = await session.compile(graph);
    await program.run();
    expect((await program.read('loss'))[0]).toBeCloseTo(loss, 6);
    (await program.read('gradient')).forEach((value, k) => {
      expect(value).toBeCloseTo(gradient[k]!, 6);
    });
    await session.dispose();
  }
});

test.each(['mixup', 'cutmix'] as const)(
  'a batch with boxes erased and %s is what its numbers say, and so is its loss',
  async (kind) => {
    const model = {
      ...findModel('resnet8'),
      build: (layers: Layers, x: Value, classes: number) =>
        layers.linear('fc', layers.graph.apply1('reshape', [x], { shape: [x.shape[0]!, 64] }), classes),
    };
    const smoothing = 0.1;
    const flat = imageTask(model, digits).smoothed(smoothing);
    const augment: AugmentOptions = { pad: 1, flip: true, erase: 0.5, [kind]: 1 };
    const backend = wasmBackend({ threads: 1 });
    const session = await backend.openSession();
    const feed = feedOf(session, flat, train, augment);
    const { graph, layers, loss } = buildNetwork(flat, arithmetic, 'train', 8, feed);
    layers.parameters.forEach((parameter, at) => void session.write(parameter.name, initialTensor(parameter, 1, at)));
    graph.output('loss', loss);
    const program = await session.compile(graph);
    const batch = await feed.read(
      trainingBatches({ name: 'digits', train }, { seed: 2, epoch: 0, batchSize: 8, augment }).next().value!,
      8,
    );
    writeBatch(program, batch);
    await program.run();

    const { images, labels, erased, mixed, share, otherLabels, ownLabel } = batch.inputs as Record<
      string,
      ArrayLike<number>
    >;
    const { scale, mean, deviation } = digits;
    const inside = (boxes: ArrayLike<number>, row: number, pixel: number) => {
      const [, top, left, height, width] = [0, 1, 2, 3, 4].map((k) => boxes[5 * row + k]!);
      const [y, x] = [Math.floor(pixel / 8), pixel % 8];
      return y >= top! && y < top! + height! && x >= left! && x < left! + width!;
    };
    const left = (row: number, pixel: number) =>
      inside(erased!, row, pixel) ? 0 : (images![64 * row + pixel]! / scale - mean[0]!) / deviation[0]!;
    const weight = (await session.read('fc.weight')).data;
    const bias = (await session.read('fc.bias')).data;
    let expected = 0;
    for (let row = 0; row < 8; row++) {
      const partner = mixed![5 * row]!;
      expect(otherLabels![row]).toBe(labels![partner]);
      const pixels = Array.from({ length: 64 }, (_, pixel) => {
        const [own, theirs] = [left(row, pixel), left(partner, pixel)];
        return inside(mixed!, row, pixel) ? theirs : share![0]! * own + (1 - share![0]!) * theirs;
      });
      const z = Array.from({ length: 10 }, (_, c) =>
        pixels.reduce((sum, value, k) => sum + value * weight[10 * k + c]!, bias[c]!),
      );
      const sum = z.reduce((total, value) => total + Math.exp(value), 0);
      z.forEach((value, c) => {
        const of = (label: number) => (label === c ? 1 - smoothing : 0) + smoothing / 10;
        const target = ownLabel![0]! * of(labels![row]!) + (1 - ownLabel![0]!) * of(otherLabels![row]!);
        expected -= (target * (value - Math.log(sum))) / 8;
      });
    }
    expect((await program.read('loss'))[0]).toBeCloseTo(expected, 4);
    await session.dispose();
  },
);

test('steps learn in their place: every scale moves and stays above 0, codes stay codes, weights decay and steps do not', async () => {
  const { tensors } = await trained({ ...learned, learningRate: 0.02, weightDecay: 0 });
  const decayed = await trained({ ...learned, learningRate: 1e-6, weightDecay: 1e4, epochs: 1 });
  for (const [name, { data }] of tensors) {
    if (name.endsWith('_scale')) {
      const start = Math.fround(name.endsWith('weight_scale') ? 0.1 : 0.2);
      const values = Array.from(data);
      expect(
        values.every((value) => value > 0 && value < 1 && value !== start),
        name,
      ).toBe(true);
      const still = Array.from(decayed.tensors.get(name)!.data);
      expect(
        still.every((value) => Math.abs(value / start - 1) < 1e-3),
        name,
      ).toBe(true);
    }
    if (name.endsWith('_zero_point')) expect(Array.from(data).every(Number.isInteger), name).toBe(true);
  }
  // 80 images in batches of 32 are three steps of a decay of 1 % each, and more by the momentum.
  const [before, after] = [initialWeights('conv1.weight'), decayed.tensors.get('conv1.weight')!.data];
  expect(Math.abs(after[0]! / before[0]!)).toBeLessThan(0.98);
  // What is not known to be at least 0 has a zero point that learns, and nothing else.
  const learning = [...tensors.keys()].filter((name) => name.endsWith('zero_point#velocity'));
  expect(learning).toEqual(['conv1.input_zero_point#velocity']);
});

function initialWeights(name: string): ArrayLike<number> {
  const { parameters } = buildNetwork(task, arithmetic, 'evaluate', 1).layers;
  const position = parameters.findIndex((parameter) => parameter.name === name);
  return initialTensor(parameters[position]!, 1, position).data;
}
