// The README's library example runs as it stands, and is as short as promised; what it counts are as many. Its
// commands: documented.test.ts.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { generators } from '../src/netlist/generators/registry.ts';
import { models } from '../src/nn/models/registry.ts';

const root = join(import.meta.dirname, '..');

test('the library example of the README runs and prints what it says', () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))![1]!;
  expect(example.trim().split('\n').length).toBeLessThanOrEqual(15);
  const folder = mkdtempSync(join(tmpdir(), 'tram-readme-'));
  const library = pathToFileURL(join(root, 'dist/index.js')).href;
  writeFileSync(join(folder, 'example.mjs'), example.replace("'tram-axm'", `'${library}'`));
  const output = execFileSync(process.execPath, ['example.mjs'], { cwd: folder, encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  const lines = output.trim().split('\n');
  expect(lines.slice(0, -1).map((line) => line.split(' ')[0])).toEqual([
    'train',
    'train',
    'train',
    'train',
    'explore',
    'explore',
    'recover',
  ]);
  const [accuracy, cost, worst] = lines.at(-1)!.split(' ').map(Number);
  expect(accuracy).toBeGreaterThan(0.85);
  expect(cost).toBeLessThan(0.9);
  expect(worst).toBeGreaterThan(0);
});

test('the README has as many families of multipliers and as many networks as the program', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  expect([Object.keys(generators).length, readme]).toEqual([15, expect.stringContaining('; fifteen families;')]);
  expect([10 * Math.floor(models.length / 10), readme]).toEqual([
    70,
    expect.stringContaining('[More than seventy networks]'),
  ]);
});
