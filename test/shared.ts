// The reference material beside the project, where it is present. Tests that need it are skipped, with the reason,
// where it is not.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe } from 'vitest';

const shared = join(import.meta.dirname, '..', '..', 'shared');
const folder = join(shared, 'reference');
/** The published program's figures; only in the body of describeWithReference. */
export const referenceFolder = folder;
const asap7 = join(shared, 'data', 'asap7');

/** The Liberty files of the ASAP7 kit: simple gates with adders, and inverters. */
export const asap7Files = ['SIMPLE_RVT_TT_nldm_211120', 'INVBUF_RVT_TT_nldm_220122'].map((name) =>
  join(asap7, `asap7sc7p5t_${name}.lib.gz`),
);

/** `describe`, skipped with the reason in its name where the reference material is absent. */
export function describeWithReference(name: string, body: () => void): void {
  describeWith(folder, 'the reference material is', name, body);
}

/** The same for the ASAP7 libraries. */
export function describeWithAsap7(name: string, body: () => void): void {
  describeWith(asap7, 'the ASAP7 libraries are', name, body);
}

/** The body is not even run where the material is absent: it may read it before its tests begin. */
function describeWith(path: string, what: string, name: string, body: () => void): void {
  if (existsSync(path)) describe(name, body);
  else describe.skip(`${name} (skipped: ${what} not beside the project)`, () => {});
}

export function referenceJson<T>(name: string): T {
  return JSON.parse(referenceText(name)) as T;
}

export function referenceText(name: string): string {
  const bytes = readFileSync(join(folder, name));
  return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}
