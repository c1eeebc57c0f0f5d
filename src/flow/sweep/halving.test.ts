import { expect, test } from 'vitest';
import { parseAxis, trialsOf } from './grid.ts';
import { rungsOf, survivors } from './halving.ts';

const at = (point: string, accuracy: number, gateCost: number | null, task = 'digits') => ({
  ...{ point, task, accuracy, gateCost },
});

test('the front stays whole; of what is dominated the better ones stay until half are left', () => {
  const front = [at('a', 0.7, 0.1), at('b', 0.8, 0.2), at('c', 0.9, 0.5)];
  expect([...survivors([...front, at('d', 0.6, 0.4)])].sort()).toEqual(['a', 'b', 'c']);
  const rest = [at('d', 0.85, 0.6), at('e', 0.79, 0.3), at('f', 0.5, 0.9), at('g', 0.4, 0.9), at('h', 0.3, 0.9)];
  expect([...survivors([...front, ...rest])].sort()).toEqual(['a', 'b', 'c', 'd']);
});

test('seeds of a point are judged by their mean, and what has no cost is not judged', () => {
  const points = [at('a', 0.9, 0.3), at('a', 0.5, 0.3), at('b', 0.8, 0.3), at('b', 0.8, 0.3), at('table', 0.1, null)];
  expect([...survivors(points)].sort()).toEqual(['b', 'table']);
});

test('points of different networks are not compared', () => {
  const points = [at('a', 0.9, 0.1), at('b', 0.8, 0.2), at('c', 0.5, 0.3, 'large'), at('d', 0.4, 0.4, 'large')];
  expect([...survivors(points)].sort()).toEqual(['a', 'c']);
});

const recovering = (...epochs: readonly number[]) => trialsOf({ over: [parseAxis(`recover-epochs=${epochs}`)] });

test('usual rungs are a quarter and a half of the shortest recovery of the trials', () => {
  expect(rungsOf('usual', trialsOf({ over: [parseAxis('seed=1,2')] }))).toEqual([3, 5]);
  expect(rungsOf('usual', recovering(20, 40))).toEqual([5, 10]);
  expect(rungsOf('usual', recovering(2))).toEqual([1]);
  expect(rungsOf([3, 19], recovering(4, 20))).toEqual([3, 19]);
  expect(rungsOf([], recovering(1))).toEqual([]);
});

test.each([
  ['usual', [1, 8], /^halving has no effect: a recovery has 1 epoch; leave it out, or give recoveries more epochs/],
  [[3, 20], [10, 20], /^halving after 20 epochs has no effect: no recovery is longer than 20; leave it out, /],
  ...[[Number.NaN], [0], [-1], [1.5], [3, 2], [2, 2], [Number.POSITIVE_INFINITY], ['2']].map(
    (rungs) => [rungs, [10], /^halving is after .*; rising whole numbers of epochs from 1 on were expected$/] as const,
  ),
] as const)('rungs %j of recoveries of %j epochs are refused', (rungs, epochs, reason) => {
  expect(() => rungsOf(rungs as 'usual', recovering(...epochs))).toThrow(reason);
});
