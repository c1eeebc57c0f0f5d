import { describe, expect, test } from 'vitest';
import { copyShifted } from './augment.ts';
import { batchesPerEpoch, evaluationBatches, type TrainingOptions, trainingBatches } from './batches.ts';
import { gatherImages, type ImageSplit, memorySplit, picksOf } from './image-split.ts';
import { openDataset } from './registry.ts';
import type { Selection } from './split.ts';

const digits = await openDataset('digits');
const all = { train: digits.train.images!, test: digits.test.images! };
const none = { pad: 0, flip: false };

interface Read {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly count: number;
}

async function readAll(selections: Iterable<Selection>, split: ImageSplit, rows: number): Promise<Read[]> {
  const read: Read[] = [];
  for (const selection of selections) {
    const { inputs, targets } = await split.read(selection, rows);
    expect(targets).toBe(selection.numbers.length);
    read.push({ images: inputs.images as Uint8Array, labels: inputs.labels as Int32Array, count: targets });
  }
  return read;
}

const collect = (options: TrainingOptions) =>
  readAll(trainingBatches(digits, options), digits.train, options.batchSize);

describe('training batches', () => {
  test('depend on seed and epoch alone, and differ between them', async () => {
    const first = await collect({ seed: 1, epoch: 0, batchSize: 64 });
    expect(await collect({ seed: 1, epoch: 0, batchSize: 64 })).toEqual(first);
    expect((await collect({ seed: 1, epoch: 1, batchSize: 64 }))[0]!.images).not.toEqual(first[0]!.images);
    expect((await collect({ seed: 2, epoch: 0, batchSize: 64 }))[0]!.images).not.toEqual(first[0]!.images);
  });

  test('begun at any step are bit-equal to those of an uninterrupted epoch', async () => {
    const whole = await collect({
      seed: 3,
      epoch: 5,
      batchSize: 100,
      dropLast: false,
      augment: { pad: 2, flip: true },
    });
    for (const firstStep of [1, 7, 14, 15]) {
      expect(
        await collect({
          seed: 3,
          epoch: 5,
          batchSize: 100,
          dropLast: false,
          augment: { pad: 2, flip: true },
          firstStep,
        }),
      ).toEqual(whole.slice(firstStep));
    }
  });

  test('show every training image once, and all but the last partial batch when that is dropped', async () => {
    const key = (images: Uint8Array, k: number) => images.subarray(k * 64, (k + 1) * 64).join();
    const batches = await collect({ seed: 4, epoch: 0, batchSize: 100, augment: none, dropLast: false });
    expect(batches.map(({ count }) => count)).toEqual([...new Array(14).fill(100), 37]);
    const seen = batches.flatMap(({ images, count }) => Array.from({ length: count }, (_, k) => key(images, k)));
    const own = Array.from({ length: 1437 }, (_, k) => key(all.train, k));
    expect(seen.sort()).toEqual(own.sort());
    const last = batches.at(-1)!;
    expect(last.images.subarray(37 * 64).every((raw) => raw === 0)).toBe(true);
    expect(last.labels.subarray(37).every((label) => label === -1)).toBe(true);
    expect(await collect({ seed: 4, epoch: 0, batchSize: 100, augment: none })).toEqual(batches.slice(0, 14));
    expect([batchesPerEpoch(1437, 100, true), batchesPerEpoch(1437, 100, false)]).toEqual([14, 15]);
  });

  test('are all of one size where the last is filled, the others as they were', async () => {
    const options = { seed: 4, epoch: 0, batchSize: 100, augment: none };
    const [filled, partial] = [
      await collect({ ...options, fillLast: true, dropLast: false }),
      await collect({ ...options, dropLast: false }),
    ];
    expect(filled.map(({ count }) => count)).toEqual(new Array(15).fill(100));
    expect(filled.slice(0, 14)).toEqual(partial.slice(0, 14));
    const last = filled[14]!.images;
    expect(last.subarray(0, 37 * 64)).toEqual(partial[14]!.images.subarray(0, 37 * 64));
    expect(last.subarray(37 * 64)).toEqual(filled[0]!.images.subarray(0, 63 * 64));
    // Fewer examples than a batch stay a batch of their own.
    const few = await collect({ ...options, batchSize: 2000, fillLast: true, dropLast: false });
    expect(few.map(({ count }) => count)).toEqual([1437]);
  });

  test('carry the label of their image', async () => {
    const labelOf = new Map<string, number>();
    digits.train.labels.forEach((label, k) => {
      labelOf.set(all.train.subarray(k * 64, (k + 1) * 64).join(), label);
    });
    for (const { images, labels } of await collect({ seed: 5, epoch: 2, batchSize: 128, augment: none })) {
      labels.forEach((label, k) => {
        expect(labelOf.get(images.subarray(k * 64, (k + 1) * 64).join())).toBe(label);
      });
    }
  });

  test('are the same picks on the host and on a device that keeps the images', async () => {
    const options = { seed: 6, epoch: 1, batchSize: 32, augment: { pad: 2, flip: true } };
    const read = await collect(options);
    for (const [k, selection] of [...trainingBatches(digits, options)].entries()) {
      const images = new Uint8Array(40 * 64).fill(99);
      gatherImages(all.train, digits, picksOf(selection, 40), images);
      expect(images.subarray(0, 32 * 64)).toEqual(read[k]!.images);
      expect(images.subarray(32 * 64).every((raw) => raw === 0)).toBe(true);
    }
  });

  test('name an impossible batch size', () => {
    expect(() => trainingBatches(digits, { seed: 1, epoch: 0, batchSize: 2000 })).toThrow(
      'the batch size 2000 exceeds the 1437 training examples of digits; choose a smaller one',
    );
    expect(() => evaluationBatches(digits.test, 0)).toThrow('the batch size is 0; a whole number of at least 1');
  });
});

test('evaluation batches are the split in its order', async () => {
  const images: number[] = [];
  const labels: number[] = [];
  const counts: number[] = [];
  for (const batch of await readAll(evaluationBatches(digits.test, 128), digits.test, 128)) {
    images.push(...batch.images.subarray(0, batch.count * 64));
    labels.push(...batch.labels.subarray(0, batch.count));
    counts.push(batch.count);
  }
  expect(counts).toEqual([128, 128, 104]);
  expect(images).toEqual([...all.test]);
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

  test('draws all shifts about equally often and flips half of the images', async () => {
    const one = new Uint8Array(64);
    one[27] = 1;
    const dataset = {
      ...digits,
      train: memorySplit(
        {
          count: 4000,
          images: Uint8Array.from({ length: 64 * 4000 }, (_, k) => one[k % 64]!),
          labels: new Int32Array(4000),
        },
        digits,
      ),
    };
    const counts = new Map<number, number>();
    const options = { seed: 1, epoch: 0, batchSize: 4000, augment: { pad: 1, flip: true } };
    for (const { images } of await readAll(trainingBatches(dataset, options), dataset.train, 4000)) {
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
