import { expect, test } from 'vitest';
import { dependenciesOf } from './schedule.ts';

const at = (place: number) => ({ from: 100 * place, to: 100 * place + 100 });
const task = (reads: number[], writes: number[]) => ({ reads: reads.map(at), writes: writes.map(at) });

test('a reader waits for the writer, a writer for the readers of what it overwrites', () => {
  const tasks = [task([], [0]), task([0], [1]), task([0], [2]), task([3], [0])];
  expect(dependenciesOf(tasks)).toEqual([[], [0], [0], [2, 1]]);
});

test('independent tasks wait for nothing', () => {
  expect(dependenciesOf([task([0], [1]), task([0], [2]), task([3], [4])])).toEqual([[], [], []]);
});

test('what another dependency waits for already is left out', () => {
  const chain = [task([], [0]), task([0], [1]), task([0, 1], [2]), task([0, 1, 2], [3])];
  expect(dependenciesOf(chain)).toEqual([[], [0], [1], [2]]);
});

test('touching ranges do not overlap, one shared byte does', () => {
  const first = { reads: [], writes: [{ from: 0, to: 100 }] };
  const after = { reads: [{ from: 100, to: 200 }], writes: [] };
  const across = { reads: [{ from: 99, to: 101 }], writes: [] };
  expect(dependenciesOf([first, after, across])).toEqual([[], [], [0]]);
});
