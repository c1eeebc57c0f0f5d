// Images that are read one by one: a slow reader whose files answer in any order, or not at all.

import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { Random } from '../tensor/random.ts';
import { type ImageReader, memorySplit, streamedSplit } from './image-split.ts';
import type { Selection } from './split.ts';

const size = { height: 1, width: 2, channels: 1 };
const labels = Int32Array.of(3, 70_000, 5, 1);
const images = Uint8Array.of(10, 11, 20, 21, 30, 31, 40, 41);

/** Later images of a batch are there earlier; `of` says what happens instead. */
function slowReader(of: Partial<ImageReader<number>> = {}): ImageReader<number> & { reading: () => number } {
  let reading = 0;
  return {
    labels,
    nameOf: (number) => `cats/${number}.png`,
    draw: (augmentation) => augmentation?.random.integer(100) ?? 0,
    read: async (number, view, target, signal) => {
      reading++;
      try {
        await setTimeout(8 - 2 * number, undefined, { signal });
        target.set([images[2 * number]! + view, images[2 * number + 1]!]);
      } finally {
        reading--;
      }
    },
    reading: () => reading,
    ...of,
  };
}

const all: Selection = { numbers: Int32Array.of(2, 0, 3) };

test('gives the same batch as a split in memory, padding too', async () => {
  const memory = memorySplit({ count: 4, images, labels }, size);
  const streamed = streamedSplit(slowReader(), size);
  expect(streamed.count).toBe(4);
  const batch = await streamed.read(all, 5);
  expect(batch).toEqual(await memory.read(all, 5));
  expect(batch).toEqual({
    inputs: {
      images: Uint8Array.of(30, 31, 10, 11, 40, 41, 0, 0, 0, 0),
      labels: Int32Array.of(5, 3, 1, -1, -1),
    },
    targets: 3,
  });
});

test('what an image shows is drawn in the order of the batch, whichever is read first', async () => {
  const selection = () => ({
    ...all,
    augmentation: { options: { pad: 0, flip: true }, random: new Random(1, 2, 3) },
  });
  const random = new Random(1, 2, 3);
  const expected = [30, 10, 40].map((raw) => raw + random.integer(100));
  const { inputs } = await streamedSplit(slowReader(), size).read(selection(), 3);
  expect([0, 2, 4].map((at) => inputs.images![at])).toEqual(expected);
});

test('an image that cannot be read is named, and the others of its batch are stopped', async () => {
  const slow = slowReader();
  const broken = slowReader({
    read: async (number, view, target, signal) => {
      if (number === 3) throw new Error('the JPEG ends early');
      return slow.read(number, view, target, signal);
    },
  });
  const reading = streamedSplit(broken, size).read(all, 3);
  await expect(reading).rejects.toThrow(UserError);
  await expect(reading).rejects.toThrow('cannot read the image cats/3.png: the JPEG ends early');
  expect(slow.reading()).toBe(0);
});

test('a signal stops it, before and while it reads', async () => {
  const slow = slowReader();
  const split = streamedSplit(slow, size);
  const stop = new AbortController();
  const reading = split.read(all, 3, stop.signal);
  expect(slow.reading()).toBe(3);
  stop.abort();
  await expect(reading).rejects.toThrow(/abort/);
  expect(slow.reading()).toBe(0);
  await expect(split.read(all, 3, stop.signal)).rejects.toThrow(/abort/);
});
