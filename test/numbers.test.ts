// Numbers that a caller of the library gives and that nothing can be done with: a UserError that names the number and
// what was expected, before anything is opened, and never a figure.

import { expect, test } from 'vitest';
import {
  evaluateIntegers,
  exportRun,
  loadMultiplier,
  measure,
  measureSensitivity,
  openBackend,
  openDataset,
  synthesizeMultiplier,
  tryMultipliers,
  UserError,
  workOnSweep,
} from '../src/index.ts';

const folder = 'nowhere';
const run = folder;
const [narrow, wide] = [await loadMultiplier('drum:4x4:bits=2'), await loadMultiplier('truncated:14x14')];
const power = (options: Parameters<typeof synthesizeMultiplier>[1]) =>
  synthesizeMultiplier(narrow as Parameters<typeof synthesizeMultiplier>[0], {
    ...{ effort: 'quick', cache: null },
    ...options,
  });
const NONE = [Number.NaN, Number.POSITIVE_INFINITY, -1];

/** What a number is given to, the numbers that it does not take, and what is said of them. */
const takers: readonly [string, (number: number) => unknown, readonly number[], RegExp][] = [
  ['images of evaluateIntegers', (images) => evaluateIntegers({ folder, images }), [...NONE, 0, 1.5], /^images is /],
  ['images of exportRun', (images) => exportRun({ folder, forms: ['c'], images }), [...NONE, 0, 1.5], /^images is /],
  ['images of measureSensitivity', (images) => measureSensitivity({ run, images }), [...NONE, 0, 1.5], /^images is /],
  [
    'widths of measureSensitivity',
    (weights) => measureSensitivity({ run, bits: { weights, activations: 8 } }),
    [...NONE, 0, 1, 2.5, 9],
    /^a multiplier with \S+ weight bits: expected an integer from 2 to 8$/,
  ],
  ['recover', (recover) => tryMultipliers({ run, multipliers: ['drum:8x8'], recover }), [...NONE, 1.5], /^recover is /],
  ['trials', (trials) => workOnSweep({ folder, trials }), [...NONE, 0, 1.5], /^trials is /],
  ['threads', (threads) => openBackend({ threads }), [...NONE, 0, 1.5, 65], /^the number of threads is /],
  ['sample', (sample) => openDataset('digits', { sample }), [...NONE, -5, 0, 1, 2.5], /^--sample is /],
  [
    'sampleSeed',
    (sampleSeed) => openDataset('digits', { sample: 100, sampleSeed }),
    [...NONE, 0.5, 2 ** 32],
    /^--sample-seed is .*; a whole number from 0 to 4294967295 was expected$/,
  ],
  ['worst', (worst) => measure(narrow, 'it', { worst }), [...NONE, 1.5], /^the number of worst pairs is /],
  ['seed of pairs', (seed) => measure(wide, 'it', { seed }), [...NONE, 0.5, 2 ** 32], /^the seed is /],
  ['seed of vectors', (seed) => power({ seed }), [...NONE, 0.5, 2 ** 32], /^the seed is /],
  ['vectors', (vectors) => power({ vectors }), [...NONE, 0, 31.5, 2 ** 25], /^the number of vectors is /],
  ['clock', (clockMHz) => power({ clockMHz }), [...NONE, 0], /^a clock of \S+ MHz: expected a positive frequency$/],
  ['slew', (inputSlewPs) => power({ inputSlewPs }), NONE, /^a slew of \S+ ps at the inputs: expected a number of at l/],
  ['load', (outputLoadFf) => power({ outputLoadFf }), NONE, /^a load of \S+ fF on the outputs: expected a number of /],
];

test.each(takers)('%s', async (_, call, numbers, reason) => {
  for (const number of numbers) {
    const refusal = await (async () => call(number))().then(
      () => expect.fail(`${number} is taken`),
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(UserError);
    expect((refusal as UserError).message).toMatch(reason);
    expect((refusal as UserError).message).toContain(String(number));
  }
});

test('no worst pairs are none', () => {
  expect(measure(narrow, 'it', { worst: 0 }).report).toMatchObject({ worst: [], bits: 4 });
});

test('an emulation that is none is refused, on devices that would not read it too', async () => {
  const emulation = 'lowrnk' as 'lowrank';
  await expect(openBackend({ emulation })).rejects.toThrow(/^unknown emulation 'lowrnk'; did you mean 'lowrank'/);
});

test('a form that is none is refused', async () => {
  const forms = ['verilog' as 'rtl'];
  await expect(exportRun({ folder, forms })).rejects.toThrow(/^unknown form 'verilog'; valid: integer, /);
});
