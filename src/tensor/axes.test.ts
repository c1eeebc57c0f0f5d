import { expect, test } from 'vitest';
import { reverseAxes } from './axes.ts';
import { Random } from './random.ts';

test.each([
  [1, 1, 1],
  [9, 5, 64],
  [64, 3, 65],
  [65, 3, 9],
  [200, 1, 130],
  [1, 70, 3],
  [70, 66, 1],
  [1, 66, 1],
  [4, 0, 2],
] as const)('reverses the axes of %i×%i×%i elements', (a, b, c) => {
  const random = new Random(5, 0);
  const data = Float32Array.from({ length: a * b * c }, () => random.normal());
  const expected = new Float32Array(data.length);
  data.forEach((value, at) => {
    const [x, y, z] = [Math.floor(at / (b * c)), Math.floor(at / c) % b, at % c];
    expected[(z * b + y) * a + x] = value;
  });
  expect(reverseAxes(data, [a, b, c])).toEqual(expected);
});
