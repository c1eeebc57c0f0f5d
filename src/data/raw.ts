// Bytes of data files, plain or gzip-compressed (told apart by content, not by name). Damaged compression is the user's error.

import { gunzipSync } from 'node:zlib';
import { UserError } from '../tensor/errors.ts';
import { readBytes } from '../tensor/files.ts';

/** The file's bytes, decompressed when they are gzip; throws a UserError that names the file. */
export function readMaybeGzip(path: string): Uint8Array {
  const bytes = readBytes(path);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new UserError(
      `cannot read ${path}: its gzip data are damaged (${(error as Error).message}); fetch the file again`,
    );
  }
}
