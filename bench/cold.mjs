// What a first run on a GPU takes more than a later one: the same run twice in processes of their own, with an empty
// cache of kernels and with the one that the first has left. Says of each phase when its kernels were compiled, ahead
// of need or in it, and how long something waited for one; then compares: the results must be the same to the last
// digit, and the later run must compile nothing.
//   npm run build && node bench/cold.mjs [--data cifar10:DIR] [--model resnet18] [--epochs 30,10,10] [--sample N]
//     [--batch 256] [--seconds 240] [--only cold|warm --cache DIR] [--profile DIR]
// Without data: 50 000 images of 32×32 made here, stripes that tell ten classes apart. `TRAM_BUILD` names another
// compiled program, for its cold run beside this one's; what it does not tell of its kernels is left out. `--profile`:
// where Node's profiles of the processor's time are written, one for each run.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { optionsOf } from './options.mjs';

const { values: given } = optionsOf(import.meta.url, {
  options: {
    data: { type: 'string' },
    model: { type: 'string', default: 'resnet18' },
    epochs: { type: 'string', default: '30,10,10' },
    batch: { type: 'string', default: '256' },
    sample: { type: 'string' },
    seconds: { type: 'string', default: '240' },
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string' },
    cache: { type: 'string' },
    profile: { type: 'string' },
    // Of the processes that this one starts.
    run: { type: 'string' },
  },
});

const seconds = (milliseconds) => (milliseconds / 1000).toFixed(2);

if (given.run) await run();
else await compare();

/** Images of stripes under noise, in memory as those of CIFAR are. */
async function stripes(root) {
  const { datasetOf } = await import(`${root}/index.js`);
  const { Random } = await import(`${root}/tensor/random.js`);
  const random = new Random(1);
  const part = (count) => {
    const labels = Int32Array.from({ length: count }, (_, image) => image % 10);
    const images = new Uint8Array(count * 32 * 32 * 3);
    for (let image = 0; image < count; image++) {
      const phase = random.integer(64);
      for (let at = 0; at < 3072; at++) {
        const [channel, x, y] = [at % 3, Math.floor(at / 3) % 32, Math.floor(at / 96)];
        const wave = Math.sin((x * (labels[image] - 4) + y * 3 + phase + 9 * channel) / 7);
        images[3072 * image + at] = 128 + 50 * wave + random.integer(64) - 32;
      }
    }
    return { images, labels };
  };
  return datasetOf({ name: 'stripes', height: 32, width: 32, channels: 3, train: part(50_000), test: part(10_000) });
}

/** One run, told to the parent. */
async function run() {
  const root = process.env.TRAM_BUILD ?? '../dist';
  const { runFlow } = await import(`${root}/flow/flow.js`);
  const { parseDevice } = await import(`${root}/flow/run/device.js`);
  const { subscribe } = await import('node:diagnostics_channel');
  const dataset = given.data ? undefined : await stripes(root);
  const began = performance.now();
  const phases = [];
  subscribe('tram:kernels', (kernel) => phases.at(-1)?.kernels.push(kernel));
  const [train, explore, recover] = given.epochs.split(',').map(Number);
  const training = (epochs) => ({ epochs, batchSize: Number(given.batch) });
  const summary = await runFlow({
    folder: given.run,
    settings: {
      ...{ model: given.model, train: training(train), explore: training(explore), recover: training(recover) },
      quantize: { batchSize: Number(given.batch) },
      ...(given.data ? { data: given.data } : {}),
      ...(given.sample ? { sample: Number(given.sample) } : {}),
    },
    ...(dataset ? { dataset } : {}),
    device: parseDevice(given.device),
    listener: (event) => {
      const now = performance.now();
      if (event.kind === 'phase-start') phases.push({ phase: event.phase, begin: now, kernels: [] });
      if (event.kind === 'step' && phases.at(-1).first === undefined) phases.at(-1).first = now;
      if (event.kind === 'epoch') phases.at(-1).last = now;
      if (event.kind === 'phase-end') Object.assign(phases.at(-1), { end: now, says: event.summary });
    },
  });
  const after = (time) => time - began;
  process.send({
    wall: after(performance.now()),
    results: phases.map(({ phase, says }) => `${phase}: ${says}`),
    stages: JSON.stringify(summary.stages ?? null),
    phases: phases.map(({ phase, begin, end, kernels, first, last }) => ({
      ...{ phase, begin: after(begin), end: after(end) },
      ...(last ? { before: first - begin, training: last - first, behind: end - last } : {}),
      kernels: kernels.map((kernel) => ({ ...kernel, begin: after(kernel.begin), end: after(kernel.end) })),
    })),
  });
}

