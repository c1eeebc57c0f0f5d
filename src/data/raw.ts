// Bytes of data files, plain or gzip-compressed (told apart by content, not by name). Damaged compression is the user's error, and so is a
// file that unpacks to more than `MAX_BYTES`: unpacking stops there, whatever the file would still hold.

import { gunzipSync } from 'node:zlib';
import { UserError } from '../tensor/errors.ts';
import { readBytes } from '../tensor/files.ts';

/** The largest size of a packed file's content, in bytes: 1 GiB. */
export const MAX_BYTES = 2 ** 30;

/** The file's bytes, decompressed when they are gzip; throws a UserError that names the file, and the limit where it was passed. */
export function readMaybeGzip(path: string, limit = MAX_BYTES): Uint8Array {
  const bytes = readBytes(path);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: limit });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      throw new UserError(
        `${path} unpacks to more than ${limit / 2 ** 20} MiB, the limit for a packed data file; unpack it yourself if it is meant to be that large, or split it`,
      );
    }
    throw new UserError(`cannot read ${path}: its gzip data are damaged (${message}); fetch the file again`);
  }
}
