// This program and its peers on one machine, in one call: training steps of ResNet18 (CIFAR, batch 256),
// MobileNetV2 and DeiT-S (224², batch 64), in float, phase 1 and phase 3, beside PyTorch's float steps (bf16
// autocast, channels last, compiled, as one CUDA graph; eager; tf32), ApproxTorch's and the published program's;
// then the layers of ResNet18 by themselves. Everything is validated before it is timed: float steps of both sides
// have the same losses from the same weights and images, products of all programs are the same numbers, quantised
// steps begin near the float loss and fall. One Markdown table and one of JSON are written, anew after each result,
// with machine, versions and memory.
//   npm run build && node bench/peers.mjs --approxtorch DIR --published DIR [--device cuda] [--networks resnet18,…]
//     [--python python3] [--out build/peers] [--limit 350] [--repeats 10] [--stages float,1,3] [--tiny]
//     [--without layers,published,…] [--prepare]
// The sources are fetched by you (the bench says from where) and built in copies: that needs nvcc, a C++ compiler,
// Python headers, ninja, and the packages numpy, scipy and tqdm, and no network. For a machine without network
// pack, beside this program, of the two repositories the parts that `sources` of peers/programs.mjs lists (1 MB),
// and no more. First all is built and compiled at once, and nothing timed; then one program at a time has the
// device. On an H100 with 16 cores ApproxTorch's extension alone takes 263 s of the first half, and the second takes
// 240 s, or 340 where PyTorch compiles in it. `--prepare` does only the first half, which the same command without it
// then finds done in --out; each has --limit seconds. `--device wasm --tiny` tries the bench itself: this program and
// PyTorch on the processor.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { root } from './cuda-setup.mjs';
import { mistake, optionsOf } from './options.mjs';
import { layersOfResNet18 } from './peers/layers.mjs';
import { build, commitOf, howToGet, run } from './peers/programs.mjs';
import { markdown } from './peers/table.mjs';
import {
  DEVIATION,
  initialParameters,
  MEAN,
  openBackend,
  prepareStep,
  problemOf,
  timeStep,
} from './training-steps.mjs';

const { findModel } = await import(`${root}/nn/models/registry.js`);
const { writeSafetensors } = await import(`${root}/tensor/safetensors.js`);
const { tensor } = await import(`${root}/tensor/tensor.js`);

const { values: given } = optionsOf(import.meta.url, {
  options: {
    device: { type: 'string', default: 'cuda' },
    networks: { type: 'string', default: 'resnet18,mobilenetv2,deit-s' },
    approxtorch: { type: 'string' },
    published: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    out: { type: 'string', default: 'build/peers' },
    limit: { type: 'string', default: '350' },
    repeats: { type: 'string', default: '10' },
    stages: { type: 'string', default: 'float,1,3' },
    without: { type: 'string', default: '' },
    tiny: { type: 'boolean', default: false },
    prepare: { type: 'boolean', default: false },
  },
});
const begun = performance.now();
const elapsed = () => (performance.now() - begun) / 1000;
const left = () => Number(given.limit) - elapsed();
const isCuda = given.device === 'cuda';
const repeats = Number(given.repeats);
/** The float step is what the others are compared with, so it is always there. */
const stages = ['float', ...given.stages.split(',').filter((stage) => stage !== 'float')];
const without = new Set(given.without.split(','));
const place = resolve(given.out);
const scripts = join(import.meta.dirname, 'peers');
mkdirSync(place, { recursive: true });
const say = (text) => console.log(`${elapsed().toFixed(0).padStart(4)} s  ${text}`);

/** Both sides leave dropout out, so that their losses can be compared. */
const withoutDropout = (model) => ({
  ...model,
  build: (nn, image, classes) => {
    const keep = (layers, name) => {
      const value = layers[name];
      if (name === 'dropout') return (x) => x;
      return typeof value === 'function' ? value.bind(layers) : value;
    };
    return model.build(new Proxy(nn, { get: keep }), image, classes);
  },
});

/** Classifiers stay exact, as in the other programs; `rate`: of learning, at which three steps show in the loss. */
const networks = {
  resnet18: {
    name: 'resnet18',
    title: 'ResNet18, 32×32, batch 256',
    batch: 256,
    columns: 8,
    rate: 0.02,
    exact: ['fc'],
  },
  mobilenetv2: {
    ...{ name: 'torchvision/mobilenet_v2', title: 'MobileNetV2, 224×224, batch 64', batch: 64 },
    ...{ columns: 8, rate: 0.005, exact: ['classifier.1'] },
  },
  'deit-s': {
    ...{ name: 'deit_small_patch16_224', title: 'DeiT-S, 224×224, batch 64', batch: 64, columns: 6, rate: 0.01 },
    exact: ['patch_embed.proj', 'head'],
  },
};
const tiny = { batch: 8, size: 64, classes: 10 };

