import { describe, expect, test } from 'vitest';
import { copyShifted } from './augment.ts';
import {
  type Batch,
  batchesPerEpoch,
  createBatch,
  evaluationBatches,
  gatherImages,
  type TrainingOptions,
  trainingBatches,
} from './batches.ts';
import type { Split } from './dataset.ts';
import { openDataset } from './registry.ts';

const digits = openDataset('digits');
const none = { pad: 0, flip: false };

function imagesOf({ picks }: Batch, split: Split): Uint8Array {
  const images = new Uint8Array((picks.length / 4) * 64).fill(99);
  gatherImages(split, digits, picks, images);
  return images;
}

const collect = (options: TrainingOptions) =>
  Array.from(trainingBatches(digits, options), (batch) => ({
    images: imagesOf(batch, digits.train),
    labels: batch.labels.slice(),
    count: batch.count,
  }));

describe('training batches', () => {
  test('depend on seed and epoch alone, and differ between them', () => {
    const first = collect({ seed: 1, epoch: 0, batchSize: 64 });
    expect(collect({ seed: 1, epoch: 0, batchSize: 64 })).toEqual(first);
    expect(collect({ seed: 1, epoch: 1, batchSize: 64 })[0]!.images).not.toEqual(first[0]!.images);
    expect(collect({ seed: 2, epoch: 0, batchSize: 64 })[0]!.images).not.toEqual(first[0]!.images);
  });

  test('begun at any step are bit-equal to those of an uninterrupted epoch', () => {
    const whole = collect({ seed: 3, epoch: 5, batchSize: 100, dropLast: false, augment: { pad: 2, flip: true } });
    for (const firstStep of [1, 7, 14, 15]) {
      expect(
        collect({ seed: 3, epoch: 5, batchSize: 100, dropLast: false, augment: { pad: 2, flip: true }, firstStep }),
      ).toEqual(whole.slice(firstStep));
    }
  });

  test('show every training image once, and all but the last partial batch when that is dropped', () => {
    const key = (images: Uint8Array, k: number) => images.subarray(k * 64, (k + 1) * 64).join();
    const batches = collect({ seed: 4, epoch: 0, batchSize: 100, augment: none, dropLast: false });
    expect(batches.map(({ count }) => count)).toEqual([...new Array(14).fill(100), 37]);
    const seen = batches.flatMap(({ images, count }) => Array.from({ length: count }, (_, k) => key(images, k)));
    const all = Array.from({ length: 1437 }, (_, k) => key(digits.train.images, k));
    expect(seen.sort()).toEqual(all.sort());
    const last = batches.at(-1)!;
    expect(last.images.subarray(37 * 64).every((raw) => raw === 0)).toBe(true);
    expect(last.labels.subarray(37).every((label) => label === -1)).toBe(true);
    expect(collect({ seed: 4, epoch: 0, batchSize: 100, augment: none })).toEqual(batches.slice(0, 14));
    expect([batchesPerEpoch(1437, 100, true), batchesPerEpoch(1437, 100, false)]).toEqual([14, 15]);
  });

  test('carry the label of their image', () => {
    const labelOf = new Map<string, number>();
    digits.train.labels.forEach((label, k) => {
      labelOf.set(digits.train.images.subarray(k * 64, (k + 1) * 64).join(), label);
    });
    for (const { images, labels } of collect({ seed: 5, epoch: 2, batchSize: 128, augment: none })) {
      labels.forEach((label, k) => {
        expect(labelOf.get(images.subarray(k * 64, (k + 1) * 64).join())).toBe(label);
      });
    }
  });

  test('fill the buffer they are given', () => {
    const into = createBatch(32);
    const [first] = trainingBatches(digits, { seed: 6, epoch: 0, batchSize: 32, into });
    expect(first).toBe(into);
    expect(into.count).toBe(32);
  });

  test('name an impossible batch size', () => {
    expect(() => trainingBatches(digits, { seed: 1, epoch: 0, batchSize: 2000 })).toThrow(
      'the batch size 2000 exceeds the 1437 training images of digits; choose a smaller one',
    );
    expect(() => evaluationBatches(digits.test, 0)).toThrow('the batch size is 0; a whole number of at least 1');
  });
});

test('evaluation batches are the split in its order', () => {
  const images: number[] = [];
  const labels: number[] = [];
  const counts: number[] = [];
  for (const batch of evaluationBatches(digits.test, 128)) {
    images.push(...imagesOf(batch, digits.test).subarray(0, batch.count * 64));
    labels.push(...batch.labels.subarray(0, batch.count));
    counts.push(batch.count);
  }
  expect(counts).toEqual([128, 128, 104]);
  expect(images).toEqual([...digits.test.images]);
  expect(labels).toEqual([...digits.test.labels]);
});

describe('augmentation', () => {
  const size = { height: 3, width: 3, channels: 2 };
  const image = Uint8Array.from({ length: 18 }, (_, k) => k + 1);

  /** The definition, pixel by pixel: pad with zeros, crop at (dy, dx), mirror. */
  function expected(dy: number, dx: number, flip: boolean): number[] {
    const result: number[] = [];
    for (let y = 0; y < 3; y++) {
      for (let x = 0; x < 3; x++) {
        const [fromY, fromX] = [y + dy, (flip ? 2 - x : x) + dx];
        const inside = fromY >= 0 && fromY < 3 && fromX >= 0 && fromX < 3;
        for (let c = 0; c < 2; c++) result.push(inside ? image[(fromY * 3 + fromX) * 2 + c]! : 0);
      }
    }
    return result;
  }

  test('crops the padded image and mirrors it, for every shift', () => {
    for (let dy = -4; dy <= 4; dy++) {
      for (let dx = -4; dx <= 4; dx++) {
        for (const flip of [false, true]) {
          const target = new Uint8Array(22).fill(99);
          copyShifted(image, 0, target, 2, size, dy, dx, flip);
          expect([...target]).toEqual([99, 99, ...expected(dy, dx, flip), 99, 99]);
        }
      }
    }
  });

  test('draws all shifts about equally often and flips half of the images', () => {
    const one = new Uint8Array(64);
    one[27] = 1;
    const dataset = {
      ...digits,
      train: {
        count: 4000,
        images: Uint8Array.from({ length: 64 * 4000 }, (_, k) => one[k % 64]!),
        labels: new Uint8Array(4000),
      },
    };
    const counts = new Map<number, number>();
    for (const batch of trainingBatches(dataset, {
      seed: 1,
      epoch: 0,
      batchSize: 4000,
      augment: { pad: 1, flip: true },
    })) {
      const images = imagesOf(batch, dataset.train);
      for (let k = 0; k < 4000; k++) {
        const at = images.subarray(k * 64, (k + 1) * 64).indexOf(1);
        counts.set(at, (counts.get(at) ?? 0) + 1);
      }
    }
    // Row 3, column 3: shifts reach columns 2..4, their mirror images 3..5; columns 3 and 4 are reached both ways.
    const byColumn = [0, 0, 0, 0, 0, 0, 0, 0];
    for (const [at, count] of counts) byColumn[at % 8]! += count;
    const shares = byColumn.map((count) => Math.round((count / 4000) * 6));
    expect(shares).toEqual([0, 0, 1, 2, 2, 1, 0, 0]);
  });
});
