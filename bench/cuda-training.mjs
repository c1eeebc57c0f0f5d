// Seconds per epoch of ResNet18 on images of CIFAR-10's size (random ones, batch 256) on a GPU, evaluation included:
// float training, phase 1 (trained structure, P = 8; a θ per product, the program's default), phase 3 (a truncation of
// five columns) and phase 3 with a multiplier that descent mapped, as planes of its factorisation and by look-ups:
// their losses must be the same. With `profile`, the time of each kind of kernel in one step; with `streamed`, images
// come from the host as those of a large data set do. STAGES, a pattern of their names, and IMAGES make it shorter.
//   npm run build && node bench/cuda-training.mjs [profile] [streamed] [tf32|bf16|fp32]
import { initialize, randomDataset, root, stages, taskOf } from './cuda-setup.mjs';
import { optionsOf } from './options.mjs';

const { positionals } = optionsOf(import.meta.url, { allowPositionals: true });
const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
const { trainingBatches } = await import(`${root}/data/batches.js`);
const { errorByCodes } = await import(`${root}/multiplier/error.js`);
const { mapStructure } = await import(`${root}/netlist/mapping/map.js`);
const { productStructure } = await import(`${root}/multiplier/structure.js`);
const { trainEpochs, atStart } = await import(`${root}/train/loop.js`);

const profile = positionals.includes('profile');
const precision = ['bf16', 'fp32'].find((name) => positionals.includes(name)) ?? 'tf32';
const streamed = positionals.includes('streamed');
const opened = cudaBackend({ precision });
const backend = Object.assign(opened, streamed ? { device: { ...opened.device, memoryBytes: 0 } } : {});
const images = Number(process.env.IMAGES ?? 50_000);
const dataset = randomDataset(images, Math.ceil(images / 5), 32);
const task = taskOf('resnet18', dataset);

const theta = new Array(8).fill(0.5);
const error = errorByCodes(mapStructure({ weightBits: 8, activationBits: 8, theta, search: 'descent' }).table);
const mapped = ['lowrank', 'table'].map((emulation) => ({
  name: `phase 3, ${emulation}`,
  arithmetic: { ...stages.at(-1).arithmetic, multiplierOf: () => ({ kind: 'table', error, emulation }) },
}));
const perProduct = productStructure({ weightBits: 8, activationBits: 8 });
const products = {
  ...stages.find(({ name }) => name === 'phase 1'),
  name: 'phase 1, products',
};
products.arithmetic = {
  ...products.arithmetic,
  multiplierOf: () => ({ kind: 'structure', theta: 'theta', structure: perProduct }),
};
products.structure = {
  ...products.structure,
  power: { lambda: 0.3, structures: [{ theta: 'theta', structure: perProduct, share: 1 }] },
};
const chosen = [...stages, products, ...mapped].filter(({ name }) => new RegExp(process.env.STAGES ?? '').test(name));

console.log(`${backend.device.description}; ${images} images${streamed ? ' from the host' : ''}, batch 256`);
for (const { name, arithmetic, structure } of chosen) {
  const session = await backend.openSession();
  initialize(session, task, arithmetic);
  let last = performance.now();
  const programs = [];
  // The loop gives its programs up at its end; what is measured behind it is kept until the session ends.
  const keep = (program) => ({
    write: (input, data) => program.write(input, data),
    run: () => program.run(),
    read: (output) => program.read(output),
    arenaBytes: program.arenaBytes,
    dispose: async () => {},
  });
  const compile = async (graph) => keep(programs[programs.push(await session.compile(graph)) - 1]);
  const observed = { ...session, compile };
  for (const method of ['write', 'read', 'variableNames', 'checkReplicas'])
    observed[method] = session[method].bind(session);
  await trainEpochs({
    ...{
      session: observed,
      task,
      dataset,
      arithmetic,
      epochs: 3,
      batchSize: 256,
      seed: 1,
      firstEpoch: 0,
      momentum: 0.9,
      schedule: 'constant',
    },
    ...{ learningRate: 5e-4, weightDecay: 5e-4, start: atStart, ...(structure ? { structure } : {}) },
    onEpoch: async ({ epoch, objective, test }) => {
      const now = performance.now();
      console.log(
        `${name.padEnd(8)} epoch ${epoch}: ${((now - last) / 1000).toFixed(2)} s, loss ${objective.toFixed(4)}, test accuracy ${test.metrics.accuracy.toFixed(4)}`,
      );
      last = now;
    },
  });
  // The step of a whole batch is compiled before all others.
  const step = programs[0];
  console.log(
    `${name.padEnd(8)} step ${(await step.timeRuns(20)).toFixed(3)} ms on the device; memory ${(session.bytes / 2 ** 30).toFixed(2)} GiB`,
  );
  const issued = performance.now();
  for (let n = 0; n < 20; n++) await step.run();
  const launching = (performance.now() - issued) / 20;
  await step.read('objective');
  const choosing = performance.now();
  const batches = [...trainingBatches(dataset, { seed: 1, epoch: 0, batchSize: 256, firstStep: 0 })].length;
  const perBatch = (performance.now() - choosing) / batches;
  console.log(
    `${name.padEnd(8)} host: ${launching.toFixed(3)} ms to start a step, ${perBatch.toFixed(3)} ms to choose a batch`,
  );
  if (profile) {
    const times = await step.timeKernels(5);
    const sums = new Map();
    for (const { name: kernel, milliseconds } of times) {
      const [count, total] = sums.get(kernel) ?? [0, 0];
      sums.set(kernel, [count + 1, total + milliseconds]);
    }
    const total = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const chain = longestChain(times);
    console.log(
      `         ${times.length} kernels, ${total.toFixed(3)} ms one by one; longest chain ${chain.count} kernels, ${chain.ms.toFixed(3)} ms without launches`,
    );
    for (const [kernel, [count, ms]] of [...sums].sort(([, [, a]], [, [, b]]) => b - a)) {
      console.log(`         ${kernel.padEnd(32)} ${String(count).padStart(5)} × ${ms.toFixed(3).padStart(9)} ms`);
    }
    console.log('         slowest:');
    for (const { name: kernel, label, grid, shared, milliseconds } of times
      .sort((a, b) => b.milliseconds - a.milliseconds)
      .slice(0, 70)) {
      console.log(
        `         ${kernel.padEnd(24)} ${grid.join('×').padEnd(14)} ${String(shared).padStart(7)} B ${(milliseconds * 1e3).toFixed(1).padStart(8)} µs  ${label}`,
      );
    }
  }
  await session.dispose();
}

/**
 * Of the kernels that wait for each other, those that take longest; what the host adds to each launch when kernels run
 * one by one is left out.
 */
function longestChain(times) {
  const launching = 2.2e-3;
  const chains = [];
  for (const { milliseconds, dependencies } of times) {
    const before = dependencies.map((at) => chains[at]).reduce((a, b) => (b.ms > a.ms ? b : a), { ms: 0, count: 0 });
    chains.push({ ms: before.ms + Math.max(1.5e-3, milliseconds - launching), count: before.count + 1 });
  }
  return chains.reduce((a, b) => (b.ms > a.ms ? b : a));
}
