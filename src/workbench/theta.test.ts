import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { isHardTheta, readTheta } from './theta.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-theta-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const read = (text: string, bits?: Parameters<typeof readTheta>[2]) => readTheta('--theta', text, bits);

test('a list is of columns: numbers from 0 to 1 with commas or blanks between them', () => {
  expect(read('1,1, 0.17,0').theta).toEqual([1, 1, 0.17, 0]);
  expect(read('1 0.5', { weights: 4, activations: 3 }).structure).toMatchObject({
    ...{ weightBits: 4, activationBits: 3, names: ['column 0', 'column 1'] },
  });
  for (const text of ['', '1,', '1,2', '-0.1', 'a', '1;x']) expect(() => read(text)).toThrow(/^--theta: expected/);
  expect(() => read('1,1,x')).toThrow(/column 2, or a file, got 'x'$/);
});

test('rows are weight bits, and say the widths', () => {
  const { theta, structure } = read('1,0,1,0;0,0.5,1,1');
  expect(structure).toMatchObject({ weightBits: 2, activationBits: 4 });
  expect(structure.names[structure.index[1 * 4 + 1]!]).toBe('w[1]·x[1]');
  expect(theta[structure.index[1 * 4 + 1]!]).toBe(0.5);
  expect(isHardTheta(structure, theta)).toBe(false);
});

test('a file has numbers, or # for what is kept and . for what is gone', () => {
  const numbers = file('numbers.txt', '1 0 1\n0 0 1\n\n');
  const dots = file('dots.txt', '.#.\n##.\n');
  expect(read(numbers).theta).toEqual([1, 0, 1, 0, 0, 1]);
  expect(read(dots)).toEqual(read(numbers));
  expect(isHardTheta(read(dots).structure, read(dots).theta)).toBe(true);
});

test.each([
  ['1,0;1', {}, /row 1 of θ has 1 values, the first 2/],
  ['1,0;1,0', { weights: 4 }, /θ has 2 rows of 2 values, but the multiplier has 4×2 bits/],
  ['1,0;1,2', {}, /in row 1, column 1, or a file, got '2'$/],
])('%s is refused', (text, bits, message) => {
  expect(() => read(text, bits)).toThrow(message);
});
