import { describe, expect, test } from 'vitest';
import { noAugmentation } from '../../data/augment.ts';
import { openDataset } from '../../data/registry.ts';
import type { Backend, Session } from '../../engine/backend.ts';
import type { Graph, Value } from '../../engine/graph/graph.ts';
import { referenceBackend } from '../../engine/reference/backend.ts';
import { wasmBackend } from '../../engine/wasm/runtime/backend.ts';
import { type Multiplier, multiplierError } from '../../multiplier/multiplier.ts';
import { rowSlopesOf, slopesOf } from '../../multiplier/slopes.ts';
import { columnStructure, expandTheta, productStructure } from '../../multiplier/structure.ts';
import { findModel } from '../../nn/models/registry.ts';
import { initialTensor } from '../../nn/parameters.ts';
import { constantsName } from '../../quant/following-biases.ts';
import { stateName } from '../../quant/quantized.ts';
import { UserError } from '../../tensor/errors.ts';
import { f32, sizeOf, type TensorData } from '../../tensor/tensor.ts';
import { type Teacher, writeTeacher } from '../../train/distillation.ts';
import { imageTask } from '../../train/images.ts';
import { buildNetwork, type QuantizedArithmetic } from '../../train/task.ts';
import { proveActive } from './proof.ts';
import { describeTraining, proveTraining } from './training-proof.ts';

const digits = await openDataset('digits');
const task = imageTask(findModel('resnet8'), digits);
const bits = { weightBits: 8, activationBits: 6 };
const structure: Multiplier = { kind: 'structure', theta: 'theta', structure: columnStructure(bits, 6) };
const single: Multiplier = { kind: 'structure', theta: 'theta', structure: productStructure(bits, 13) };
const removed = Float32Array.from(expandTheta([1, 1, 1, 1], 8, 6).removed);

const arithmeticOf = (multiplier: Multiplier): QuantizedArithmetic => ({
  kind: 'quantized',
  weightBits: 8,
  activationBits: 6,
  channelwise: true,
  multiplierOf: (layer) => (layer === 'conv1' ? { kind: 'exact' } : multiplier),
});

async function sessionOn(backend: Backend, arithmetic: QuantizedArithmetic): Promise<Session> {
  const session = await backend.openSession();
  const { parameters, multiplying } = buildNetwork(task, arithmetic, 'train', 1).layers;
  parameters.forEach((parameter, at) => {
    session.write(parameter.name, initialTensor(parameter, 1, at));
  });
  const { count } = structureIn(arithmetic);
  const values = [1, 0.9, 0.7, 0.4, 1.2, -0.3];
  session.write(
    'theta',
    f32(
      [count],
      Float32Array.from({ length: count }, (_, at) => values[at % 6]!),
    ),
  );
  const fill = (shape: readonly number[], value: number) => f32(shape, new Float32Array(sizeOf(shape)).fill(value));
  for (const { name, weightShape } of multiplying) {
    for (const [operand, shape] of [
      ['weight', [weightShape[3]]],
      ['input', []],
    ] as const) {
      const states = { scale: 0.01, zero_point: 0, min: -1, max: 2, clip_upper: 4, clip_lower: 4 };
      for (const [state, value] of Object.entries(states)) {
        session.write(stateName(name, operand, state as 'scale'), fill(shape, value));
      }
    }
  }
  return session;
}

const structureIn = (arithmetic: QuantizedArithmetic) => {
  const multiplier = arithmetic.multiplierOf('fc');
  return multiplier.kind === 'structure' ? multiplier.structure : columnStructure(bits, 6);
};

const fitOf = (arithmetic: QuantizedArithmetic, batchSize: number) => ({
  ...{ task, dataset: digits, arithmetic, batchSize, seed: 1, firstEpoch: 0 },
  ...{ momentum: 0.9, weightDecay: 1e-4 },
  ...(arithmetic.multiplierOf('fc').kind === 'structure' ? { structure: learning(arithmetic) } : {}),
});
const learning = (arithmetic: QuantizedArithmetic) => ({
  power: { lambda: 0.1, structures: [{ theta: 'theta', structure: structureIn(arithmetic), share: 1 }] },
  ...{ learningRate: 0.1, weightDecay: 1e-4 },
});
const train = digits.train.count;

