// The reference material beside the project, where it is present. Tests that need it are skipped, with the reason, where it is not.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe } from 'vitest';

const folder = join(import.meta.dirname, '..', '..', 'shared', 'reference');

/** `describe`, skipped with the reason in its name where the reference material is absent. */
export function describeWithReference(name: string, body: () => void): void {
  if (existsSync(folder)) describe(name, body);
  else describe.skip(`${name} (skipped: the reference material is not beside the project)`, body);
}

export function referenceJson<T>(name: string): T {
  return JSON.parse(referenceText(name)) as T;
}

export function referenceText(name: string): string {
  const bytes = readFileSync(join(folder, name));
  return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}
