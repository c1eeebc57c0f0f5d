// The faults of test/mutants.mjs can be applied: the line that each changes stands exactly once where it says.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

interface Mutant {
  readonly file: string;
  readonly title: string;
  readonly from: string;
  readonly by?: string;
}

const root = join(import.meta.dirname, '..');
const path = './mutants.mjs';
const { mutants } = (await import(path)) as { readonly mutants: readonly Mutant[] };

test('each fault has its line, and the test that is tried first', () => {
  const stale = mutants.filter(({ file, from, by }) => {
    const named = [file, ...(by === undefined ? [] : [by])].every((name) => existsSync(join(root, name)));
    return !named || readFileSync(join(root, file), 'utf8').split(from).length !== 2;
  });
  expect(stale.map(({ file, title }) => `${file}: ${title}`)).toEqual([]);
  expect(mutants.length).toBeGreaterThan(40);
});
