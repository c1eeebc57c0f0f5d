// How cost grows: the time of training steps (float, phase 1, phase 3), and of a layer's kernels, against the
// batch, the images, their area, the width of the network, the operands' widths, the columns of the structure and
// the threads. Each curve is measured, fitted by what the emulation's arithmetic says (bench/growth/fit.mjs) and
// drawn by the report's own plots; the residual is said, and where the model fails. Steps are validated against the
// reference device's plain loops on a small network of the same kind, layers against plain sums at every point;
// only then anything is timed.
//   npm run build && node bench/growth.mjs [--device wasm|cuda] [--curves batch,images,area,width,bits,columns,threads]
//     [--out build/growth] [--repeats 7] [--quick] [--again] [--more]
// On the processor the least processor time of all threads counts, which other work beside disturbs least; for
// threads, wall time. On a GPU its own clock. `--again` fits and draws what was measured before, `--more` measures
// once more and keeps the less of both, where other work disturbed. All curves together take up to 3 minutes.
// Several GPUs: bench/scale.mjs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { randomDataset, root } from './cuda-setup.mjs';
import { leastSquares } from './growth/fit.mjs';
import { compileLayer, layerOf } from './growth/layer.mjs';
import { mistake, optionsOf } from './options.mjs';
import { openBackend, prepareStep, problemOf, timeStep } from './training-steps.mjs';

const { referenceBackend } = await import(`${root}/engine/reference/backend.js`);
const { growthSvg } = await import(`${root}/report/growth.js`);
const { describeSvg } = await import(`${root}/report/svg.js`);
const { trainingBatches } = await import(`${root}/data/batches.js`);

const { values: given } = optionsOf(import.meta.url, {
  options: {
    device: { type: 'string', default: 'wasm' },
    curves: { type: 'string', default: 'batch,images,area,width,bits,columns,threads' },
    out: { type: 'string', default: 'build/growth' },
    repeats: { type: 'string', default: '7' },
    quick: { type: 'boolean', default: false },
    again: { type: 'boolean', default: false },
    more: { type: 'boolean', default: false },
  },
});
const isCuda = given.device === 'cuda';
const repeats = Number(given.repeats);
const folder = resolve(given.out);
mkdirSync(folder, { recursive: true });

/** A residual network of one width: stem, two basic blocks, the second at stride 2. */
const residual = (width) => ({
  name: `width ${width}`,
  description: '',
  minimumSize: 4,
  build: (nn, image, classes) => {
    const unit = (name, x, stride = 1) =>
      nn.batchNorm(`${name}.bn`, nn.conv(name, x, { out: width, kernel: 3, stride, padding: 1 }));
    let x = nn.relu(unit('stem', image));
    for (const [name, stride] of [
      ['a', 1],
      ['b', 2],
    ]) {
      const y = unit(`${name}.2`, nn.relu(unit(`${name}.1`, x, stride)));
      const skip = stride === 1 ? x : nn.conv(`${name}.skip`, x, { out: width, kernel: 1, stride });
      x = nn.relu(nn.add(y, skip));
    }
    return nn.linear('fc', nn.globalAveragePool(x), classes);
  },
});
const standard = isCuda ? { width: 64, batch: 256, size: 32 } : { width: 16, batch: 8, size: 32 };
const problem = ({ width = standard.width, batch = standard.batch, size = standard.size, bits = 8, columns } = {}) =>
  problemOf({
    model: residual(width),
    classes: 10,
    exact: ['fc'],
    batch,
    size,
    bits: [bits, bits],
    columns: columns ?? bits,
  });

/** Nothing is computed where points are drawn again, so that needs no such device. */
const backend = given.again ? undefined : await openBackend(given.device);
const reference = referenceBackend();
const validated = new Set();

/** The small network's three losses on the device and by plain loops; once for each kind of arithmetic. */
async function validate(stage, { bits = 8, columns } = {}) {
  const kind = `${stage} ${bits} ${columns}`;
  if (validated.has(kind)) return;
  const small = problem({ width: 8, batch: 2, size: 8, bits, columns });
  const found = [];
  for (const device of [backend, reference]) {
    const { session, losses } = await prepareStep(device, small, stage);
    found.push(losses);
    await session.dispose();
  }
  const [first, limit] = isCuda ? [2e-2, 0.1] : [1e-5, 1e-2];
  const off = found[0].map((loss, n) => Math.abs(loss / found[1][n] - 1));
  if (!(off[0] <= first && off.every((error) => error <= limit)))
    throw new Error(`validation failed: ${kind}: losses ${found[0]}, by plain loops ${found[1]}`);
  validated.add(kind);
}

const costOf = (times) => times.leastProcessor ?? times.best;

