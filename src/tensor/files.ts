// Files as artefacts: whole-file writes that either happen completely or not at all, JSON-lines logs that survive a
// killed process, and content hashes. Invariant: under its final name a file is always whole (temporary name, fsync,
// rename), and a log holds whole lines only once it has been opened. Every failure names the file and the cause. What
// is written inside a folder stays inside it, whatever names and links say. Not a cache, not a lock: two processes that
// write the same folder are the caller's business.

import { createHash, randomBytes } from 'node:crypto';
import {
  accessSync,
  type BigIntStats,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { StorageError, UserError } from './errors.ts';
import { formatBytes } from './numbers.ts';

const causes: Record<string, string> = {
  ENOSPC: 'no space left on the disk; free some space and run again',
  EDQUOT: 'the disk quota is used up; free some space and run again',
  EFBIG: 'the file would exceed the size limit of the system or the user',
  EACCES: 'permission denied; check the permissions of the file and its folder',
  EPERM: 'the operation is not permitted; check the permissions of the file and its folder',
  EROFS: 'the file system is read-only; choose another folder',
  ENOENT: 'no such file or folder; check the path',
  ENOTDIR: 'a part of the path is a file, not a folder; check the path',
  EISDIR: 'it is a folder, a file was expected',
  ELOOP: 'it is a symbolic link, which is not followed here or leads in a circle; put the file itself there',
  ENAMETOOLONG: 'the name is too long for the file system',
};

/** What a disk says that takes no more. */
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EIO'];

/** The user's error for a failed file operation: what was tried, on which file, and why it failed. */
export function fileError(action: 'read' | 'write' | 'remove', path: string, error: unknown): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  const cause = (code !== undefined && causes[code]) || message;
  const text = `cannot ${action} ${path}: ${cause}${code === undefined ? '' : ` (${code})`}`;
  return action === 'write' && code !== undefined && FULL.includes(code) ? new StorageError(text) : new UserError(text);
}

/** No file can be there: nothing is, a part of the path is a file, or the name is longer than any. */
const ABSENT: readonly string[] = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'];

/** What stands at a path, links followed; undefined where nothing can. A UserError names what may not be looked at. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (ABSENT.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw fileError('read', path, error);
  }
}

/** False for what stands there and may not be written by this user, or on its file system. */
export function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch (error) {
    return !['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

/**
 * The file's bytes; throws a UserError that names the file when it is missing, unreadable, larger than `limit` bytes,
 * or no regular file (a pipe would be waited for, a device has no end).
 */
export function readBytes(path: string, limit = Number.POSITIVE_INFINITY): Uint8Array {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    return readWhole(descriptor, path, limit);
  } catch (error) {
    throw error instanceof UserError ? error : fileError('read', path, error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function readWhole(descriptor: number, path: string, limit = Number.POSITIVE_INFINITY): Buffer {
  const stats = fstatSync(descriptor);
  // Reading a folder says itself that it is one.
  if (!stats.isDirectory()) requireRegular(stats, path);
  if (stats.size > limit) {
    const most = formatBytes(limit);
    const size = formatBytes(stats.size);
    const excess = size === most ? `more than ${most}` : size;
    throw new UserError(`cannot read ${path}: it has ${excess}, at most ${most} are read`);
  }
  return readFileSync(descriptor);
}

/** Throws a UserError that says what the thing is which is no regular file. */
export function requireRegular(stats: Stats, path: string): void {
  if (stats.isFile()) return;
  throw new UserError(
    `cannot read ${path}: it is ${kindOf(stats)}, a regular file was expected; save the data to a file`,
  );
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isFIFO()) return 'a pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

/** The file's text (UTF-8); throws like `readBytes`. */
export function readText(path: string, limit = Number.POSITIVE_INFINITY): string {
  return new TextDecoder().decode(readBytes(path, limit));
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(descriptor, bytes, written, bytes.length - written);
}

/** Where a write to `path` must end up: behind a symbolic link, and only ever a regular file that may be written. */
function writeTarget(path: string): string {
  const existing = statSync(path, { throwIfNoEntry: false });
  if (existing === undefined) return path;
  requireFile(path, existing);
  accessSync(path, constants.W_OK);
  return realpathSync(path);
}

function requireFile(path: string, existing: Stats): void {
  if (!existing.isFile()) throw new UserError(`cannot write ${path}: it exists and is not a regular file`);
}

/**
 * Where a write to `path`, relative to `folder`, must end up. A link in the place of the file is replaced, not
 * followed; a link in the place of a folder above it that leads out of `folder`, and a path that names something
 * outside, are refused.
 */
function insideTarget(folder: string, path: string, check = requireFile): string {
  const wanted = join(folder, path);
  if (!isInside(path)) throw new UserError(`cannot write ${wanted}: the path leads out of the folder ${folder}`);
  const root = realpathSync(folder);
  const parent = realpathSync(dirname(wanted));
  if (parent !== root && !parent.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw new UserError(
      `cannot write ${wanted}: a symbolic link leads it out of the folder, to ${parent}; put a folder in the link's place`,
    );
  }
  const target = join(parent, basename(wanted));
  const existing = lstatSync(target, { throwIfNoEntry: false });
  if (existing && !existing.isSymbolicLink()) check(wanted, existing);
  return target;
}

/** Whether a relative path names something below the folder that it is relative to. */
export function isInside(path: string): boolean {
  return path !== '' && !isAbsolute(path) && !path.includes('\0') && !/^(\.\.?)?$/.test(normalize(path).split(sep)[0]!);
}

/** Makes the rename itself durable; not every system lets a folder be synchronised, and none needs it for atomicity. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Makes a folder and its missing parents; a UserError names the one that cannot be made. One by one, because Node's
 * recursive mkdir never returns where a file system answers that a folder which exists cannot hold another (/proc).
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Made by another meanwhile, or a symbolic link that leads nowhere.
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && existsSync(path);
    if (!isThere) throw fileError('write', path, error);
  }
}

/**
 * Makes a folder in a folder; one that is a symbolic link is refused, because what is written there would land
 * elsewhere.
 */
export function makeFolderInside(folder: string, name: string): void {
  const path = insideTarget(folder, name, () => {});
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new UserError(
      `${join(folder, name)} is a symbolic link, which is not followed here; put a folder in its place`,
    );
  }
  makeFolder(path);
}

/**
 * Names of the files under way: random, so that what a killed process left is in nobody's way; with the process's
 * number in older versions.
 */
const TEMPORARY = /^\..+\.([0-9a-f]{16}|\d+\.\d+)\.tmp$/;

/**
 * Removes what writes that were killed have left in a folder and the folders in it. For the one process that writes
 * there: a temporary file of another would be lost. Links to folders are not followed.
 */
export function sweepTemporaries(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      for (const name of readdirSync(path)) if (TEMPORARY.test(name)) removeFile(join(path, name));
    } else if (TEMPORARY.test(entry.name)) removeFile(path);
  }
}

/**
 * Removes a file (not what a link leads to), or nothing when there is none; a UserError names what cannot be removed.
 */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError('remove', path, error);
  }
}

