// The lock of a run folder: one process at a time works in it, and a second one is told which. Invariant: a lock is
// removed by its owner, or by another process after it has made sure that the owner is gone. No clocks are compared.
// Where process ids mean the same (the same boot and pid namespace) the owner is looked up with its start time;
// anywhere else (another machine of a network file system, another container, a boot that is over) its pulse decides:
// the owner's heartbeat touches the file as long as it lives.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { BusyError, UserError } from '../../tensor/errors.ts';
import { fileError, makeFolder, removeFile, sweepTemporaries } from '../../tensor/files.ts';

export const LOCK_FILE = '.lock';

/** Milliseconds between two heartbeats. */
const BEAT = 1000;
/**
 * Milliseconds without a heartbeat after which an owner counts as gone: on this machine, and on another behind a
 * network.
 */
const PATIENCE = { near: 6000, far: 20_000 } as const;
const GLANCE = 250;

const ownerSchema = z.object({
  /** Tells this lock from every other. */
  token: z.string().min(8),
  pid: z.int(),
  host: z.string(),
  /** Where process ids mean the same; null where the system does not say. */
  place: z.string().nullable(),
  /** Start time of the process in the system's ticks; null where the system does not say. */
  started: z.string().nullable(),
  since: z.string(),
  command: z.string(),
});
export type Owner = z.output<typeof ownerSchema>;

export interface RunLock {
  /** Throws a UserError when another process has taken the folder over, as after a long sleep of this machine. */
  check(): void;
  /**
   * Gives the folder back; may be called again. A folder that the lock has made, and that is still empty, goes with it.
   */
  release(): void;
}

export interface LockOptions {
  /** Told when the owner's life can only be watched for. */
  readonly onWait?: (text: string) => void;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

/** Tokens that this thread holds now. */
const held = new Set<string>();

/** Locks a run folder, which is made when it is missing. A UserError says who works in it. */
export async function lockRun(folder: string, options: LockOptions = {}): Promise<RunLock> {
  const locked = await tryLock(folder, options);
  if (isLock(locked)) return locked;
  throw new BusyError(inUse(folder, locked.owner));
}

/** A folder in which another process works, and who, where it has written itself down. */
export interface InUse {
  readonly owner: Owner | undefined;
}

export const isLock = (locked: RunLock | InUse): locked is RunLock => 'release' in locked;

/** As lockRun, for one who has other work: a folder in which another process works is no mistake. */
export async function tryLock(folder: string, options: LockOptions = {}): Promise<RunLock | InUse> {
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new UserError(`${folder} is a file; a folder for the run was expected`);
  }
  const made = makeMissing(folder);
  try {
    const locked = await claim(folder, made, options);
    if (!isLock(locked)) removeEmpty(made);
    return locked;
  } catch (error) {
    removeEmpty(made);
    throw error;
  }
}

async function claim(folder: string, made: readonly string[], options: LockOptions): Promise<RunLock | InUse> {
  const path = join(folder, LOCK_FILE);
  for (;;) {
    const owner = thisProcess();
    if (create(path, owner)) return holding(path, owner, made);
    const seen = look(path);
    const state = seen && (await fateOf(path, seen, options));
    if (state === 'alive') return { owner: seen?.owner };
    if (state === 'gone') await breakLock(path, seen!, options);
  }
}

function thisProcess(): Owner {
  return {
    token: randomBytes(12).toString('hex'),
    pid: process.pid,
    host: hostname(),
    place: placeOfProcessIds(),
    started: startOf(process.pid),
    since: new Date().toISOString(),
    command: ['tram', ...process.argv.slice(2)].join(' ').slice(0, 200),
  };
}

function placeOfProcessIds(): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return null;
  }
}

/**
 * Start of a process in the system's ticks; null where the system does not say. One that has ended and only waits for
 * its parent to notice has none.
 */
function startOf(pid: number): string | null {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Behind the command's name, which may hold blanks and parentheses: the state first, the start as the twentieth.
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
    return 'ZX'.includes(fields[0]!) ? 'ended' : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Makes the lock file, with its owner in it; false when there is one. */
function create(path: string, owner: Owner): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError('write', path, error);
  }
  try {
    writeSync(descriptor, `${JSON.stringify(owner)}\n`);
  } catch (error) {
    unlinkSync(path);
    throw fileError('write', path, error);
  } finally {
    closeSync(descriptor);
  }
  return true;
}

interface Seen {
  /** Undefined while the owner has not written itself down, or never did. */
  readonly owner: Owner | undefined;
  /** Changes with every heartbeat. */
  readonly pulse: string;
}

/** The lock as it stands; undefined when it is gone. */
function look(path: string): Seen | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError('read', path, error);
  }
  try {
    const { mtimeMs, size, ino } = fstatSync(descriptor);
    const owner = ownerSchema.safeParse(parsed(readFileSync(descriptor, 'utf8')));
    return { owner: owner.data, pulse: `${owner.data?.token} ${ino} ${size} ${mtimeMs}` };
  } catch (error) {
    throw fileError('read', path, error);
  } finally {
    closeSync(descriptor);
  }
}

/** A lock as one glance shows it. */
export interface Glance {
  /** Undefined where the owner has not written itself down. */
  readonly owner: Owner | undefined;
  /** Changes with every heartbeat. */
  readonly pulse: string;
  /** Undefined where only the pulse tells: of an owner on another machine. */
  readonly isAlive: boolean | undefined;
}

