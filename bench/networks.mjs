// Training steps of whole networks: images per second and memory, for float training, phase 1 (trained structures of P
// columns, one per layer or one for all) and phase 3 (a truncation of as many columns), on random images. Validates
// first: three steps from the same start give the same finite losses twice.
//   npm run build && node bench/networks.mjs --model resnet50 [--size 32] [--classes 10] [--batch 256] [--bits 8x8]
//     [--columns 8] [--per-layer] [--stages float,1,3] [--device cuda] [--precision tf32] [--recompute all|light]
//     [--teacher float|quantized] [--profile]
// `--exact PATTERN` (repeatable, default: the model's card) keeps layers exact.

import { parseArgs } from 'node:util';
import { root } from './cuda-setup.mjs';

const { columnStructure } = await import(`${root}/multiplier/structure.js`);
const { initialTensor } = await import(`${root}/nn/parameters.js`);
const { findModel } = await import(`${root}/nn/models/registry.js`);
const { clipLogit, stateName } = await import(`${root}/quant/quantized.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { f32, sizeOf } = await import(`${root}/tensor/tensor.js`);
const { imageTask } = await import(`${root}/train/images.js`);
const { trainingStep } = await import(`${root}/train/step.js`);
const { multiplyingLayers } = await import(`${root}/train/task.js`);

const { values: given } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet18' },
    size: { type: 'string' },
    classes: { type: 'string' },
    batch: { type: 'string', default: '256' },
    bits: { type: 'string', default: '8x8' },
    columns: { type: 'string', default: '8' },
    stages: { type: 'string', default: 'float,1,3' },
    exact: { type: 'string', multiple: true },
    'per-layer': { type: 'boolean', default: false },
    device: { type: 'string', default: 'wasm' },
    precision: { type: 'string', default: 'tf32' },
    recompute: { type: 'string' },
    teacher: { type: 'string' },
    profile: { type: 'boolean', default: false },
    repeats: { type: 'string', default: '10' },
  },
});
const model = findModel(given.model);
const size = Number(given.size ?? model.card?.imageSize ?? 32);
const classes = Number(given.classes ?? model.card?.classes ?? 10);
const [batch, columns, repeats] = [given.batch, given.columns, given.repeats].map(Number);
const [weightBits, activationBits] = given.bits.split('x').map(Number);

/** As `Recompute` of src/train/step.ts. */
const recompute = given.recompute === undefined ? false : given.recompute === 'light' ? 'light' : true;

const format = { height: size, width: size, channels: 3, classes, scale: 255 };
const task = imageTask(model, { ...format, mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25] });
const layers = multiplyingLayers(task);
const patterns = given.exact ?? model.card?.exact ?? [];
const expression = (pattern) =>
  new RegExp(
    `^${pattern
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
  );
const exact = (name) => patterns.some((pattern) => expression(pattern).test(name));
const approximated = layers.filter(({ name }) => !exact(name));
const total = approximated.reduce((sum, { macs }) => sum + macs, 0);

const structure = columnStructure({ weightBits, activationBits }, columns);
const perLayer = given['per-layer'];
const thetaOf = (name) => (perLayer ? `theta.${name}` : 'theta');
const learned = perLayer
  ? approximated.map(({ name, macs }) => ({ theta: thetaOf(name), structure, share: macs / total }))
  : [{ theta: 'theta', structure, share: 1 }];
const pairs = weightBits * activationBits;
const removed = Float32Array.from({ length: pairs }, (_, at) =>
  Math.floor(at / activationBits) + (at % activationBits) < Math.ceil(columns / 2) ? 1 : 0,
);
const arithmetic = (multiplier) => ({
  ...{ kind: 'quantized', weightBits, activationBits, channelwise: true },
  multiplierOf: (name) => (exact(name) ? { kind: 'exact' } : multiplier(name)),
});
const stages = {
  float: { arithmetic: { kind: 'float' } },
  1: {
    arithmetic: arithmetic((name) => ({ kind: 'structure', theta: thetaOf(name), structure })),
    structure: { power: { lambda: 0.3, structures: learned }, weightDecay: 5e-4 },
  },
  3: { arithmetic: arithmetic(() => ({ kind: 'removal', removed })) },
};

const teachers = { float: stages.float, quantized: { arithmetic: arithmetic(() => ({ kind: 'exact' })) } };
/** As `Teacher` of src/train/distillation.ts; all stages learn from it. */
const teacher = given.teacher && { ...teachers[given.teacher], weight: 0.9, temperature: 4 };

async function openBackend() {
  if (given.device === 'cuda') {
    const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
    return cudaBackend({ precision: given.precision });
  }
  const { wasmBackend } = await import(`${root}/engine/wasm/runtime/backend.js`);
  return wasmBackend({});
}

/** Weights as they start, and quantiser state as calibration would leave it. */
function initialize(session, network) {
  const names = new Set(network.graph.variables.keys());
  const write = (name, shape, value) => {
    if (names.has(name)) session.write(name, f32(shape, new Float32Array(sizeOf(shape)).fill(value)));
  };
  network.layers.parameters.forEach((parameter, at) => {
    session.write(parameter.value.source.name, initialTensor(parameter, 1, at));
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
    if (names.has(theta)) {
      session.write(
        theta,
        f32(
          [columns],
          Float32Array.from({ length: columns }, (_, c) => (c < columns / 2 ? 1 : 0)),
        ),
      );
    }
  }
}

const random = new Random(1);
const images = Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(256));
const labels = Int32Array.from({ length: batch }, () => random.integer(classes));

const backend = await openBackend();
console.log(`${backend.device.description}; ${given.model}, ${size}×${size}, ${classes} classes, batch ${batch}`);
const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);
for (const stage of given.stages.split(',')) {
  const { arithmetic: own, structure: learning } = stages[stage];
  const options = { task, arithmetic: own, momentum: 0.9, weightDecay: 5e-4, recompute, teacher };
  const network = trainingStep({ ...options, ...(learning ? { structure: learning } : {}) }, task, batch);
  const session = await backend.openSession();
  const started = performance.now();
  const step = await session.compile(network.graph);
  const compiled = (performance.now() - started) / 1000;
  step.write('images', images);
  step.write('labels', labels);
  step.write('learningRate', Float32Array.of(1e-3));
  if (network.graph.inputs.has('randomKey')) step.write('randomKey', Int32Array.of(1, 2));
  if (learning) step.write('thetaLearningRate', Float32Array.of(1e-3));
  const losses = async () => {
    for (const name of session.variableNames()) {
      const { shape, data } = await session.read(name);
      session.write(name, f32(shape, new Float32Array(data.length)));
    }
    initialize(session, network);
    const found = [];
    for (let n = 0; n < 3; n++) {
      await step.run();
      found.push((await step.read('loss'))[0]);
    }
    return found;
  };
  const [first, second] = [await losses(), await losses()];
  if (!first.every(Number.isFinite) || first.some((loss, n) => loss !== second[n])) {
    throw new Error(`${stage}: losses ${first} and ${second}: not finite, or not the same twice`);
  }
  const times = [];
  const before = process.cpuUsage();
  for (let n = 0; n < repeats; n++) {
    if (step.timeRuns) times.push(await step.timeRuns(3));
    else {
      const begun = performance.now();
      await step.run();
      await step.read('loss');
      times.push(performance.now() - begun);
    }
  }
  const { user, system } = process.cpuUsage(before);
  const processor = step.timeRuns ? '' : `, ${((user + system) / 1000 / repeats).toFixed(0)} ms of processor time`;
  const median = times.sort((a, b) => a - b)[times.length >> 1];
  const name = stage === 'float' ? 'float  ' : `phase ${stage}`;
  console.log(
    `${name} ${median.toFixed(2)} ms a step, ${((1000 * batch) / median).toFixed(0)} images/s${processor}; ` +
      `${gib(step.arenaBytes)} GiB of intermediate values, ${gib(session.bytes)} in all; compiled in ${compiled.toFixed(1)} s; loss ${first.map((loss) => loss.toFixed(4)).join(' ')}`,
  );
  if (given.profile && step.timeKernels) await printProfile(step);
  await session.dispose();
}

async function printProfile(step) {
  const kernels = await step.timeKernels(3);
  const sums = new Map();
  for (const { name, milliseconds } of kernels) {
    const [count, sum] = sums.get(name) ?? [0, 0];
    sums.set(name, [count + 1, sum + milliseconds]);
  }
  const all = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  console.log(`  ${kernels.length} kernels, ${all.toFixed(2)} ms one by one`);
  for (const [name, [count, ms]] of [...sums].sort(([, [, a]], [, [, b]]) => b - a).slice(0, 30)) {
    console.log(`  ${name.padEnd(34)} ${String(count).padStart(5)} × ${ms.toFixed(3).padStart(9)} ms`);
  }
  console.log('  slowest:');
  for (const { name, label, grid, milliseconds } of kernels
    .sort((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, 24)) {
    console.log(
      `  ${name.padEnd(30)} ${grid.join('×').padEnd(14)} ${(milliseconds * 1e3).toFixed(0).padStart(6)} µs  ${label}`,
    );
  }
}
