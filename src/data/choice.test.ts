// What is left out of a data set: classes, samples, lists; the same whatever the source; and data made by a formula.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { trainingBatches } from './batches.ts';
import { stratified } from './choice.ts';
import { openDataset } from './registry.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-choice-'));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

describe('classes', () => {
  test('are kept by number, by name, as the first ones, or from a file', async () => {
    const digits = await openDataset('digits');
    const kept = await openDataset('digits', { classesOf: '7,3' });
    expect(kept.classes).toBe(2);
    expect(kept.classCounts).toEqual([digits.classCounts[7], digits.classCounts[3]]);
    const first = digits.train.labels.indexOf(7);
    expect(kept.train.images!.subarray(0, 64)).toEqual(
      digits.train.images!.subarray(
        64 * Math.min(first, digits.train.labels.indexOf(3)),
        64 * (Math.min(first, digits.train.labels.indexOf(3)) + 1),
      ),
    );
    expect(kept.mean).not.toEqual(digits.mean);
    expect(kept.sha256).not.toBe(digits.sha256);
    expect(kept.notes.join()).toContain('kept: 2 of 10 classes');
    expect((await openDataset('digits', { classesOf: put('classes.txt', '7\n3\n') })).sha256).toBe(kept.sha256);
    expect((await openDataset('digits', { classesOf: '3' })).classCounts).toEqual(digits.classCounts.slice(0, 3));
    const named = await openDataset(put('n.csv', 'a,b,label\n1,2,cat\n3,4,dog\n5,6,eel\n1,2,cat\n3,4,dog\n5,6,eel\n'), {
      classesOf: 'eel,cat',
      image: { height: 1, width: 2, channels: 1 },
    });
    expect([named.classNames, named.classes]).toEqual([['eel', 'cat'], 2]);
  });

  test('that are not there, too few or named twice are refused', async () => {
    const refusal = (classesOf: string) =>
      openDataset('digits', { classesOf }).then(String, (error: Error) => error.message);
    expect(await refusal('cat,dog')).toMatch(/unknown class of digits 'cat'/);
    expect(await refusal('1')).toMatch(/--classes-of is 1, but digits has 10 classes; give 2 to 10/);
    expect(await refusal('11')).toMatch(/give 2 to 10/);
    expect(await refusal('4,4')).toMatch(/names the class 4 twice/);
    expect(await refusal('4,')).toMatch(/./);
  });
});

describe('a sample', () => {
  test('has the same share of each class, and depends on its seed alone', async () => {
    const sample = await openDataset('digits', { sample: 200 });
    expect([sample.train.count, sample.test.count]).toEqual([200, 360]);
    const counts = Array.from({ length: 10 }, (_, label) => sample.train.labels.filter((one) => one === label).length);
    expect(counts.every((count) => count >= 19 && count <= 21)).toBe(true);
    expect((await openDataset('digits', { sample: 200 })).sha256).toBe(sample.sha256);
    expect((await openDataset('digits', { sample: 200, sampleSeed: 1 })).sha256).not.toBe(sample.sha256);
    const marks = stratified(
      Int32Array.from({ length: 1000 }, (_, k) => k % 3),
      100,
      5,
    );
    expect(marks.reduce((sum, mark) => sum + mark, 0)).toBe(100);
    await expect(openDataset('digits', { sample: 1438 })).rejects.toThrow(
      '--sample is 1438, but digits has 1437 training images',
    );
    await expect(openDataset('digits', { sample: 5, sampleList: 'x' })).rejects.toThrow('leave one of them out');
  });

  test('is a list of numbers where images have no names', async () => {
    const listed = await openDataset('digits', { sampleList: put('list.txt', '20\n3\n\n4\n') });
    const { labels } = (await openDataset('digits')).train;
    expect([...listed.train.labels]).toEqual([labels[3], labels[4], labels[20]]);
    for (const [content, message] of [
      ['3\n4000\n', "list.txt:2: no training image of digits is called '4000'"],
      ['3\n3\n', "list.txt:2: the image '3' is listed twice"],
      ['\n', 'lists no images'],
    ] as const) {
      await expect(openDataset('digits', { sampleList: put('list.txt', content) })).rejects.toThrow(message);
    }
  });
});

test('mean and deviation are those that were given, and part of the hash', async () => {
  const digits = await openDataset('digits');
  const given = await openDataset('digits', { mean: [0.5], deviation: [0.25] });
  expect([given.mean, given.deviation]).toEqual([[0.5], [0.25]]);
  expect(given.sha256).not.toBe(digits.sha256);
  const half = await openDataset('digits', { mean: [0.5] });
  expect([half.mean, half.deviation]).toEqual([[0.5], digits.deviation]);
  await expect(openDataset('digits', { mean: [0.1, 0.2, 0.3] })).rejects.toThrow(
    '--mean has 3 values, but the images have 1',
  );
  await expect(openDataset('digits', { deviation: [0] })).rejects.toThrow('--std holds 0; numbers above 0');
  // Of values from 0 to 255, as some programs have them.
  for (const options of [{ mean: [123.675] }, { deviation: [58.395] }, { mean: [-0.1] }]) {
    await expect(openDataset('digits', options)).rejects.toThrow(/values are from 0 to 1 when they are normalised/);
  }
});