/** Who works in a run folder, for one who only looks on; undefined where nobody does. Changes nothing. */
export function glanceAt(folder: string): Glance | undefined {
  const seen = look(join(folder, LOCK_FILE));
  if (!seen) return undefined;
  const fate = seen.owner && fateByProcess(seen.owner);
  return { ...seen, isAlive: fate === undefined ? undefined : fate === 'alive' };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type Fate = 'alive' | 'gone';

/** What became of a lock's owner; undefined when the lock has changed hands or is gone while it was watched. */
async function fateOf(path: string, seen: Seen, { onWait, signal }: LockOptions): Promise<Fate | undefined> {
  const { owner } = seen;
  const known = owner && fateByProcess(owner);
  if (known) return known;
  const patience = owner && bootOf(owner.place) === bootOf(placeOfProcessIds()) ? PATIENCE.near : PATIENCE.far;
  onWait?.(
    `the folder is marked as in use${owner ? ` by ${describe(owner)}` : ''}; watching for up to ${patience / 1000} s whether that still lives`,
  );
  for (let waited = 0; waited < patience; waited += GLANCE) {
    await setTimeout(GLANCE);
    signal?.throwIfAborted();
    const now = look(path);
    if (now?.owner?.token !== owner?.token) return undefined;
    if (now?.pulse !== seen.pulse) return now && 'alive';
  }
  return 'gone';
}

const bootOf = (place: string | null): string | undefined => place?.split(' ')[0];

/**
 * What process ids tell: nothing of another place, and nothing of this process, whose threads end without being seen.
 */
function fateByProcess({ token, pid, place, started }: Owner): Fate | undefined {
  if (held.has(token)) return 'alive';
  if (place === null || place !== placeOfProcessIds() || started === null) return undefined;
  const found = startOf(pid);
  if (found === null && processExists(pid)) return undefined;
  if (found !== started) return 'gone';
  return pid === process.pid ? undefined : 'alive';
}

/** Also for a process of another user, of which the system tells no more. */
function processExists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * Removes the lock of an owner that is gone. Of several processes that come to this conclusion one makes the claim to
 * that lock, by its token, and only that one removes it: a lock that was made anew meanwhile has another token and
 * stays.
 */
async function breakLock(path: string, { owner, pulse }: Seen, options: LockOptions): Promise<void> {
  const claim = `${path}.${owner?.token.replace(/\W/g, '_').slice(0, 24) ?? 'nobody'}`;
  if (!create(claim, thisProcess())) {
    const other = look(claim);
    if (other && (await fateOf(claim, other, { signal: options.signal })) === 'gone') removeFile(claim);
    else await setTimeout(GLANCE);
    return;
  }
  try {
    const now = look(path);
    if (now && (owner ? now.owner?.token === owner.token : now.pulse === pulse)) removeFile(path);
  } finally {
    removeFile(claim);
  }
}

/**
 * The heartbeat runs in a thread of its own: a step, a search or a synchronous file system may keep this one busy for
 * minutes.
 */
const HEARTBEAT = `
  const { workerData: { path, token, interval } } = require('node:worker_threads');
  const { openSync, readFileSync, futimesSync, closeSync } = require('node:fs');
  setInterval(() => {
    let descriptor;
    try {
      descriptor = openSync(path, 'r+');
      const now = new Date();
      if (readFileSync(descriptor, 'utf8').includes(token)) futimesSync(descriptor, now, now);
    } catch {} finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }, interval);
`;

function holding(path: string, { token }: Owner, made: readonly string[]): RunLock {
  held.add(token);
  sweepTemporaries(dirname(path));
  const absolute = resolve(path);
  const heart = new Worker(HEARTBEAT, {
    eval: true,
    workerData: { path: absolute, token, interval: BEAT },
    execArgv: [],
    env: {},
  });
  heart.unref();
  // Without a heartbeat the lock still holds against everybody who can look this process up.
  heart.on('error', () => {});
  const isOurs = () => look(absolute)?.owner?.token === token;
  const release = () => {
    process.off('exit', release);
    if (!held.delete(token)) return;
    void heart.terminate();
    try {
      if (isOurs()) unlinkSync(absolute);
      removeEmpty(made);
    } catch {
      // The folder is gone or may not be written any more: a lock without its owner is broken by whoever comes next.
    }
  };
  process.on('exit', release);
  return {
    check() {
      if (held.has(token) && isOurs()) return;
      throw new UserError(
        `another process has taken over ${dirname(path)} while this one stood still; what it does there is not disturbed, run again when it has ended`,
      );
    },
    release,
  };
}

function inUse(folder: string, owner: Owner | undefined): string {
  const who = owner ? describe(owner) : 'another process';
  return `${folder} is in use by ${who}; wait until that has ended, or use another folder`;
}

function describe({ pid, host, since, command }: Owner): string {
  const self = pid === process.pid && host === hostname() ? ', this very process' : '';
  return `'${command}' (process ${pid} on ${host}${self}, since ${since})`;
}

/**
 * Removes the lock of this process, whichever thread of it holds it: for the end of a process that does not wait for
 * its threads. Never throws.
 */
export function dropLock(folder: string): void {
  const path = join(folder, LOCK_FILE);
  try {
    const owner = look(path)?.owner;
    if (owner?.pid === process.pid && owner.place === placeOfProcessIds()) unlinkSync(path);
  } catch {
    // Then it is broken by whoever comes next.
  }
}

/** Makes a folder and its missing parents; the ones that it made, innermost first. */
function makeMissing(folder: string): string[] {
  const missing: string[] = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.push(at);
  makeFolder(folder);
  return missing;
}

function removeEmpty(made: readonly string[]): void {
  try {
    for (const folder of made) rmdirSync(folder);
  } catch {
    // Something is in it, or it is gone.
  }
}
