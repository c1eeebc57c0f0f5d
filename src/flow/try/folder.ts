// The folder of a try, or of a sensitivity: where it is, which files it holds, and what tells it from others.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { readJson } from '../../tensor/files.ts';
import { LOCK_FILE } from '../run/lock.ts';
import { hasManifest } from '../run/manifest.ts';

export const tryFiles = { json: 'try.json', csv: 'try.csv', svg: 'try.svg', png: 'try.png' } as const;

export const sensitivityFiles = {
  json: 'sensitivity.json',
  csv: 'sensitivity.csv',
  svg: 'sensitivity.svg',
  png: 'sensitivity.png',
} as const;

/** What a command leaves in a folder of its own. */
export interface ResultFolder {
  /** As the command line calls it. */
  readonly command: string;
  /** The `format` in its JSON file. */
  readonly format: string;
  readonly files: { readonly json: string } & Readonly<Record<string, string>>;
}

export const ofTry: ResultFolder = { command: 'tram try', format: 'tram-try', files: tryFiles };
export const ofSensitivity: ResultFolder = {
  ...{ command: 'tram sensitivity', format: 'tram-sensitivity', files: sensitivityFiles },
};

/** Whether a folder is that of a try or a sensitivity, which stands among runs but is none. */
export function isTryFolder(folder: string): boolean {
  return [ofTry, ofSensitivity].some(({ files }) => existsSync(join(folder, files.json))) && !hasManifest(folder);
}

/** Beside the run, and ours: new, empty, or the folder of an earlier one. */
export function requireFolder(out: string, run: string, { command, format, files }: ResultFolder = ofTry): void {
  const inside = relative(resolve(run), resolve(out));
  if (inside === '' || !(inside === '..' || inside.startsWith(`..${sep}`))) {
    throw new UserError(`${out} is inside the run ${run}, which is not changed; choose another --out`);
  }
  if (!existsSync(out)) return;
  if (!statSync(out).isDirectory()) throw new UserError(`${out} is a file; a folder for the results was expected`);
  const known = new Set<string>([...Object.values(files), 'results', LOCK_FILE]);
  const foreign = readdirSync(out).filter((name) => !known.has(name) && !/^\..*\.tmp$/.test(name));
  const own = join(out, files.json);
  const isOurs = !existsSync(own) || (readJson(own) as { format?: unknown } | null)?.format === format;
  if (foreign.length === 0 && isOurs) return;
  const found = foreign.length > 0 ? foreign.slice(0, 4).join(', ') : files.json;
  throw new UserError(
    `${out} is not a folder of results of ${command}: ${found} stands there; choose a new or empty folder with --out`,
  );
}
