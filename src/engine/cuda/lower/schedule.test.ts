import { expect, test } from 'vitest';
import { dependenciesOf } from './schedule.ts';

const at = (place: number) => ({ from: 100 * place, to: 100 * place + 100 });
const command = (reads: number[], writes: number[]) => ({ reads: reads.map(at), writes: writes.map(at) });

test('a reader waits for the writer, a writer for the readers of what it overwrites', () => {
  const commands = [command([], [0]), command([0], [1]), command([0], [2]), command([3], [0])];
  expect(dependenciesOf(commands)).toEqual([[], [0], [0], [2, 1]]);
});

test('independent commands wait for nothing', () => {
  expect(dependenciesOf([command([0], [1]), command([0], [2]), command([3], [4])])).toEqual([[], [], []]);
});

test('what another dependency waits for already is left out', () => {
  const chain = [command([], [0]), command([0], [1]), command([0, 1], [2]), command([0, 1, 2], [3])];
  expect(dependenciesOf(chain)).toEqual([[], [0], [1], [2]]);
});

test('touching ranges do not overlap, one shared byte does', () => {
  const first = { reads: [], writes: [{ from: 0, to: 100 }] };
  const after = { reads: [{ from: 100, to: 200 }], writes: [] };
  const across = { reads: [{ from: 99, to: 101 }], writes: [] };
  expect(dependenciesOf([first, after, across])).toEqual([[], [], [0]]);
});