/** The time that at least one of these spans covers. */
function covered(spans) {
  let [sum, until] = [0, Number.NEGATIVE_INFINITY];
  for (const { begin, end } of [...spans].sort((a, b) => a.begin - b.begin)) {
    sum += Math.max(0, end - Math.max(begin, until));
    until = Math.max(until, end);
  }
  return sum;
}

function describe(name, { wall, phases }) {
  console.log(`\n${name}: ${seconds(wall)} s`);
  for (const { phase, begin, end, kernels, before, training, behind } of phases) {
    const of = (kind) => kernels.filter((kernel) => kernel.kind === kind);
    const span = (some) =>
      some.length === 0
        ? ''
        : ` (${seconds(Math.min(...some.map((one) => one.begin)))}–${seconds(Math.max(...some.map((one) => one.end)))})`;
    const [now, ahead, needed] = ['compiled', 'ahead', 'needed'].map(of);
    const longest = [...needed].sort((a, b) => b.end - b.begin - (a.end - a.begin))[0];
    console.log(
      `  ${phase.padEnd(9)} ${seconds(begin).padStart(7)} to ${seconds(end).padStart(7)} s: waited ${seconds(covered(needed))} s for ${needed.length} kernels;`,
      `${now.length} compiled when needed${span(now)}, ${ahead.length} ahead${span(ahead)}${longest ? `; longest: ${longest.file} ${seconds(longest.end - longest.begin)} s` : ''}`,
    );
    if (training) {
      console.log(
        `            ${seconds(before)} s to the first step, ${seconds(training)} s to the end of the last epoch, ${seconds(behind)} s behind`,
      );
    }
  }
}

async function compare() {
  const folder = mkdtempSync(join(tmpdir(), 'tram-cold-'));
  const cache = given.cache ?? join(folder, 'cache');
  console.log(`${availableParallelism()} processors; epochs ${given.epochs}, batch ${given.batch}, ${given.model}`);
  const told = {};
  try {
    for (const name of given.only ? [given.only] : ['cold', 'warm']) {
      if (name === 'cold') rmSync(join(cache, 'tram', 'kernels'), { recursive: true, force: true });
      const found = await inProcess(join(folder, name), cache);
      if (!found) return;
      told[name] = found;
      describe(name, told[name]);
      const place = join(cache, 'tram', 'kernels');
      const files = existsSync(place) ? readdirSync(place) : [];
      const kernels = files.filter((file) => !file.endsWith('.mark'));
      const bytes = kernels.reduce((sum, file) => sum + statSync(join(place, file)).size, 0);
      console.log(`  cache: ${kernels.length} files, ${(bytes / 2 ** 20).toFixed(1)} MiB`);
      if (kernels.some((file) => !file.endsWith('.cubin'))) throw new Error(`half-written: ${kernels}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { cold, warm } = told;
  if (!cold || !warm) return;
  const again = warm.phases.flatMap(({ kernels }) => kernels);
  const same = cold.stages === warm.stages && JSON.stringify(cold.results) === JSON.stringify(warm.results);
  const waited = covered(cold.phases.flatMap(({ kernels }) => kernels.filter(({ kind }) => kind === 'needed')));
  console.log(
    `\ncold − warm: ${seconds(cold.wall - warm.wall)} s (bar: 4 s), of which waited for kernels ${seconds(waited)} s`,
  );
  console.log(`compiled again in the later run: ${again.length}; the same results: ${same}`);
  for (const line of cold.results) console.log(`  ${line}`);
  if (again.length > 0 || !same) process.exitCode = 1;
}

/** What a run tells; nothing where it has said what is missing, which is this process's exit code then, too. */
function inProcess(out, cache) {
  const profiling = given.profile ? ['--cpu-prof', `--cpu-prof-dir=${given.profile}`] : [];
  const words = [...profiling, fileURLToPath(import.meta.url), ...process.argv.slice(2), '--run', out];
  const child = spawn(process.execPath, words, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, XDG_CACHE_HOME: cache },
  });
  const clock = setTimeout(() => child.kill('SIGKILL'), 1000 * Number(given.seconds));
  return new Promise((done, fail) => {
    child.once('message', done);
    child.once('exit', (code, signal) => {
      clearTimeout(clock);
      if (code === 2) {
        process.exitCode = code;
        done(undefined);
      }
      fail(new Error(`the run ended ${signal ? `by ${signal}` : `with code ${code}`} without a result`));
    });
  });
}
