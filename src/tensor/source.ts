// The bytes of a file as they are asked for, so that a file need not fit into memory, and its parts are read once.
// Invariant: what is read lies inside the file, or a UserError says that it ends early.

import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { UserError } from './errors.ts';
import { fileError, requireRegular } from './files.ts';

export interface ByteSource {
  /** The file, for messages. */
  readonly name: string;
  readonly size: number;
  /**
   * The bytes from a place on, in `into` where they must be copied and it is given. They may be the source's own
   * memory: only read them.
   */
  read(at: number, count: number, into?: Uint8Array): Uint8Array;
  close(): void;
}

/** Bytes that are in memory. */
export function memorySource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    read(at, count) {
      requireInside(this, at, count);
      return bytes.subarray(at, at + count);
    },
    close() {},
  };
}

/** A file that stays open; a UserError names one that cannot be read or is no regular file. */
export function openSource(path: string): ByteSource {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw fileError('read', path, error);
  }
  const stats = fstatSync(descriptor);
  try {
    requireRegular(stats, path);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return {
    name: path,
    size: stats.size,
    read(at, count, into) {
      requireInside(this, at, count);
      const bytes = into?.subarray(0, count) ?? new Uint8Array(count);
      let done = 0;
      while (done < count) {
        // A system call reads less than 2 GiB.
        const read = readSync(descriptor, bytes, done, Math.min(count - done, 2 ** 30), at + done);
        if (read === 0) throw new UserError(`cannot read ${path}: it became shorter while it was read`);
        done += read;
      }
      return bytes;
    },
    close: () => closeSync(descriptor),
  };
}

/** SHA-256 of a file's bytes, in hexadecimal, of a file of any size. */
export function sha256OfFile(path: string): string {
  const source = openSource(path);
  try {
    const hash = createHash('sha256');
    // Memory that is new for each piece, or for the whole, costs as much as hashing it.
    const piece = new Uint8Array(Math.min(PIECE, source.size));
    for (let at = 0; at < source.size; at += PIECE) {
      hash.update(source.read(at, Math.min(PIECE, source.size - at), piece));
    }
    return hash.digest('hex');
  } finally {
    source.close();
  }
}

const PIECE = 2 ** 20;

function requireInside({ name, size }: ByteSource, at: number, count: number): void {
  if (at >= 0 && count >= 0 && at + count <= size) return;
  throw new UserError(
    `${name}: bytes ${at} to ${at + count} are needed, the file has ${size}; it is cut off or damaged`,
  );
}
