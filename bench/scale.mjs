// What more devices of one host gain: steps of phase 1 (a θ for each partial product) and phase 3 (a removal, gradients
// by rows) on random images, on one device and on several in the same call, as training does them (batches are chosen,
// written and read back while the device computes). Images per second, the ratio to one device, memory of a device.
// Validates first: with batch norm over the whole batch three small steps from the same start give the same losses on
// one and on several devices within 1 %, the first moves the weights the same way (‖Δ − Δ₁‖/‖Δ₁‖ ≤ 0.1, or three times
// what one rounding of each weight does on one device, up to 0.3), and all variables have the same bits on all devices.
// A gradient that is not added up, or not scaled, is off by half and more. A deep network of random weights whose
// activations are codes is chaotic: a last bit is some codes a few layers on, and a fifth of the gradient at its end
// (ResNet18, one H100). So it is validated with residual branches that add little, and three products removed.
//   npm run build && node bench/scale.mjs [--devices 1,2] [--only resnet18,resnet50,deit] [--phase 1] [--batch 128,256]
//     [--seconds 2] [--limit 240] [--quantizer clips|steps] [--precision tf32|bf16] [--sync-batch-norm]
//     [--no-validation] [--epochs] [--device cuda|reference]
//   node bench/scale.mjs --list        the reductions of a step, without a device
//   node bench/scale.mjs --broken …    a mean in place of each sum over devices: all must be refused (exit code 0)
// --epochs: also whole epochs of the training loop, and what they take beside their steps. ResNet18 is that of CIFAR,
// at the same global batch on any number of devices; ResNet50 (a structure for each layer) and DeiT-S have 224×224
// images and 64 of them on each device. `--device reference` tries the script itself without a GPU. Every device is a
// process; this one leads, and has device 0.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { root } from './cuda-setup.mjs';
import { optionsOf } from './options.mjs';

