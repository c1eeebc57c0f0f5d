// Training steps of whole networks: images per second and memory, for float training, phase 1 (trained structures of P
// columns, one per layer or one for all) and phase 3 (a truncation of half as many columns), on random images. What is
// timed, and what is checked before: training-steps.mjs.
//   npm run build && node bench/networks.mjs --model resnet50 [--size 32] [--classes 10] [--batch 256] [--bits 8x8]
//     [--columns 8] [--per-layer] [--stages float,1,3] [--device cuda] [--precision tf32] [--recompute all|light]
//     [--teacher float|quantized] [--profile]
// `--exact PATTERN` (repeatable, default: the model's card) keeps layers exact.

import { root } from './cuda-setup.mjs';
import { optionsOf } from './options.mjs';
import { openBackend, prepareStep, problemOf, timeStep } from './training-steps.mjs';

const { findModel } = await import(`${root}/nn/models/registry.js`);

const { values: given } = optionsOf(import.meta.url, {
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
const [batch, columns, repeats] = [given.batch, given.columns, given.repeats].map(Number);
const problem = problemOf({
  ...{ model: findModel(given.model), batch, columns, perLayer: given['per-layer'], exact: given.exact },
  ...(given.size ? { size: Number(given.size) } : {}),
  ...(given.classes ? { classes: Number(given.classes) } : {}),
  bits: given.bits.split('x').map(Number),
});
const recompute = given.recompute === undefined ? false : given.recompute === 'light' ? 'light' : true;
/** All stages learn from it. */
const teacher = given.teacher && { ...problem.stages[given.teacher], weight: 0.9, temperature: 4 };

const backend = await openBackend(given.device, { precision: given.precision });
console.log(`${backend.device.description}; ${given.model}, ${problem.size}×${problem.size}, batch ${batch}`);
const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);
for (const stage of given.stages.split(',')) {
  const { session, step, compiled, losses } = await prepareStep(backend, problem, stage, { recompute, teacher });
  const { median, processor } = await timeStep(step, repeats);
  const name = stage === 'float' ? 'float  ' : `phase ${stage}`;
  const work = processor === undefined ? '' : `, ${processor.toFixed(0)} ms of processor time`;
  console.log(
    `${name} ${median.toFixed(2)} ms a step, ${((1000 * batch) / median).toFixed(0)} images/s${work}; ` +
      `${gib(step.arenaBytes)} GiB of intermediate values, ${gib(session.bytes)} in all; compiled in ${compiled.toFixed(1)} s; loss ${losses.map((loss) => loss.toFixed(4)).join(' ')}`,
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
