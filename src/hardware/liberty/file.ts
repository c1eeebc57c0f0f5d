// Liberty files: `.lib`, or `.lib.gz` unpacked on the way in. Reads the text only; read.ts understands it.
// Invariant: neither a file nor what it unfolds to is read beyond MAX_LIBERTY_BYTES.

import { basename } from 'node:path';
import { readBytes } from '../../tensor/files.ts';
import { inflateLimited, isGzip } from '../../tensor/gzip.ts';
import type { LibertyText } from './read.ts';

/** 256 MiB, unpacked. */
const MAX_LIBERTY_BYTES = 2 ** 28;

/** Reads the text of a Liberty file, gzip-compressed or not, by its content. Throws a UserError. */
export async function readLibertyFile(path: string): Promise<LibertyText> {
  const bytes = readBytes(path, MAX_LIBERTY_BYTES);
  const unpacked = isGzip(bytes) ? inflateLimited(bytes, MAX_LIBERTY_BYTES, path) : bytes;
  return { name: basename(path), text: Buffer.from(unpacked).toString('utf8') };
}
