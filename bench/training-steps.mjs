// Training steps of a network as the benches time them: float, phase 1 (trained structures of P columns, one for
// all layers or one per layer) and phase 3 (a truncation of half as many columns), on random images, from weights
// that depend on nothing but a seed. Every step proves itself before it is timed: three steps from the same start
// give the same finite losses twice. What is here is no command; networks.mjs, peers.mjs and growth.mjs are.

import { root } from './cuda-setup.mjs';

const { columnStructure } = await import(`${root}/multiplier/structure.js`);
const { initialTensor, toStored } = await import(`${root}/nn/parameters.js`);
const { clipLogit, stateName } = await import(`${root}/quant/quantized.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { f32, sizeOf } = await import(`${root}/tensor/tensor.js`);
const { imageTask } = await import(`${root}/train/images.js`);
const { trainingStep } = await import(`${root}/train/step.js`);
const { buildNetwork, multiplyingLayers } = await import(`${root}/train/task.js`);

/** Pixels are normalised as (x / 255 − MEAN) / DEVIATION. */
export const MEAN = 0.5;
export const DEVIATION = 0.25;
const three = (value) => [value, value, value];

/** A device by the benches' option: cuda, or wasm with so many threads (default: the backend's own). */
export async function openBackend(device, { precision = 'tf32', threads } = {}) {
  if (device === 'cuda') {
    const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
    return cudaBackend({ precision });
  }
  const { wasmBackend } = await import(`${root}/engine/wasm/runtime/backend.js`);
  return wasmBackend(threads === undefined ? {} : { threads });
}

/** The partial products w_i x_j below column `count`, i + j < count, removed: [weightBits, activationBits]. */
export const truncation = (weightBits, activationBits, count) =>
  Float32Array.from({ length: weightBits * activationBits }, (_, at) =>
    Math.floor(at / activationBits) + (at % activationBits) < count ? 1 : 0,
  );

const expression = (pattern) =>
  new RegExp(
    `^${pattern
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
  );

/**
 * A network on images of size×size×3 with its three stages, random images and labels. `exact`: patterns of layers that
 * stay exact (default: those of the model's card); `bits`: [weights, activations]; `columns`: P.
 */
export function problemOf({
  model,
  size = model.card?.imageSize ?? 32,
  classes = model.card?.classes ?? 10,
  batch,
  bits: [weightBits, activationBits] = [8, 8],
  columns = 8,
  perLayer = false,
  exact: patterns = model.card?.exact ?? [],
  removedColumns = Math.ceil(columns / 2),
}) {
  const format = { height: size, width: size, channels: 3, classes, scale: 255 };
  const task = imageTask(model, { ...format, mean: three(MEAN), deviation: three(DEVIATION) });
  const exact = (name) => patterns.some((pattern) => expression(pattern).test(name));
  const approximated = multiplyingLayers(task).filter(({ name }) => !exact(name));
  const total = approximated.reduce((sum, { macs }) => sum + macs, 0);
  const structure = columnStructure({ weightBits, activationBits }, columns);
  const thetaOf = (name) => (perLayer ? `theta.${name}` : 'theta');
  const learned = perLayer
    ? approximated.map(({ name, macs }) => ({ theta: thetaOf(name), structure, share: macs / total }))
    : [{ theta: 'theta', structure, share: 1 }];
  const removed = truncation(weightBits, activationBits, removedColumns);
  const arithmetic = (multiplier) => ({
    ...{ kind: 'quantized', weightBits, activationBits, channelwise: true },
    multiplierOf: (name) => (exact(name) ? { kind: 'exact' } : multiplier(name)),
  });
  const random = new Random(1);
  return {
    ...{ task, batch, size, classes, columns, weightBits, learned, approximated: approximated.length },
    starts: new Map(),
    /** Products w·x of an image's forward pass in approximate layers. */
    products: total,
    stages: {
      float: { arithmetic: { kind: 'float' } },
      1: {
        arithmetic: arithmetic((name) => ({ kind: 'structure', theta: thetaOf(name), structure })),
        structure: { power: { lambda: 0.3, structures: learned }, weightDecay: 5e-4 },
      },
      3: { arithmetic: arithmetic(() => ({ kind: 'removal', removed })) },
      quantized: { arithmetic: arithmetic(() => ({ kind: 'exact' })) },
    },
    images: Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(256)),
    labels: Int32Array.from({ length: batch }, () => random.integer(classes)),
  };
}

/** A parameter as it starts; drawn once for all steps of a problem, since a large network's take seconds. */
function startOf({ starts }, parameter, at) {
  const known = starts.get(at) ?? initialTensor(parameter, 1, at);
  starts.set(at, known);
  return known;
}

