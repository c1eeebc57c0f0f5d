import { expect, test } from 'vitest';
import { moved, pinched, showing, WHOLE, zoomed } from './pan-zoom.ts';

test('what is under the pointer stays there', () => {
  const at = { x: 0.25, y: 0.75 };
  const sight = zoomed(zoomed(WHOLE, 2, 64, at), 2, 64, at);
  expect(sight.scale).toBe(4);
  expect(sight.x + at.x / sight.scale).toBeCloseTo(0.25);
  expect(sight.y + at.y / sight.scale).toBeCloseTo(0.75);
});

test('nothing beside the drawing comes into sight', () => {
  expect(moved(WHOLE, 1, -1)).toEqual(WHOLE);
  expect(moved({ scale: 2, x: 0, y: 0 }, 5, 0.5)).toEqual({ scale: 2, x: 0.5, y: 0.25 });
  expect(zoomed({ scale: 4, x: 0.7, y: 0.7 }, 1 / 8, 64)).toEqual(WHOLE);
  expect(zoomed(WHOLE, 1000, 64).scale).toBe(64);
});

test('what is between two fingers stays between them', () => {
  const [before, now] = [
    { middle: { x: 0.25, y: 0.5 }, apart: 100 },
    { middle: { x: 0.5, y: 0.25 }, apart: 300 },
  ];
  const from = { scale: 4, x: 0.5, y: 0.25 };
  const sight = pinched(from, before, now, 64);
  expect(sight.scale).toBe(12);
  expect(sight.x + now.middle.x / sight.scale).toBeCloseTo(from.x + before.middle.x / from.scale);
  expect(sight.y + now.middle.y / sight.scale).toBeCloseTo(from.y + before.middle.y / from.scale);
  expect(pinched(from, now, before, 64).scale).toBeCloseTo(4 / 3);
  expect(pinched(from, before, { ...before, apart: 1e6 }, 64).scale).toBe(64);
});

test('a place is brought into sight, and no further', () => {
  const sight = { scale: 4, x: 0.5, y: 0.5 };
  expect(showing(sight, { x: 0.6, y: 0.6 })).toEqual(sight);
  const { x, y } = showing(sight, { x: 0.1, y: 0.9 });
  expect(x).toBeLessThan(0.1);
  expect(x + 0.25).toBeGreaterThan(0.1);
  expect(y).toBeLessThan(0.9);
  expect(y + 0.25).toBeGreaterThan(0.9);
});
