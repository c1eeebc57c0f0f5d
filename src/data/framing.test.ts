import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { centred, cropOf, drawBox, drawFrame, evaluationFrame, resizedTo, usualCrop } from './framing.ts';

test('an evaluation frame is the middle of the resized image', () => {
  expect(resizedTo({ height: 375, width: 500 }, 256)).toEqual({ height: 256, width: 341 });
  expect(resizedTo({ height: 500, width: 375 }, 256)).toEqual({ height: 341, width: 256 });
  expect(evaluationFrame({ height: 375, width: 500 }, 256, { height: 224, width: 224 })).toEqual({
    size: { height: 256, width: 341 },
    box: { top: 16, left: 58, height: 224, width: 224 },
  });
  expect(centred({ height: 3, width: 3 }, { height: 1, width: 3 })).toEqual({ top: 1, left: 0, height: 1, width: 3 });
});

test('random boxes lie inside, and their areas and proportions are spread over all that is allowed', () => {
  const image = { height: 200, width: 300 };
  const random = new Random(7);
  const [areas, ratios]: [number[], number[]] = [[], []];
  let places = 0;
  for (let k = 0; k < 4000; k++) {
    const { top, left, height, width } = drawBox(image, usualCrop, random)!;
    expect(top >= 0 && left >= 0 && top + height <= 200 && left + width <= 300).toBe(true);
    areas.push((height * width) / 60000);
    ratios.push(Math.log(width / height));
    if (height < 200) places += top / (200 - height);
  }
  // Within rounding to pixels.
  expect(Math.min(...areas)).toBeGreaterThan(0.078);
  expect(Math.min(...areas)).toBeLessThan(0.09);
  // The widest that fits: 200 high, 4:3.
  expect(Math.max(...areas)).toBeGreaterThan(0.86);
  expect(Math.max(...areas)).toBeLessThan(0.895);
  const most = Math.log(4 / 3);
  expect(Math.max(...ratios.map(Math.abs))).toBeLessThan(most + 0.02);
  // Uniform in the logarithm, but for boxes too high for the image: the mean is a little above 0, the spread that of a
  // uniform number within ±most.
  const mean = ratios.reduce((sum, one) => sum + one, 0) / 4000;
  const spread = Math.sqrt(ratios.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 4000);
  expect(Math.abs(mean)).toBeLessThan(0.1);
  expect(spread).toBeCloseTo(most / Math.sqrt(3), 1);
  expect(places / 4000).toBeCloseTo(0.5, 1);
});

test('where no box fits, the middle in the nearest proportions is taken', () => {
  const stream = [1, 2] as const;
  const all = { area: [1, 1], ratio: [3 / 4, 4 / 3] } as const;
  expect(cropOf({ stream }, { height: 10, width: 100 }, all)).toEqual({ top: 0, left: 44, height: 10, width: 13 });
  expect(cropOf({ stream }, { height: 100, width: 9 }, all)).toEqual({ top: 44, left: 0, height: 12, width: 9 });
});

test('a frame follows from the stream of the batch alone', () => {
  const draw = () => {
    const augmentation = { options: { pad: 0, flip: true }, random: new Random(3, 4) };
    return [drawFrame(augmentation)!, drawFrame(augmentation)!];
  };
  const [first, second] = draw();
  expect(draw()).toEqual([first, second]);
  const size = { height: 50, width: 70 };
  expect(cropOf(first!, size)).toEqual(cropOf(structuredClone(first!), size));
  expect(cropOf(first!, size)).not.toEqual(cropOf(second!, size));
  expect(drawFrame(undefined)).toBeUndefined();
  const random = new Random(9);
  const mirrored = Array.from({ length: 1000 }, () => drawFrame({ options: { pad: 0, flip: true }, random })).filter(
    (frame) => frame!.mirrored,
  ).length;
  expect(mirrored).toBeGreaterThan(450);
  expect(mirrored).toBeLessThan(550);
  expect(drawFrame({ options: { pad: 0, flip: false }, random })!.mirrored).toBe(false);
});
