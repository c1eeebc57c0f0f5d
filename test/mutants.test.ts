// The faults of test/mutants.mjs can be applied: the line that each changes stands exactly once where it says.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

interface Mutant {
  readonly file: string;
  readonly title: string;
  readonly from: string;
  readonly to: string;
  readonly by?: string;
}

const root = join(import.meta.dirname, '..');
const path = './mutants.mjs';
const { mutants } = (await import(path)) as { readonly mutants: readonly Mutant[] };

test('each fault has its line, and the test that is tried first', () => {
  const stale = mutants.filter(({ file, from, by }) => {
    if (!existsSync(join(root, file))) return true;
    const first = by?.split(' > ')[0];
    const isTest = first === undefined || (/\.test\.ts$/.test(first) && existsSync(join(root, first)));
    return !isTest || readFileSync(join(root, file), 'utf8').split(from).length !== 2;
  });
  expect(stale.map(({ file, title }) => `${file}: ${title}`)).toEqual([]);
  const faults = mutants.map(({ file, from, to }) => `${file}: ${from} → ${to}`);
  expect(faults.filter((one, at) => faults.indexOf(one) < at)).toEqual([]);
  expect(mutants.length).toBeGreaterThan(40);
});
