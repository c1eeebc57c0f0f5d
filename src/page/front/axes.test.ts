import { expect, test } from 'vitest';
import type { FrontPoint } from '../../report/front.ts';
import { axisOf, frontAxes, staircases } from './axes.ts';

const point = (power: number, accuracy: number, more: Partial<FrontPoint> = {}): FrontPoint => ({
  ...{ label: 'm', series: 'trained', kind: 'gates', power, accuracy },
  ...more,
});

test('powers that differ by more than a factor of four stand by logarithms', () => {
  const axis = axisOf([0.1, 1], true);
  expect(axis.isLogarithmic).toBe(true);
  const [a, b, c] = [0.2, 0.4, 0.8].map(axis.share) as [number, number, number];
  expect(b - a).toBeCloseTo(c - b);
  expect(axis.ticks).toEqual([0.1, 0.2, 0.5, 1]);
  expect(axisOf([0.5, 1], true).isLogarithmic).toBe(false);
});

test('ticks are round and inside, of one value too', () => {
  expect(axisOf([0.95, 0.99], false).ticks).toEqual([0.95, 0.96, 0.97, 0.98, 0.99]);
  const { ticks, share } = axisOf([0.97], false);
  expect(share(0.97)).toBeCloseTo(0.5);
  expect(ticks.length).toBeGreaterThan(2);
});

test('one point that fails does not flatten the others', () => {
  const { floor, accuracy } = frontAxes([point(1, 0.99), point(0.8, 0.985), point(0.7, 0.98), point(0.1, 0.1)]);
  expect(floor).toBeGreaterThan(0.9);
  expect(accuracy.share(0.99) - accuracy.share(0.98)).toBeGreaterThan(0.3);
});

test('a staircase keeps the accuracy of the cheaper point up to the dearer one, within a task', () => {
  const points = [point(1, 0.9), point(0.5, 0.8), point(0.7, 0.7), point(0.2, 0.99, { task: 'other' })];
  expect(staircases(points).map((one) => one.map(({ power, accuracy }) => [power, accuracy]))).toEqual([
    [
      [0.5, 0.8],
      [1, 0.8],
      [1, 0.9],
    ],
    [[0.2, 0.99]],
  ]);
});
