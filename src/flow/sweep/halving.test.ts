import { expect, test } from 'vitest';
import { survivors, usualRungs } from './halving.ts';

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

test('rungs are a quarter and a half of the recovery', () => {
  expect(usualRungs({})).toEqual([3, 5]);
  expect(usualRungs({ recover: { epochs: 2 } })).toEqual([1]);
  expect(usualRungs({ recover: { epochs: 1 } })).toEqual([]);
});
