// Gzip data of a user's file, unpacked within a limit. Invariant: memory stays below twice the limit whatever the data
// claim, because inflating itself stops there, and the message says the true cause: too large, cut off, or damaged.

import { gunzipSync } from 'node:zlib';
import { UserError } from './errors.ts';
import { formatBytes } from './numbers.ts';

/** Whether the bytes begin as gzip data do; names of files do not tell. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Inflates gzip data (one member or several) to at most `limit` bytes. `what` names the file in the UserError for data
 * that inflate to more, that end early, or that are damaged.
 */
export function inflateLimited(bytes: Uint8Array, limit: number, what: string): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: limit, chunkSize: Math.max(64, Math.min(2 ** 18, limit)) });
  } catch (error) {
    throw new UserError(`cannot read ${what}: ${causeOf(error as NodeJS.ErrnoException, limit)}`);
  }
}

function causeOf({ code, message }: NodeJS.ErrnoException, limit: number): string {
  if (code === 'ERR_BUFFER_TOO_LARGE') {
    return `it unpacks to more than ${formatBytes(limit)}, the most that is read; unpack it and give a smaller file`;
  }
  if (code === 'Z_BUF_ERROR') return 'its gzip data end too early; the file is cut off, fetch it again';
  return `its gzip data are damaged (${message}); fetch the file again`;
}
