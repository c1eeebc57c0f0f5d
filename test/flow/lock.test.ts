// The lock of a run folder, between real processes: a second one is told who works there, and what an owner that is
// gone has left is taken over by exactly one.

import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { glanceAt, isLock, LOCK_FILE, lockRun, tryLock, Watched } from '../../src/flow/run/lock.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-lock-'));
const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});
afterAll(() => rmSync(parent, { recursive: true }));

const dist = join(import.meta.dirname, '../../dist');
const library = pathToFileURL(join(dist, 'flow/run/lock.js')).href;

let folders = 0;
function newFolder(): string {
  const folder = join(parent, `run-${folders++}`);
  mkdirSync(folder);
  return folder;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** A process of Node; `said` resolves when its output contains the text. */
function start(...args: readonly string[]) {
  const child = spawn(process.execPath, args, { cwd: parent });
  children.add(child);
  let [out, err] = ['', ''];
  let onOutput = () => {};
  child.stdout.on('data', (data) => {
    out += data;
    onOutput();
  });
  child.stderr.on('data', (data) => {
    err += data;
  });
  const ended = new Promise<Ended>((done) => child.on('close', (code, signal) => done({ code, signal, out, err })));
  const said = (text: string) =>
    new Promise<void>((done, fail) => {
      onOutput = () => out.includes(text) && done();
      onOutput();
      void ended.then(() => fail(new Error(`ended without '${text}': ${out}${err}`)));
    });
  return { child, ended, said };
}

/** Takes the lock, says so, and works until it is told to end. */
const hold = (folder: string) =>
  start(
    '--input-type=module',
    '-e',
    `const { lockRun } = await import(${JSON.stringify(library)});
     const lock = await lockRun(${JSON.stringify(folder)});
     console.log('held');
     process.stdin.resume().on('end', () => lock.release());`,
  );

const lockPath = (folder: string) => join(folder, LOCK_FILE);

async function timed(work: Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work;
  return (performance.now() - begun) / 1000;
}

const here = () =>
  `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;

/** A lock that somebody else has left. */
function leave(folder: string, owner: object): void {
  const usual = { token: 'f00df00df00d', pid: 1, host: hostname(), place: here(), started: '1', since: 'then' };
  writeFileSync(lockPath(folder), JSON.stringify({ ...usual, command: 'tram run', ...owner }));
}

describe('a second process', () => {
  test('is told who works in the folder, and may when that has ended', async () => {
    const folder = newFolder();
    const first = hold(folder);
    await first.said('held');
    const { pid } = first.child;
    await expect(lockRun(folder)).rejects.toThrow(
      new RegExp(
        `^${folder} is in use by 'tram.*' \\(process ${pid} on ${hostname()}, since 2.*\\); wait until that has ended`,
      ),
    );
    first.child.stdin?.end();
    expect(await first.ended).toMatchObject({ code: 0 });
    expect(readdirSync(folder)).toEqual([]);
    (await lockRun(folder)).release();
  });

  test('is also this process itself, and a thread of it', async () => {
    const folder = newFolder();
    const lock = await lockRun(folder);
    await expect(lockRun(folder)).rejects.toThrow(/this very process/);
    lock.release();
    lock.release();
    const worker = new Worker(
      `import(${JSON.stringify(library)}).then(async ({ lockRun }) => {
        await lockRun(${JSON.stringify(folder)});
        require('node:worker_threads').parentPort.postMessage('held');
        setInterval(() => {}, 1000);
      });`,
      { eval: true, execArgv: [] },
    );
    await new Promise((done) => worker.once('message', done));
    await expect(lockRun(folder)).rejects.toThrow(/is in use by .* this very process/);
    // The thread ends without a word: its heartbeat stops with it.
    await worker.terminate();
    expect(await timed(lockRun(folder).then((taken) => taken.release()))).toBeLessThan(10);
  });

  test('refuses a folder in the place of the lock', async () => {
    mkdirSync(join(parent, 'locked/.lock'), { recursive: true });
    await expect(lockRun(join(parent, 'locked'))).rejects.toThrow(/^cannot read .*\.lock: .*EISDIR/);
  });

  test('refuses a folder that is a file, and leaves nothing of a folder that it made', async () => {
    writeFileSync(join(parent, 'file'), '');
    await expect(lockRun(join(parent, 'file'))).rejects.toThrow(/file is a file; a folder for the run was expected/);
    const lock = await lockRun(join(parent, 'deep', 'er'));
    expect(existsSync(lockPath(join(parent, 'deep', 'er')))).toBe(true);
    lock.release();
    expect(existsSync(join(parent, 'deep'))).toBe(false);
  });
});

describe('an owner that is gone', () => {
  test('because it was killed is replaced at once, and its temporary files go', async () => {
    const folder = newFolder();
    const first = hold(folder);
    await first.said('held');
    first.child.kill('SIGKILL');
    await first.ended;
    expect(existsSync(lockPath(folder))).toBe(true);
    mkdirSync(join(folder, 'checkpoints'));
    for (const name of ['.manifest.json.2.0.tmp', 'checkpoints/.a.safetensors.0123456789abcdef.tmp', '.mine.tmp']) {
      writeFileSync(join(folder, name), '');
    }
    const seconds = await timed(
      lockRun(folder).then((lock) => {
        expect(readdirSync(folder).toSorted()).toEqual([LOCK_FILE, '.mine.tmp', 'checkpoints'].toSorted());
        expect(readdirSync(join(folder, 'checkpoints'))).toEqual([]);
        lock.release();
      }),
    );
    // Not after the seconds that a silent owner is given.
    expect(seconds).toBeLessThan(5);
  });

  test('is not mistaken for a process that has its number now', async () => {
    const folder = newFolder();
    leave(folder, { pid: process.ppid, started: '1' });
    expect(await timed(lockRun(folder).then((lock) => lock.release()))).toBeLessThan(5);
  });

  test.concurrent.each([
    ['in another container of this machine', { place: `${here().split(' ')[0]} pid:[1]` }, 6],
    ['on another machine, or before a restart', { host: 'elsewhere', place: 'other pid:[1]' }, 20],
    ['before it had written itself down', undefined, 20],
  ])('%s is recognised by its pulse, not by its number or by clocks', async (_, owner, seconds) => {
    const folder = newFolder();
    if (owner) leave(folder, { pid: process.pid, ...owner });
    else writeFileSync(lockPath(folder), '');
    const future = new Date(Date.now() + 86_400_000);
    utimesSync(lockPath(folder), future, future);
    const said: string[] = [];
    const waited = await timed(lockRun(folder, { onWait: (text) => said.push(text) }).then((lock) => lock.release()));
    expect(waited).toBeGreaterThan(seconds - 1);
    expect(said[0]).toMatch(new RegExp(`marked as in use.*watching for up to ${seconds} s`));
  });

  test('is not gone while its heart beats on another machine', async () => {
    const folder = newFolder();
    leave(folder, { host: 'elsewhere', place: 'other pid:[1]' });
    const beat = setInterval(() => utimesSync(lockPath(folder), new Date(), new Date()), 500);
    try {
      await expect(lockRun(folder)).rejects.toThrow(/is in use by 'tram run' \(process 1 on elsewhere, since then\)/);
    } finally {
      clearInterval(beat);
    }
  });

  test('is replaced by one of many that come at once', async () => {
    const folder = newFolder();
    leave(folder, { pid: 2 ** 22 + 1 });
    const log = join(parent, 'log');
    writeFileSync(log, '');
    const script = `
      const { appendFileSync } = await import('node:fs');
      const { lockRun } = await import(${JSON.stringify(library)});
      for (let round = 0; round < 4;) {
        try {
          const lock = await lockRun(${JSON.stringify(folder)});
          round++;
          appendFileSync(${JSON.stringify(log)}, '(');
          await new Promise((done) => setTimeout(done, 20));
          appendFileSync(${JSON.stringify(log)}, ')');
          // Every other time the owner forgets its lock: nobody but the exit of the process gives it back.
          if (round < 4 || process.argv[1] === 'tidy') lock.release();
          else process.kill(process.pid, 'SIGKILL');
        } catch (error) {
          if (!/is in use/.test(error.message)) throw error;
          await new Promise((done) => setTimeout(done, 5));
        }
      }`;
    const ways = ['tidy', 'killed', 'tidy', 'killed', 'killed'];
    const ended = await Promise.all(ways.map((way) => start('--input-type=module', '-e', script, way).ended));
    for (const { err } of ended) expect(err).toBe('');
    expect(readFileSync(log, 'utf8')).toBe('()'.repeat(4 * ways.length));
    expect(readdirSync(folder).filter((name) => name !== LOCK_FILE)).toEqual([]);
  });
});

test('of another host, also a clone of this one, the pulse alone tells, and one who looks at many waits for none', async () => {
  const folder = newFolder();
  // Of this boot and process, so that only the name of the host says that the number means another process.
  leave(folder, { host: 'elsewhere', pid: process.pid });
  expect(glanceAt(folder)).toMatchObject({ isAlive: undefined });
  let now = 0;
  const watched = new Watched(() => now);
  const look = async (passed: number, beats?: Date) => {
    now += passed;
    if (beats) utimesSync(lockPath(folder), beats, beats);
    const locked = await tryLock(folder, { watched });
    if (!isLock(locked)) return locked.isAlive ? 'alive' : 'unsure';
    locked.release();
    return 'taken';
  };
  // Its clock is a day behind, then goes back: a change is a sign of life.
  expect(await look(0, new Date(Date.now() - 86_400_000))).toBe('unsure');
  expect(await look(4000)).toBe('unsure');
  expect(await look(4000, new Date(0))).toBe('alive');
  expect(await look(4000)).toBe('alive');
  // Hours between two looks, in which this process stood still, are no hours of silence.
  expect(await look(36e5)).toBe('alive');
  expect(await look(4000, new Date(1000))).toBe('alive');
  for (let silent = 4000; silent < 20_000; silent += 4000) expect(await look(4000)).toBe('alive');
  expect(await look(4000)).toBe('taken');
  expect(existsSync(lockPath(folder))).toBe(false);
});

test('an owner whose lock was taken over is told before it writes on', async () => {
  const folder = newFolder();
  const lock = await lockRun(folder);
  lock.check();
  leave(folder, {});
  expect(() => lock.check()).toThrow(/another process has taken over .*run-\d+ while this one stood still/);
  lock.release();
  expect(existsSync(lockPath(folder))).toBe(true);
});

test('the heart beats while the thread of the owner is busy', async () => {
  const folder = newFolder();
  const seen = join(parent, 'seen');
  const lock = await lockRun(folder);
  const script = `
    const { statSync, writeFileSync } = require('node:fs');
    const beats = new Set();
    setInterval(() => {
      beats.add(statSync(${JSON.stringify(lockPath(folder))}).mtimeMs);
      if (beats.size < 4) return;
      writeFileSync(${JSON.stringify(seen)}, '');
      process.exit();
    }, 100);`;
  const watcher = start('-e', script);
  const end = performance.now() + 240_000;
  // Nothing else has its turn on this thread before the beats were seen.
  while (!existsSync(seen) && performance.now() < end) await Promise.resolve();
  expect(existsSync(seen)).toBe(true);
  await watcher.ended;
  lock.release();
});

test('a program that works in a folder keeps others out, and gives it back when it is interrupted', async () => {
  const program = join(dist, 'cli/main.js');
  const folder = join(parent, 'program');
  const first = start(program, 'train', folder, '--epochs', '500');
  await first.said('epoch 1/500');
  for (const command of ['train', 'report']) {
    const { code, err } = await start(program, command, folder).ended;
    expect(code).toBe(2);
    expect(err).toMatch(
      new RegExp(
        `^tram: ${folder} is in use by 'tram train ${folder} --epochs 500' \\(process ${first.child.pid} on .*\\n$`,
      ),
    );
  }
  first.child.kill('SIGINT');
  expect(await first.ended).toMatchObject({ code: 130 });
  expect(existsSync(lockPath(folder))).toBe(false);
  const again = start(program, 'train', folder);
  await again.said('/500: loss');
  again.child.kill('SIGINT');
  await again.said('stopping');
  again.child.kill('SIGINT');
  expect(await again.ended).toMatchObject({ code: 130 });
  expect(existsSync(lockPath(folder))).toBe(false);
});