const { memorySplit } = await import(`${root}/data/image-split.js`);
const { trainingBatches } = await import(`${root}/data/batches.js`);
const { serveReplica } = await import(`${root}/engine/replicas/serve.js`);
const { replicatedBackend } = await import(`${root}/engine/replicas/session.js`);
const { withSlopes } = await import(`${root}/multiplier/multiplier.js`);
const { productStructure } = await import(`${root}/multiplier/structure.js`);
const { initialTensor } = await import(`${root}/nn/parameters.js`);
const { findModel } = await import(`${root}/nn/models/registry.js`);
const { clipLogit, stateName } = await import(`${root}/quant/quantized.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { byteSize, f32, sizeOf } = await import(`${root}/tensor/tensor.js`);
const { Graph } = await import(`${root}/engine/graph/graph.js`);
const { plan } = await import(`${root}/engine/graph/plan.js`);
const { atStart, trainEpochs } = await import(`${root}/train/loop.js`);
const { feedOf } = await import(`${root}/train/feed.js`);
const { imageTask } = await import(`${root}/train/images.js`);
const { ResultsInFlight } = await import(`${root}/train/pipeline.js`);
const { StepPrograms, stepKey, trainingStep } = await import(`${root}/train/step.js`);
const { buildNetwork, multiplyingLayers } = await import(`${root}/train/task.js`);

const { values: given } = optionsOf(import.meta.url, {
  options: {
    devices: { type: 'string' },
    only: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    limit: { type: 'string', default: '240' },
    phase: { type: 'string' },
    batch: { type: 'string' },
    epochs: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    broken: { type: 'boolean', default: false },
    quantizer: { type: 'string', default: 'clips' },
    precision: { type: 'string', default: 'tf32' },
    'sync-batch-norm': { type: 'boolean', default: false },
    'no-validation': { type: 'boolean', default: false },
    device: { type: 'string', default: 'cuda' },
    // Of the processes that this one starts.
    serve: { type: 'string' },
  },
});
const isCuda = given.device === 'cuda';
const { precision, quantizer } = given;

/** The device of a rank; `meet`: a socket (of rank 0: all of them) over which the reference reduces. */
async function openDevice(rank, ranks, id, meet) {
  if (isCuda) {
    const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
    return cudaBackend({ device: rank, precision, ...(ranks > 1 ? { collective: { rank, ranks, id } } : {}) });
  }
  const { referenceBackend } = await import(`${root}/engine/reference/backend.js`);
  if (ranks === 1) return referenceBackend({});
  const { hubCollective, spokeCollective } = await import(`${root}/engine/replicas/socket-collective.js`);
  return referenceBackend({ collective: rank === 0 ? hubCollective(meet) : spokeCollective(meet, rank, ranks) });
}

if (given.serve !== undefined) {
  const [rank, ranks, port, meetPort, id] = given.serve.split(':');
  const open = async (at) => {
    const socket = connect(Number(at), '127.0.0.1');
    await once(socket, 'connect');
    return socket.setNoDelay(true);
  };
  const [socket, meet] = [await open(port), isCuda ? undefined : await open(meetPort)];
  const device = await openDevice(Number(rank), Number(ranks), Buffer.from(id, 'hex'), meet);
  await serveReplica(socket, device);
  process.exit(0);
}

const begun = performance.now();
const limit = Number(given.limit);
const children = [];
setTimeout(() => {
  console.log(`stopped after ${limit} s`);
  for (const child of children) child.kill('SIGKILL');
  process.exit(1);
}, 1000 * limit).unref();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

async function listen() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection').then(([socket]) => {
    server.close();
    return socket.setNoDelay(true);
  });
  return { port: server.address().port, accepted };
}

/** The devices 0 … count − 1 as one. */
async function openDevices(count) {
  if (count === 1) return openDevice(0, 1);
  const id = isCuda ? (await import(`${root}/engine/cuda/runtime/backend.js`)).collectiveId() : new Uint8Array(1);
  const peers = [];
  const meets = [];
  for (let rank = 1; rank < count; rank++) {
    const [order, meet] = [await listen(), await listen()];
    const who = [rank, count, order.port, meet.port, Buffer.from(id).toString('hex')].join(':');
    const more = ['--serve', who, '--device', given.device, '--precision', precision];
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...more], { stdio: 'inherit' });
    child.on('exit', (code) => {
      if (code) console.log(`the process of device ${rank} ended with ${code}`);
    });
    children.push(child);
    peers.push({ rank, host: 'this host', device: `${given.device}:${rank}`, socket: await order.accepted });
    if (!isCuda) meets.push(await meet.accepted);
  }
  return replicatedBackend(await openDevice(0, count, id, meets), peers);
}

async function deviceCount() {
  if (given.devices) return given.devices.split(',').map(Number);
  if (!isCuda) return [1, 2];
  const { openCuda } = await import(`${root}/engine/cuda/runtime/device.js`);
  const all = openCuda().devices?.length ?? 2;
  return [...new Set([1, 2, all].filter((count) => count <= all))];
}

const widths = { weightBits: 8, activationBits: 8 };
const structure = productStructure(widths);
/** The products below column `count` removed. */
function removalOf(count) {
  const removed = Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < count ? 1 : 0));
  return withSlopes({ kind: 'removal', removed }, widths, 'rows');
}
const [removal, mildRemoval] = [removalOf(5), removalOf(2)];

/** Random images with random labels, and a task on them. */
function problem({ model: name, size, classes, images }) {
  const random = new Random(1);
  const pixels = new Uint8Array(4 * Math.ceil((images * size * size * 3) / 4));
  const words = new Int32Array(pixels.buffer);
  // xorshift32: a data set of noise is some 10⁸ bytes.
  for (let at = 0, x = 1; at < words.length; at++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[at] = x;
  }
  const labels = Int32Array.from({ length: images }, () => random.integer(classes));
  const shape = { height: size, width: size, channels: 3 };
  const model = findModel(name);
  const norm = { mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25] };
  return {
    exact: model.card?.exact ?? [],
    train: memorySplit({ count: images, images: pixels.subarray(0, images * size * size * 3), labels }, shape),
    task: imageTask(model, { ...shape, classes, scale: 255, ...norm }),
  };
}

const isExact = (patterns, name) =>
  patterns.some((pattern) => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(name));

function trainingOptions({ phase, perLayer }, { task, exact }, fixed = removal) {
  const layers = multiplyingLayers(task).filter(({ name }) => !isExact(exact, name));
  const total = layers.reduce((sum, { macs }) => sum + macs, 0);
  const thetaOf = (name) => (perLayer ? `${name}.theta` : 'theta');
  const approximate = phase === 1 ? (name) => ({ kind: 'structure', theta: thetaOf(name), structure }) : () => fixed;
  const arithmetic = {
    ...{ kind: 'quantized', ...widths, channelwise: true, quantizer },
    multiplierOf: (name) => (isExact(exact, name) ? { kind: 'exact' } : approximate(name)),
  };
  const structures = perLayer
    ? layers.map(({ name, macs }) => ({ theta: thetaOf(name), structure, share: macs / total }))
    : [{ theta: 'theta', structure, share: 1 }];
  const learning = phase === 1 ? { structure: { power: { lambda: 0.3, structures }, weightDecay: 0 } } : {};
  return { task, arithmetic, momentum: 0.9, weightDecay: 5e-4, optimizer: 'nesterov', ...learning };
}

/** Weights as they start, and quantiser state much as calibration would leave it. */
function initialize(session, { task, arithmetic, structure: learning }) {
  const { parameters, multiplying } = buildNetwork(task, arithmetic, 'train', 1).layers;
  const weights = new Map();
  parameters.forEach((parameter, at) => {
    const tensor = initialTensor(parameter, 1, at);
    weights.set(parameter.name, tensor.data);
    session.write(parameter.name, tensor);
  });
  const fill = (name, shape, value) => session.write(name, f32(shape, new Float32Array(sizeOf(shape)).fill(value)));
  for (const { name, weightShape } of multiplying) {
    const most = weights.get(`${name}.weight`).reduce((high, value) => Math.max(high, Math.abs(value)), 1e-3);
    for (const operand of ['weight', 'input']) {
      const shape = operand === 'weight' ? [weightShape[3]] : [];
      fill(stateName(name, operand, 'scale'), shape, operand === 'weight' ? most / 127 : 0.03);
      fill(stateName(name, operand, 'zero_point'), shape, 128);
      for (const clip of ['clip_upper', 'clip_lower']) fill(stateName(name, operand, clip), shape, clipLogit(0.98));
    }
    fill(stateName(name, 'input', 'min'), [], -3);
    fill(stateName(name, 'input', 'max'), [], 3);
  }
  for (const { theta } of learning?.power.structures ?? []) {
    const values = Float32Array.from({ length: structure.count }, (_, at) => (at % 8) / 16);
    session.write(theta, f32([structure.count], values));
  }
}

/** Batches without end, as the steps of epochs give them. */
function* selections(train, batchSize) {
  for (let epoch = 0; ; epoch++) {
    for (const selection of trainingBatches({ name: 'random', train }, { seed: 1, epoch, batchSize })) yield selection;
  }
}

/** Steps of one kind, one after the other. */
class Steps {
  constructor(session, options, train, batch) {
    this.feed = feedOf(session, options.task, train);
    this.programs = new StepPrograms({ session, ...options }, this.feed);
    this.batches = selections(train, batch);
    this.options = options;
    this.batch = batch;
    this.number = 0;
  }

  async start(rate) {
    const selection = this.batches.next().value;
    const batch = await this.feed.read(selection, this.batch);
    const number = ++this.number;
    const thetaRate = this.options.structure && 0.02;
    return await this.programs.start(batch, this.batch, { rate, thetaRate, number, key: stepKey(1, 0, number) });
  }
}

const VALIDATION_RATE = 1e-3;
const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));

/** The gains at the end of residual branches, and what they are multiplied with. */
const BRANCH = /bn[23]\.weight$/;
const CALM = 0.1;
/** Of a float32 number near 1. */
const LAST_BIT = 2 ** -23;

/** Losses of three steps, and how the first moved the weights; `rounded`: of weights that are off by a last bit. */
async function firstSteps(session, options, train, batch, rounded) {
  initialize(session, options);
  const steps = new Steps(session, { ...options, batchNorm: 'batch' }, train, batch);
  const names = buildNetwork(options.task, options.arithmetic, 'train', 1)
    .layers.parameters.filter(({ trainable }) => trainable)
    .map(({ name }) => name);
  const weights = async () => {
    const all = [];
    for (const name of names) all.push(Float64Array.from((await session.read(name)).data));
    return all;
  };
  const random = new Random(2);
  for (const name of names) {
    const { shape, data } = await session.read(name);
    const gain = BRANCH.test(name) ? CALM : 1;
    const of = (value) => gain * value * (rounded && random.bits() & 1 ? 1 + LAST_BIT : 1);
    session.write(name, f32(shape, Float32Array.from(data, of)));
  }
  const before = await weights();
  const losses = [(await (await steps.start(VALIDATION_RATE)).result).objective];
  const moved = (await weights()).map((values, at) => values.map((value, k) => value - before[at][k]));
  for (let n = 0; n < 2; n++) losses.push((await (await steps.start(VALIDATION_RATE)).result).objective);
  await session.checkReplicas();
  await steps.programs.dispose();
  return { losses, moved };
}

/** How far a first step is from another, over how far that moves. */
function apart(one, other) {
  const differences = one.moved.map((values, at) => norm(values.map((value, k) => other.moved[at][k] - value)));
  return norm(differences) / norm(one.moved.map(norm));
}

function compare(one, rounded, some) {
  const losses = Math.max(...one.losses.map((loss, at) => Math.abs(some.losses[at] / loss - 1)));
  const [rounding, step] = [apart(one, rounded), apart(one, some)];
  const text = `losses ${losses.toExponential(1)} apart, first step ${step.toExponential(1)} (by a last bit of the weights alone ${rounding.toExponential(1)})`;
  const moves = norm(one.moved.map(norm));
  if (!(moves > 0 && losses < 0.01 && step < Math.max(0.1, Math.min(0.3, 3 * rounding)))) {
    throw new Error(`${text}: ${one.losses} on one device, ${some.losses} on several; not the same training`);
  }
  return text;
}

/** Seconds of a step as training goes on, the median over five parts of the time. */
async function timed(session, options, train, batch, seconds) {
  initialize(session, options);
  const steps = new Steps(session, options, train, batch);
  const losses = [];
  const inFlight = new ResultsInFlight(({ objective }) => void losses.push(objective));
  const run = async (count) => {
    for (let n = 0; n < count; n++) await inFlight.add((await steps.start(1e-3)).result);
    await inFlight.settle();
  };
  await run(3);
  let from = performance.now();
  await run(2);
  const count = Math.max(1, Math.round(((seconds / 5) * 2000) / (performance.now() - from)));
  const parts = [];
  for (let part = 0; part < 5; part++) {
    from = performance.now();
    await run(count);
    parts.push((performance.now() - from) / 1000 / count);
  }
  if (!losses.every(Number.isFinite)) throw new Error(`losses ${losses.filter((loss) => !Number.isFinite(loss))}`);
  await session.checkReplicas();
  const bytes = session.bytes;
  await steps.programs.dispose();
  const [least, , median, , most] = parts.sort((a, b) => a - b);
  return { median, spread: most / least, bytes };
}

/** What each device adds up is its mean: half the gradient on two. */
if (given.broken) {
  const { reduced } = Graph.prototype;
  Graph.prototype.reduced = function (kind, values) {
    return reduced.call(this, kind === 'sum' ? 'mean' : kind, values);
  };
}

/** The reductions over devices in a step, in their order: kind, tensors, bytes, and who waits for them. */
function listReductions({ task, ...options }, batch, devices) {
  const timing = { ...options, task, batchNorm: given['sync-batch-norm'] ? 'batch' : 'device' };
  const { graph } = trainingStep(timing, { inputs: task.inputs }, batch, devices);
  const steps = plan(graph, { join: true }).steps.map(({ node }) => node);
  const found = steps.filter(({ op }) => op === 'allReduce');
  const bytesOf = ({ inputs }) => inputs.reduce((sum, value) => sum + byteSize(value), 0);
  const small = found.filter((node) => node.attributes.kind !== 'sum' && bytesOf(node) < 2 ** 16);
  console.log(`  ${small.length} of ranges, which layers wait for`);
  for (const node of found.filter((one) => !small.includes(one))) {
    const place = ((100 * steps.indexOf(node)) / steps.length).toFixed(0);
    const mib = (bytesOf(node) / 2 ** 20).toFixed(2);
    console.log(
      `  ${node.attributes.kind} of ${node.inputs.length} tensors, ${mib} MiB, behind ${place} % of the step`,
    );
  }
}

/** Seconds of whole epochs of the training loop behind the first, and of their parts. */
async function epochs(session, { work, made, options, batch, test }) {
  initialize(session, options);
  const check = session.checkReplicas.bind(session);
  let checking = 0;
  let checked = 0;
  session.checkReplicas = async () => {
    const from = performance.now();
    await check();
    checked = performance.now();
    checking += checked - from;
  };
  const { structure: learning, task, arithmetic, ...rule } = options;
  const found = [];
  let from = performance.now();
  await trainEpochs({
    ...{ session, task, arithmetic, ...rule, batchSize: batch, epochs: 3, learningRate: 1e-3, schedule: 'constant' },
    ...{ dataset: { name: 'random', train: made.train, test }, seed: 1, firstEpoch: 0, start: atStart },
    ...(learning ? { structure: { ...learning, learningRate: 0.02 } } : {}),
    onEpoch: async () => {
      const now = performance.now();
      found.push({ whole: now - from, checking, evaluating: now - checked });
      [from, checking] = [now, 0];
    },
  });
  const { whole, checking: compared, evaluating } = found.at(-1);
  const steps = Math.ceil(work.images / batch);
  const each = (whole - compared - evaluating) / steps;
  return { seconds: whole / 1000, compared, evaluating, steps, each };
}

const tiny = { model: 'resnet8', size: 8, classes: 4, images: 24 };
const cifar = { model: 'resnet18', size: 32, classes: 10, images: 4096, epoch: 50_000 };
const resnet50 = { model: 'imagenet/resnet50', size: 224, classes: 1000, images: 640, perLayer: true };
const deit = { model: 'deit_small_patch16_224', size: 224, classes: 1000, images: 640 };
/** Batches of all devices together, of the networks that are small. */
const globals = given.batch?.split(',').map(Number) ?? [256, 512];
const works = isCuda
  ? [
      ...[1, 3].flatMap((phase) => globals.map((batch) => ({ only: 'resnet18', ...cifar, phase, batch }))),
      { only: 'deit', ...deit, phase: 1, each: 64 },
      { only: 'deit', ...deit, phase: 3, each: 64 },
      { only: 'resnet50', ...resnet50, phase: 1, each: 64 },
      { only: 'resnet50', ...resnet50, phase: 3, each: 64 },
    ]
  : [
      { only: 'tiny', ...tiny, phase: 1, batch: 8 },
      { only: 'tiny', ...tiny, phase: 3, each: 4, perLayer: true },
    ];
const isWanted = ({ only, phase, batch, each }) =>
  (given.only?.split(',').includes(only) ?? true) &&
  (given.phase?.split(',').includes(`${phase}`) ?? true) &&
  (given.batch?.split(',').includes(`${batch ?? each}`) ?? true);
const chosen = works.filter(isWanted);
const nameOf = ({ model, phase, perLayer }) => `${model} phase ${phase}${perLayer ? ' per layer' : ''}`;
if (given.list) {
  for (const work of chosen) {
    const made = problem({ ...work, images: 1 });
    for (const devices of given.devices?.split(',').map(Number) ?? [2]) {
      const batch = work.batch ?? work.each * devices;
      console.log(`${nameOf(work)}, batch ${batch} on ${devices} devices, ${quantizer}:`);
      listReductions(trainingOptions(work, made), batch, devices);
    }
  }
  process.exit(0);
}

const counts = await deviceCount();
const several = counts.filter((count) => count > 1);
const backends = new Map();
for (const count of counts) backends.set(count, await openDevices(count));
const at = () => `${((performance.now() - begun) / 1000).toFixed(0)} s`.padStart(6);
console.log(
  `${[...backends.values()].at(-1).device.description}; ${quantizer}, batch norm ${given['sync-batch-norm'] ? 'of all' : 'per device'}`,
);

const withSession = async (count, work) => {
  const session = await backends.get(count).openSession();
  try {
    return await work(session);
  } finally {
    await session.dispose();
  }
};
let failed = 0;
let refused = 0;
for (const work of chosen) {
  const made = problem(work);
  const options = trainingOptions(work, made);
  const name = nameOf(work);
  try {
    const batchOf = (count) => work.batch ?? work.each * count;
    if (!given['no-validation']) {
      for (const count of several) {
        // The same batch on both.
        const batch = batchOf(count);
        const mild = trainingOptions(work, made, mildRemoval);
        const first = (devices, rounded) =>
          withSession(devices, (session) => firstSteps(session, mild, made.train, batch, rounded));
        const [one, rounded, some] = [await first(1), await first(1, true), await first(count)];
        console.log(`${at()}  ${name}, batch ${batch}, ${count} devices: ${compare(one, rounded, some)}; equal on all`);
      }
    }
    if (given.broken) continue;
    const timing = { ...options, batchNorm: given['sync-batch-norm'] ? 'batch' : 'device' };
    let base;
    for (const count of counts) {
      const batch = batchOf(count);
      const { median, spread, bytes } = await withSession(count, (session) =>
        timed(session, timing, made.train, batch, Number(given.seconds)),
      );
      const rate = batch / median;
      base ??= rate;
      console.log(
        `${at()}  ${name}, batch ${batch}, ${count} device${count > 1 ? 's' : ''}: ${(1000 * median).toFixed(2)} ms a step (${spread.toFixed(2)}× between parts), ` +
          `${rate.toFixed(0)} images/s, ratio ${(rate / base).toFixed(2)}, ${(bytes / 2 ** 30).toFixed(2)} GiB of a device`,
      );
      if (!given.epochs) continue;
      const large = { ...work, images: work.epoch ?? work.images };
      const whole = problem(large);
      const test = problem({ ...work, images: Math.ceil(large.images / 5) }).train;
      const asked = { work: large, made: whole, options: { ...timing, task: whole.task }, batch, test };
      const { seconds, compared, evaluating, steps, each } = await withSession(count, (session) =>
        epochs(session, asked),
      );
      const beside = 1000 * seconds - steps * 1000 * median;
      console.log(
        `${at()}    an epoch ${seconds.toFixed(3)} s: ${steps} steps of ${each.toFixed(2)} ms, comparing ${compared.toFixed(1)} ms, ` +
          `evaluating ${evaluating.toFixed(1)} ms; beside the steps as timed above ${beside.toFixed(0)} ms`,
      );
    }
  } catch (error) {
    failed++;
    if (/not the same training|has other bits/.test(error.message)) refused++;
    console.log(`${at()}  ${name}: ${error.stack ?? error}`);
  }
}
if (given.broken) console.log(refused === chosen.length ? 'all refused, as they must be' : 'NOT REFUSED');
process.exit((given.broken ? refused === chosen.length : failed === 0) ? 0 : 1);
