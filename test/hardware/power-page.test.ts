// The tables of docs/power.md about exact multipliers and small structures, as scripts/exact-power.mjs wrote them:
// some cells of each, the 8×8 multiplier among them, synthesised anew by the functions that `tram compare` uses. Where
// they differ, the page is renewed by that script.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { synthesisedExact } from '../../src/flow/multipliers/synthesised.ts';
import { keptNetwork } from '../../src/netlist/mapping/kept.ts';
import { synthesisedPower, Technology } from '../../src/workbench/synthesised-power.ts';
import { openLibraries } from '../../src/workbench/synthesize.ts';
import { root } from '../documented.ts';
import { asap7Files, describeWithAsap7 } from '../shared.ts';

const lines = readFileSync(join(root, 'docs/power.md'), 'utf8').split('\n');
const cells = (start: string) =>
  lines
    .find((line) => line.startsWith(start))!
    .split('|')
    .map((cell) => cell.trim());

describeWithAsap7('synthesised power in docs/power.md', () => {
  let technology: Technology;
  afterAll(() => technology?.close());
  const open = async () => {
    technology ??= new Technology({ liberty: await openLibraries(asap7Files), cache: null });
    return technology;
  };

  test.each([
    [8, 8],
    [3, 4],
    [2, 2],
  ])('of the exact %i×%i multiplier', async (weights, activations) => {
    const { relative } = await synthesisedExact({ weights, activations }, await open());
    expect(cells(`| ${weights} | `)[activations]).toBe(relative.power.toFixed(3));
  });

  test.each([
    ['of 2×4 without three products', 4, '00110111', cells('| (0, 0), (0, 1), (1, 0) |')[2]],
    ['of a row of three AND gates', 3, '000111', /1×b\): \S+, ([\d.]+),/.exec(lines.join('\n'))?.[1]],
  ] as const)('%s', async (_, activationBits, keep, shown) => {
    const removed = Float64Array.from(keep, (bit) => 1 - Number(bit));
    const network = keptNetwork({ weightBits: 2, activationBits, removed }, false);
    expect(shown).toBe((await synthesisedPower(network, await open())).relative.power.toFixed(3));
  });
});
