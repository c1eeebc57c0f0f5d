// Where labels are read and what becomes of them, for each source: the header's column, a column that is asked for, a
// guess that is told or refused; one class, empty classes, labels from 1 and texts. Nothing may train on something else
// than the user's labels without a word.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { type Dataset, type DatasetOptions, describeData, finishDataset } from './dataset.ts';
import { readMaybeGzip } from './raw.ts';
import { openDataset, parseImageSize } from './registry.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tram-labels-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
}

const pixels = Array.from({ length: 16 }, (_, i) => i);

/** Images of 4×4 whose last pixel is 0 and whose other pixels tell the class, as lines of cells without the label. */
const imageOf = (label: number, k: number) => pixels.map((i) => (i === 15 ? 0 : i % 4 === label ? 200 : 10 + k));

/** 40 lines with the label at a column, under a header or none. */
function lines(at: number, labelOf: (k: number) => string | number, header?: string, delimiter = ','): string {
  const rows = Array.from({ length: 40 }, (_, k) => imageOf(k % 4, k).toSpliced(at, 0, labelOf(k) as number));
  const names = pixels.map((i) => `pixel${i}`).toSpliced(at, 0, header!);
  return [...(header === undefined ? [] : [names]), ...rows].map((row) => row.join(delimiter)).join('\n');
}

const open = (content: string, options: DatasetOptions = {}) => openDataset(`csv:${put('a.csv', content)}`, options);
const labelsOf = ({ train, test }: Dataset) => [...train.labels, ...test.labels];
const countOf = (dataset: Dataset, label: number) => labelsOf(dataset).filter((found) => found === label).length;

/** The data of `lines` with labels k mod 4, wherever they stood: the same images and classes. */
const expected = () => open(lines(16, (k) => k % 4, 'label'));

describe('the column of the label', () => {
  test('is the one that the header calls label, class, target or y, in any case and place', async () => {
    const last = await expected();
    expect([last.classes, ...[0, 1, 2, 3].map((label) => countOf(last, label))]).toEqual([4, 10, 10, 10, 10]);
    for (const name of ['label', 'Label', 'CLASS', 'target', 'y', '"label"']) {
      for (const at of [0, 7]) {
        const data = await open(
          lines(at, (k) => k % 4, name),
          {},
        );
        expect(data.sha256, name).toBe(last.sha256);
        expect(data.labels).toBe(`the column ${name.replaceAll('"', '')}`);
      }
    }
  });

  test('is the more telling one of two such names', async () => {
    const rows = Array.from({ length: 40 }, (_, k) => [k % 3, ...imageOf(k % 4, k).slice(1), k % 4].join());
    const names = ['class', ...pixels.slice(1).map((i) => `pixel${i}`), 'label'];
    const data = await open([names.join(), ...rows].join('\n'));
    expect(data.labels).toBe('the column label');
    expect(data.classes).toBe(4);
  });

  test('is the last one without a header', async () => {
    const data = await open(lines(16, (k) => k % 4));
    expect(data.sha256).toBe((await expected()).sha256);
    expect(data.labels).toBe('the last column');
  });

  test('is the one asked for by name, number, first or last', async () => {
    for (const [label, header] of [['first'], ['1'], ['digit', 'digit'], ['Digit', 'digit'], ['1', 'digit']]) {
      expect(
        (
          await open(
            lines(0, (k) => k % 4, header),
            { label: label! },
          )
        ).sha256,
      ).toBe((await expected()).sha256);
    }
    const both = lines(0, (k) => k % 4, 'label').replace('pixel15', 'other');
    await expect(open(both, { label: 'other' })).rejects.toThrow('has one class');
    await expect(open(both, { label: 'lable' })).rejects.toThrow("no column is called 'lable'; did you mean 'label'?");
    await expect(open(both, { label: '18' })).rejects.toThrow('in column 18, but there are 17');
    await expect(
      open(
        lines(0, (k) => k % 4),
        { label: 'digit' },
      ),
    ).rejects.toThrow("no header names a column 'digit'");
  });

  test('may stand in a header whose other names are numbers', async () => {
    const text = lines(0, (k) => k % 4, 'label').replaceAll('pixel', '');
    expect((await open(text)).sha256).toBe((await expected()).sha256);
  });

  test('is asked about where the last makes one class and the first looks like it', async () => {
    await expect(open(lines(0, (k) => k % 4))).rejects.toThrow(
      'a.csv has one class: the last column, taken for the label, is 0 in all 40 lines; the first column holds 0 … 3: say --label first',
    );
    await expect(open(lines(0, (k) => k % 4, 'digit'))).rejects.toThrow(
      'the column pixel15, taken for the label, is 0 in all',
    );
    await expect(open(lines(16, () => 0))).rejects.toThrow('name the column of the label with --label');
  });

  test('is asked about where the last has gaps and the first has none', async () => {
    const text = lines(0, (k) => k % 4).replaceAll(/,0$/gm, (_, at: number) => `,${17 * (at % 5)}`);
    await expect(open(text)).rejects.toThrow('or in the first, which holds 0 … 3? say --label first or --label last');
    expect((await open(text, { label: 'first' })).classes).toBe(4);
    expect((await open(text, { label: 'last' })).classes).toBe(69);
  });

  test.each([';', '\t'])('is found in a file of %j', async (delimiter) => {
    expect((await open(lines(0, (k) => k % 4, 'label', delimiter))).sha256).toBe((await expected()).sha256);
  });
});

