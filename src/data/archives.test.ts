// CIFAR in its layouts, inside archives, and NumPy's files, as they are published: written here byte by byte, or as
// Python wrote them (two images, by numpy 2.4.6 and pickle).

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { afterAll, describe, expect, test } from 'vitest';
import { openDataset } from './registry.ts';
import { tarMembers } from './tar.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-archives-'));
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

interface Member {
  readonly name: string;
  readonly content: Uint8Array;
  readonly type?: string;
}

function header({ name, content, type = '0' }: Member): Buffer {
  const block = Buffer.alloc(512);
  block.write(name.slice(0, 100), 0);
  block.write('0000644\0', 100);
  block.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  block.write('        ', 148);
  block.write(type, 156);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

const padded = (content: Uint8Array) => Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);

function tar(members: readonly Member[]): Buffer {
  const parts = members.flatMap((member) => [header(member), padded(member.content)]);
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const text = (content: string) => new TextEncoder().encode(content);

describe('a tar file', () => {
  const long = `${'deep/'.repeat(40)}file.bin`;
  const members: Member[] = [
    { name: 'folder/', content: new Uint8Array(), type: '5' },
    { name: './folder/a.bin', content: text('alpha') },
    { name: 'link', content: new Uint8Array(), type: '2' },
    { name: '././@LongLink', content: text(`${long}\0`), type: 'L' },
    { name: long.slice(0, 100), content: text('long') },
    { name: 'pax', content: text(`${String(long.length + 13)} path=${long}2\n`), type: 'x' },
    { name: 'short', content: new Uint8Array(700).fill(7) },
  ];
  const wanted = (name: string) => !name.startsWith('link');

  test('gives its regular members by their names, plain or packed', async () => {
    for (const bytes of [tar(members), gzipSync(tar(members)), tar(members).subarray(0, -1024)]) {
      const found = await tarMembers(put('a.tar', bytes), wanted, 10_000);
      expect([...found.keys()]).toEqual(['folder/a.bin', long, `${long}2`]);
      expect(Buffer.from(found.get('folder/a.bin')!).toString()).toBe('alpha');
      expect(found.get(`${long}2`)).toEqual(new Uint8Array(700).fill(7));
    }
  });

  test('is refused where it is cut off, damaged, no archive, or holds more than the limit', async () => {
    const whole = tar(members);
    const refusal = (bytes: Uint8Array, limit = 10_000) =>
      tarMembers(put('b.tar', bytes), wanted, limit).then(String, (error: Error) => `${error.name}: ${error.message}`);
    expect(await refusal(whole.subarray(0, 700))).toMatch(/^UserError: .*b.tar ends inside its archive/);
    expect(await refusal(whole.subarray(0, 1030))).toMatch(/^UserError: .*ends inside its archive/);
    expect(await refusal(gzipSync(whole).subarray(0, 100))).toMatch(
      /^UserError: cannot read .*gzip data end too early/,
    );
    const damaged = gzipSync(whole);
    damaged.fill(0x55, 20, 60);
    expect(await refusal(damaged)).toMatch(/^UserError: cannot read .*gzip data are damaged/);
    expect(await refusal(Uint8Array.from({ length: 2000 }, (_, k) => k))).toMatch(/no tar archive/);
    expect(await refusal(whole, 600)).toMatch(/hold more than 600 bytes/);
    await expect(tarMembers(join(folder, 'none.tar'), wanted, 1)).rejects.toThrow('none.tar: no such file or folder');
    // A size of many gigabytes that is not there.
    const claim = header({ name: 'huge', content: new Uint8Array(5) });
    claim.write('77777777777\0', 124);
    claim.write('        ', 148);
    const sum = claim.reduce((total, byte) => total + byte, 0);
    claim.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    expect(await refusal(claim)).toMatch(/hold more than/);
  });
});

/** Planes of an image: `at(channel, pixel)`. */
const planes = (image: number) =>
  Uint8Array.from({ length: 3072 }, (_, k) => ((k % 1024) % 16) + 20 * Math.floor(k / 1024) + 100 * image);
function interleaved(image: number): number[] {
  const stored = planes(image);
  return Array.from(stored, (_, k) => stored[(k % 3) * 1024 + Math.floor(k / 3)]!);
}

/** What Python 2 pickles, protocol 2: a dictionary of texts with an array of bytes, as the published batches are. */
function python2Batch(labels: Readonly<Record<string, readonly number[]>>, count: number): Buffer {
  const short = (word: string) => Buffer.concat([Buffer.from([0x55, word.length]), Buffer.from(word, 'latin1')]);
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const code = (...bytes: number[]) => Buffer.from(bytes);
  const data = Buffer.concat(Array.from({ length: count }, (_, k) => planes(k)));
  const array = [
    Buffer.from('cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n'),
    ...[code(0x4b, 0, 0x85), short('b'), code(0x87, 0x52)],
    ...[code(0x28, 0x4b, 1, 0x4b, count, 0x4d, 0, 12, 0x86), Buffer.from('cnumpy\ndtype\n'), short('u1')],
    ...[
      code(0x4b, 0, 0x4b, 1, 0x87, 0x52, 0x28, 0x4b, 3),
      short('|'),
      Buffer.from('NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff', 'latin1'),
    ],
    ...[code(0x4b, 0, 0x74, 0x62, 0x89, 0x54), u32(data.length), data, code(0x74, 0x62)],
  ];
  const lists = Object.entries(labels).flatMap(([key, values]) => [
    short(key),
    code(0x5d, 0x28, ...values.flatMap((value) => [0x4b, value]), 0x65),
  ]);
  return Buffer.concat([code(0x80, 2, 0x7d, 0x28), short('data'), ...array, ...lists, code(0x75, 0x2e)]);
}

const python3 = [
  'H4sIAAAAAAACA+2Z13LTQBRAV3KLZacATk8cJaEoBYOp/4AGP+yTXzIelXUBWfaV5BkMCYQSm8zQe/mb+2OwsvMV8dWDRuecu6vVs47VI2CGU3M6rnBCTfjxgwZKNccYs63IadY8yxYeqNW0NJ4VtfwyJAaQ5JBqKtWClJEIpW3oo3G9rHfqehnSTTmU4TAlh8Yr5S4hZGOtccgdQN4wE2ZGyJ6U3bUiC6bjOsNh1vF77W6/JI8ViFK750UtKwisvlYLhNPxwyjoOZEGc+MxzXfHFS6Y7AQuyh2V+PRwKd6uwGF+CAscFg1TMdWHLD+ApbOFbtTvyq9drqpyvleGldO3Q1jlsCaPNtrjENYrlcqDf/Ia3UwWQdE+lW9gRZkVNZFMpTNTWS2Xn56ZJSYmnhwuzC8sLi2vrK6tFzf0za1tYmLiyWFjZ3dv/3rpxs3yrdt37t67T0xMPDnsinqj2Xr02Gv7nS4EITEx8eTwk/7TZ4dHz1/gMb7EV/ga3+AJDnBInjx58uTPt8d3+B4/4Ef8hJ/xC37Fb/gdf+BP/IW/8Q/+pU6dOnXq1Kmfvw4b8Q9mncNmBFt2U6lmGWP1lid8qy1C2I7rZQ5XDuCqIWtKVqvU9RtwLS4Gh50za4/sbmz3OOyLXuk/v1fsPJgfAAA=',
  'H4sIAAAAAAACA+3ZyVLCQBAG4LBERFAviLhHveAWxfXu3EzJwbtFZRkWDQHDpEoUFBdAquJK4/qSvoFCeIx0H3rq6/lnquY8NX/nN8Y5VYU4CSkyU7MpXVaoDiTCaInljIzgTIWEUEgLCSADznYJjiEu+aQAJX5NZjLYUcPKF8tiSi2YVMxbOsvJpimXwQ6nTKoWjBIzLZVBG2zeSYIdMLR+pA0SVwfiUaAJR91rPZL3kAs3IBu0eY2Vi7R3ymsloPXQD/hsTwWSyeTBX7ecJnEMlNY+13uNx+vz8wOBweBQKDw8MopGo93jyFh0PDYxOTU9MzsnzC8sotFo9zi+tLyyuiaubyQ2t7Z3dvfQaLR7rNF0Jps7OdXzRqF4ZpbQaLR7fF6+uKxUr65rN7d39/VGE41Gu8f249Pzy+tbGzrvH59f3z9oNNo9BgYKCaZzOjXkPHU+Kggvi0UjA4RXnJVa4j8tiFmw+xgAAA==',
].map((packed) => gunzipSync(Buffer.from(packed, 'base64')));

describe('CIFAR-10', () => {
  const names = [1, 2, 3, 4, 5].map((part) => `data_batch_${part}`);

  test('is the same from the binary version, from both Pythons, and inside archives', async () => {
    const record = (label: number, image: number) => Buffer.concat([Buffer.from([label]), planes(image)]);
    const records = Buffer.concat([record(3, 0), record(7, 1)]);
    const batches: [string, (name: string) => string, Uint8Array, string][] = [
      ['bin', (name) => `cifar-10-batches-bin/${name}.bin`, records, 'binary'],
      ['py2', (name) => `cifar-10-batches-py/${name}`, python2Batch({ labels: [3, 7] }, 2), 'python'],
      ['py3', (name) => `cifar-10-batches-py/${name}`, python3[0]!, 'python'],
      ['py4', (name) => `cifar-10-batches-py/${name}`, python3[1]!, 'python'],
    ];
    const hashes = new Set<string>();
    for (const [at, nameOf, content, layout] of batches) {
      const files = [...names, 'test_batch'].map((name) => ({ name: nameOf(name), content }));
      for (const { name } of files) put(`${at}/${name}`, content);
      put(`${at}/cifar-10-batches-py/batches.meta`, python2Batch({ label_names: [] }, 1));
      const archive = put(`${at}-archive/cifar-10-${layout}.tar.gz`, gzipSync(tar(files)));
      for (const spec of [join(folder, at), `cifar10:${join(folder, at)}`, archive, dirname(archive)]) {
        const data = await openDataset(spec);
        expect(data.name).toBe('cifar10');
        expect([...data.train.labels.subarray(0, 4)], spec).toEqual([3, 7, 3, 7]);
        expect([...data.test.images!.subarray(3072)]).toEqual(interleaved(1));
        expect(data.classNames![3]).toBe('cat');
        hashes.add(data.sha256);
      }
    }
    expect(hashes.size).toBe(1);
  });

  test('names what is wrong in a pickle, and runs nothing', async () => {
    const write = (content: Uint8Array) => {
      for (const name of [...names, 'test_batch']) put(`bad/cifar-10-batches-py/${name}`, content);
      put('bad/cifar-10-batches-py/batches.meta', python2Batch({ label_names: [] }, 1));
      return openDataset(`cifar10:${join(folder, 'bad')}`);
    };
    await expect(write(python2Batch({ labels: [3] }, 2))).rejects.toThrow('it has 1 labels for 2 images');
    await expect(write(python2Batch({ labels: [3, 10] }, 2))).rejects.toThrow('the label of record 2 is 10; 0 to 9');
    await expect(write(python2Batch({ labels: [3, 7] }, 2).subarray(0, 4000))).rejects.toThrow('the file is cut off');
    await expect(write(Buffer.from('cos\nsystem\n(S"true"\ntR.'))).rejects.toThrow("the global 'os.system' is refused");
    await expect(write(Buffer.from('(lp0\n.'))).rejects.toThrow('a dictionary was expected');
  });

  test('that lacks a batch in its archive is refused', async () => {
    const archive = put('cifar-10-binary.tar.gz', gzipSync(tar([{ name: 'a/data_batch_1.bin', content: planes(0) }])));
    await expect(openDataset(archive)).rejects.toThrow(
      'holds no data_batch_2.bin; is it the published archive of CIFAR-10?',
    );
  });
});

test('CIFAR-100 has fine labels, and coarse ones where they are asked for', async () => {
  const record = (coarse: number, fine: number) => Buffer.concat([Buffer.from([coarse, fine]), planes(0)]);
  const records = Buffer.concat([record(4, 30), record(19, 99)]);
  for (const name of ['train', 'test']) {
    put(`hundred/cifar-100-binary/${name}.bin`, records);
    put(`hundred-py/${name}`, python2Batch({ coarse_labels: [4, 19], fine_labels: [30, 99] }, 2));
  }
  const fine = Array.from({ length: 100 }, (_, label) => `thing ${label}`.replace(' ', '_'));
  put('hundred/cifar-100-binary/fine_label_names.txt', `${fine.join('\n')}\n`);
  put('hundred-py/meta', python2Batch({ fine_label_names: [] }, 1));
  const data = await openDataset(join(folder, 'hundred'));
  expect([data.name, data.classes, ...data.train.labels, data.classNames![99]]).toEqual([
    'cifar100',
    100,
    30,
    99,
    'thing_99',
  ]);
  const coarse = await openDataset(join(folder, 'hundred'), { label: 'coarse' });
  expect([coarse.classes, ...coarse.test.labels]).toEqual([20, 4, 19]);
  const python = await openDataset(join(folder, 'hundred-py'), { label: 'coarse' });
  expect([...python.train.labels]).toEqual([4, 19]);
  await expect(openDataset(join(folder, 'hundred'), { label: 'medium' })).rejects.toThrow(
    "--label is 'medium', but the labels of CIFAR-100 are fine and coarse",
  );
  await expect(openDataset('cifar10:x', { label: 'coarse' })).rejects.toThrow('it is for csv and cifar100');
});

describe('npz', () => {
  function npy(descr: string, shape: readonly number[], data: ArrayBufferView): Uint8Array {
    const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
    const head = `${dictionary.padEnd(128 - 11)}\n`;
    const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, head.length & 255, head.length >> 8]);
    return Buffer.concat([prefix, Buffer.from(head), new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
  }
  const raw = Uint8Array.from({ length: 10 * 2 * 4 }, (_, k) => (k * 37) % 256);
  const labels = BigInt64Array.from({ length: 10 }, (_, k) => BigInt(k % 2));
  const write = (name: string, arrays: Readonly<Record<string, Uint8Array>>) =>
    put(name, zipSync(Object.fromEntries(Object.entries(arrays).map(([key, bytes]) => [`${key}.npy`, bytes]))));
  const y = npy('<i8', [10], labels);

  test('holds bytes, whole numbers or fractions of 1, all the same images', async () => {
    const arrays: Uint8Array[] = [
      npy('|u1', [10, 2, 4], raw),
      npy('|u1', [10, 2, 4, 1], raw),
      npy('|u1', [10, 1, 2, 4], raw),
      npy('<i8', [10, 2, 4], BigInt64Array.from(raw, BigInt)),
      npy(
        '<f4',
        [10, 2, 4],
        Float32Array.from(raw, (value) => value / 255),
      ),
      npy('<f8', [10, 2, 4], Float64Array.from(raw)),
    ];
    for (const [k, x] of arrays.entries()) {
      const path = write(`a${k}.npz`, { images: x, labels: y });
      const data = await openDataset(path);
      expect(data).toMatchObject({ name: 'npz', height: 2, width: 4, channels: 1, classes: 2, scale: 255 });
      expect(data.split).toBe('a fifth of each class held back');
      const images = new Set([
        ...Array.from({ length: 8 }, (_, at) => data.train.images!.subarray(8 * at, 8 * at + 8).join()),
      ]);
      for (let at = 0; at < 2; at++) images.add(data.test.images!.subarray(8 * at, 8 * at + 8).join());
      expect(images).toEqual(new Set(Array.from({ length: 10 }, (_, at) => raw.subarray(8 * at, 8 * at + 8).join())));
    }
  });

  test('has its own test arrays, or another file’s; planes become channels', async () => {
    const colours = Uint8Array.from({ length: 2 * 3 * 4 }, (_, k) => k);
    const x = npy('|u1', [2, 3, 2, 2], colours);
    const two = npy('|u1', [2], Uint8Array.of(0, 1));
    const path = write('b.npz', { x_train: x, y_train: two, x_test: x, y_test: two });
    const data = await openDataset(`npz:${path}`);
    expect([...data.train.images!.subarray(0, 12)]).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect(data.split).toBe('the images of x_test');
    const other = write('c.npz', {
      images: npy('|u1', [1, 3, 2, 2], colours.subarray(12)),
      labels: npy('|u1', [1], Uint8Array.of(1)),
    });
    const apart = await openDataset(path, { testFile: other });
    expect([...apart.test.labels, apart.test.images![0], apart.split]).toEqual([1, 12, 'the images of c.npz: images']);
  });

  test('is refused where its values or shapes are not images', async () => {
    const x = npy('|u1', [10, 2, 4], raw);
    const refusal = (arrays: Readonly<Record<string, Uint8Array>>) =>
      openDataset(write('bad.npz', arrays)).then(String, (error: Error) => error.message);
    expect(
      await refusal({
        images: npy(
          '<f4',
          [10, 2, 4],
          Float32Array.from(raw, (value) => value / 128 - 1),
        ),
        labels: y,
      }),
    ).toMatch(/images holds the value -1; 0 to 255, or floats from 0 to 1/);
    expect(
      await refusal({
        images: npy(
          '<f4',
          [10, 2, 4],
          Float32Array.from(raw, (value) => value / 2),
        ),
        labels: y,
      }),
    ).toMatch(/holds fractions up to 12\d\.?5?;/);
    expect(await refusal({ images: npy('|u1', [80], raw), labels: y })).toMatch(/has the shape \[80\]/);
    expect(await refusal({ images: x, labels: npy('<i8', [5], labels.subarray(0, 5)) })).toMatch(/\[10\] was expected/);
    expect(await refusal({ images: x, labels: npy('|u1', [10, 2], raw.subarray(0, 20)) })).toMatch(/argmax/);
    expect(await refusal({ a: x, b: y })).toMatch(/holds 2 arrays \(a, b\); images with labels/);
    expect(await refusal({ images: x.subarray(0, 150), labels: y })).toMatch(/images: 150 bytes: expected 208 bytes/);
    await expect(openDataset(put('no.npz', 'text'))).rejects.toThrow('is no .npz file');
  });
});
