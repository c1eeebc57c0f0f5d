// One rule for everything that a run vouches for: a file is compared with the hash in the manifest before it is read,
// shown as a result, or called proved. What differs is named, with the phase whose redoing makes it again.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../tensor/errors.ts';
import { sha256OfFile } from '../../tensor/source.ts';
import { commandOf, isView, type Phase, phases } from '../settings/phases.ts';
import type { Manifest } from './manifest.ts';
import { METRICS_FILE, metricsFault, readMetrics } from './metrics.ts';

export interface Fault {
  /** Of the file, in the run folder. */
  readonly path: string;
  readonly kind: 'missing' | 'differs' | 'unreadable';
  /** What is wrong, as the rest of a sentence that begins with the path. */
  readonly detail: string;
  /** The phase that made the file. */
  readonly phase?: Phase;
}

/**
 * What is missing or differs of the files that the phases' records list, and of their lines in the log; in the order of
 * the phases.
 */
export function recordFaults(folder: string, done: Manifest['phases']): Fault[] {
  const faults = phases.flatMap((phase) =>
    Object.entries(done[phase]?.files ?? {}).flatMap(([path, hash]) => fileFault(folder, path, hash, phase)),
  );
  return [...faults, ...logFaults(folder, done)];
}

function fileFault(folder: string, path: string, hash: string, phase: Phase): Fault[] {
  if (!existsSync(join(folder, path))) return [{ path, kind: 'missing', detail: 'is missing', phase }];
  let found: string;
  try {
    found = sha256OfFile(join(folder, path));
  } catch (error) {
    return [{ path, kind: 'unreadable', detail: `cannot be read: ${(error as Error).message}`, phase }];
  }
  if (found === hash) return [];
  const detail = `is not the file that the run wrote (SHA-256 ${found.slice(0, 12)}…, the manifest says ${hash.slice(0, 12)}…)`;
  return [{ path, kind: 'differs', detail, phase }];
}

function logFaults(folder: string, done: Manifest['phases']): Fault[] {
  const path = METRICS_FILE;
  try {
    const fault = metricsFault(readMetrics(folder), done);
    if (!fault) return [];
    const kind = existsSync(join(folder, path)) ? 'differs' : 'missing';
    return [{ path, kind, detail: kind === 'missing' ? 'is missing' : fault.detail, phase: fault.phase }];
  } catch (error) {
    return [{ path, kind: 'unreadable', detail: `cannot be read: ${(error as Error).message}` }];
  }
}

/**
 * Throws a UserError that names what is missing or differs of the finished phases, but for views, which are made anew
 * from them. Every command calls it before it says anything about a run.
 */
export function requireIntact(folder: string, done: Manifest['phases']): void {
  const faults = recordFaults(folder, done).filter(({ phase }) => !phase || !isView(phase));
  if (faults.length === 0) return;
  const named = faults.slice(0, 3).map(({ path, detail }) => `${path} ${detail}`);
  const more = faults.length > 3 ? `; and ${faults.length - 3} more` : '';
  const [first] = phases.filter((phase) => faults.some((fault) => fault.phase === phase));
  const redo = first === undefined ? '' : `, or redo the phase with tram ${commandOf(first)} ${folder} --redo`;
  throw new UserError(`${folder}: ${named.join('; ')}${more}; restore what the run wrote${redo}`);
}
