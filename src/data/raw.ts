// Bytes of data files, plain or gzip-compressed (told apart by content, not by name).

import { readBytes } from '../tensor/files.ts';
import { inflateLimited, isGzip } from '../tensor/gzip.ts';

/** The largest size of a packed file's content, in bytes: 1 GiB. */
export const MAX_BYTES = 2 ** 30;

/**
 * The file's bytes, decompressed when they are gzip; throws a UserError that names the file, and the limit where it was
 * passed.
 */
export function readMaybeGzip(path: string, limit = MAX_BYTES): Uint8Array {
  const bytes = readBytes(path);
  return isGzip(bytes) ? inflateLimited(bytes, limit, path) : bytes;
}
