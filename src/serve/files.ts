// Which files of the served folder may be read by address: those of the kinds that a run or a sweep writes, inside one
// of the runs and sweeps that were found, and nothing hidden. Invariant: what is opened lies in the served folder after
// every symbolic link on the way was followed.

import { realpathSync, statSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import { isInside } from '../tensor/files.ts';
import { type Library, NotFound } from './library.ts';

/** Media types by the end of a name; a file with another end is not given. */
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.pdf': 'application/pdf',
  '.json': 'application/json',
  '.jsonl': 'text/plain; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.tex': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.v': 'text/plain; charset=utf-8',
  '.blif': 'text/plain; charset=utf-8',
  '.npy': 'application/octet-stream',
  '.safetensors': 'application/octet-stream',
};

export interface ServedFile {
  readonly path: string;
  readonly type: string;
  readonly bytes: number;
  /** What changes when the file does. */
  readonly stamp: string;
}

/** The file that a path below the served folder names. What may not be read is not there. */
export function servedFile(library: Library, path: string): ServedFile {
  const absent = () => new NotFound('there is no such file in a run or a sweep of the served folder');
  const names = path.split('/');
  const type = types[extname(path)];
  if (!type || !isInside(path)) throw absent();
  // Where \\ stands between folders it is in no name; elsewhere it is a letter like others.
  if (names.some((name) => name === '' || name.startsWith('.') || name.includes(sep))) throw absent();
  if (!belongs(library, names)) throw absent();
  try {
    const root = realpathSync(library.root);
    const real = realpathSync(join(root, ...names));
    const facts = statSync(real);
    if (!real.startsWith(root.endsWith(sep) ? root : root + sep) || !facts.isFile()) throw absent();
    return { path: real, type, bytes: facts.size, stamp: `${facts.ino} ${facts.size} ${facts.mtimeMs}` };
  } catch {
    throw absent();
  }
}

/** Whether a folder on the way is a run or a sweep. */
function belongs(library: Library, names: readonly string[]): boolean {
  return names.some((_, count) => {
    const folder = names.slice(0, count).join('/') || '.';
    return library.hasRun(folder) || library.hasSweep(folder);
  });
}

export const isServedType = (path: string): boolean => types[extname(path)] !== undefined;
