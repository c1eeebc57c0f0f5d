import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { noAugmentation } from './augment.ts';
import { trainingBatches } from './batches.ts';
import { memorySplit } from './image-split.ts';
import { alter, drawAlteration, recolour, resize, rotated } from './pixels.ts';
import { formatTransforms, parseTransforms } from './transforms.ts';

const grey = (height: number, width: number) => ({ height, width, channels: 1 });

test('a box is resized by interpolation between centres', () => {
  const image = Uint8Array.from([...[9, 9, 9, 9], ...[9, 0, 100, 9], ...[9, 200, 40, 9], ...[9, 9, 9, 9]]);
  const target = new Uint8Array(16);
  resize(image, grey(4, 4), { top: 1, left: 1, height: 2, width: 2 }, target, { height: 4, width: 4 });
  // Columns of the upper row: 0, 25, 75, 100; of the lower: 200, 160, 80, 40; between them by quarters.
  expect([...target]).toEqual([...[0, 25, 75, 100], ...[50, 59, 76, 85], ...[150, 126, 79, 55], ...[200, 160, 80, 40]]);
});

test('a quarter turn, half a turn, and one that leaves corners black', () => {
  const image = Uint8Array.from([...[1, 2, 3], ...[4, 5, 6], ...[7, 8, 9]]);
  const turned = (degrees: number) => {
    const target = new Uint8Array(9);
    rotated(image, grey(3, 3), degrees, target);
    return [...target];
  };
  expect(turned(90)).toEqual([...[3, 6, 9], ...[2, 5, 8], ...[1, 4, 7]]);
  expect(turned(180)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
  const tilted = new Uint8Array(9);
  rotated(new Uint8Array(9).fill(100), grey(3, 3), 45, tilted);
  // The corner comes from (1 − √2, 0) of the middle, which is 0.41 outside.
  expect([...tilted]).toEqual([59, 100, 59, 100, 100, 100, 59, 100, 59]);
});

test('brightness, contrast and saturation', () => {
  const pixels = Uint8Array.from([100, 50, 200, 20, 40, 60]);
  const size = { height: 1, width: 2, channels: 3 };
  const changed = (brightness: number, contrast: number, saturation: number) => {
    const copy = Uint8Array.from(pixels);
    recolour(copy, size, brightness, contrast, saturation);
    return [...copy];
  };
  expect(changed(1, 1, 1)).toEqual([...pixels]);
  expect(changed(1.5, 1, 1)).toEqual([150, 75, 255, 30, 60, 90]);
  // Greys 82.05 and 36.3; their mean 59.175.
  expect(changed(1, 0, 1)).toEqual([59, 59, 59, 59, 59, 59]);
  expect(changed(1, 1, 0)).toEqual([82, 82, 82, 36, 36, 36]);
  expect(changed(1, 1, 2)).toEqual([118, 18, 255, 4, 44, 84]);
});

test('what is drawn is plain data, and the same numbers give the same pixels', () => {
  const options = { ...noAugmentation, resizedCrop: 0.2, rotate: 20, jitter: 0.4 };
  const alteration = drawAlteration({ options, random: new Random(1) })!;
  const size = { height: 8, width: 8, channels: 3 };
  const start = Uint8Array.from({ length: 192 }, (_, k) => (k * 37) % 256);
  const [a, b] = [Uint8Array.from(start), Uint8Array.from(start)];
  alter(a, size, alteration);
  alter(b, size, structuredClone(alteration));
  expect(a).toEqual(b);
  expect(a).not.toEqual(start);
  expect(drawAlteration({ options: { pad: 4, flip: true }, random: new Random(1) })).toBeUndefined();
});

test('a split in memory alters its images, and repeats them side by side', async () => {
  const images = Uint8Array.from({ length: 12 * 16 }, (_, k) => (k * 29) % 256);
  const labels = Int32Array.from({ length: 12 }, (_, k) => k);
  const split = memorySplit({ count: 12, images, labels }, grey(4, 4));
  const options = { seed: 1, epoch: 0, batchSize: 6 };
  const read = async (augment: Parameters<typeof formatTransforms>[0]) => {
    const batches = trainingBatches({ name: 'tiny', train: split }, { ...options, augment });
    return split.read(batches.next().value!, 6);
  };
  const plain = await read(noAugmentation);
  const turned = await read({ ...noAugmentation, rotate: 30 });
  expect(turned.inputs.labels).toEqual(plain.inputs.labels);
  expect(turned.inputs.images).not.toEqual(plain.inputs.images);
  expect(await read({ ...noAugmentation, rotate: 30 })).toEqual(turned);
  const repeated = await read({ ...noAugmentation, repeat: 3 });
  const [first, second] = plain.inputs.labels as Int32Array;
  expect([...(repeated.inputs.labels as Int32Array)]).toEqual([first, first, first, second, second, second]);
});

test.each([
  ['none', noAugmentation],
  ['crop:4,flip', { pad: 4, flip: true }],
  ['rotate:15,jitter:0.4,erase:0.25', { pad: 0, flip: false, rotate: 15, jitter: 0.4, erase: 0.25 }],
  ['mixup:.2, cutmix:1', { pad: 0, flip: false, mixup: 0.2, cutmix: 1 }],
])('the list %j', (text, options) => {
  expect(parseTransforms(text)).toEqual({ options });
  expect(parseTransforms(formatTransforms(options))).toEqual({ options });
});

test.each([
  ['crp:4', "unknown transform 'crp'"],
  ['crop', "crop is ''; a whole number above 0 and up to 64 was expected"],
  ['crop:1.5', "crop is '1.5'; a whole number above 0 and up to 64 was expected"],
  ['erase:2', "erase is '2'; a number above 0 and up to 1 was expected"],
  ['flip:1', "flip takes no value, got '1'"],
  ['flip,flip', 'flip twice'],
  ['cutout:4,erase:0.5', 'erase and cutout; one of them was expected'],
  ['', "unknown transform ''"],
])('the list %j is refused', (text, wrong) => expect(parseTransforms(text)).toEqual({ wrong }));
