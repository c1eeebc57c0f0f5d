// The lock of a run folder: one process at a time works in it, and a second one is told which. Invariant: a lock is
// removed by its owner, or by another process after it has made sure that the owner is gone. No clocks are compared.
// Where process ids mean the same (the same host, boot and pid namespace) the owner is looked up with its start time;
// anywhere else (another machine of a network file system, also a clone of this one; another container, a boot that is
// over) its pulse decides: the owner's heartbeat touches the file as long as it lives, and whoever waits for it
// measures the silence with a clock of its own.

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
import { given } from '../../tensor/given.ts';
import { schedulerTask } from './scheduler.ts';

export const LOCK_FILE = '.lock';

/** Milliseconds between two heartbeats. */
const BEAT = 1000;
/**
 * Milliseconds without a heartbeat after which an owner counts as gone: on this machine, and on another behind a
 * network.
 */
const PATIENCE = { near: 6000, far: 20_000 } as const;
const GLANCE = 250;
/** Milliseconds of silence that one look can tell of: a watcher that stood still itself has heard nothing. */
const EARSHOT = 5000;

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
  /** What a cluster's scheduler calls the process, where one has started it: "Slurm task 17_4". */
  task: z.string().exactOptional(),
});
export type Owner = z.output<typeof ownerSchema>;

export interface RunLock {
  /** False when another process has taken the folder over, as after a long sleep of this machine. */
  isHeld(): boolean;
  /** Throws a BusyError when the lock is not held any more. */
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
  /** Waits for no pulse: what was seen of it at earlier looks decides. */
  readonly watched?: Watched | undefined;
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
  /** False where an owner elsewhere has given no sign of life yet since it was first looked at. */
  readonly isAlive: boolean;
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
    const state = seen && (options.watched?.fateOf(path, seen) ?? (await fateOf(path, seen, options)));
    if (state === 'alive' || state === 'unsure') return { owner: seen?.owner, isAlive: state === 'alive' };
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
    ...given({ task: schedulerTask() }),
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
  /** Time of the last heartbeat by the owner's clock, in milliseconds: for people, since clocks differ. */
  readonly beat: number;
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
    return { owner: owner.data, pulse: `${owner.data?.token} ${ino} ${size} ${mtimeMs}`, beat: mtimeMs };
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
  /** Time of the last heartbeat by the owner's clock, in milliseconds. */
  readonly beat: number;
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
  const patience = patienceWith(owner);
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

/** Milliseconds of silence after which an owner that cannot be looked up counts as gone. */
function patienceWith(owner: Owner | undefined): number {
  const isNear = owner?.host === hostname() && bootOf(owner.place) === bootOf(placeOfProcessIds());
  return isNear ? PATIENCE.near : PATIENCE.far;
}

/**
 * What was seen of the pulses of many locks, for one who looks at all of them now and then and waits at none.
 * Invariant: an owner counts as gone after its patience of silence by this process's own clock, of which each look adds
 * no more than it can tell of; any change of the pulse begins anew.
 */
export class Watched {
  readonly #now: () => number;
  readonly #seen = new Map<string, { pulse: string; at: number; silence: number; isAlive: boolean }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** `unsure`: it has been silent so far, but not for long enough. */
  fateOf(path: string, { owner, pulse }: Pick<Seen, 'owner' | 'pulse'>): Fate | 'unsure' {
    const known = owner && fateByProcess(owner);
    if (known) return known;
    const at = this.#now();
    const before = this.#seen.get(path);
    if (before?.pulse !== pulse) {
      this.#seen.set(path, { pulse, at, silence: 0, isAlive: before !== undefined });
      return before ? 'alive' : 'unsure';
    }
    before.silence += Math.min(EARSHOT, at - before.at);
    before.at = at;
    if (before.silence >= patienceWith(owner)) return 'gone';
    return before.isAlive ? 'alive' : 'unsure';
  }
}

const bootOf = (place: string | null): string | undefined => place?.split(' ')[0];

/**
 * What process ids tell: nothing of another place, and nothing of this process, whose threads end without being seen.
 */
function fateByProcess({ token, pid, host, place, started }: Owner): Fate | undefined {
  if (held.has(token)) return 'alive';
  // Machines that were copied while they ran have their boot in common.
  if (host !== hostname() || place === null || place !== placeOfProcessIds() || started === null) return undefined;
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
  const isHeld = () => held.has(token) && isOurs();
  return {
    isHeld,
    check() {
      if (isHeld()) return;
      throw new BusyError(
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
