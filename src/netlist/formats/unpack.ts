// gzip and zip of tables and netlists, with a limit: what a small packed file unfolds to is not taken on trust.
// Invariant: unpacking stops at the limit, whatever the file says about its size.

import { gunzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { UserError } from '../../tensor/errors.ts';

/** The most bytes that a table has, unpacked: 512 MiB; the published text of 12×12 bits has about 300. */
export const MAX_TABLE_BYTES = 2 ** 29;

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/** Throws a UserError that tells a damaged file from one that is too large. */
export function gunzip(bytes: Uint8Array, name: string, most: number = MAX_TABLE_BYTES): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: most });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      throw new UserError(`${name}: unpacks to more than ${most} bytes: expected at most that`);
    }
    throw new UserError(`${name}: its gzip data are damaged (${code ?? 'unknown reason'}): expected a whole .gz file`);
  }
}

/** The members of a zip file by name. */
export function unzip(bytes: Uint8Array, name: string, most: number = MAX_TABLE_BYTES): Record<string, Uint8Array> {
  let total = 0;
  try {
    return unzipSync(bytes, {
      // The size that the file gives a member is all that fflate unpacks of it.
      filter: ({ originalSize }) => {
        total += originalSize;
        if (total > most) throw new UserError(`${name}: unpacks to more than ${most} bytes: expected at most that`);
        return true;
      },
    });
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${name}: its zip data are damaged (${(error as Error).message}): expected a whole .npz file`);
  }
}