/**
 * Writes a whole file, or nothing: after an error (full disk, no permission, missing folder) the previous content is
 * intact, no temporary file remains, and a UserError names the file and the cause. A file that is replaced keeps its
 * permissions. `path` is what a user named: a symbolic link is written through.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  replace(path, () => writeTarget(path), content);
}

/**
 * As `writeFileAtomic`, for a path relative to a folder that may be somebody else's: nothing outside of it is opened
 * for writing. Returns what `fileState` says of the file as long as it is the one that was written; undefined where it
 * could say the same of one that was changed at once.
 */
export function writeInside(folder: string, path: string, content: string | Uint8Array): string | undefined {
  return replace(join(folder, path), () => insideTarget(folder, path), content);
}

/**
 * Which file stands at a path, and when it was last written and last changed in any way; undefined where none can be
 * read. It is opened for that: a network file system asks its server then.
 */
export function fileState(path: string): string | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    return describeState(fstatSync(descriptor, { bigint: true }));
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function describeState({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

/**
 * The state of a file that has just been given its name, as it was `written` before. The clock of a file system may
 * stand still for some milliseconds or for two seconds: where it has moved between the last write and the renaming,
 * whoever writes to the file by its name gives it a later time.
 */
function stateOfNamed(target: string, written: BigIntStats): string | undefined {
  const named = statSync(target, { bigint: true, throwIfNoEntry: false });
  const isWritten = named?.dev === written.dev && named.ino === written.ino && named.mtimeNs === written.mtimeNs;
  return isWritten && named.ctimeNs > named.mtimeNs ? describeState(named) : undefined;
}

function replace(path: string, findTarget: () => string, content: string | Uint8Array): string | undefined {
  let temporary: string | undefined;
  let descriptor: number | undefined;
  try {
    const target = findTarget();
    const existing = lstatSync(target, { throwIfNoEntry: false });
    const name = join(dirname(target), `.${basename(target)}.${randomBytes(8).toString('hex')}.tmp`);
    descriptor = openSync(name, 'wx', existing?.isFile() ? 0o600 : 0o666);
    temporary = name;
    if (existing?.isFile()) fchmodSync(descriptor, existing.mode & 0o777);
    writeAll(descriptor, typeof content === 'string' ? Buffer.from(content) : content);
    fsyncSync(descriptor);
    const written = fstatSync(descriptor, { bigint: true });
    closeSync(descriptor);
    descriptor = undefined;
    renameSync(name, target);
    temporary = undefined;
    const state = stateOfNamed(target, written);
    syncFolder(dirname(target));
    return state;
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    if (temporary !== undefined) unlinkSync(temporary);
    throw error instanceof UserError ? error : fileError('write', path, error);
  }
}

/**
 * As `writeInside`, but only where nothing is there yet; false where something is. Of several processes that come at
 * once one succeeds.
 */
export function createInside(folder: string, path: string, content: string | Uint8Array): boolean {
  const wanted = join(folder, path);
  let temporary: string | undefined;
  try {
    const target = insideTarget(folder, path);
    temporary = join(dirname(target), `.${basename(target)}.${randomBytes(8).toString('hex')}.tmp`);
    writeNew(temporary, content);
    const isMade = linkNew(temporary, target);
    syncFolder(dirname(target));
    return isMade;
  } catch (error) {
    throw error instanceof UserError ? error : fileError('write', wanted, error);
  } finally {
    if (temporary !== undefined) removeFile(temporary);
  }
}

function writeNew(path: string, content: string | Uint8Array): void {
  const descriptor = openSync(path, 'wx', 0o666);
  try {
    writeAll(descriptor, typeof content === 'string' ? Buffer.from(content) : content);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Gives a whole file its final name, if that is free. */
function linkNew(temporary: string, target: string): boolean {
  try {
    linkSync(temporary, target);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A network file system may have done it and lost the answer.
    if (code === 'EEXIST') return statSync(temporary).nlink > 1;
    if (!LINKLESS.includes(code ?? '')) throw error;
    // No hard links: the name is looked at first, which is as much as such a file system can do.
    if (existsSync(target)) return false;
    renameSync(temporary, target);
    return true;
  }
}

/** What a file system answers that has no hard links. */
const LINKLESS: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** Writes a value as indented JSON with a final newline, atomically. */
export function writeJson(path: string, value: unknown): void {
  writeFileAtomic(path, formatJson(value));
}

/** As `writeJson`, inside a folder as `writeInside` does. */
export function writeJsonInside(folder: string, path: string, value: unknown): void {
  writeInside(folder, path, formatJson(value));
}

/** As `writeJson`, where nothing is there yet, as `createInside` does. */
export function createJsonInside(folder: string, path: string, value: unknown): boolean {
  return createInside(folder, path, formatJson(value));
}

const formatJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Reads a JSON file; throws a UserError that names the file when it is missing or not JSON, then with `advice` on what
 * to do. The caller checks the schema.
 */
export function readJson(path: string, advice = 'correct it, or restore it'): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}; ${advice}`);
  }
}

interface Lines {
  readonly records: unknown[];
  /** Byte offset just behind each record's newline. */
  readonly ends: number[];
}

function parseLines(bytes: Uint8Array, path: string): Lines {
  const records: unknown[] = [];
  const ends: number[] = [];
  const decoder = new TextDecoder();
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    const line = decoder.decode(bytes.subarray(start, end));
    try {
      records.push(JSON.parse(line));
    } catch {
      throw new UserError(
        `${path}:${records.length + 1}: not a JSON record: '${line.slice(0, 60)}'; the log is damaged, remove this line`,
      );
    }
    start = end + 1;
    ends.push(start);
  }
  return { records, ends };
}

/**
 * The records of a JSON-lines file. A last line without its newline (a process killed in the middle of a write) is
 * dropped; any other line that is not JSON throws a UserError with file and line number.
 */
export function readJsonLines(path: string): unknown[] {
  return parseLines(readBytes(path), path).records;
}

export interface JsonLinesLog {
  /** The records that were kept when the log was opened. */
  readonly records: readonly unknown[];
  /** Appends one record; after a failed write the log ends with the record before and a UserError is thrown. */
  append(record: unknown): void;
  /** Returns when the disk has every record. */
  sync(): void;
  /** Synchronises and closes. */
  close(): void;
}

/**
 * Opens a JSON-lines log for appending and creates it when it is missing. A torn last line is cut off, and so is
 * everything from the first record on that `keep` refuses: a run resumed from an older checkpoint drops what it will
 * write again.
 */
export function openJsonLines(path: string, keep: (record: unknown) => boolean = () => true): JsonLinesLog {
  let descriptor: number;
  let size = 0;
  let records: unknown[] = [];
  try {
    const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
    descriptor = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o666);
  } catch (error) {
    throw fileError('write', path, error);
  }
  try {
    const lines = parseLines(readWhole(descriptor, path), path);
    const refused = lines.records.findIndex((record) => !keep(record));
    const count = refused < 0 ? lines.records.length : refused;
    records = lines.records.slice(0, count);
    size = lines.ends[count - 1] ?? 0;
    ftruncateSync(descriptor, size);
  } catch (error) {
    closeSync(descriptor);
    throw error instanceof UserError ? error : fileError('write', path, error);
  }
  const sync = () => {
    try {
      fsyncSync(descriptor);
    } catch (error) {
      throw fileError('write', path, error);
    }
  };
  return {
    records,
    append(record) {
      const bytes = Buffer.from(`${JSON.stringify(record)}\n`);
      try {
        writeAll(descriptor, bytes);
        size += bytes.length;
      } catch (error) {
        ftruncateSync(descriptor, size);
        throw fileError('write', path, error);
      }
    },
    sync,
    close() {
      try {
        sync();
      } finally {
        closeSync(descriptor);
      }
    },
  };
}

/** SHA-256 of the concatenated parts, in hexadecimal. */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
