import { expect, test } from 'vitest';
import { dominates, dominators, type FrontPoint, front } from './front.ts';

const point = (label: string, power: number, accuracy: number, kind: FrontPoint['kind'] = 'gates'): FrontPoint => ({
  ...{ label, power, accuracy, kind, series: 'exact' },
});
const labels = (points: readonly FrontPoint[]) => points.map(({ label }) => label);

test('cheaper at the same accuracy, or more accurate at the same power, is enough to dominate', () => {
  expect(dominates(point('a', 0.3, 0.9), point('b', 0.3, 0.89))).toBe(true);
  expect(dominates(point('a', 0.2, 0.9), point('b', 0.3, 0.9))).toBe(true);
  expect(dominates(point('a', 0.2, 0.89), point('b', 0.3, 0.9))).toBe(false);
});

test('equal points do not dominate each other and stand on the front together', () => {
  const twins = [point('a', 0.3, 0.9), point('b', 0.3, 0.9), point('c', 0.4, 0.9)];
  expect(dominates(twins[0]!, twins[1]!)).toBe(false);
  expect(labels(front(twins))).toEqual(['a', 'b']);
});

test('the front is by rising power, and a dominated point knows the best of those above it', () => {
  const ours = point('ours', 0.65, 0.8877);
  const rivals = [
    point('8×8', 1, 0.8945),
    point('5×5', 0.3, 0.8934),
    point('4×5', 0.22, 0.8898),
    point('3×3', 0.1, 0.7),
  ];
  expect(labels(front([ours, ...rivals]))).toEqual(['3×3', '4×5', '5×5', '8×8']);
  expect(labels(dominators(ours, rivals))).toEqual(['5×5', '4×5']);
  expect(dominators(rivals[0]!, [ours])).toEqual([]);
});

test('points of different tasks are not compared', () => {
  const [a, b] = [point('a', 0.3, 0.9), point('b', 0.4, 0.8)];
  expect(labels(front([{ ...a, task: 'small' }, b]))).toEqual(['a', 'b']);
  expect(dominators({ ...b, task: 'small' }, [a, { ...a, label: 'own', task: 'small' }])).toMatchObject([
    { label: 'own' },
  ]);
});

test('kinds of power are never compared', () => {
  expect(() => front([point('a', 0.3, 0.9), point('b', 0.4, 0.9, 'synthesised')])).toThrow(
    /synthesised power beside a gates/,
  );
});
