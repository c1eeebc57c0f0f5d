// zip files of tables, with a limit: what a small packed file unfolds to is not taken on trust.
// Invariant: unpacking stops at the limit, whatever the file says about its size.

import { unzipSync } from 'fflate';
import { UserError } from '../../tensor/errors.ts';

/** The most bytes that a table has, unpacked: 512 MiB; the published text of 12×12 bits has about 300. */
export const MAX_TABLE_BYTES = 2 ** 29;

export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
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