describe('labels', () => {
  test('from 1 are numbered from 0, with a note', async () => {
    const data = await open(lines(16, (k) => 1 + (k % 4)));
    expect(data.sha256).toBe((await expected()).sha256);
    expect(data.notes).toEqual(['the labels begin with 1: class = label − 1 (--classes 5 keeps them as they are)']);
    expect(data.labels).toBe('the last column, class = label − 1');
    const kept = await open(
      lines(16, (k) => 1 + (k % 4)),
      { classes: 5 },
    );
    expect([kept.classes, kept.notes]).toEqual([5, ['no training image of class 0']]);
    expect(countOf(kept, 4)).toBe(10);
  });

  test('with gaps keep their numbers, and the empty classes are named', async () => {
    const data = await open(lines(16, (k) => [0, 1, 3, 6][k % 4]!));
    expect([data.classes, data.classCounts]).toEqual([7, [10, 10, 0, 10, 0, 0, 10]]);
    expect(data.notes).toEqual(['no training image of 3 of 7 classes: 2, 4, 5']);
    expect(describeData(data)).toContain('7 classes (0 to 10 each)');
  });

  test('that are texts are numbered in sorted order, which is told', async () => {
    const names = ['owl', 'cat', 'dog', 'bee'];
    const data = await open(lines(0, (k) => `"${names[k % 4]}"`, 'y'));
    expect(data.labels).toBe('the column y: 0 = bee, 1 = cat, 2 = dog, 3 = owl');
    expect(data.notes).toEqual(['the labels are texts, numbered in sorted order: 0 = bee, 1 = cat, 2 = dog, 3 = owl']);
    const first = data.train.images!.subarray(0, 16);
    expect(data.train.labels[0]).toBe(first[0] === 200 ? 3 : first[1] === 200 ? 1 : first[2] === 200 ? 2 : 0);
    await expect(open(lines(16, (k) => (k === 9 ? 'cat' : k % 4)))).rejects.toThrow(
      ":10: the label 'cat' in column 17 is not an integer from 0 to 999999",
    );
  });

  test('may be thousands: each image keeps its own', async () => {
    // The label stands in the first two pixels too.
    const line = (label: number) => [label & 255, label >> 8, 3, 4, label].join();
    const many = (labelOf: (k: number) => number) =>
      open(Array.from({ length: 1500 }, (_, k) => line(labelOf(k))).join('\n'));
    const data = await many((k) => k % 700);
    expect([data.classes, data.classCounts[0], data.classCounts[699]]).toEqual([700, 3, 2]);
    for (const { count, images, labels } of [data.train, data.test]) {
      for (let k = 0; k < count; k++) expect(labels[k]).toBe(images![4 * k]! + 256 * images![4 * k + 1]!);
    }
    const last = data.train.labels.indexOf(699);
    const { inputs } = await data.train.read({ numbers: Int32Array.of(last, 3) }, 3);
    expect([...inputs.labels!]).toEqual([699, data.train.labels[3], -1]);
  });

  test('beyond a byte are in the hash as a whole', () => {
    const parts = { height: 1, width: 1, channels: 1, scale: 255, augment: { pad: 0, flip: false }, name: 'mine' };
    const hashOf = (classes: number, ...labels: number[]) => {
      const split = { count: 2, images: Uint8Array.of(5, 6), labels: Int32Array.from(labels) };
      return finishDataset({ ...parts, classes, train: split, test: split }).sha256;
    };
    expect(hashOf(300, 1, 257)).not.toBe(hashOf(300, 1, 1 + 255));
    expect(hashOf(300, 2, 1 + 256)).not.toBe(hashOf(300, 2, 1));
    // Up to 256 classes it is what older runs know: bytes.
    const sizes = { height: 1, width: 1, channels: 1, classes: 256, scale: 255, train: 2, test: 2 };
    const [images, labels] = [Uint8Array.of(5, 6), Uint8Array.of(0, 255)];
    expect(hashOf(256, 0, 255)).toBe(sha256(JSON.stringify(sizes), images, labels, images, labels));
  });

  test('that are numbers but no class numbers are refused, and so are far more classes than appear', async () => {
    const lines = (labelOf: (k: number) => string) =>
      Array.from({ length: 300 }, (_, k) => `1,2,3,4,${labelOf(k)}`).join('\n');
    await expect(open(lines((k) => `${k}.5`))).rejects.toThrow(
      "a.csv:1: the label '0.5' in column 5 is not an integer from 0 to 999999",
    );
    await expect(open(lines((k) => `${k % 2 === 0 ? 0 : 1_000_000}`))).rejects.toThrow(
      "a.csv:2: the label '1000000' in column 5 is not an integer from 0 to 999999",
    );
    const sparse = lines((k) => `${k % 2 === 0 ? 0 : 4999}`);
    await expect(open(sparse)).rejects.toThrow(
      "a.csv:2: the label '4999' in column 5 would make 5000 classes, but only 2 different labels appear; --classes 5000",
    );
    expect((await open(sparse, { classes: 5000 })).classes).toBe(5000);
  });

  test('of a test file make classes with those of the training file, by its own header or the same columns', async () => {
    const testFile = put(
      'test.csv',
      lines(16, (k) => k % 4, 'label'),
    );
    const data = await open(
      lines(0, (k) => k % 4, 'label'),
      { testFile },
    );
    expect([data.classes, data.train.count, data.test.count]).toEqual([4, 40, 40]);
    expect(Buffer.from(data.test.images!)).toEqual(Buffer.from(data.train.images!));
    expect(data.split).toBe('the images of test.csv');
    const bare = put(
      'bare.csv',
      lines(0, (k) => (k % 2 === 0 ? 'a' : 'b')),
    );
    const texts = await open(
      lines(0, (k) => (k % 2 === 0 ? 'b' : 'c'), 'label'),
      { testFile: bare },
    );
    expect(texts.labels).toBe('the column label: 0 = a, 1 = b, 2 = c');
    expect([...texts.test.labels.subarray(0, 2), ...texts.train.labels.subarray(0, 2)]).toEqual([0, 1, 1, 2]);
  });
});

