import { expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { datasetOf, type MemoryDataset } from './memory.ts';

/** Eleven images of 2×1 pixels, the label in the first one. */
const labels = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1];
const images = Uint8Array.from(labels.flatMap((label) => [label, 9]));
const given: MemoryDataset = { name: 'pairs', height: 2, width: 1, channels: 1, train: { images, labels }, maximum: 9 };

test('a fifth of each class is held back, the same one every time', () => {
  const { train, test: held, classes, split, sha256, scale } = datasetOf(given);
  expect({ classes, split, scale }).toEqual({ classes: 3, split: 'a fifth of each class held back', scale: 9 });
  expect([train.count, held.count]).toEqual([8, 3]);
  for (const part of [train, held]) {
    part.labels.forEach((label, k) => {
      expect(part.images[2 * k]).toBe(label);
    });
  }
  expect(new Set(held.labels).size).toBe(3);
  expect(datasetOf(given).sha256).toBe(sha256);
});

test('a test split is taken as given', () => {
  const two = { images: Uint8Array.of(1, 9, 0, 9), labels: [1, 0] };
  const { train, test: tested, classes, split } = datasetOf({ ...given, test: two, classes: 5 });
  expect([train.count, tested.count, classes, split]).toEqual([11, 2, 5, 'as given']);
  expect(Array.from(tested.labels)).toEqual([1, 0]);
});

test.each<[string, Partial<MemoryDataset>, RegExp]>([
  [
    'too few pixels',
    { train: { images: images.subarray(1), labels } },
    /21 raw values and 11 labels under train; 2 values per image/,
  ],
  ['a label below 0', { train: { images, labels: labels.with(3, -1) } }, /the label -1 at image 3 of train/],
  ['a label that is no whole number', { train: { images, labels: labels.with(0, 0.5) } }, /the label 0.5 at image 0/],
  ['one class', { train: { images, labels: labels.map(() => 1) } }, /one class: all/],
  ['a label beyond the classes', { classes: 2 }, /label 2, but 2 classes/],
  ['no class', { classes: 0 }, /has 0 classes; a whole number from 2 to 1000000/],
  ['half a class', { classes: 3.5 }, /has 3.5 classes; a whole number/],
  ['more classes than a network could have', { classes: 2 ** 24 + 1 }, /has 16777217 classes; a whole number/],
  ['a size of no pixels', { width: 0 }, /width 0; a whole number from 1/],
  ['a maximum beyond a byte', { maximum: 256 }, /maximum 256; a whole number from 1 to 255/],
  ['a name that is no file name', { name: '../x' }, /name is '..\/x'/],
])('%s is refused', (_, part, message) => {
  expect(() => datasetOf({ ...given, ...part })).toThrow(UserError);
  expect(() => datasetOf({ ...given, ...part })).toThrow(message);
});