/** A backend whose programs give other results than they compute. */
function wrong(backend: Backend, corrupt: (value: Value, data: TensorData) => TensorData): Backend {
  return {
    ...backend,
    openSession: async () => {
      const session = await backend.openSession();
      return Object.assign(Object.create(session), {
        backend: wrong(backend, corrupt),
        ...bound(session),
        compile: async (graph: Graph) => {
          const program = await session.compile(graph);
          return {
            arenaBytes: program.arenaBytes,
            dispose: program.dispose.bind(program),
            write: program.write.bind(program),
            run: program.run.bind(program),
            read: async (name: string) => corrupt(graph.outputs.get(name)!, await program.read(name)),
          };
        },
      });
    },
  };
}

function bound(session: Session) {
  return {
    variableNames: session.variableNames.bind(session),
    write: session.write.bind(session),
    read: session.read.bind(session),
    dispose: session.dispose.bind(session),
  };
}

const operationOf = (value: Value) => (value.source.kind === 'node' ? value.source.node.op : undefined);

test.each([
  ['structure', structure],
  ['structure of single products', single],
  ['truncation', { kind: 'removal', removed }],
  [
    'truncation with slopes',
    {
      ...{ kind: 'removal', removed },
      slopes: slopesOf(multiplierError({ kind: 'removal', removed }, bits), 8, 6, { weights: 4, activations: 4 }),
    },
  ],
  [
    'truncation with slopes of rows',
    {
      ...{ kind: 'removal', removed },
      slopes: rowSlopesOf(multiplierError({ kind: 'removal', removed }, bits), 8, 6),
    },
  ],
  ['exact', { kind: 'exact' }],
] as [string, Multiplier][])('the step of a %s passes at the sizes of its batches', async (_, multiplier) => {
  const arithmetic = arithmeticOf(multiplier);
  for (const [backend, batch] of [
    [wasmBackend({ threads: 2 }), 64],
    // A divisor of the images: one size only.
    [referenceBackend(), 3],
  ] as const) {
    const session = await sessionOn(backend, arithmetic);
    const before = (await session.read('fc.weight')).data;
    const found = await proveTraining(session, fitOf(arithmetic, batch));
    const sizes = train % batch === 0 ? [batch] : [batch, train % batch];
    expect(found.batches).toEqual(sizes);
    expect(found.layers).toBeGreaterThan(8);
    expect(found.gradients).toBeGreaterThan(3);
    expect((await session.read('fc.weight')).data).toEqual(before);
    expect(describeTraining(found)).toBe(
      `training step of ${sizes.join(' and ')} images checked: loss, outputs of ${found.layers} layers, gradients of ${found.gradients}`,
    );
    await session.dispose();
  }
});

