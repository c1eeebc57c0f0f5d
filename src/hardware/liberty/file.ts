// Liberty files: `.lib`, or `.lib.gz` unpacked on the way in. Reads the text only; read.ts understands it.
// Invariant: neither a file nor what it unfolds to is read beyond MAX_LIBERTY_BYTES.

import { basename } from 'node:path';
import { readLimited } from '../../netlist/circuit.ts';
import { inflateLimited, isGzip } from '../../tensor/gzip.ts';
import type { LibertyText } from './read.ts';

/** 256 MiB, unpacked. */
export const MAX_LIBERTY_BYTES = 2 ** 28;

/** Reads the text of a Liberty file, gzip-compressed or not, by its content. Throws a UserError. */
export async function readLibertyFile(path: string): Promise<LibertyText> {
  const bytes = readLimited(path, MAX_LIBERTY_BYTES, 'a Liberty file');
  const unpacked = isGzip(bytes) ? inflateLimited(bytes, MAX_LIBERTY_BYTES, path) : bytes;
  return { name: basename(path), text: unpacked.toString('utf8') };
}
