// Several devices as processes: replicas of this host, ranks as torchrun starts them, and what becomes of a run when
// one of them dies. On the reference device, which reduces over sockets; the built program, because replicas are
// processes.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { DeviceOptions } from '../../src/flow/run/device.ts';
import type { MetricRecord } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { freePort } from '../ports.ts';

const dist = join(import.meta.dirname, '../../dist');
const program = join(dist, 'cli/main.js');
const { runFlow } = (await import(pathToFileURL(join(dist, 'index.js')).href)) as typeof import('../../src/index.ts');

const parent = mkdtempSync(join(tmpdir(), 'tram-ranks-'));
afterAll(() => rmSync(parent, { recursive: true }));

// A small network without batch norm, whose statistics would be those of each device.
const model = join(import.meta.dirname, '../onnx/transformer.onnx');
const data = 'procedural:16x16x3,classes=10,images=24,test=10';
const settings = { data, model, train: { epochs: 2, batchSize: 8 } };
const words = ['--data', data, '--model', model, '--batch-size', '8'];

const metrics = (folder: string): MetricRecord[] =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricRecord);

/** Trains on so many devices, stopped behind a step of an epoch. */
async function train(folder: string, count: number, until?: readonly [epoch: number, step: number]): Promise<string> {
  const controller = new AbortController();
  const device: DeviceOptions = {
    name: 'reference',
    ...(count === 1 ? {} : { devices: Array.from({ length: count }, (_, at) => at) }),
  };
  return await runFlow({
    folder: join(parent, folder),
    settings,
    phases: ['train'],
    device,
    listener: (event) => {
      if (event.kind === 'step' && event.epoch === until?.[0] && event.step === until[1]) controller.abort();
    },
    signal: controller.signal,
  }).then(
    () => 'done',
    (error) => (error === controller.signal.reason ? 'stopped' : Promise.reject(error)),
  );
}

test('a run goes on, from the middle of an epoch, on another number of devices', async () => {
  expect(await train('whole', 1)).toBe('done');
  expect(await train('parts', 1, [1, 2])).toBe('stopped');
  expect(await train('parts', 2, [2, 1])).toBe('stopped');
  expect(await train('parts', 1)).toBe('done');
  const [whole, parts] = ['whole', 'parts'].map((name) => metrics(join(parent, name)));
  expect(parts!.map(({ epoch }) => epoch)).toEqual([1, 2]);
  // Sums of the parts of a batch are other sums of the same numbers: single precision apart, the same.
  for (const [at, { loss, testLoss }] of parts!.entries()) {
    expect(Math.abs(loss / whole![at]!.loss - 1)).toBeLessThan(1e-4);
    expect(Math.abs(testLoss / whole![at]!.testLoss - 1)).toBeLessThan(1e-3);
  }
  const devices = ['whole', 'parts'].map((name) => readManifest(join(parent, name)).phases.train!.device);
  expect(devices[0]).not.toHaveProperty('parts');
  expect(devices[1]).toMatchObject({
    parts: [1, 2, 1],
    detail: expect.stringContaining('on 1, then 2, then 1 devices'),
  });
});

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly text: string;
}

type Started = ReturnType<typeof start>;

/** `on`: what is typed in front, to start it elsewhere. */
function start(args: readonly string[], environment: NodeJS.ProcessEnv = {}, on: readonly string[] = []) {
  const [command, ...words] = [...on, process.execPath, program, ...args];
  const child = spawn(command!, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  const ended = new Promise<Ended>((done) => child.on('close', (code, signal) => done({ code, signal, text })));
  return { child, ended, said: () => text, over: () => child.exitCode !== null };
}

/** Waits for something; fails where it does not come. */
async function until<T>(look: () => T | undefined | false, what: string, started?: Started): Promise<T> {
  for (let waited = 0; waited < 240_000 && !started?.over(); waited += 50) {
    const found = look();
    if (found) return found;
    await pause(50);
  }
  throw new Error(`${what} did not come; ${started?.said()}`);
}

/** The processes that a process has started, as far as they live; undefined where there are none. */
function childrenOf({ pid }: Pick<ChildProcess, 'pid'>): number[] | undefined {
  if (!existsSync(`/proc/${pid}/task`)) return undefined;
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
  return children.length > 0 ? children : undefined;
}

const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));

