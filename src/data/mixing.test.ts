import { describe, expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { noAugmentation } from './augment.ts';
import { drawBeta, drawErased, drawMixture } from './mixing.ts';

const image = { height: 32, width: 32 };

function moments(values: readonly number[]) {
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
  return { mean, variance: values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / values.length };
}

test.each([0.2, 0.8, 1, 3])('Beta(%f, %f) has its mean and variance', (alpha) => {
  const random = new Random(5, Math.round(10 * alpha));
  const { mean, variance } = moments(Array.from({ length: 20_000 }, () => drawBeta(alpha, random)));
  expect(mean).toBeCloseTo(0.5, 1.7);
  expect(variance).toBeCloseTo(1 / (4 * (2 * alpha + 1)), 2);
});

describe('erasing', () => {
  test('a share of the images, by the areas of the paper, inside the image', () => {
    const boxes = drawErased(image, { ...noAugmentation, erase: 0.25 }, 8000, new Random(1));
    const areas: number[] = [];
    for (let row = 0; row < 8000; row++) {
      const [partner, top, left, height, width] = boxes.subarray(5 * row) as unknown as number[];
      expect(partner).toBe(-1);
      expect(top! >= 0 && left! >= 0 && top! + height! <= 32 && left! + width! <= 32).toBe(true);
      if (height! > 0) areas.push((height! * width!) / 1024);
    }
    expect(areas.length / 8000).toBeCloseTo(0.25, 1.5);
    expect(moments(areas).mean).toBeGreaterThan(0.12);
    expect(moments(areas).mean).toBeLessThan(0.19);
    expect(Math.max(...areas)).toBeLessThan(0.37);
  });

  test('a square around any pixel of every image', () => {
    const boxes = drawErased(image, { ...noAugmentation, cutout: 16 }, 3000, new Random(2));
    const tops = Array.from({ length: 3000 }, (_, row) => boxes[5 * row + 1]!);
    expect(Math.min(...tops)).toBe(-8);
    expect(Math.max(...tops)).toBe(23);
    expect([...boxes.subarray(0, 5)].slice(3)).toEqual([16, 16]);
  });
});

describe('mixtures', () => {
  test('mixup: one share for pixels and labels, the partner half a batch further', () => {
    const { boxes, share, ownLabel } = drawMixture(image, { ...noAugmentation, mixup: 0.2 }, 5, new Random(3));
    expect(Array.from({ length: 5 }, (_, row) => [...boxes.subarray(5 * row, 5 * row + 5)])).toEqual(
      [2, 3, 4, 0, 1].map((partner) => [partner, 0, 0, 0, 0]),
    );
    expect(ownLabel).toBe(share);
  });

  test('CutMix: the label’s share is what the box leaves of the area', () => {
    const own: number[] = [];
    const random = new Random(4);
    for (let k = 0; k < 4000; k++) {
      const { boxes, share, ownLabel } = drawMixture(image, { ...noAugmentation, cutmix: 1 }, 2, random);
      const [, top, left, height, width] = boxes as unknown as number[];
      expect(share).toBe(1);
      expect(ownLabel).toBe(1 - (height! * width!) / 1024);
      expect(top! >= 0 && left! >= 0 && top! + height! <= 32 && left! + width! <= 32).toBe(true);
      own.push(ownLabel);
    }
    // Half without clipping at the edges; a box of sides a has (a − a²/4)² inside on average: ∫ = 1 − 0.3375 + …
    const inside = (a: number) => (a - (a * a) / 4) ** 2;
    const steps = Array.from({ length: 1000 }, (_, k) => inside(Math.sqrt((k + 0.5) / 1000)));
    expect(moments(own).mean).toBeCloseTo(1 - moments(steps).mean, 1.5);
  });

  test('of both kinds a batch has either, as often', () => {
    const random = new Random(6);
    const boxed = Array.from({ length: 2000 }, () =>
      drawMixture(image, { ...noAugmentation, mixup: 1, cutmix: 1 }, 2, random),
    ).filter(({ share }) => share === 1).length;
    expect(boxed / 2000).toBeCloseTo(0.5, 1.2);
  });
});
