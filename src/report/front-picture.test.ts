import { expect, test } from 'vitest';
import { type FrontPoint, floorOf } from './front.ts';
import { frontSvg, NARROW_FRAME } from './front-picture.ts';
import { svgSize } from './svg.ts';
import { colours, textWidth } from './theme.ts';

const point = (
  series: FrontPoint['series'],
  label: string,
  power: number,
  accuracy: number,
  more: Partial<FrontPoint> = {},
): FrontPoint => ({ kind: 'synthesised', series, label, power, accuracy, ...more });

const points: readonly FrontPoint[] = [
  point('exact', '8×8', 1, 0.8945),
  point('exact', '5×5', 0.3, 0.8934),
  point('exact', '3×3', 0.085, 0.61),
  point('exact-retrained', '3×4', 0.11, 0.8927, { accuracySpread: 0.002, n: 3 }),
  point('trained', 'λ = 0.3', 0.71, 0.8901, { accuracySpread: 0.0012, powerSpread: 0.03, n: 3 }),
  point('trained', 'λ = 0.9', 0.65, 0.8876),
  point('trained', 'λ = 5', 0.645, 0.8877),
  point('given', 'mul8u_2NDH', 0.37, 0.8851, { before: 0.525 }),
];

const marks = (svg: string, role: string) => svg.split(`aria-roledescription="${role}"`).length - 1;
const texts = (svg: string) => Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text!);

test('draws and names every point, its interval and the front, on one axis that says its kind of power', async () => {
  const svg = await frontSvg(points, { technology: 'ASAP7' });
  expect(marks(svg, 'point')).toBe(points.length);
  expect(marks(svg, 'line mark')).toBe(1);
  // Two intervals of accuracy and one of power, and a line from before a treatment.
  expect(marks(svg, 'rule mark')).toBeGreaterThanOrEqual(4);
  const found = texts(svg);
  for (const { label } of points) expect(found.some((text) => text.startsWith(label))).toBe(true);
  expect(found).toContain('3×3 ↓ 61.0 %');
  expect(found).toContain('Synthesised power (exact 8×8 array = 1), ASAP7');
  expect(found).toEqual(expect.arrayContaining(['exact', 'exact, retrained', 'trained structure', 'given multiplier']));
  // The axis is logarithmic: 0.1 and 1 are on it, and equal factors are equally far apart.
  const ticks = ['0.1', '0.2', '0.5', '1'].map((text) => tickOf(svg, text));
  expect((ticks[1]! - ticks[0]!) / (ticks[3]! - ticks[2]!)).toBeCloseTo(1, 1);
});

const tickOf = (svg: string, text: string) =>
  Number(new RegExp(`translate\\(([\\d.]+),[\\d.]+\\)"[^>]*>${text}</text>`).exec(svg)?.[1]);

test('where a network still works is a line with its words, and built-in cells have a name for people', async () => {
  const goal = { accuracy: 0.889, label: 'float network − 0.50' };
  const svg = await frontSvg(points, { goal, technology: 'unit_gate' });
  const plain = await frontSvg(points);
  expect(marks(svg, 'rule mark')).toBe(marks(plain, 'rule mark') + 1);
  expect(texts(svg)).toContain('float network − 0.50');
  expect(texts(svg)).toContain('Synthesised power (exact 8×8 array = 1), the built-in unit gates');
  // One that is outside the picture is not drawn at its edge.
  expect(texts(await frontSvg(points, { goal: { ...goal, accuracy: 0.99 } }))).not.toContain('float network − 0.50');
});

test('each task has a front of its own', async () => {
  const [a, b, c] = points;
  expect(marks(await frontSvg([a!, b!, { ...c!, task: 'another network' }]), 'line mark')).toBe(2);
});

test('points of two kinds of power have no common picture', async () => {
  expect(() => frontSvg([...points, { ...points[0]!, kind: 'gates' }])).toThrow('beside');
});

test('rivals that were not retrained are hollow, those that were are filled', async () => {
  const filled = async (series: FrontPoint['series']) =>
    new RegExp(`aria-roledescription="point"[^>]*fill="${colours.orange}"`).test(
      await frontSvg([point(series, 'a', 0.3, 0.9)]),
    );
  expect(await filled('exact')).toBe(false);
  expect(await filled('exact-retrained')).toBe(true);
});

test('a narrow picture has the same texts at the same size, and no two of its labels touch', async () => {
  const svg = await frontSvg(points, NARROW_FRAME);
  expect(svgSize(svg).width).toBeLessThan(390);
  expect(labelsOf(svg)).toHaveLength(points.length);
  expect(touching(svg)).toEqual([]);
});

test('no label stands in the words of the line from which on a network works, nor across the line', async () => {
  const goal = { accuracy: 0.89, label: 'float network − 0.50' };
  for (const accuracy of [0.8875, 0.8885, 0.8895, 0.8905, 0.8915, 0.892]) {
    const svg = await frontSvg([...points, point('trained', 'power 0.9', 0.97, accuracy)], { goal });
    const labels = labelsOf(svg);
    const line = labels.find(({ text }) => text === goal.label)!.y + 8;
    expect(touching(svg)).toEqual([]);
    expect(Math.abs(labels.find(({ text }) => text === 'power 0.9')!.y - line)).toBeGreaterThan(5);
  }
});

/** Middles of all labels in a picture; the words of a goal stand over the place that is said, and end there. */
const labelsOf = (svg: string) =>
  Array.from(
    svg.matchAll(
      /text-anchor="(\w+)" transform="translate\(([\d.-]+),([\d.-]+)\)"[^>]*font-size="11px"[^>]*>([^<]*)</g,
    ),
    ([, anchor, x, y, text]) => {
      const half = textWidth(text!, 11) / 2;
      const isGoal = anchor === 'end';
      return { text: text!, x: Number(x) - (isGoal ? half : 0), y: Number(y) - (isGoal ? 5 : 0), half };
    },
  );

/** Pairs of labels that touch. */
const touching = (svg: string) => {
  const labels = labelsOf(svg);
  return labels.flatMap((a, k) =>
    labels
      .slice(k + 1)
      .filter((b) => Math.abs(a.x - b.x) <= a.half + b.half && Math.abs(a.y - b.y) <= 11)
      .map((b) => [a.text, b.text]),
  );
};

test('one failure does not flatten the rest, and accuracies close to each other are all shown', () => {
  expect(floorOf([0.9, 0.895, 0.893, 0.1])).toBeGreaterThan(0.88);
  expect(floorOf([0.9, 0.895, 0.893, 0.89])).toBeLessThan(0.89);
});