/** The network's parameters as they start, by PyTorch's names and in its layouts, batch norm's statistics included. */
export function initialParameters(problem) {
  const { layers } = buildNetwork(problem.task, { kind: 'float' }, 'train', 2);
  return new Map(
    layers.parameters.map((parameter, at) => {
      const { name } = parameter.value.source;
      return [name, toStored(name, startOf(problem, parameter, at), layers.multiplying)];
    }),
  );
}

/** Weights as they start, and quantiser state as calibration would leave it. */
function initialize(session, network, problem) {
  const { learned, weightBits, columns } = problem;
  const names = new Set(network.graph.variables.keys());
  const write = (name, shape, value) => {
    if (names.has(name)) session.write(name, f32(shape, new Float32Array(sizeOf(shape)).fill(value)));
  };
  network.layers.parameters.forEach((parameter, at) => {
    session.write(parameter.value.source.name, startOf(problem, parameter, at));
    const taught = `teacher#${parameter.name}`;
    if (names.has(taught)) session.write(taught, initialTensor(parameter, 2, at));
  });
  for (const { name, weightShape } of network.layers.multiplying) {
    for (const operand of ['weight', 'input']) {
      const shape = operand === 'weight' ? [weightShape[3]] : [];
      write(`teacher#${stateName(name, operand, 'scale')}`, shape, 0.02);
      write(`teacher#${stateName(name, operand, 'zero_point')}`, shape, 2 ** (weightBits - 1));
      for (const clip of ['clip_upper', 'clip_lower']) write(stateName(name, operand, clip), shape, clipLogit(0.98));
      write(stateName(name, 'input', 'max'), [], 2);
      write(stateName(name, 'input', 'min'), [], -1);
    }
  }
  for (const { theta } of learned) {
    if (!names.has(theta)) continue;
    const start = Float32Array.from({ length: columns }, (_, c) => (c < columns / 2 ? 1 : 0));
    session.write(theta, f32([columns], start));
  }
}

/**
 * A compiled step that has proved itself; `losses` are those of its first three steps. `teacher`: as `Teacher` of
 * src/train/distillation.ts; `recompute`: as `Recompute` of src/train/step.ts. Dispose of `session` at the end.
 */
export async function prepareStep(backend, problem, stage, { recompute = false, teacher, rate = 1e-3 } = {}) {
  const { task, batch, images, labels } = problem;
  const { arithmetic, structure } = problem.stages[stage];
  const options = { task, arithmetic, momentum: 0.9, weightDecay: 5e-4, recompute, teacher };
  const network = trainingStep({ ...options, ...(structure ? { structure } : {}) }, task, batch);
  const session = await backend.openSession();
  const started = performance.now();
  const step = await session.compile(network.graph);
  const compiled = (performance.now() - started) / 1000;
  step.write('images', images);
  step.write('labels', labels);
  step.write('learningRate', Float32Array.of(rate));
  if (network.graph.inputs.has('randomKey')) step.write('randomKey', Int32Array.of(1, 2));
  if (structure) step.write('thetaLearningRate', Float32Array.of(1e-3));
  const run = async () => {
    for (const name of session.variableNames()) {
      const { shape, data } = await session.read(name);
      session.write(name, f32(shape, new Float32Array(data.length)));
    }
    initialize(session, network, problem);
    const found = [];
    for (let n = 0; n < 3; n++) {
      await step.run();
      found.push((await step.read('loss'))[0]);
    }
    return found;
  };
  const [losses, again] = [await run(), await run()];
  if (!losses.every(Number.isFinite) || losses.some((loss, n) => loss !== again[n])) {
    throw new Error(`${stage}: losses ${losses} and ${again}: not finite, or not the same twice`);
  }
  return { session, step, compiled, losses, bytes: session.bytes };
}

/** The middle one of the values in order; of an even number the upper one of two. */
export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/**
 * Milliseconds of `repeats` runs: of a device that has a clock, of its own (means of three), else by the wall, with the
 * processor time of all threads beside it.
 */
export async function timeStep(step, repeats, read = 'loss') {
  const [times, work] = [[], []];
  for (let n = 0; n < repeats; n++) {
    if (step.timeRuns) {
      times.push(await step.timeRuns(3));
      continue;
    }
    const [begun, before] = [performance.now(), process.cpuUsage()];
    await step.run();
    await step.read(read);
    const { user, system } = process.cpuUsage(before);
    times.push(performance.now() - begun);
    work.push((user + system) / 1000);
  }
  return {
    median: median(times),
    best: Math.min(...times),
    ...(work.length ? { processor: median(work), leastProcessor: Math.min(...work) } : {}),
    times,
  };
}
