// The program on several GPUs of this host, as a user runs it, after the build:
//   node scripts/check-ranks.mjs [--ranks N] [--reference]
// Trains a small network on the digits on 1 and on N GPUs (children of the program, and ranks as torchrun starts them),
// kills a replica and the program, and goes on elsewhere. A line per check as it goes; exit code 0 where all hold.
// --reference tries this file without a GPU, in small.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { optionsOf } from '../bench/options.mjs';

const { values: given } = optionsOf(import.meta.url, {
  options: { ranks: { type: 'string', default: '2' }, reference: { type: 'boolean', default: false } },
});
const ranks = Number(given.ranks);
const program = join(import.meta.dirname, '../dist/cli/main.js');
const [name, several] = given.reference ? ['reference', `reference:${ranks}`] : ['cuda', `cuda:0-${ranks - 1}`];
const small = ['--data', 'procedural:16x16x3,classes=10,images=48,test=10', '--batch-size', `${8 * ranks}`];
const model = join(import.meta.dirname, '../test/onnx/transformer.onnx');
const network = given.reference ? [...small, '--model', model] : ['--batch-size', `${64 * ranks}`, '--sync-batch-norm'];
const parent = mkdtempSync(join(tmpdir(), 'tram-check-ranks-'));
let failed = false;

function check(what, holds, detail = '') {
  failed ||= !holds;
  console.log(`${holds ? 'ok    ' : 'FAILED'} ${what}${detail === '' ? '' : `: ${detail}`}`);
}

function start(args, environment = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let text = '';
  const listen = (chunk) => {
    text += chunk;
  };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', listen);
  const ended = new Promise((done) => child.on('close', (code, signal) => done({ code, signal, text })));
  return { child, ended, said: () => text };
}

const train = (folder, device, epochs, environment) =>
  start(['train', join(parent, folder), ...network, '--epochs', String(epochs), '--device', device], environment);
const read = (folder, file) => readFileSync(join(parent, folder, file));
const hash = (folder) => createHash('sha256').update(read(folder, 'checkpoints/float.safetensors')).digest('hex');
const losses = (folder) =>
  read(folder, 'metrics.jsonl')
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).loss);
const device = (folder) => JSON.parse(read(folder, 'manifest.json')).phases.train.device;
const lastLine = ({ text }) => text.trim().split('\n').at(-1);

async function until(look, seconds) {
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    const found = look();
    if (found) return found;
    await pause(50);
  }
  return undefined;
}

const childrenOf = (pid) =>
  readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
/** Those of them that have a device of their own, and do not only compile. */
const replicasOf = (pid) =>
  childrenOf(pid).filter((child) => readFileSync(`/proc/${child}/environ`, 'latin1').includes('TRAM_REPLICA='));
/** How a process stands with the system, for people: its state, and what its threads wait in. */
function stateOf(pid) {
  const of = (path) => {
    try {
      return readFileSync(`/proc/${path}`, 'utf8').trim();
    } catch (error) {
      return error.code;
    }
  };
  if (!existsSync(`/proc/${pid}/status`)) return 'no process any more';
  const state = (path) => /State:\s*(\S)/.exec(of(`${path}/status`))?.[1];
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const path = `${pid}/task/${thread}`;
    return `${of(`${path}/comm`)} ${state(path)} ${of(`${path}/wchan`)}`;
  });
  const counts = new Map();
  for (const thread of threads) counts.set(thread, (counts.get(thread) ?? 0) + 1);
  return `${state(pid)}; ${[...counts].map(([thread, count]) => `${count} × ${thread}`).join(', ')}`;
}
const lives = (pid) => existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
const hasEpoch = (folder) => () =>
  existsSync(join(parent, folder, 'metrics.jsonl')) && read(folder, 'metrics.jsonl').length > 0;
/** As large as a relative difference of losses may be: sums are made of other parts, in tf32 on a GPU. */
const CLASS = given.reference ? 1e-4 : 2e-2;
const apart = (a, b) => Math.max(...losses(a).map((loss, at) => Math.abs(loss / losses(b)[at] - 1)));

try {
  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  for (const [folder, where] of [
    ['one', name],
    ['several', several],
    ['again', several],
  ]) {
    const end = await train(folder, where, 2).ended;
    check(`two epochs on ${where}`, end.code === 0, end.code === 0 ? seconds() : lastLine(end));
    if (end.code !== 0) process.exit(1);
    console.log(`       losses ${losses(folder).join(', ')}; ${device(folder).detail}`);
  }
  check('the manifest says how many', device('several').devices === ranks && device('one').devices === undefined);
  check(`twice on ${ranks}: the same bits`, hash('several') === hash('again'));
  check(`1 and ${ranks} agree`, apart('one', 'several') < CLASS, `${apart('one', 'several').toExponential(2)} apart`);

  const port = 20_000 + (process.pid % 10_000);
  const environment = (rank) => ({
    ...{ RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: `${ranks}` },
    ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: `${port}` },
  });
  const all = Array.from({ length: ranks }, (_, rank) => train('ranks', `${name}:ranks`, 2, environment(rank)));
  const ends = await Promise.all(all.map(({ ended }) => ended));
  check(
    'ranks as of torchrun end with code 0',
    ends.every(({ code }) => code === 0),
    ends.map(lastLine).join(' | '),
  );
  check('and give the bits of the children', existsSync(join(parent, 'ranks')) && hash('ranks') === hash('several'));

  for (const folder of ['killed', 'orphaned']) {
    const { child, ended, said } = train(folder, several, 2000);
    if (!(await until(hasEpoch(folder), 90))) {
      check('an epoch before the kill', false, said());
      child.kill('SIGKILL');
      continue;
    }
    const replicas = replicasOf(child.pid);
    const killed = performance.now();
    if (folder === 'killed') {
      process.kill(replicas[0], 'SIGKILL');
      const end = await Promise.race([ended, pause(60_000, undefined, { ref: false })]);
      const took = `${((performance.now() - killed) / 1000).toFixed(1)} s, ${end ? `code ${end.code} ${end.signal ?? ''}` : 'never'}`;
      check('a killed replica ends the run with code 1', end?.code === 1, took);
      console.log(`       ${end ? lastLine(end) : said()}`);
      if (!end) {
        for (const pid of [child.pid, ...replicas]) console.log(`       process ${pid}: ${stateOf(pid)}`);
        console.log(`       children: ${childrenOf(child.pid).map((pid) => `${pid} ${stateOf(pid)}`)}`);
      }
      child.kill('SIGKILL');
    } else {
      child.kill('SIGKILL');
      const gone = await until(() => replicas.every((pid) => !lives(pid)), 30);
      check(
        'killed, the program leaves no replica',
        gone === true,
        `${((performance.now() - killed) / 1000).toFixed(1)} s`,
      );
      for (const pid of replicas) if (lives(pid)) process.kill(pid, 'SIGKILL');
    }
  }
  const saved = losses('killed').length;
  const { child, ended } = train('killed', name, 2000);
  await until(() => losses('killed').length > saved + 2, 60);
  child.kill('SIGTERM');
  const end = await ended;
  check('the run goes on with one', losses('killed').length > saved && end.code === 143, `from epoch ${saved}`);
  console.log(`${failed ? 'FAILED' : 'all hold'} after ${seconds()}`);
} finally {
  rmSync(parent, { recursive: true });
}
process.exit(failed ? 1 : 0);