describe('procedural data', () => {
  const spec = 'procedural:12x20x3,classes=5,images=200,test=40,seed=3';

  test('are functions of their formula, image by image', async () => {
    const [a, b] = [await openDataset(spec), await openDataset(spec)];
    expect(a).toMatchObject({ height: 12, width: 20, channels: 3, classes: 5 });
    expect([a.train.count, a.test.count, a.train.images]).toEqual([200, 40, undefined]);
    const some = { numbers: Int32Array.of(7, 3, 199) };
    const read = await a.train.read(some, 4);
    expect(read).toEqual(await b.train.read(some, 4));
    const alone = await a.train.read({ numbers: Int32Array.of(3) }, 1);
    expect(alone.inputs.images).toEqual(read.inputs.images!.slice(720, 1440));
    expect([...(read.inputs.labels as Int32Array)]).toEqual([2, 3, 4, -1]);
    // Bytes are added one by one, or four at a time where images lie so.
    const odd = await openDataset('procedural:7x9x1,classes=5,images=20,seed=3');
    const two = (await odd.train.read({ numbers: Int32Array.of(4, 9) }, 2)).inputs.images!;
    const second = (await odd.train.read({ numbers: Int32Array.of(9) }, 1)).inputs.images;
    expect(two.slice(63)).toEqual(second);
    const other = await openDataset(spec.replace('seed=3', 'seed=4'));
    expect(other.sha256).not.toBe(a.sha256);
    expect((await other.train.read(some, 4)).inputs.images).not.toEqual(read.inputs.images);
    expect(Math.min(...a.deviation)).toBeGreaterThan(0.05);
  });

  test('can be told apart: an image is nearest to one of its class far more often than by chance', async () => {
    const data = await openDataset('procedural:16x64x3,classes=4,images=400,test=60');
    const all = async (split: typeof data.train, count: number) =>
      (await split.read({ numbers: Int32Array.from({ length: count }, (_, k) => k) }, count)).inputs
        .images as Uint8Array;
    const [train, tested] = [await all(data.train, 400), await all(data.test, 60)];
    const length = 16 * 64 * 3;
    const distance = (k: number, j: number) => {
      let sum = 0;
      for (let at = 0; at < length; at++) sum += (tested[k * length + at]! - train[j * length + at]!) ** 2;
      return sum;
    };
    let right = 0;
    for (let k = 0; k < 60; k++) {
      let best = { label: -1, distance: Number.POSITIVE_INFINITY };
      for (let j = 0; j < 400; j++) {
        const far = distance(k, j);
        if (far < best.distance) best = { label: j % 4, distance: far };
      }
      if (best.label === k % 4) right++;
    }
    expect(right / 60).toBeGreaterThan(0.75);
  });

  test('are cropped and mirrored in training as other images are', async () => {
    const data = await openDataset(spec, { augment: { pad: 2, flip: true } });
    const options = { seed: 1, epoch: 0, batchSize: 8 };
    const plain = await openDataset(spec);
    const [moved] = [...trainingBatches(data, options)];
    const [still] = [...trainingBatches(plain, options)];
    expect((await data.train.read(moved!, 8)).inputs.images).not.toEqual(
      (await plain.train.read(still!, 8)).inputs.images,
    );
  });

  test('leave out classes and images as others do', async () => {
    const kept = await openDataset(spec, { classesOf: '4,1', sample: 20 });
    expect([kept.classes, kept.train.count, kept.test.count]).toEqual([2, 20, 16]);
    const { inputs } = await kept.train.read({ numbers: Int32Array.of(0) }, 1);
    expect(inputs.labels![0]).toBe(kept.train.labels[0]);
  });

  test('are refused where the formula says nothing sensible', async () => {
    for (const [text, message] of [
      ['12x20', 'HEIGHTxWIDTHxCHANNELS'],
      ['12x20x3,clases=3', "did you mean 'classes'?"],
      ['12x20x3,classes', 'is not NAME=NUMBER'],
      ['12x20x3,classes=1', 'classes is 1; 2 to'],
      ['99999x2x3', 'HEIGHTxWIDTHxCHANNELS with sides of 1 to 4096'],
    ] as const) {
      await expect(openDataset(`procedural:${text}`)).rejects.toThrow(message);
    }
  });
});