const results = {
  machine: {},
  rows: [],
  layers: [],
  problems: [],
  skipped: [],
  command: process.argv.slice(2).join(' '),
};
function save() {
  results.seconds = elapsed();
  writeFileSync(join(place, 'peers.json'), `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(place, 'peers.md'), markdown(results));
}
function add(network, row) {
  results.rows.push({ network, ...row });
  say(`${network}: ${row.stage} ${row.program}, ${row.settings}: ${row.ms.toFixed(2)} ms`);
  save();
}
/** A part that fails is a line of the table; the others go on. */
async function attempt(what, work) {
  try {
    if (left() < 5) throw new Error(`out of time (--limit ${given.limit})`);
    return await work();
  } catch (problem) {
    results.problems.push({ what, reason: String(problem.message) });
    say(`${what}: ${problem.message}`);
    save();
    for (const line of problem.found ?? []) if (line.stage) add(what.split(':')[0], line);
    return undefined;
  }
}

const chosen = given.networks.split(',').map((key) => {
  if (!networks[key]) throw mistake(`--networks: no ${key}; expected some of ${Object.keys(networks)}`);
  const { name, title, ...problem } = { ...networks[key], ...(given.tiny ? tiny : {}) };
  const model = withoutDropout(findModel(name));
  const shown = given.tiny ? `${title.split(',')[0]}, ${tiny.size}×${tiny.size}, batch ${tiny.batch}` : title;
  return {
    key,
    name,
    title: shown,
    folder: join(place, key),
    rate: problem.rate,
    problem: problemOf({ model, ...problem }),
  };
});

/** What the other side reads: weights, images, labels, and the figures of the step. */
function describe({ folder, problem, rate, key }) {
  mkdirSync(folder, { recursive: true });
  const tensors = new Map([...initialParameters(problem)].map(([name, value]) => [`weights.${name}`, value]));
  const { batch, size, images, labels, columns } = problem;
  tensors.set('images', tensor('u8', [batch, size, size, 3], images));
  tensors.set('labels', tensor('i32', [batch], labels));
  writeSafetensors(join(folder, 'problem.safetensors'), tensors);
  const { removed } = problem.stages[3].arithmetic.multiplierOf('');
  const rows = Array.from({ length: 8 }, (_, i) => Array.from(removed.subarray(8 * i, 8 * i + 8)));
  const facts = { size, classes: problem.classes, rate, mean: MEAN, deviation: DEVIATION, columns, removed: rows };
  return { ...facts, convolutions: problem.approximated, clip: Math.log(0.98 / 0.02), key };
}
const python = (script, words, { log, limit = left() }) =>
  run(given.python, [join(scripts, script), ...words, '--device', isCuda ? 'cuda' : 'cpu'], {
    ...{ log: join(place, log), limit },
    env: { TORCHINDUCTOR_CACHE_DIR: join(place, 'inductor'), PYTHONUNBUFFERED: '1' },
  });

const backend = await openBackend(given.device);
/** This program's backends by their settings: the first is what others are compared with. */
const backends = isCuda
  ? { tf32: backend, bf16: await openBackend(given.device, { precision: 'bf16' }) }
  : { f32: backend };
results.machine = {
  device: backend.device.description,
  processor: `${cpus()[0].model.trim()}, ${cpus().length} cores`,
};
results.machine.node = process.version;
say(`${results.machine.device}; ${results.machine.processor}; Node.js ${process.version}`);

for (const one of chosen) {
  one.facts = describe(one);
  writeFileSync(join(one.folder, 'problem.json'), JSON.stringify(one.facts));
}
say('weights and images written');

// Everything that compiles, at once; nothing is timed. What could not be compiled with --prepare is not tried again.
const prepared = join(place, 'prepared.json');
const unprepared = !given.prepare && existsSync(prepared) ? JSON.parse(readFileSync(prepared, 'utf8')) : undefined;
results.problems.push(...(unprepared ?? []));
const built = {};
const preparing = [];
for (const name of ['approxtorch', 'published']) {
  if (without.has(name) || unprepared?.some(({ what }) => what === name)) continue;
  if (given[name] === undefined) {
    results.problems.push({ what: name, reason: `not given: ${howToGet(name)}` });
    say(`without ${name}: ${howToGet(name)}`);
    continue;
  }
  results.machine[name] = commitOf(resolve(given[name])) ?? 'unknown state';
  const work = async () => {
    if (!isCuda) throw new Error('its kernels need --device cuda');
    built[name] = await build(name, resolve(given[name]), {
      place,
      python: given.python,
      limit: given.prepare ? left() - 5 : left() / 2,
    });
    say(`${name} is built`);
  };
  preparing.push(attempt(name, work));
}
if (isCuda && !without.has('pytorch') && !unprepared) {
  for (const { key, name, folder } of chosen) {
    const words = ['float', '--network', name, '--folder', folder, '--prepare', '--until', String(left() / 3)];
    const work = () => python('training.py', words, { log: `prepare-${key}.log`, limit: left() / 2 });
    preparing.push(attempt(`${key}: compiling in PyTorch`, work));
  }
}

/** One of this program's steps; its losses are what the others' are compared with. */
async function own(one, stage, { settings = Object.keys(backends)[0], timed = true } = {}) {
  const { session, step, losses, compiled } = await prepareStep(backends[settings], one.problem, stage, {
    rate: one.rate,
  });
  const bytes = session.bytes;
  const times = timed ? await timeStep(step, repeats) : {};
  await session.dispose();
  return {
    stage,
    program: 'TRAM',
    settings,
    memory: bytes,
    losses,
    seconds: compiled,
    ms: times.median,
    best: times.best,
  };
}
/**
 * A row for each of this program's settings whose losses of three steps lie no further from those of the first settings
 * than PyTorch's in bf16 may (TOLERANCE of peers/training.py).
 */
async function ownRows(one, stage) {
  const rows = [];
  for (const settings of Object.keys(backends)) {
    const row = await own(one, stage, { settings });
    const [first] = rows;
    const isApart = (loss, at) => !(Math.abs(loss / first.losses[at] - 1) < (at === 0 ? 0.02 : 0.35));
    if (first && row.losses.some(isApart)) {
      const reason = `validation failed: losses in ${settings} ${row.losses}, in ${first.settings} ${first.losses}`;
      results.problems.push({ what: one.title, reason });
    } else rows.push(row);
  }
  return rows;
}
if (isCuda && !unprepared)
  for (const one of chosen)
    for (const stage of stages)
      for (const settings of Object.keys(backends))
        await attempt(one.title, () => own(one, stage, { settings, timed: false }));
await Promise.all(preparing);
if (given.prepare) {
  const failed = results.problems.filter(({ reason }) => !reason.startsWith('not given'));
  writeFileSync(prepared, JSON.stringify(failed));
  say('all is compiled');
  process.exit(results.problems.length === 0 ? 0 : 1);
}
say('all is compiled; from here one program at a time');

for (const one of chosen) {
  const { key, name, title, folder, facts } = one;
  for (const stage of stages) {
    const rows = await attempt(title, () => ownRows(one, stage));
    if (!rows) continue;
    for (const row of rows) add(title, row);
    if (stage === 'float')
      writeFileSync(join(folder, 'problem.json'), JSON.stringify({ ...facts, losses: rows[0].losses }));
  }
  const others = async (task, more, limit) => {
    const words = [task, '--network', name, '--folder', folder, '--repeats', String(repeats), ...more];
    const until = Math.min(left(), limit);
    const found = await python('training.py', [...words, '--until', String(0.8 * until)], {
      log: `${task}-${key}.log`,
      limit: until,
    });
    for (const line of found) {
      if (line.versions) Object.assign(results.machine, { python: line.versions });
      if (line.skipped) results.skipped.push({ network: title, ...line });
      if (line.stage) add(title, line);
    }
    save();
  };
  if (!without.has('pytorch')) await attempt(`${title}: PyTorch`, () => others('float', [], left() / 2));
  if (built.approxtorch && key === 'resnet18') {
    await attempt(`${title}: ApproxTorch`, () => others('approxtorch', ['--source', built.approxtorch], 60));
  }
  // A process for each stage: what one leaves behind, a failed capture say, is not the next one's.
  for (const stage of built.published && key === 'resnet18' ? ['1', '3'] : []) {
    const words = ['--source', built.published, '--stages', stage];
    await attempt(`${title}: published program, phase ${stage}`, () => others('published', words, 60));
  }
}
if (chosen.some(({ key }) => key === 'mobilenetv2')) {
  const reason = 'their unsigned layers and kernels take no grouped convolutions (both programs say so)';
  results.skipped.push({ network: 'MobileNetV2', skipped: 'ApproxTorch, published program', reason });
}
if (chosen.some(({ key }) => key === 'deit-s')) {
  const reason = 'ApproxTorch converts convolutions only; the published program has no transformers';
  results.skipped.push({ network: 'DeiT-S', skipped: 'ApproxTorch, published program', reason });
}
if (!without.has('layers')) {
  await attempt('layers', async () => {
    const more = Object.entries(built).flatMap(([name, folder]) => [`--${name}`, folder]);
    const call = (words) =>
      python('layers.py', [...words, ...more, '--repeats', String(repeats)], { log: 'layers.log' });
    results.layers = await layersOfResNet18(backend, { folder: place, tiny: given.tiny, repeats, call, say });
  });
}
// The first figure once more: what the machine has changed meanwhile.
const [first] = chosen;
const again = await attempt(first.title, () => own(first, 'float'));
if (again) results.again = { network: first.title, ...again };
save();
console.log(markdown(results));
const wrong = [...results.problems, ...results.skipped].some(({ reason }) => reason.includes('validation failed'));
if (wrong) process.exitCode = 1;