describe('values', () => {
  test('that are fractions of 1 become 255ths in both files, with a note', async () => {
    const whole = lines(16, (k) => k % 4, 'label');
    const fractions = whole
      .split('\n')
      .map((line, at) => (at === 0 ? line : line.replaceAll(/(\d+),/g, (_, value) => `${Number(value) / 255},`)))
      .join('\n');
    const data = await open(fractions);
    expect([data.sha256, data.scale]).toEqual([(await expected()).sha256, 255]);
    expect(data.notes).toEqual(['the values are fractions of 1 and were rounded to 255ths']);
    const testFile = put('fractions.csv', fractions);
    const ones = whole.replaceAll(/\b\d\d+,/g, '1,');
    const both = await open(ones, { testFile });
    expect([both.scale, Math.max(...both.train.images!), Math.max(...both.test.images!)]).toEqual([255, 255, 200]);
    await expect(open(fractions.replace(/^0\.04\d*,/m, '3,'))).rejects.toThrow(
      "the value '3' in column 1 is not a number from 0 to 1",
    );
    expect(await open(fractions, { maximum: 1 })).toMatchObject({ scale: 255, sha256: data.sha256 });
    const halves = await open(lines(16, (k) => k % 4, 'label').replaceAll(/\b\d\d+,/g, '0.4999,'));
    expect(new Set(halves.train.images!)).toEqual(new Set([0, 127]));
    expect(new Set((await open('0.502,0.0\n0.9999,1\n'.repeat(5))).train.images!)).toEqual(new Set([128, 255]));
    await expect(open(fractions, { maximum: 16 })).rejects.toThrow('in column 1 is not an integer from 0 to 16');
  });

  test('give the image size where they make a square', async () => {
    expect(await open(lines(16, (k) => k % 4))).toMatchObject({ height: 4, width: 4, channels: 1 });
    const twelve = Array.from({ length: 8 }, (_, k) => `${Array(12).fill(k).join()},${k % 2}`).join('\n');
    await expect(open(twelve)).rejects.toThrow(
      'needs the image size (HxWxC, for example --image 8x8x1): its 12 values',
    );
    expect(await open(twelve, { image: parseImageSize('2x2x3') })).toMatchObject({ height: 2, width: 2, channels: 3 });
  });
});

