// Files as artefacts: whole-file writes that either happen completely or not at all, JSON-lines logs that survive a killed
// process, and content hashes. Invariant: under its final name a file is always whole (temporary name, fsync, rename), and a
// log holds whole lines only once it has been opened. Every failure names the file and the cause. Not a cache, not a lock:
// two processes that write the same run folder are the caller's business.

import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from './errors.ts';

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
  ENAMETOOLONG: 'the name is too long for the file system',
};

/** The user's error for a failed file operation: what was tried, on which file, and why it failed. */
export function fileError(action: 'read' | 'write', path: string, error: unknown): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  const cause = (code !== undefined && causes[code]) || message;
  return new UserError(`cannot ${action} ${path}: ${cause}${code === undefined ? '' : ` (${code})`}`);
}

/** The file's bytes; throws a UserError that names the file when it is missing or unreadable. */
export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/** The file's text (UTF-8); throws like `readBytes`. */
export function readText(path: string): string {
  return new TextDecoder().decode(readBytes(path));
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(descriptor, bytes, written, bytes.length - written);
}

/** Where a write to `path` must end up: behind a symbolic link, and only ever a regular file that may be written. */
function writeTarget(path: string): string {
  const existing = statSync(path, { throwIfNoEntry: false });
  if (existing === undefined) return path;
  if (!existing.isFile()) throw new UserError(`cannot write ${path}: it exists and is not a regular file`);
  accessSync(path, constants.W_OK);
  return realpathSync(path);
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
 * Makes a folder and its missing parents; a UserError names the one that cannot be made. One by one, because Node's recursive mkdir
 * never returns where a file system answers that a folder which exists cannot hold another (/proc).
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError('write', path, error);
  }
}

let temporaries = 0;

/**
 * Writes a whole file, or nothing: after an error (full disk, no permission, missing folder) the previous content is intact,
 * no temporary file remains, and a UserError names the file and the cause.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  let temporary: string | undefined;
  let descriptor: number | undefined;
  try {
    const target = writeTarget(path);
    const name = join(dirname(target), `.${basename(target)}.${process.pid}.${temporaries++}.tmp`);
    descriptor = openSync(name, 'wx');
    temporary = name;
    writeAll(descriptor, typeof content === 'string' ? Buffer.from(content) : content);
    fsyncSync(descriptor);
    closeSync(descriptor);
    descriptor = undefined;
    renameSync(name, target);
    temporary = undefined;
    syncFolder(dirname(target));
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    if (temporary !== undefined) unlinkSync(temporary);
    throw error instanceof UserError ? error : fileError('write', path, error);
  }
}

/** Writes a value as indented JSON with a final newline, atomically. */
export function writeJson(path: string, value: unknown): void {
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** Reads a JSON file; throws a UserError that names the file when it is missing or not JSON. The caller checks the schema. */
export function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`);
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
 * The records of a JSON-lines file. A last line without its newline (a process killed in the middle of a write) is dropped;
 * any other line that is not JSON throws a UserError with file and line number.
 */
export function readJsonLines(path: string): unknown[] {
  return parseLines(readBytes(path), path).records;
}

export interface JsonLinesLog {
  /** The records that were kept when the log was opened. */
  readonly records: readonly unknown[];
  /** Appends one record; after a failed write the log ends with the record before and a UserError is thrown. */
  append(record: unknown): void;
  close(): void;
}

/**
 * Opens a JSON-lines log for appending and creates it when it is missing. A torn last line is cut off, and so is everything
 * from the first record on that `keep` refuses: a run resumed from an older checkpoint drops what it will write again.
 */
export function openJsonLines(path: string, keep: (record: unknown) => boolean = () => true): JsonLinesLog {
  let descriptor: number;
  let size = 0;
  let records: unknown[] = [];
  try {
    descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o666);
  } catch (error) {
    throw fileError('write', path, error);
  }
  try {
    const lines = parseLines(readFileSync(descriptor), path);
    const refused = lines.records.findIndex((record) => !keep(record));
    const count = refused < 0 ? lines.records.length : refused;
    records = lines.records.slice(0, count);
    size = lines.ends[count - 1] ?? 0;
    ftruncateSync(descriptor, size);
  } catch (error) {
    closeSync(descriptor);
    throw error instanceof UserError ? error : fileError('write', path, error);
  }
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
    close: () => closeSync(descriptor),
  };
}

/** SHA-256 of the concatenated parts, in hexadecimal. */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
