// Which layers go together: those whose θ are alike, the light ones first, in an order that does not depend on chance.

import { expect, test } from 'vitest';
import { kindsOf, type Member } from './types.ts';

const member = (name: string, theta: readonly number[], weight = 1): Member => ({ name, theta, weight });
const namesOf = (members: readonly Member[], count: number, costs = [1, 1]) =>
  kindsOf(members, costs, count).map((kind) => kind.members.map(({ name }) => name).join());

const members = [member('a', [0, 0]), member('b', [1, 1]), member('c', [0.1, 0]), member('d', [1, 0.8])];

test('like θ go together, in the order of the layers, and one tree has all numbers', () => {
  expect(namesOf(members, 4)).toEqual(['a', 'b', 'c', 'd']);
  expect(namesOf(members, 3)).toEqual(['a,c', 'b', 'd']);
  expect(namesOf(members, 2)).toEqual(['a,c', 'b,d']);
  expect(namesOf(members, 1)).toEqual(['a,b,c,d']);
  expect(namesOf([...members].reverse(), 2)).toEqual(['d,b', 'c,a']);
});

test('a kind has the mean of its layers, by their weights', () => {
  const [kind] = kindsOf([member('a', [0, 1], 3), member('b', [1, 0], 1)], [1, 1], 1);
  expect(kind!.centre).toEqual([0.25, 0.75]);
  expect(kind!.weight).toBe(4);
});

test('light layers give way before heavy ones, and dear θ count more than cheap ones', () => {
  const weighed = [member('a', [0, 0], 10), member('b', [0.3, 0], 10), member('c', [0.9, 0], 0.1)];
  expect(namesOf(weighed, 2)).toEqual(['a', 'b,c']);
  const apart = [member('a', [0, 0]), member('b', [0, 0.6]), member('c', [0.5, 0])];
  expect(namesOf(apart, 2, [1, 1])).toEqual(['a,c', 'b']);
  expect(namesOf(apart, 2, [1, 0.1])).toEqual(['a,b', 'c']);
});

test('equal layers go together from the first on', () => {
  const equal = ['a', 'b', 'c', 'd'].map((name) => member(name, [0.5, 0.5]));
  expect(namesOf(equal, 3)).toEqual(['a,b', 'c', 'd']);
  expect(namesOf(equal, 2)).toEqual(['a,b,c', 'd']);
});