async function stepCost(stage, settings) {
  await validate(stage, settings);
  const { session, step } = await prepareStep(backend, problem(settings), stage);
  const times = await timeStep(step, repeats);
  await session.dispose();
  return costOf(times);
}

const WARM = 6;

async function layerCost(part, { bits = 8, columns = bits, learned = true, ...more }) {
  const own = { ...(isCuda ? { batch: 256, size: 16, channels: 64 } : { batch: 16, size: 16, channels: 64 }), ...more };
  const { session, step } = await compileLayer(backend, layerOf({ ...own, bits, columns, learned }), part);
  // Engines exchange their first code for a faster one while it runs.
  for (let n = 0; n < WARM; n++) await step.run();
  const cost = costOf(await timeStep(step, repeats, 'y'));
  await session.dispose();
  return cost;
}

/** Means of an epoch's steps: batches are chosen, written and read back as training does it. */
async function epochCost(stage, images) {
  await validate(stage);
  const { session, step } = await prepareStep(backend, problem(), stage);
  const { train } = randomDataset(images, 10, standard.size);
  const dataset = {
    train,
    ...{ height: standard.size, width: standard.size, channels: 3, augment: { pad: 4, flip: true } },
  };
  const once = async () => {
    const [begun, before] = [performance.now(), process.cpuUsage()];
    for (const selection of trainingBatches(dataset, { seed: 1, epoch: 0, batchSize: standard.batch, firstStep: 0 })) {
      const { inputs } = await train.read(selection, standard.batch);
      for (const [name, values] of Object.entries(inputs)) step.write(name, values);
      await step.run();
      await step.read('loss');
    }
    const { user, system } = process.cpuUsage(before);
    return isCuda ? performance.now() - begun : (user + system) / 1000;
  };
  const times = [];
  for (let n = 0; n < Math.min(3, repeats); n++) times.push(await once());
  await session.dispose();
  return Math.min(...times);
}

const stages = [
  ['float', 'float'],
  ['phase 1', '1'],
  ['phase 3', '3'],
];
const perStage = (cost) => stages.map(([name, stage]) => ({ name, cost: (x) => cost(stage, x) }));
const kernels = (settings) => [
  { name: 'forward, structure', cost: (x) => layerCost('forward', settings(x)) },
  { name: 'gradients', cost: (x) => layerCost('gradients', settings(x)) },
  { name: 'forward, truncation', cost: (x) => layerCost('forward', { ...settings(x), learned: false }) },
];
const cores = cpus().length;
const one = () => 1;
const x1 = (x) => x;
const x2 = (x) => x * x;
const power = (x) => 2 ** x;
/** Approximate kernels make outputs in tiles of so many channels, full or not. */
const TILE = isCuda ? 64 : 16;
const tiled = (x) => x * TILE * Math.ceil(x / TILE);

/** What is varied, over which values, and the terms of its model. */
const curves = {
  batch: {
    ...{
      title: 'Step against batch',
      x: 'images in a batch',
      xs: isCuda ? [16, 32, 64, 128, 256, 512] : [1, 2, 4, 8, 16, 32],
    },
    ...{ series: perStage((stage, batch) => stepCost(stage, { batch })), terms: [one, x1], law: ['a', 'b·n'] },
  },
  images: {
    ...{
      title: 'Epoch against images',
      x: 'images of an epoch',
      xs: isCuda ? [2560, 5120, 10240, 20480] : [32, 64, 128, 256],
    },
    ...{ series: perStage(epochCost), terms: [one, x1], law: ['a', 'b·n'] },
  },
  area: {
    ...{
      title: 'Step against the side of an image',
      x: 'pixels of a side',
      xs: isCuda ? [16, 24, 32, 48, 64] : [8, 16, 24, 32, 48],
    },
    ...{ series: perStage((stage, size) => stepCost(stage, { size })), terms: [one, x2], law: ['a', 'b·s²'] },
  },
  width: {
    ...{ title: 'Step against width', x: 'channels', xs: isCuda ? [16, 32, 64, 128, 256] : [8, 16, 24, 32, 48, 64] },
    ...{
      series: perStage((stage, width) => stepCost(stage, { width })).map((series, at) =>
        at === 0 ? series : { ...series, terms: [one, x1, tiled], law: ['a', 'b·c', `d·c·⌈c⌉${TILE}`] },
      ),
      terms: [one, x1, x2],
      law: ['a', 'b·c', 'd·c²'],
    },
  },
  bits: {
    ...{ title: 'Layer against operand width', x: 'bits of weights and of activations', xs: [2, 3, 4, 5, 6, 7, 8] },
    ...{ series: kernels((bits) => ({ bits })) },
    ...(isCuda ? { terms: [one, x1], law: ['a', 'b·bits'] } : { terms: [one, power], law: ['a', 'b·2^bits'] }),
  },
  columns: {
    ...{ title: 'Layer against columns', x: 'columns of the structure or truncation', xs: [1, 2, 4, 6, 8, 11, 15] },
    ...{ series: kernels((columns) => ({ columns })), terms: [one, (x) => Math.min(x, 8)], law: ['a', 'b·min(P, 8)'] },
  },
  threads: {
    ...{ title: 'Step against threads, wall time', x: 'threads', xs: [1, 2, 3, 4] },
    ...{
      series: perStage((stage, threads) => threadCost(stage, threads)),
      terms: [one, (x) => 1 / Math.min(x, cores)],
      law: ['a', 'b/min(threads, cores)'],
    },
  },
};