test('a kernel that is wrong only far into a large batch stops the run with the layer’s name', async () => {
  const arithmetic = arithmeticOf(structure);
  const backend = wrong(wasmBackend({ threads: 1 }), (value, data) =>
    operationOf(value) === 'axmConv2d' && value.shape[0]! >= 128 && value.shape[3] === 32
      ? data.map((y, at) => (at >= 0.9 * data.length ? y * 1.01 : y))
      : data,
  );
  const session = await sessionOn(backend, arithmetic);
  await expect(proveActive(session, task, arithmetic, digits.test)).resolves.toBeDefined();
  await expect(proveTraining(session, fitOf(arithmetic, 64))).resolves.toBeDefined();
  const proving = proveTraining(session, fitOf(arithmetic, 128));
  await expect(proving).rejects.toThrow(UserError);
  await expect(proving).rejects.toThrow(/^layer layer2\S+: output \d+ is .+, but its multiplier's table gives/);
});

test.each([
  ['axmConv2dGradients', structure, 0, /^layer \S+: weight gradient \d+ of the training step is/],
  ['axmConv2dGradients', structure, 1, /^layer \S+: the structure's gradient in the training step adds up to/],
  ['conv2dWeightGradient', { kind: 'removal', removed }, 0, /^layer \S+: weight gradient \d+ of the training step is/],
  [
    'conv2dWeightGradient',
    {
      ...{ kind: 'removal', removed },
      slopes: rowSlopesOf(multiplierError({ kind: 'removal', removed }, bits), 8, 6),
    },
    ...([0, /^layer \S+: weight gradient \d+ of the training step is/] as const),
  ],
] as const)('a wrong gradient stops it too: %s', async (op, multiplier, output, message) => {
  const arithmetic = arithmeticOf(multiplier as Multiplier);
  const backend = wrong(wasmBackend({ threads: 1 }), (value, data) => {
    const { source } = value;
    const meant = source.kind === 'node' && source.node.op === op && source.index === output;
    return meant && source.node.inputs[0]!.shape[0]! >= 128 ? data.map((g) => 3 * g + 1) : data;
  });
  const session = await sessionOn(backend, arithmetic);
  await expect(proveTraining(session, fitOf(arithmetic, 64))).resolves.toBeDefined();
  await expect(proveTraining(session, fitOf(arithmetic, 128))).rejects.toThrow(message);
});

test('a gradient that is wrong for one bit of the weights stops it where their sum would pass', async () => {
  const arithmetic = arithmeticOf(single);
  const { activationBits } = bits;
  const backend = wrong(wasmBackend({ threads: 1 }), ({ source }, data) => {
    if (source.kind !== 'node' || source.node.op !== 'axmConv2dGradients' || source.index !== 1) return data;
    // As where counts of one round were those of the round before: bit 3 has too much what bit 4 has too little.
    const ofBit = (data as Float32Array).subarray(4 * activationBits, 5 * activationBits);
    const moved = 0.2 * ofBit.reduce((sum, of) => sum + of, 0);
    return data.map((g, at) =>
      at === 3 * activationBits + 1 ? g + moved : at === 4 * activationBits + 1 ? g - moved : g,
    );
  });
  const session = await sessionOn(backend, arithmetic);
  await expect(proveTraining(session, fitOf(arithmetic, 64))).rejects.toThrow(
    /^layer \S+: the structure's gradient for bit 3 of weights adds up to .+, but weights and their gradients give/,
  );
});

test('where a bias follows θ the products are proved as ever, and a wrong gradient of θ stops the run', async () => {
  const arithmetic = { ...arithmeticOf(single), following: new Set(['fc']) };
  const open = async (backend: Backend) => {
    const session = await sessionOn(backend, arithmetic);
    const each = bits.weightBits * bits.activationBits;
    session.write(constantsName('fc'), f32([10, each], new Float32Array(10 * each).fill(0.3)));
    return session;
  };
  const right = await open(wasmBackend({ threads: 1 }));
  const found = await proveTraining(right, fitOf(arithmetic, 64));
  expect(found.layers).toBeGreaterThan(8);
  const backend = wrong(wasmBackend({ threads: 1 }), ({ source }, data) =>
    source.kind === 'node' &&
    source.node.op === 'axmConv2dGradients' &&
    source.node.label === 'fc' &&
    source.index === 1
      ? data.map((g) => 1.2 * g)
      : data,
  );
  await expect(proveTraining(await open(backend), fitOf(arithmetic, 64))).rejects.toThrow(
    /^layer fc: the structure's gradient /,
  );
});

test('a step that computes activations again is proved where it does', async () => {
  const arithmetic = arithmeticOf(structure);
  const session = await sessionOn(wasmBackend({ threads: 2 }), arithmetic);
  const fit = { ...fitOf(arithmetic, 256), recompute: true };
  const found = await proveTraining(session, fit);
  expect(found).toEqual(await proveTraining(session, fitOf(arithmetic, 256)));
  await session.dispose();
});

/** A backend that refuses programs with so many outputs: what is kept for a check is what memory is short of. */
function short(backend: Backend, most: number, compiled: number[]): Backend {
  return {
    ...backend,
    openSession: async () => {
      const session = await backend.openSession();
      return Object.assign(Object.create(session), {
        ...bound(session),
        backend: short(backend, most, compiled),
        compile: async (graph: Graph) => {
          compiled.push(graph.outputs.size);
          if (graph.outputs.size > most) throw new UserError('no memory');
          return session.compile(graph);
        },
      });
    },
  };
}

test('where memory is short the same is proved in several runs; where it is too short the reason is told', async () => {
  const arithmetic = arithmeticOf(structure);
  const expected = await proveTraining(await sessionOn(wasmBackend({ threads: 2 }), arithmetic), fitOf(arithmetic, 64));
  const compiled: number[] = [];
  const backend = short(wasmBackend({ threads: 2 }), 40, compiled);
  expect(await proveTraining(await sessionOn(backend, arithmetic), fitOf(arithmetic, 64))).toEqual(expected);
  expect(compiled.some((outputs) => outputs > 40)).toBe(true);
  const none = await sessionOn(short(wasmBackend({ threads: 2 }), 4, []), arithmetic);
  await expect(proveTraining(none, fitOf(arithmetic, 64))).rejects.toThrow(/^no memory$/);
});

describe('the loss', () => {
  const arithmetic = arithmeticOf({ kind: 'exact' });
  const by = (weight: number, temperature: number): Teacher => ({ arithmetic: { kind: 'float' }, weight, temperature });
  const mixed = { ...noAugmentation, mixup: 0.8, cutmix: 1 };
  const ways = {
    labels: {},
    'smoothed and mixed labels': { task: task.smoothed(0.1), dataset: { ...digits, augment: mixed } },
    'a teacher': { teacher: by(0.9, 4) },
    'a teacher alone': { teacher: by(1, 0.5) },
    'a teacher and mixed labels': { teacher: by(0.3, 20), dataset: { ...digits, augment: mixed } },
  };

  async function taughtSession(backend: Backend): Promise<Session> {
    const session = await sessionOn(backend, arithmetic);
    const { parameters } = buildNetwork(task, { kind: 'float' }, 'train', 1).layers;
    writeTeacher(
      session,
      new Map(parameters.map((parameter, at) => [parameter.name, initialTensor(parameter, 2, at)])),
    );
    return session;
  }

  test.each(Object.keys(ways))('of %s is what a step lowers, and reaches the logits', async (name) => {
    const fit = { ...fitOf(arithmetic, 64), ...ways[name as keyof typeof ways] };
    await proveTraining(await taughtSession(wasmBackend({ threads: 2 })), fit);
    const gradient = wrong(wasmBackend({ threads: 2 }), (value, data) =>
      ['softmaxCrossEntropyGradient', 'add'].includes(operationOf(value)!) && value.shape.join() === '64,10'
        ? data.map((g) => 1.001 * g + 1e-5)
        : data,
    );
    await expect(proveTraining(await taughtSession(gradient), fit)).rejects.toThrow(
      /^the gradient of the training step at logit 0 of image 0 is \S+, but (the labels|labels and teacher) give \S+; /,
    );
    const loss = wrong(wasmBackend({ threads: 2 }), (value, data) =>
      value.shape.length === 0 && value.source.kind === 'node' && value.source.node.label === 'loss'
        ? data.map((one) => 1.01 * one)
        : data,
    );
    await expect(proveTraining(await taughtSession(loss), fit)).rejects.toThrow(
      /^the loss of the training step is \S+, but (the labels|labels and teacher) give \S+; the loss is not/,
    );
  });
});