const isThere = existsSync('/proc/self/task');
const hasEpoch = (folder: string) => () =>
  existsSync(join(folder, 'metrics.jsonl')) && readFileSync(join(folder, 'metrics.jsonl'), 'utf8') !== '';

describe.skipIf(!isThere)('a process that dies (looks processes up in /proc, which is not here)', () => {
  test('a replica: the run ends with its name, host and device, and where it goes on', async () => {
    const folder = join(parent, 'replica-dies');
    const started = start(['train', folder, ...words, '--epochs', '500', '--device', 'reference:2']);
    const { child, ended } = started;
    await until(hasEpoch(folder), 'an epoch', started);
    const [replica] = childrenOf(child)!;
    process.kill(replica!, 'SIGKILL');
    const { code, text } = await ended;
    expect(text).toMatch(/rank 1 \(\S+, plain TypeScript, single precision\) is lost: .*repeat the command/);
    expect(text).toMatch(/the last resume point of train is behind \d+ epochs|train had no resume point yet/);
    expect(code).toBe(1);
    expect(existsSync(join(folder, '.lock'))).toBe(false);
  });

  test('a replica that has only begun: what stops all processes at once stops the run in order', async () => {
    const started = start(['train', join(parent, 'early'), ...words, '--epochs', '500', '--device', 'reference:2']);
    const [replica] = await until(() => childrenOf(started.child), 'a replica', started);
    process.kill(replica!, 'SIGTERM');
    started.child.kill('SIGTERM');
    expect(await started.ended).toMatchObject({ code: 143, text: expect.stringMatching(/^tram: stopped/m) });
  });

  test('the program: its replicas end with it', async () => {
    const folder = join(parent, 'leader-dies');
    const { child, ended } = start(['train', folder, ...words, '--epochs', '500', '--device', 'reference:2']);
    const [replica] = await until(() => childrenOf(child), 'a replica');
    child.kill('SIGKILL');
    expect((await ended).signal).toBe('SIGKILL');
    await until(() => !isAlive(replica!), 'the end of the replica');
  });
});

const rank = (number: number, ranks: number, port: number) => ({
  ...{ RANK: `${number}`, LOCAL_RANK: `${number}`, WORLD_SIZE: `${ranks}` },
  ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: `${port}` },
});

test('ranks of torchrun: all are stopped at once, and twice; rank 0 saves, the others write nothing and end with it', async () => {
  const port = await freePort();
  const [folder, nowhere] = [join(parent, 'ranks'), join(parent, 'nowhere')];
  const args = [...words, '--epochs', '500', '--device', 'reference:ranks'];
  const [leader, replica] = [0, 1].map((number) => start(['train', folder, ...args], rank(number, 2, port)));
  await until(hasEpoch(folder), 'an epoch', leader);
  // The replica hears all of it while rank 0 goes on for certain, so that no signal meets a process that has ended. Not
  // even Ctrl-C ends one that rank 0 needs.
  for (const signal of ['SIGTERM', 'SIGTERM', 'SIGINT'] as const) {
    replica!.child.kill(signal);
    await pause(20);
  }
  expect(replica!.child.exitCode).toBe(null);
  expect(replica!.child.signalCode).toBe(null);
  for (const _ of ['by scancel', 'by srun']) {
    leader!.child.kill('SIGTERM');
    await pause(5);
  }
  const [first, second] = await Promise.all([leader!.ended, replica!.ended]);
  expect(first.text).toMatch(/stopped; the work so far is saved, go on with: tram train .* --device reference:ranks/);
  expect(first.code).toBe(143);
  expect(second.text).toMatch(/^tram: rank 1 of 2 works for rank 0 on \S+, which tells what is done\n/);
  expect(second.text.match(/rank 0 saves and ends, and this rank with it/g)).toHaveLength(1);
  expect(second.code).toBe(1);
  expect(existsSync(join(folder, 'checkpoints/resume.safetensors'))).toBe(true);
  expect(existsSync(nowhere)).toBe(false);
});