describe('every source', () => {
  const idx = (magic: number, extents: number[], data: number[]) => {
    const header = Buffer.alloc(4 + 4 * extents.length);
    [magic, ...extents].forEach((word, at) => {
      header.writeUInt32BE(word, 4 * at);
    });
    return Buffer.concat([header, Uint8Array.from(data)]);
  };
  function writeIdx(at: string, prefix: string, testName: string, labels: number[]) {
    for (const part of ['train', testName]) {
      put(`${at}/${prefix}${part}-images-idx3-ubyte`, idx(0x803, [labels.length, 1, 1], labels));
      put(`${at}/${prefix}${part}-labels-idx1-ubyte`, idx(0x801, [labels.length], labels));
    }
    return join(folder, at);
  }
  function writeCifar(at: string, labels: number[]) {
    const records = Buffer.concat(labels.map((label) => Buffer.alloc(3073, 7).fill(label, 0, 1)));
    for (const name of [1, 2, 3, 4, 5].map((part) => `data_batch_${part}`)) put(`${at}/${name}.bin`, records);
    put(`${at}/test_batch.bin`, records);
    return join(folder, at);
  }

  test('refuses one class and names what was read', async () => {
    const path = writeIdx('one', '', 't10k', [3, 3]);
    await expect(openDataset(path)).rejects.toThrow(
      `the data set idx:${path} has one class: all 2 training images are of class 3 (labels: the files …-labels)`,
    );
    const cifar = writeCifar('cifar', [5, 5]);
    await expect(openDataset(`cifar10:${cifar}`)).rejects.toThrow(
      `cifar10:${cifar} has one class: all 10 training images`,
    );
    const split = { count: 2, images: new Uint8Array(2), labels: new Int32Array(2) };
    const parts = { height: 1, width: 1, channels: 1, scale: 255, augment: { pad: 0, flip: false }, name: 'mine' };
    expect(() => finishDataset({ ...parts, classes: 2, train: split, test: split })).toThrow(UserError);
    const two = { ...split, labels: Int32Array.of(0, 1) };
    expect(() => finishDataset({ ...parts, classes: 1, train: two, test: two })).toThrow(
      'has a label 1, but 1 classes',
    );
    const none = { count: 0, images: new Uint8Array(0), labels: new Int32Array(0) };
    expect(() => finishDataset({ ...parts, classes: 2, train: two, test: none })).toThrow('has no test images');
  });

  test('says what was read', async () => {
    expect(describeData(await openDataset('digits'))).toBe(
      '1797 images 8×8×1, 10 classes (174 to 183 each); 1437 train, 360 test (a fifth of each class held back)',
    );
    expect(describeData(await expected())).toBe(
      '40 images 4×4×1, 4 classes (10 each); 32 train, 8 test (a fifth of each class held back)',
    );
    const cifar = await openDataset(writeCifar('cifar2', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    expect(describeData(cifar)).toBe(
      '60 images 32×32×3, 10 classes (6 each); 50 train, 10 test (the images of test_batch.bin)',
    );
  });

  test('renumbers labels from 1 and finds the names of EMNIST', async () => {
    const path = writeIdx('letters', 'emnist-letters-', 'test', [1, 2, 3, 2]);
    const letters = await openDataset(path);
    expect([letters.classes, [...letters.train.labels]]).toEqual([3, [0, 1, 2, 1]]);
    expect(letters.notes[0]).toContain('class = label − 1');
    writeIdx('letters', 'emnist-digits-', 'test', [0, 1]);
    await expect(openDataset(path)).rejects.toThrow(
      `holds 2 data sets (emnist-digits, emnist-letters); name one: idx:${join(path, 'emnist-digits')}`,
    );
    expect((await openDataset(`idx:${join(path, 'emnist-digits')}`)).classes).toBe(2);
    expect((await openDataset(join(path, 'emnist-letters'))).sha256).toBe(letters.sha256);
  });

  test('refuses a size, a range or a column that contradicts it', async () => {
    const image = parseImageSize('28x28x1');
    await expect(openDataset('digits', { image })).rejects.toThrow(
      '--image is 28x28x1, but the images of digits are 8x8x1',
    );
    expect((await openDataset('digits', { image: parseImageSize('8x8x1'), maximum: 16 })).train.count).toBe(1437);
    await expect(openDataset('digits', { maximum: 255 })).rejects.toThrow(
      '--maximum is 255, but the values of digits go up to 16',
    );
    await expect(openDataset('digits', { label: 'first' })).rejects.toThrow(
      "--label is 'first', but digits data have their own",
    );
    await expect(openDataset('digits', { testFile: 'x' })).rejects.toThrow(
      "--test-data is 'x', but digits data have their own",
    );
    await expect(openDataset('digits', { classes: 11 })).rejects.toThrow('--classes is');
  });
});

describe('hostile files', () => {
  test('a packed file stops at the limit, with the cause', () => {
    const path = put('bomb.csv.gz', gzipSync(Buffer.alloc(2 ** 22, '\n')));
    expect(() => readMaybeGzip(path, 2 ** 20)).toThrow(
      `cannot read ${path}: it unpacks to more than 1 MiB, the most that is read`,
    );
    expect(readMaybeGzip(path, 2 ** 22).length).toBe(2 ** 22);
  });

  test('an image size is compared with the first line before memory is taken', async () => {
    const image = parseImageSize('99999x99999x99');
    await expect(open('1,2,3,4,0\n', { image })).rejects.toThrow(':1: 5 columns; 989980200100 (989980200099 values');
  });

  test('blank lines take no memory and a line without delimiters no time', async () => {
    const wide = `${Array(2500).fill('1').join()},0\n`;
    const began = process.cpuUsage();
    expect((await open(wide + wide.replace(/0\n$/, '1\n').repeat(4) + wide + '\n'.repeat(4e6))).train.count).toBe(4);
    await expect(open(`${wide}${'7\n'.repeat(1e6)}`)).rejects.toThrow(':2: 1 columns; 2501');
    await expect(open(`1,2,3,4,0\n${'1'.repeat(4e6)}`)).rejects.toThrow(':2: 1 columns');
    await expect(open('x'.repeat(2 ** 24 + 1))).rejects.toThrow(':1: a line of 16777217 bytes');
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1e6).toBeLessThan(5);
  });
});
