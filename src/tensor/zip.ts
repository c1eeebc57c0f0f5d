// zip files with a limit: what a small packed file unfolds to is not taken on trust.
// Invariant: unpacking stops at the limit, whatever the file says about its size.

import { unzipSync } from 'fflate';
import { UserError } from './errors.ts';

export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/** The members of a zip file by name, of at most `most` bytes together. */
export function unzip(bytes: Uint8Array, name: string, most: number): Record<string, Uint8Array> {
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
