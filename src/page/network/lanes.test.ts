import { expect, test } from 'vitest';
import { lanesOf } from './lanes.ts';

test('an edge to the next node is straight, others have lanes in which they do not meet', () => {
  // 0 → 1 → 2, with 0 → 2 beside; 2 → 3 → 4 with 2 → 4; and 0 → 4 over both.
  const edges = lanesOf([{ from: [] }, { from: [0] }, { from: [1, 0] }, { from: [2] }, { from: [3, 2, 0] }]);
  const lane = Object.fromEntries(edges.map((edge) => [`${edge.from}-${edge.to}`, edge.lane]));
  expect(lane).toEqual({ '0-1': 0, '1-2': 0, '0-2': 1, '2-3': 0, '3-4': 0, '2-4': 1, '0-4': 2 });
});

test('edges over the same rows have lanes of their own', () => {
  const edges = lanesOf([{ from: [] }, { from: [0] }, { from: [1] }, { from: [2, 0] }, { from: [3, 1] }]);
  const lanes = edges.filter(({ lane }) => lane > 0).map(({ lane }) => lane);
  expect(new Set(lanes).size).toBe(2);
});