test('a rank that waits for rank 0 is stopped like any other program', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const { child, ended } = start(['train', 'none', '--device', 'reference:ranks'], rank(1, 2, port));
  await once(server, 'connection');
  child.kill('SIGTERM');
  expect(await ended).toMatchObject({ code: 143, text: 'tram: rank 1 was stopped while it waited for rank 0\n' });
  server.close();
});

test('ranks of unlike commands end before anything is done, with the same words', async () => {
  const port = await freePort();
  const folder = join(parent, 'unlike');
  const args = ['train', folder, '--device', 'reference:ranks', '--seed'];
  const [leader, other] = ['1', '2'].map((seed, number) => start([...args, seed], rank(number, 2, port)));
  const [first, second] = await Promise.all([leader!.ended, other!.ended]);
  const message =
    /rank 1 on \S+ \(process \d+\) does not fit: its --seed says '2', that of rank 0 '1'; start all ranks/;
  for (const { text, code } of [first, second]) {
    expect(text).toMatch(message);
    expect(code).toBe(2);
  }
  expect(existsSync(folder)).toBe(false);
});

/** Two networks of this machine that a cable joins, as two hosts have them; undefined with the reason where not. */
function twoHosts(): { readonly hosts: readonly string[]; dispose(): void } | { readonly reason: string } {
  const hosts = [0, 1].map((at) => `tram${process.pid}x${at}`);
  const ip = (...args: readonly string[]) => execFileSync('ip', args, { stdio: 'pipe' });
  const dispose = () => {
    for (const host of hosts) {
      try {
        ip('netns', 'del', host);
      } catch {
        // It was not made.
      }
    }
  };
  try {
    for (const host of hosts) ip('netns', 'add', host);
    ip('-n', hosts[0]!, 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', hosts[1]!);
    for (const [at, host] of hosts.entries()) {
      ip('-n', host, 'addr', 'add', `10.77.0.${at + 1}/24`, 'dev', 'cable');
      ip('-n', host, 'link', 'set', 'cable', 'up');
      ip('-n', host, 'link', 'set', 'lo', 'up');
    }
    return { hosts, dispose };
  } catch (error) {
    dispose();
    return {
      reason: String((error as Error).message)
        .trim()
        .split('\n')
        .at(-1)!,
    };
  }
}

test('ranks of Slurm on two hosts train as one device does', async ({ skip }) => {
  const made = twoHosts();
  if ('reason' in made) return skip(`no two networks can be made here: ${made.reason}`);
  try {
    const folder = join(parent, 'hosts');
    const args = ['train', folder, ...words, '--epochs', '2', '--device', 'reference:ranks'];
    const task = (number: number) => ({
      ...{ SLURM_PROCID: `${number}`, SLURM_LOCALID: '0', SLURM_NTASKS: '2', SLURM_JOB_ID: `${process.pid}` },
      ...{ SLURM_JOB_NODELIST: '10.77.0.[1-2]' },
    });
    const ranks = [0, 1].map((number) => start(args, task(number), ['ip', 'netns', 'exec', made.hosts[number]!]));
    const [first, second] = await Promise.all(ranks.map(({ ended }) => ended));
    expect([first!.code, second!.code], first!.text + second!.text).toEqual([0, 0]);
    const alone = metrics(join(parent, 'whole'));
    for (const [at, { loss }] of metrics(folder).entries())
      expect(Math.abs(loss / alone[at]!.loss - 1)).toBeLessThan(1e-4);
    expect(readManifest(folder).phases.train!.device).toMatchObject({ devices: 2 });
    const said = execFileSync('ip', ['-n', made.hosts[1]!, '-s', '-j', 'link', 'show', 'cable'], { encoding: 'utf8' });
    const [{ stats64 }] = JSON.parse(said) as [{ stats64: { rx: { bytes: number } } }];
    // Programs, images and reductions did cross the cable.
    expect(stats64.rx.bytes).toBeGreaterThan(20_000);
  } finally {
    made.dispose();
  }
});
