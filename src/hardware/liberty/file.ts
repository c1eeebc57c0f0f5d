// Liberty files: `.lib`, or `.lib.gz` unpacked on the way in. Reads the text only; read.ts understands it.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { UserError } from '../../tensor/errors.ts';
import type { LibertyText } from './read.ts';

const MAX_BYTES = 2 ** 28;

/** Reads the text of a Liberty file, gzip-compressed or not, by its content. Throws a UserError. */
export async function readLibertyFile(path: string): Promise<LibertyText> {
  try {
    const bytes = await readFile(path);
    const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const unpacked = packed ? await promisify(gunzip)(bytes, { maxOutputLength: MAX_BYTES }) : bytes;
    return { name: basename(path), text: unpacked.toString('utf8') };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`cannot read the Liberty file ${path}: ${reason}; expected a readable .lib or .lib.gz`);
  }
}