async function threadCost(stage, threads) {
  const own = await openBackend('wasm', { threads });
  const { session, step } = await prepareStep(own, problem({ batch: 2 }), stage);
  // Short steps, and many: the best of them had the processor to themselves.
  const { best } = await timeStep(step, 30 * repeats);
  await session.dispose();
  return best;
}

const digits = (value) => (value === 0 ? '0' : value.toPrecision(3));
/** The fitted law in figures: 0.31 + 4.12·n. */
const lawOf = ({ coefficients }, law) =>
  law
    .map((term, at) => [coefficients[at], term.slice(1)])
    .filter(([value]) => value > 0)
    .map(([value, rest]) => `${digits(value)}${rest}`)
    .join(' + ');

const begun = performance.now();
const machine = backend && {
  device: backend.device.description,
  processor: `${cpus()[0].model.trim()}, ${cpus().length} cores`,
  node: process.version,
  load: loadavg()[0],
};
if (machine)
  console.log(`${machine.device}; ${machine.processor}; Node.js ${machine.node}; load ${machine.load.toFixed(1)}`);
const file = join(folder, `growth-${given.device}.json`);
const known = (() => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).curves;
  } catch {
    return {};
  }
})();
const wanted = given.curves.split(',').filter((name) => !(isCuda && name === 'threads'));
for (const name of wanted)
  if (!curves[name]) throw mistake(`--curves: no ${name}; expected some of ${Object.keys(curves)}`);

/** The points of a series, measured or from before. */
async function pointsOf({ xs }, cost, before, isMeasured) {
  if (!isMeasured) return before;
  const few = given.quick ? xs.filter((_, at) => at % 2 === 0 || xs.length <= 4).slice(0, 3) : xs;
  const points = [];
  for (const x of few) {
    const known = given.more ? before?.find((point) => point.x === x)?.ms : undefined;
    points.push({ x, ms: Math.min(await cost(x), known ?? Number.POSITIVE_INFINITY) });
  }
  return points;
}

const measured = {};
for (const [name, curve] of Object.entries(curves)) {
  const isMeasured = wanted.includes(name) && !given.again;
  if (!isMeasured && !known[name]) continue;
  const series = [];
  for (const [at, { name: title, cost, terms = curve.terms, law: spelt = curve.law }] of curve.series.entries()) {
    const points = await pointsOf(curve, cost, known[name]?.series[at]?.points, isMeasured);
    const found = leastSquares(points, terms);
    const { residual, worst } = found;
    const [from, to] = [points[0].x, points.at(-1).x];
    const along = Array.from({ length: 65 }, (_, k) => from + ((to - from) * k) / 64);
    const law = lawOf(found, spelt);
    series.push({ name: title, points, law, residual, worst, model: along.map((x) => ({ x, ms: found.predict(x) })) });
    if (!wanted.includes(name)) continue;
    const values = points.map(({ x, ms }) => `${x}: ${ms.toPrecision(3)}`).join('  ');
    const quality = `residual ${(100 * residual).toFixed(0)} %, worst ${(100 * worst.error).toFixed(0)} % at ${worst.x}`;
    console.log(`${curve.title}, ${title}: ${law} ms; ${quality}\n   ${values}`);
  }
  const y = isCuda ? 'ms' : name === 'threads' ? 'ms, wall' : 'ms of processor time';
  measured[name] = { title: curve.title, x: curve.x, y, series, machine: isMeasured ? machine : known[name].machine };
  // What the others were before stays; a model is drawn again from its points.
  const kept = (key, value) => (key === 'model' ? undefined : value);
  writeFileSync(file, `${JSON.stringify({ curves: { ...known, ...measured } }, kept, 1)}\n`);
}
const order = Object.keys(measured);
const titles = order.map((name) => measured[name].title).join(', ');
const picture = describeSvg(
  await growthSvg(order.map((name) => measured[name])),
  `Measured times and their models: ${titles}`,
);
writeFileSync(join(folder, `growth-${given.device}.svg`), `${picture}\n`);
console.log(`${((performance.now() - begun) / 1000).toFixed(0)} s; ${file} and .svg`);
