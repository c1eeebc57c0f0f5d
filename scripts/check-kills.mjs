// A sweep of trained networks whose workers are killed by SIGKILL at random moments, 200 times where nothing else is
// said; then the same sweep undisturbed. No trial is lost, none is done again once it is done, no epoch again that was
// saved, and weights, logs, netlists and front are the same to the last bit. What is done when is read off what the
// workers print, not off the folder.
//
//   node scripts/check-kills.mjs [--kills N] [--workers N] [--trials N] [--epochs N] [--seed N]
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { optionsOf } from '../bench/options.mjs';

const usual = { kills: '200', workers: '3', trials: '24', epochs: '10', seed: '1' };
const { values } = optionsOf(import.meta.url, {
  options: Object.fromEntries(Object.entries(usual).map(([name, text]) => [name, { type: 'string', default: text }])),
});
const [kills, workers, trials, epochs, seed] = Object.keys(usual).map((name) => Number(values[name]));

const program = join(import.meta.dirname, '../dist/cli/main.js');
const place = mkdtempSync(join(tmpdir(), 'tram-kills-'));
const alive = new Map();
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => process.exit(1));
process.on('exit', () => {
  for (const child of alive.keys()) child.kill('SIGKILL');
  rmSync(place, { recursive: true, force: true });
});

let state = seed;
const random = () => {
  state = (state * 48_271) % 2_147_483_647;
  return state / 2_147_483_647;
};

const common = ['--threads', '1', '--no-synthesis'];
const plan = [
  ...['--over', `seed=${Array.from({ length: trials }, (_, at) => at + 1).join(',')}`, '--multiplier', 'dadda:3x3'],
  ...[
    '--bits',
    '3',
    '--data',
    'procedural:8x8x1,classes=4,images=60',
    '--train-epochs',
    '1',
    '--recover-epochs',
    String(epochs),
  ],
];
const tram = (...args) => execFileSync(process.execPath, [program, 'sweep', ...args], { cwd: place, encoding: 'utf8' });
tram('disturbed', ...plan, '--plan');

/** What the workers said, in the order in which it came: their lines, and kills. */
const journal = [];
let killed = 0;
/** Waits for a few lines of the worker, none at times, and a moment more. */
function start() {
  const child = spawn(process.execPath, [program, 'sweep', 'work', 'disturbed', ...common], { cwd: place });
  const victim = { lines: Math.floor(4 * random()), wait: 400 * random(), isDoomed: killed + alive.size < kills };
  alive.set(child, victim);
  const doom = async () => {
    if (!victim.isDoomed || victim.isOver) return;
    victim.isOver = true;
    await setTimeout(victim.wait);
    if (!alive.has(child) || killed >= kills) return;
    killed++;
    journal.push({ pid: child.pid, line: 'kill' });
    child.kill('SIGKILL');
    if (killed % 20 === 0)
      console.log(`${killed} kills, ${journal.filter(({ line }) => line.startsWith('✓')).length} runs done`);
  };
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      journal.push({ pid: child.pid, line });
      if (/^(trials|shared)\//.test(line) && victim.lines-- <= 0) void doom();
    }
  });
  let said = '';
  child.stderr.on('data', (data) => {
    said += data;
  });
  child.on('close', (code, signal) => {
    alive.delete(child);
    if (code === 0) isOver = true;
    else if (signal !== 'SIGKILL')
      throw new Error(
        `a worker ended with code ${code}: ${said}${journal.filter(({ line }) => /✗|note/.test(line)).map(({ line }) => line)}`,
      );
  });
}

let isOver = false;
while (!isOver || alive.size > 0) {
  while (!isOver && alive.size < workers) start();
  await setTimeout(50);
}
console.log(`${killed} kills, and the sweep has ended; now the same undisturbed`);
tram('alone', ...plan, '--quiet', ...common);

const statesIn = (folder) =>
  readdirSync(join(place, folder, 'trials'))
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(place, folder, 'trials', name), 'utf8')).state);
assert.deepEqual(statesIn('disturbed'), new Array(trials).fill('done'), 'a trial is lost');
const done = journal.filter(({ line }) => line.startsWith('✓ ')).map(({ line }) => line.split(/\s+/)[1]);
assert.equal(new Set(done).size, done.length, 'a trial was done twice');
// An epoch is told once, or again where its worker was killed before it was saved: then it is the last that one told.
const last = new Map();
let again = 0;
for (const { pid, line } of journal) {
  const [, run, epoch] = /^(trials\/\S+): recover epoch (\d+)/.exec(line) ?? [];
  if (!run) continue;
  const before = last.get(run);
  assert.ok(!before || before.pid !== pid || Number(epoch) === before.epoch + 1, `${run} went to epoch ${epoch}`);
  if (before && Number(epoch) <= before.epoch) {
    again += before.epoch - Number(epoch) + 1;
    assert.ok(
      journal.some((one) => one.pid === before.pid && one.line === 'kill'),
      `${run} was taken from one who lived`,
    );
  }
  assert.ok(!before || Number(epoch) <= before.epoch + 1 || before.pid !== pid, `${run} left out an epoch`);
  last.set(run, { pid, epoch: Number(epoch) });
}
const sha256 = (path) =>
  createHash('sha256')
    .update(readFileSync(join(place, path)))
    .digest('hex');
for (const name of readdirSync(join(place, 'alone/trials')).filter((one) => !one.includes('.'))) {
  for (const file of ['checkpoints/recovered.safetensors', 'metrics.jsonl', 'multiplier.v']) {
    const path = join('trials', name, file);
    assert.equal(sha256(join('disturbed', path)), sha256(join('alone', path)), `${path} differs`);
  }
}
for (const folder of ['disturbed', 'alone']) tram(folder, '--report', '--no-synthesis', '--quiet');
assert.equal(sha256('disturbed/front.json'), sha256('alone/front.json'));
console.log(
  `${killed} kills of ${workers} workers, ${trials} trials of ${epochs} epochs: none lost, none twice, ${again} epochs that were not saved yet again; all results equal`,
);
process.exit(0);
