import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { nearestName } from '../tensor/names.ts';
import type { Dataset } from './dataset.ts';
import { openDataset, parseImageSize } from './registry.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tram-data-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
}

const perClass = (labels: Int32Array) =>
  Array.from({ length: 10 }, (_, c) => labels.filter((label) => label === c).length);
const imageAt = (images: Uint8Array, k: number, length: number) => images.subarray(k * length, (k + 1) * length).join();

describe('digits', () => {
  let digits: Dataset;
  beforeAll(async () => {
    digits = await openDataset('digits');
  });

  test('has 1437 training and 360 test images with the same share of each class', () => {
    expect([digits.train.count, digits.test.count]).toEqual([1437, 360]);
    const train = perClass(digits.train.labels);
    const tested = perClass(digits.test.labels);
    expect(train.map((n, c) => n + tested[c]!)).toEqual([178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    expect(tested).toEqual([36, 37, 35, 37, 36, 36, 36, 36, 35, 36]);
  });

  test('is whole: both splits together are the file, and the splits share no image', () => {
    const total = [...digits.train.images!, ...digits.test.images!].reduce((sum, raw) => sum + raw, 0);
    expect(total).toBe(561718);
    const train = new Set(Array.from({ length: 1437 }, (_, k) => imageAt(digits.train.images!, k, 64)));
    const shared = Array.from({ length: 360 }, (_, k) => imageAt(digits.test.images!, k, 64)).filter((x) =>
      train.has(x),
    );
    expect(shared).toEqual([]);
  });

  test('normalises the training split to mean 0 and variance 1', () => {
    const values = Array.from(
      digits.train.images!,
      (raw) => (raw / digits.scale - digits.mean[0]!) / digits.deviation[0]!,
    );
    const mean = values.reduce((sum, x) => sum + x) / values.length;
    expect(Math.abs(mean)).toBeLessThan(1e-12);
    expect(values.reduce((sum, x) => sum + x * x, 0) / values.length).toBeCloseTo(1, 10);
    expect(digits).toMatchObject({
      classes: 10,
      height: 8,
      width: 8,
      channels: 1,
      scale: 16,
      augment: { pad: 1, flip: false },
    });
  });

  test('is the same every time, pinned by its hash', async () => {
    expect((await openDataset('digits')).sha256).toBe(digits.sha256);
    expect(digits.sha256).toBe('b52b9d85549391aee374bb4424b1f241e78200789996c2159bf1e763e187871e');
  });
});

describe('csv', () => {
  const image = { height: 1, width: 2, channels: 1 };
  const rows = (count: number) => Array.from({ length: count }, (_, k) => `${k},${255 - k},${k % 2}`).join('\n');

  test('reads plain, gzip, CRLF, a header and blank lines alike', async () => {
    const plain = await openDataset(`csv:${put('a.csv', rows(10))}`, { image });
    expect(plain).toMatchObject({ classes: 2, scale: 255, train: { count: 8 }, test: { count: 2 } });
    for (const text of [gzipSync(rows(10)), rows(10).replaceAll('\n', '\r\n'), `left,right,label\n${rows(10)}\n\n`]) {
      expect((await openDataset(put('b.csv', text), { image })).sha256).toBe(plain.sha256);
    }
  });

  test('takes its test split from a second file', async () => {
    const testFile = put('test.csv', '1,2,4\n');
    const data = await openDataset(`csv:${put('a.csv', rows(10))}`, { image, testFile, maximum: 255 });
    expect(data).toMatchObject({ classes: 5, train: { count: 10 }, test: { count: 1 } });
    expect([...data.test.images!]).toEqual([1, 2]);
  });

  test('uses the given maximum as the scale and the given augmentation', async () => {
    const data = await openDataset(put('c.csv', '0,16,0\n16,0,1\n1,16,0\n16,1,1\n'), {
      image,
      maximum: 16,
      augment: { pad: 2, flip: true },
    });
    expect(data).toMatchObject({ scale: 16, augment: { pad: 2, flip: true } });
  });

  const mistakes: [string, string | Uint8Array, string][] = [
    [
      'too many columns',
      '1,2,0\n1,2,3,0\n',
      ':2: 4 columns; 3 (2 values of a 1x2x1 image and the label) were expected',
    ],
    ['too few columns', '1,2,0\n\n1,2\n', ':3: 2 columns; 3'],
    ['a label that is no integer', '1,2,0\n1,2,0.5\n', ":2: the label '0.5' in column 3 is not an integer from 0 to 4"],
    ['a label out of range', '1,2,0\n1,2,5\n', ":2: the label '5' in column 3 is not an integer from 0 to 4"],
    ['a negative label', '1,2,-1\n', ":1: the label '-1'"],
    ['a missing label', '1,2,\n', ":1: the label '' in column 3"],
    ['a value out of range', '1,2,0\n300,2,0\n', ":2: the value '300' in column 1 is not an integer from 0 to 100"],
    ['a value that is no number', '1,2,0\n1,x y,0\n', ":2: the value 'x y' in column 2"],
    ['an empty file', '', ' holds no images; one line per image was expected'],
    ['only a header', 'a,b,label\n', ' holds no images'],
    ['cut gzip', gzipSync(rows(10)).subarray(0, 30), ': its gzip data end too early'],
  ];
  test.each(mistakes)('%s is located', async (_, content, message) => {
    const path = put('bad.csv', content);
    const open = () => openDataset(`csv:${path}`, { image, maximum: 100, classes: 5 });
    await expect(open()).rejects.toThrow(UserError);
    await expect(open()).rejects.toThrow(path + message);
  });

  test('asks for the image size, and refuses a wrong one and a wrong maximum', async () => {
    const path = put('a.csv', rows(10));
    await expect(openDataset(path)).rejects.toThrow(`the data set csv:${path} needs the image size (HxWxC`);
    const nothing = join(folder, 'nothing.csv');
    writeFileSync(nothing, '1\n2\n');
    await expect(openDataset(nothing)).rejects.toThrow(`${nothing} holds nothing beside the label;`);
    await expect(openDataset(path, { image: parseImageSize('28x28x1') })).rejects.toThrow(
      `${path}:1: 3 columns; 785 (784 values`,
    );
    await expect(openDataset(path, { image, maximum: 256 })).rejects.toThrow(
      'the largest raw value is 256; a whole number from 1 to 255',
    );
    expect(() => parseImageSize('8x8')).toThrow("the image size '8x8' is not HEIGHTxWIDTHxCHANNELS");
    expect(() => parseImageSize('8x0x1')).toThrow("the image size '8x0x1'");
    expect(parseImageSize('32x16x3')).toEqual({ height: 32, width: 16, channels: 3 });
  });
});

describe('cifar10', () => {
  const record = (label: number, seed: number) =>
    Uint8Array.from({ length: 3073 }, (_, k) =>
      k === 0 ? label : Math.floor((k - 1) / 1024) * 80 + ((k * seed) % 80),
    );
  const write = (name: string, parts: Uint8Array[]) => put(name, Buffer.concat(parts));

  function writeAll(at: string) {
    for (let part = 1; part <= 5; part++)
      write(`${at}/data_batch_${part}.bin`, [record(part, part), record(part + 4, 7)]);
    write(`${at}/test_batch.bin`, [record(3, 11)]);
  }

  test('interleaves the planes and finds the folder from above', async () => {
    writeAll('cifar/cifar-10-batches-bin');
    const data = await openDataset(`cifar10:${join(folder, 'cifar')}`);
    expect(data).toMatchObject({
      height: 32,
      width: 32,
      channels: 3,
      classes: 10,
      scale: 255,
      augment: { pad: 4, flip: true },
    });
    expect([...data.train.labels]).toEqual([1, 5, 2, 6, 3, 7, 4, 8, 5, 9]);
    expect([...data.test.images!.subarray(0, 3)]).toEqual([11, 80 + ((1025 * 11) % 80), 160 + ((2049 * 11) % 80)]);
    expect([...data.test.images!.subarray(-3)]).toEqual([1024, 2048, 3072].map((k, c) => c * 80 + ((k * 11) % 80)));
    expect(data.mean.length).toBe(3);
    expect(data.mean[0]!).toBeLessThan(data.mean[1]!);
    expect((await openDataset(join(folder, 'cifar', 'cifar-10-batches-bin'))).sha256).toBe(data.sha256);
  });

  test('gives each pixel its three bytes, whatever they are', async () => {
    writeAll('all');
    const bytes = Uint8Array.from({ length: 2 * 3073 }, (_, k) =>
      k % 3073 === 0 ? 1 : Math.imul(k, 2654435761) >>> 24,
    );
    write('all/test_batch.bin', [bytes]);
    const { test } = await openDataset(`cifar10:${join(folder, 'all')}`);
    const expected = Uint8Array.from({ length: 2 * 3072 }, (_, k) => {
      const [image, pixel, colour] = [Math.floor(k / 3072), Math.floor((k % 3072) / 3), k % 3];
      return bytes[image * 3073 + 1 + colour * 1024 + pixel]!;
    });
    expect(test.images).toEqual(expected);
  });

  test('names a missing file, a cut file and a wrong label', async () => {
    await expect(openDataset(`cifar10:${join(folder, 'none')}`)).rejects.toThrow(
      `no CIFAR-10 in ${join(folder, 'none')}: expected`,
    );
    writeAll('bad');
    rmSync(join(folder, 'bad/data_batch_4.bin'));
    await expect(openDataset(`cifar10:${join(folder, 'bad')}`)).rejects.toThrow(
      `cannot read ${join(folder, 'bad/data_batch_4.bin')}`,
    );
    write('bad/data_batch_4.bin', [record(1, 1).subarray(0, 3000)]);
    await expect(openDataset(`cifar10:${join(folder, 'bad')}`)).rejects.toThrow(
      'data_batch_4.bin has 3000 bytes; a multiple of 3073',
    );
    write('bad/data_batch_4.bin', [record(1, 1), record(10, 1)]);
    await expect(openDataset(`cifar10:${join(folder, 'bad')}`)).rejects.toThrow(
      'data_batch_4.bin: the label of record 2 is 10; 0 to 9',
    );
  });
});

describe('idx', () => {
  const idx = (magic: number, extents: number[], data: number[]) => {
    const header = Buffer.alloc(4 + 4 * extents.length);
    header.writeUInt32BE(magic, 0);
    extents.forEach((extent, axis) => {
      header.writeUInt32BE(extent, 4 + 4 * axis);
    });
    return Buffer.concat([header, Uint8Array.from(data)]);
  };
  function writeAll(at: string) {
    put(`${at}/train-images-idx3-ubyte`, idx(0x803, [2, 1, 2], [1, 2, 3, 4]));
    put(`${at}/train-labels-idx1-ubyte.gz`, gzipSync(idx(0x801, [2], [0, 1])));
    put(`${at}/t10k-images.idx3-ubyte`, idx(0x803, [1, 1, 2], [5, 6]));
    put(`${at}/t10k-labels-idx1-ubyte`, idx(0x801, [1], [2]));
  }

  test('reads plain and gzip files', async () => {
    writeAll('idx');
    const data = await openDataset(join(folder, 'idx'));
    expect(data).toMatchObject({ name: 'idx', height: 1, width: 2, channels: 1, classes: 3 });
    expect([...data.train.images!, ...data.train.labels, ...data.test.images!, ...data.test.labels]).toEqual([
      1, 2, 3, 4, 0, 1, 5, 6, 2,
    ]);
  });

  test('reads labels of 32 bits, and refuses those that no class has', async () => {
    const words = (...labels: number[]) =>
      labels.flatMap((label) => [24, 16, 8, 0].map((bits) => (label >> bits) & 255));
    const write = (...labels: number[]) => {
      for (const part of ['train', 't10k']) {
        put(
          `idx-wide/${part}-images-idx3-ubyte`,
          idx(
            0x803,
            [labels.length, 1, 1],
            labels.map((label) => label & 255),
          ),
        );
        put(`idx-wide/${part}-labels-idx1-int`, idx(0xc01, [labels.length], words(...labels)));
      }
      return `idx:${join(folder, 'idx-wide')}`;
    };
    const data = await openDataset(write(0, 300, 299), { classes: 400 });
    expect([data.classes, ...data.train.labels]).toEqual([400, 0, 300, 299]);
    await expect(openDataset(write(0, -1))).rejects.toThrow("the label '-1' is not an integer from 0 to 999999");
    put('idx-wide/train-labels-idx1-int', idx(0xc01, [2], [0, 0, 0, 1]));
    await expect(openDataset(`idx:${join(folder, 'idx-wide')}`)).rejects.toThrow(
      'train-labels-idx1-int holds 4 bytes behind its header; 4×2 = 8 were expected',
    );
    put('idx-wide/train-labels-idx1-int', idx(0x801, [2], [0, 1]));
    await expect(openDataset(`idx:${join(folder, 'idx-wide')}`)).rejects.toThrow(
      'train-labels-idx1-int is not an IDX file of 1-dimensional 32-bit numbers: the magic number 3073 was expected',
    );
  });

  test('names what is missing or damaged', async () => {
    writeAll('idx-bad');
    const spec = `idx:${join(folder, 'idx-bad')}`;
    put('idx-bad/t10k-labels-idx1-ubyte', idx(0x801, [2], [2, 2]));
    await expect(openDataset(spec)).rejects.toThrow('t10k-labels-idx1-ubyte holds 2 labels for 1 images');
    put('idx-bad/t10k-labels-idx1-ubyte', idx(0x801, [9], [2, 2]));
    await expect(openDataset(spec)).rejects.toThrow(
      't10k-labels-idx1-ubyte holds 2 bytes behind its header; 9 = 9 were expected',
    );
    put('idx-bad/train-images-idx3-ubyte', idx(0x802, [2, 1], [1, 2]));
    await expect(openDataset(spec)).rejects.toThrow(
      'train-images-idx3-ubyte is not an IDX file of 3-dimensional bytes',
    );
    rmSync(join(folder, 'idx-bad/train-images-idx3-ubyte'));
    await expect(openDataset(spec)).rejects.toThrow(
      `no train-images-idx3-ubyte (or .gz) in ${join(folder, 'idx-bad')}`,
    );
  });
});

describe('EMNIST', () => {
  const idx = (magic: number, extents: readonly number[], data: readonly number[]) => {
    const header = Buffer.alloc(4 + 4 * extents.length);
    [magic, ...extents].forEach((value, at) => void header.writeUInt32BE(value, 4 * at));
    return Buffer.concat([header, Uint8Array.from(data)]);
  };

  test('is put upright, its sets are asked for by name, and letters have theirs', async () => {
    const letters = Array.from({ length: 26 }, (_, k) => k + 1);
    for (const part of ['train', 'test']) {
      const stem = `emnist/raw/emnist-letters-${part}`;
      // Each image is [[k, 50], [60, 70]]: stored by columns.
      put(
        `${stem}-images-idx3-ubyte.gz`,
        gzipSync(
          idx(
            0x803,
            [26, 2, 2],
            letters.flatMap((k) => [k, 60, 50, 70]),
          ),
        ),
      );
      put(`${stem}-labels-idx1-ubyte.gz`, gzipSync(idx(0x801, [26], letters)));
      put(`emnist/raw/emnist-digits-${part}-images-idx3-ubyte`, idx(0x803, [2, 1, 1], [1, 2]));
      put(`emnist/raw/emnist-digits-${part}-labels-idx1-ubyte`, idx(0x801, [2], [0, 1]));
    }
    const location = join(folder, 'emnist');
    await expect(openDataset(location)).rejects.toThrow(
      `holds 2 data sets (emnist-digits, emnist-letters); name one: idx:${join(location, 'raw/emnist-digits')}, or --split digits`,
    );
    const data = await openDataset(location, { split: 'letters' });
    expect([...data.train.images!.subarray(0, 4)]).toEqual([1, 50, 60, 70]);
    expect([data.classes, data.train.labels[25], data.classNames![25]]).toEqual([26, 25, 'Z']);
    expect(data.notes.join()).toMatch(/labels begin with 1.*put upright/);
    expect((await openDataset(location, { split: 'digits' })).classes).toBe(2);
    await expect(openDataset(location, { split: 'leters' })).rejects.toThrow("did you mean 'letters'?");
    await expect(openDataset('digits', { split: 'letters' })).rejects.toThrow("--split is 'letters', but digits data");
  });
});

describe('openDataset', () => {
  test('lists the valid names and the nearest', async () => {
    await expect(openDataset('cifra10:/x')).rejects.toThrow(
      "unknown data set 'cifra10'; did you mean 'cifar10'? valid: digits, cifar10:DIR, cifar100:DIR, csv:FILE, idx:DIR, npz:FILE, images:DIR, procedural:HxWxC,classes=N, or a path to such data",
    );
    await expect(openDataset('imagenet')).rejects.toThrow("unknown data set 'imagenet'; valid: digits");
    expect(nearestName('Digit', ['digits', 'cifar10'])).toBe('digits');
  });

  test('names a missing and a superfluous location', async () => {
    await expect(openDataset('csv')).rejects.toThrow("the data set 'csv' lacks its location; write csv:FILE");
    await expect(openDataset('digits:here')).rejects.toThrow("the data set 'digits' takes no location, got 'here'");
    await expect(openDataset('csv:/nowhere.csv', { image: parseImageSize('8x8x1') })).rejects.toThrow(
      'cannot read /nowhere.csv',
    );
  });
});

describe('a path that cannot be there', () => {
  const long = 'x'.repeat(300);
  test.each(['', 'images:', 'idx:', 'cifar10:', 'csv:', 'npz:'])('%sPATH is refused in a sentence', async (source) => {
    const below = join(put('a.csv', '1,2,3,4,0\n'), 'below');
    for (const path of [below, join(folder, long)]) {
      await expect(openDataset(`${source}${path}`)).rejects.toThrow(UserError);
    }
  });

  test('classes are kept by their names, however many', async () => {
    const names = Array.from({ length: 60 }, (_, k) => `class${k}`);
    const data = put('named.csv', names.flatMap((name, k) => `${k},2,3,4,${name}\n`.repeat(2)).join(''));
    const { classes } = await openDataset(`csv:${data}`, { classesOf: names.slice(1).join(',') });
    expect(classes).toBe(59);
    const below = openDataset(`csv:${data}`, { classesOf: join(data, 'below') });
    await expect(below).rejects.toThrow(UserError);
  });
});
