// The folder of a try: where it is, which files it holds, and what tells it from others.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { readJson } from '../../tensor/files.ts';
import { LOCK_FILE } from '../run/lock.ts';
import { hasManifest } from '../run/manifest.ts';

export const tryFiles = { json: 'try.json', csv: 'try.csv', svg: 'try.svg', png: 'try.png' } as const;

/** The default folder of the results: beside the run. */
export function tryFolder(run: string): string {
  return join(dirname(resolve(run)), `${basename(resolve(run))}-try`);
}

/** Whether a folder is that of a try, which stands among runs but is none. */
export function isTryFolder(folder: string): boolean {
  return existsSync(join(folder, tryFiles.json)) && !hasManifest(folder);
}

/** Beside the run, and ours: new, empty, or the folder of an earlier try. */
export function requireFolder(out: string, run: string): void {
  const inside = relative(resolve(run), resolve(out));
  if (inside === '' || !(inside === '..' || inside.startsWith(`..${sep}`))) {
    throw new UserError(`${out} is inside the run ${run}, which is not changed; choose another --out`);
  }
  if (!existsSync(out)) return;
  if (!statSync(out).isDirectory()) throw new UserError(`${out} is a file; a folder for the results was expected`);
  const known = new Set<string>([...Object.values(tryFiles), 'results', LOCK_FILE]);
  const foreign = readdirSync(out).filter((name) => !known.has(name) && !/^\..*\.tmp$/.test(name));
  const own = join(out, tryFiles.json);
  const isOurs = !existsSync(own) || (readJson(own) as { format?: unknown } | null)?.format === 'tram-try';
  if (foreign.length === 0 && isOurs) return;
  const found = foreign.length > 0 ? foreign.slice(0, 4).join(', ') : tryFiles.json;
  throw new UserError(
    `${out} is not a folder of results of tram try: ${found} stands there; choose a new or empty folder with --out`,
  );
}
