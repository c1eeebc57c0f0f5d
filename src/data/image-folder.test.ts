// Folders of image files: what is found where, decoded in three ways to the same bytes, damaged files named. Pictures
// are of one colour each, lossless, so that a pixel tells which file it came from.

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AugmentOptions } from './augment.ts';
import { evaluationBatches, trainingBatches } from './batches.ts';
import type { Dataset, DatasetOptions } from './dataset.ts';
import { openImageFolder } from './image-folder.ts';
import { openDataset } from './registry.ts';
import type { Selection } from './split.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-images-'));
afterAll(() => rmSync(parent, { recursive: true }));

function put(name: string, content: string | Uint8Array): string {
  const path = join(parent, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function picture(red: number, { width = 8, height = 8, format = 'png' } = {}): Promise<Buffer> {
  const image = sharp({ create: { width, height, channels: 3, background: { r: red, g: 255 - red, b: 7 } } });
  return format === 'png'
    ? image.png().toBuffer()
    : format === 'webp'
      ? image.webp({ lossless: true }).toBuffer()
      : image.jpeg().toBuffer();
}

/** A folder of `classes` classes with so many pictures each; picture k of class c is red 20 c + k. */
async function writeClasses(at: string, classes: readonly string[], each: number, size = {}): Promise<void> {
  for (const [c, name] of classes.entries()) {
    for (let k = 0; k < each; k++)
      put(`${at}/${name}/${String(k).padStart(3, '0')}.png`, await picture(20 * c + k, size));
  }
}

/** The red of the images of a split, in its order. */
async function reds(data: Dataset, split: 'train' | 'test' = 'train'): Promise<number[]> {
  const length = data.height * data.width * data.channels;
  const found: number[] = [];
  for (const selection of evaluationBatches(data[split], 7)) {
    const { inputs, targets } = await data[split].read(selection, 7);
    for (let k = 0; k < targets; k++) found.push(inputs.images![k * length]!);
  }
  return found;
}

const refusal = (location: string, options: DatasetOptions = {}) =>
  openDataset(location, options).then(
    () => 'opened',
    (error: Error) => `${error.name}: ${error.message}`,
  );

describe('layouts', () => {
  test('class folders alone are split, the same fifth each time', async () => {
    await writeClasses('plain', ['ant', 'bee', 'cat'], 10);
    put('plain/notes.txt', 'x');
    put('plain/ant/.hidden.png', 'x');
    put('plain/ant/Thumbs.db', 'x');
    const data = await openDataset(join(parent, 'plain'));
    expect(data).toMatchObject({ name: 'images', height: 8, width: 8, channels: 3, classes: 3, scale: 255 });
    expect(data.classNames).toEqual(['ant', 'bee', 'cat']);
    expect([data.train.count, data.test.count, data.classCounts]).toEqual([24, 6, [10, 10, 10]]);
    const [train, tested] = [await reds(data), await reds(data, 'test')];
    expect([...train, ...tested].sort((a, b) => a - b)).toEqual(
      [0, 1, 2].flatMap((c) => Array.from({ length: 10 }, (_, k) => 20 * c + k)),
    );
    expect(train.map((red) => Math.floor(red / 20))).toEqual([...data.train.labels]);
    expect(tested.map((red) => Math.floor(red / 20))).toEqual([...data.test.labels]);
    expect(data.notes.join()).toContain('1 .db');
    expect((await openDataset(`images:${join(parent, 'plain')}`)).sha256).toBe(data.sha256);
    // Moved, and with other times, it is the same.
    cpSync(join(parent, 'plain'), join(parent, 'moved'), { recursive: true });
    utimesSync(join(parent, 'moved/ant/000.png'), 1, 1);
    expect((await openDataset(join(parent, 'moved'))).sha256).toBe(data.sha256);
    put('moved/ant/000.png', await picture(9));
    expect((await openDataset(join(parent, 'moved'))).sha256).not.toBe(data.sha256);
  });

  test('train with val, or test; another folder by --test-data', async () => {
    await writeClasses('two/train', ['ant', 'bee'], 3);
    await writeClasses('two/test', ['ant', 'bee'], 2);
    const tested = await openDataset(join(parent, 'two'));
    expect([tested.train.count, tested.test.count, tested.split]).toEqual([6, 4, 'the images of test']);
    await writeClasses('two/val', ['bee'], 1);
    const data = await openDataset(join(parent, 'two'));
    expect([data.split, ...data.test.labels]).toEqual(['the images of val', 1]);
    expect(data.notes.join()).toContain('test beside val are not used');
    const other = await openDataset(join(parent, 'two'), { testFile: join(parent, 'two/test') });
    expect(other.test.count).toBe(4);
    await writeClasses('two/val', ['be'], 1);
    expect(await refusal(join(parent, 'two'))).toMatch(/no training image is of the class 'be'/);
  });

  test('TinyImageNet: images below the classes, val_annotations.txt', async () => {
    for (const [c, name] of ['n01', 'n02'].entries()) {
      for (let k = 0; k < 3; k++)
        put(`tiny/train/${name}/images/${name}_${k}.JPEG`, await picture(20 * c + k, { format: 'jpg' }));
      put(`tiny/train/${name}/${name}_boxes.txt`, 'x');
    }
    for (let k = 0; k < 2; k++) put(`tiny/val/images/val_${k}.JPEG`, await picture(k));
    put('tiny/test/images/test_0.JPEG', await picture(1));
    put('tiny/val/val_annotations.txt', 'val_0.JPEG\tn02\t0\t0\t62\t62\nval_1.JPEG\tn01\t0\t0\t62\t62\n');
    const data = await openDataset(join(parent, 'tiny'));
    expect([data.train.count, ...data.train.labels, ...data.test.labels]).toEqual([6, 0, 0, 0, 1, 1, 1, 1, 0]);
    expect(data.split).toBe('the images of val, classes by val_annotations.txt');
    put('tiny/val/val_annotations.txt', 'val_0.JPEG\tn02\n');
    expect(await refusal(join(parent, 'tiny'))).toMatch(/val_annotations.txt says no class of .*val_1.JPEG/);
    put('tiny/val/val_annotations.txt', 'val_0.JPEG\tn02\nval_1.JPEG\tn03\n');
    expect(await refusal(join(parent, 'tiny'))).toMatch(
      /val_annotations.txt:2: no training image is of the class 'n03'/,
    );
    rmSync(join(parent, 'tiny/val/val_annotations.txt'));
    expect(await refusal(join(parent, 'tiny'))).toMatch(/give one with --test-labels/);
  });

  test('ImageNet: a flat val with synsets by line, by name, or numbers in a stated order', async () => {
    await writeClasses('net/train', ['n10', 'n20', 'n30'], 2);
    for (let k = 1; k <= 3; k++) put(`net/val/ILSVRC2012_val_0000000${k}.JPEG`, await picture(k));
    const labelsBy = async (name: string, content: string) => {
      const data = await openDataset(join(parent, 'net'), { testLabels: put(`labels/${name}`, content) });
      return [...data.test.labels];
    };
    expect(await labelsBy('synset_labels.txt', 'n30\nn10\nn20\n')).toEqual([2, 0, 1]);
    expect(
      await labelsBy(
        'LOC_val_solution.csv',
        'ImageId,PredictionString\nILSVRC2012_val_00000002,n20 1 2 3 4 \nILSVRC2012_val_00000001,n30 1 1 1 1\nILSVRC2012_val_00000003,n10 1 2 3 4 n10 5 6 7 8\n',
      ),
    ).toEqual([2, 1, 0]);
    expect(
      await labelsBy(
        'val.txt',
        'ILSVRC2012_val_00000001.JPEG 2\nILSVRC2012_val_00000002.JPEG 0\nILSVRC2012_val_00000003.JPEG 1\n',
      ),
    ).toEqual([2, 0, 1]);
    // The development kit's numbers have an order of their own.
    expect(await refusal(join(parent, 'net'), { testLabels: put('labels/gt.txt', '3\n1\n2\n') })).toMatch(
      /numbers the classes from 1; in which order\?/,
    );
    put('net/synsets.txt', 'n20\nn30\nn10\n');
    expect(await labelsBy('gt.txt', '3\n1\n2\n')).toEqual([0, 1, 2]);
    expect(await refusal(join(parent, 'net'), { testLabels: put('labels/gt.txt', '3\n1\n') })).toMatch(
      /has 2 labels for the 3 images/,
    );
    expect(await refusal(join(parent, 'net'), { testLabels: put('labels/gt.txt', '3\n1\n4\n') })).toMatch(
      /gt.txt:3: no training image is of the class '4'/,
    );
    // Numbers of some classes alone may begin with 0 or with 1.
    expect(await refusal(join(parent, 'net'), { testLabels: put('labels/gt.txt', '2\n1\n2\n') })).toMatch(
      /gt.txt numbers the classes from 1 to 2, of 3 in .*synsets.txt: whether the first is 0 or 1 cannot be told/,
    );
    const twice = [1, 2, 3, 1].map((k, at) => `ILSVRC2012_val_0000000${k}.JPEG n${at + 1}0`.replace('n40', 'n20'));
    expect(await refusal(join(parent, 'net'), { testLabels: put('labels/val.txt', twice.join('\n')) })).toMatch(
      /val.txt:4: ILSVRC2012_val_00000001.JPEG is of the class n20 here, of n10 further up/,
    );
  });

  test('what has no classes is refused, and a wrong path told with the nearest', async () => {
    put('flat/a.png', await picture(1));
    expect(await refusal(join(parent, 'flat'))).toMatch(/holds no data that are known/);
    expect(await refusal(`images:${join(parent, 'flat')}`)).toMatch(/flat\/a.png lies in no class's folder/);
    expect(await refusal(join(parent, 'plan'))).toMatch(/no such file or folder; did you mean '.*plain'\?/);
    put('one/ant/a.png', await picture(1));
    put('one/ant/b.png', await picture(2));
    expect(await refusal(join(parent, 'one'))).toMatch(/has one class/);
    mkdirSync(join(parent, 'empty'));
    expect(await refusal(`images:${join(parent, 'empty')}`)).toMatch(
      /holds no images \(PNG, JPEG or WebP\) in folders/,
    );
    expect(await refusal('images:/nowhere/at/all')).toMatch(/UserError: cannot read \/nowhere\/at\/all/);
  });
});

test('test images that are training images too are told, and folders without images', async () => {
  await writeClasses('leak/train', ['ant', 'bee'], 3);
  await writeClasses('leak/val', ['bee'], 2, { width: 9 });
  mkdirSync(join(parent, 'leak/train/cat/raw'), { recursive: true });
  mkdirSync(join(parent, 'leak/train/.cache'));
  const image = { height: 8, width: 8, channels: 3 };
  const clean = await openDataset(join(parent, 'leak'), { image });
  expect(clean.classNames).toEqual(['ant', 'bee']);
  expect(clean.notes.join()).toContain('folders without images are no classes: cat');
  expect(clean.notes.join()).not.toContain('training images too');
  cpSync(join(parent, 'leak/train/bee/001.png'), join(parent, 'leak/val/bee/x.png'));
  symlinkSync(join(parent, 'leak/train/ant/002.png'), join(parent, 'leak/val/bee/y.png'));
  put('leak/val/bee/z.png', 'no picture');
  put('leak/train/bee/z.png', 'no picture');
  const { notes } = await openDataset(join(parent, 'leak'), { image, badImages: 'skip' });
  expect(notes.join()).toContain(
    '2 of 4 test images are training images too, 1 of them in another class: bee/x.png is bee/001.png',
  );
});

test('links to folders are followed, but not to where they lie', async () => {
  await writeClasses('linked/train', ['ant'], 5);
  await writeClasses('elsewhere', ['bees'], 5);
  symlinkSync(join(parent, 'elsewhere/bees'), join(parent, 'linked/train/bee'));
  for (const [name, to] of [
    ['ant/self', '.'],
    ['ant/all', '..'],
    ['ant/more', join(parent, 'linked')],
  ] as const)
    symlinkSync(to, join(parent, 'linked/train', name));
  const data = await openDataset(join(parent, 'linked'));
  expect([data.classNames, data.classCounts]).toEqual([
    ['ant', 'bee'],
    [5, 5],
  ]);
});

describe('choices', () => {
  test('of classes and of paths are made before anything is decoded', async () => {
    await writeClasses('choice/train', ['ant', 'bee', 'cat'], 4);
    await writeClasses('choice/val', ['ant', 'bee', 'cat'], 2);
    put('choice/train/bee/000.png', 'no picture');
    const location = join(parent, 'choice');
    const data = await openDataset(location, { classesOf: 'cat,ant' });
    expect([data.classNames, [...data.test.labels]]).toEqual([
      ['cat', 'ant'],
      [1, 1, 0, 0],
    ]);
    expect(await reds(data)).toEqual([0, 1, 2, 3, 40, 41, 42, 43]);
    const list = put('choice.txt', '/data/imagenet/train/cat/001.png\ntrain/ant/003.png\nbee/002.png\n');
    const listed = await openDataset(location, { sampleList: list });
    expect(await reds(listed)).toEqual([3, 22, 41]);
    expect((await openDataset(location, { sample: 6, classesOf: 'ant,cat' })).train.count).toBe(6);
    expect(await refusal(location, { sampleList: put('choice.txt', '000.png\n') })).toMatch(
      /choice.txt:1: no training image of .* is called '000.png'/,
    );
    expect(await refusal(location, { classesOf: 'cat,dog' })).toMatch(/unknown class of .* 'dog'/);
    // A name that one image alone has is no licence to take it for one of another class.
    put('choice/train/ant/my ant, 1.png', await picture(7));
    const spaced = put('choice.txt', 'ant/my ant, 1.png\nbee/002.png 1\nant/003.png,0\n');
    expect(await reds(await openDataset(location, { sampleList: spaced }))).toEqual([3, 7, 22]);
    expect(await refusal(location, { sampleList: put('choice.txt', 'cat/my ant, 1.png\n') })).toMatch(
      /choice.txt:1: no training image of .* is called 'cat\/my ant, 1.png'/,
    );
  });
});

describe('images of different sizes', () => {
  beforeAll(async () => {
    for (const [c, name] of ['ant', 'bee'].entries()) {
      for (let k = 0; k < 6; k++) {
        const noise = Uint8Array.from({ length: (30 + k) * (40 - k) * 3 }, (_, at) => (at * (7919 + k + 50 * c)) >> 4);
        put(
          `sizes/${name}/${k}.png`,
          await sharp(noise, { raw: { width: 40 - k, height: 30 + k, channels: 3 } })
            .png()
            .toBuffer(),
        );
      }
    }
  });
  const image = { height: 24, width: 24, channels: 3 };
  const some: Selection = { numbers: Int32Array.of(5, 0, 3) };

  test('are resized and cut out of the middle', async () => {
    const data = await openDataset(join(parent, 'sizes'), { image, resize: 28 });
    expect(data).toMatchObject(image);
    expect(data.notes.join()).toContain('shorter sides are resized to 28 pixels, and the centre of 24×24 is used');
    const file = join(parent, 'sizes/ant/0.png');
    const plain = await sharp(file)
      .resize(37, 28, { fit: 'fill', kernel: 'linear' })
      .extract({ left: 6, top: 2, width: 24, height: 24 })
      .raw()
      .toBuffer();
    const first = await data.train.read({ numbers: Int32Array.of(0) }, 1);
    const second = await data.test.read({ numbers: Int32Array.of(0) }, 1);
    const both = [first, second].map(({ inputs }) => Buffer.from(inputs.images as Uint8Array));
    expect(both.some((one) => one.equals(plain))).toBe(true);
    expect((await openDataset(join(parent, 'sizes'))).height).toBe(224);
    expect((await openDataset(join(parent, 'sizes'), { usualSize: 32 })).height).toBe(32);
    expect(await refusal(join(parent, 'sizes'), { image, resize: 20 })).toMatch(/--resize is 20, less than/);
    const other = await openDataset(join(parent, 'sizes'), { image, resize: 30 });
    expect(other.sha256).not.toBe(data.sha256);
  });

  test('are all resized, those that have the image’s size too; of one size all, where that is asked for', async () => {
    for (const [name, side] of [
      ['ant/0', 24],
      ['ant/1', 30],
      ['bee/0', 24],
      ['bee/1', 24],
    ] as const) {
      // A frame of one pixel, bright: at the edge of what is taken as it is alone.
      const dark = sharp({ create: { width: side - 2, height: side - 2, channels: 3, background: 'black' } });
      const bytes = await dark.extend({ top: 1, bottom: 1, left: 1, right: 1, background: 'white' }).png().toBuffer();
      put(`framed/${name}.png`, bytes);
      if (side === 24) put(`even/${name}.png`, bytes);
    }
    put('even/ant/1.png', readFileSync(join(parent, 'even/ant/0.png')));
    const corners = async (data: Dataset) => new Set([...(await reds(data)), ...(await reds(data, 'test'))]);
    const ways = [{}, { inMemory: 0 }, { imageCache: join(parent, 'framed-cache') }];
    for (const way of ways) {
      expect([...(await corners(await openImageFolder(join(parent, 'even'), way)))]).toEqual([255]);
      const resized = await openImageFolder(join(parent, 'even'), { ...way, resize: 27 });
      expect([...(await corners(resized))]).toEqual([0]);
      expect(resized.notes.join()).toContain('shorter sides are resized to 27 pixels');
      expect([...(await corners(await openImageFolder(join(parent, 'framed'), { ...way, image })))]).toEqual([0]);
      // Test images of another size are seen as training images are, too.
      cpSync(join(parent, 'even'), join(parent, 'apart/train'), { recursive: true });
      cpSync(join(parent, 'framed/ant/1.png'), join(parent, 'apart/val/ant/1.png'), { recursive: true });
      expect([...(await corners(await openImageFolder(join(parent, 'apart'), { ...way, image })))]).toEqual([0]);
    }
  });

  test('decide nothing where they are few, in training and in test: a note tells, and they alone are resized', async () => {
    await writeClasses('nearly/train', ['ant', 'bee'], 10);
    await writeClasses('nearly/test', ['ant', 'bee'], 10);
    const sizeOf = async () => {
      const { height, width, notes } = await openImageFolder(join(parent, 'nearly'), {});
      return [height, width, notes.find((note) => note.includes('looked into')) ?? ''];
    };
    expect(await sizeOf()).toEqual([8, 8, '']);
    const odd = await picture(3, { width: 16, height: 12 });
    for (const name of ['train/ant/000', 'train/bee/004', 'test/ant/007']) put(`nearly/${name}.png`, odd);
    expect(await sizeOf()).toEqual([8, 8, '3 of 40 files that were looked into have another size than 8×8 pixels']);
    const data = await openImageFolder(join(parent, 'nearly'), {});
    // Those that have the size are seen as they are, edges included.
    const plain = [...Array(10).keys()].flatMap((k) => [k, 20 + k]).filter((red) => red !== 0 && red !== 24);
    expect((await reds(data)).toSorted((a, b) => a - b)).toEqual([...plain, 3, 3].toSorted((a, b) => a - b));
    for (const name of ['test/bee/003', 'test/bee/008']) put(`nearly/${name}.png`, odd);
    expect(await sizeOf()).toEqual([224, 224, expect.stringContaining('files of 8×8 to 12×16 pixels, of 40')]);
  });

  test('in grey have one channel where all are grey, or where that is asked for', async () => {
    const grey = await openDataset(join(parent, 'sizes'), { image: { ...image, channels: 1 } });
    expect((await grey.train.read(some, 3)).inputs.images!.length).toBe(3 * 24 * 24);
    expect(await refusal(join(parent, 'sizes'), { image: { ...image, channels: 2 } })).toMatch(
      /--image has 2 channels/,
    );
  });

  test('are the same bytes from memory, from files and from a cache, in training and in evaluation', async () => {
    const location = join(parent, 'sizes');
    const augment = { pad: 3, flip: true };
    const imageCache = join(parent, 'cache');
    const told: string[] = [];
    const memory = await openImageFolder(location, { image, resize: 28 });
    const files = await openImageFolder(location, { image, resize: 28, inMemory: 0 });
    const cache = await openImageFolder(location, { image, resize: 28, imageCache, tell: (text) => told.push(text) });
    expect([memory.train.images === undefined, files.train.images, cache.train.images]).toEqual([
      false,
      undefined,
      undefined,
    ]);
    expect(told.join()).toMatch(/decoding 12 pictures, about .* KiB, into .*cache/);
    for (const other of [files, cache]) {
      expect([other.sha256, other.mean, other.deviation]).toEqual([memory.sha256, memory.mean, memory.deviation]);
      for (const options of [
        { seed: 1, epoch: 2, batchSize: 4, augment },
        { seed: 1, epoch: 3, batchSize: 4 },
        { seed: 1, epoch: 4, batchSize: 4, augment: { ...augment, rotate: 20, jitter: 0.4 } },
      ]) {
        for (const selection of trainingBatches(memory, options)) {
          const again = [...trainingBatches(other, options)].find(
            ({ numbers }) => numbers.join() === selection.numbers.join(),
          );
          expect(await other.train.read(again!, 5)).toEqual(await memory.train.read(selection, 5));
        }
      }
    }
    // A selection read alone, late or in company has the same bits.
    const alone = await files.train.read(some, 3);
    const crowd = await Promise.all(Array.from({ length: 20 }, () => files.train.read(some, 3)));
    for (const one of crowd) expect(one).toEqual(alone);
    // What is decoded is not decoded again, though the files are gone in part.
    const [folder] = readdirSync(imageCache);
    const part = join(imageCache, folder!, readdirSync(join(imageCache, folder!))[0]!);
    const bytes = readFileSync(part);
    const again = await openImageFolder(location, { image, resize: 28, imageCache, tell: () => expect.unreachable() });
    expect(await again.train.read(some, 3)).toEqual(alone);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(part, bytes);
    const damaged = await openImageFolder(location, { image, resize: 28, imageCache, known: memory });
    await expect(damaged.test.read({ numbers: Int32Array.of(damaged.test.count - 1) }, 1)).rejects.toThrow(
      /cannot read the image .*: its copy in .* is damaged; remove that file, and it is made again$/,
    );
    await expect(openImageFolder(location, { image, resize: 28, imageCache })).resolves.toBeDefined();
    bytes[bytes.length - 5]! ^= 1;
    bytes[400]! ^= 1;
    writeFileSync(part, bytes);
    await expect(openImageFolder(location, { image, resize: 28, imageCache })).rejects.toThrow(
      /^cannot read the image .*: its copy in .* is damaged; remove that file, and it is made again$/,
    );
    // A part that is cut off is made anew.
    writeFileSync(part, bytes.subarray(0, -9));
    const mended = await openImageFolder(location, { image, resize: 28, imageCache });
    expect(await mended.train.read(some, 3)).toEqual(alone);
  });
});

test('random boxes are taken of the pictures, whether those are kept in memory or not', async () => {
  // Left half dark, right half bright: boxes of a tenth of the area show one of them, the middle always both.
  const halves = Uint8Array.from({ length: 20 * 60 * 3 }, (_, k) => (Math.floor(k / 3) % 60 < 30 ? 40 : 200));
  for (const name of ['ant', 'bee']) {
    for (let k = 0; k < 5; k++) {
      const path = put(`halves/${name}/${k}.png`, '');
      await sharp(halves, { raw: { width: 60, height: 20, channels: 3 } }).toFile(path);
    }
  }
  const image = { height: 16, width: 16, channels: 3 };
  const memory = await openImageFolder(join(parent, 'halves'), { image, resize: 16 });
  const files = await openImageFolder(join(parent, 'halves'), { image, resize: 16, inMemory: 0 });
  const boxes = { pad: 0, flip: true, resizedCrop: 0.1 };
  const read = async (data: Dataset, augment: AugmentOptions) => {
    const [selection] = [...trainingBatches(data, { seed: 1, epoch: 0, batchSize: 8, augment })];
    return (await data.train.read(selection!, 8)).inputs.images as Uint8Array;
  };
  const seen = await read(memory, boxes);
  expect(seen).toEqual(await read(files, boxes));
  const isPlain = (pixels: Uint8Array, k: number) => {
    const one = pixels.subarray(k * 768, (k + 1) * 768);
    return one.every((value) => Math.abs(value - one[0]!) < 3);
  };
  const count = (pixels: Uint8Array) => [...Array(8).keys()].filter((k) => isPlain(pixels, k)).length;
  expect(count(seen)).toBeGreaterThan(2);
  expect(count(await read(memory, { pad: 0, flip: true }))).toBe(0);
});

describe('files that cannot be decoded', () => {
  const modes: [string, DatasetOptions & { readonly inMemory?: number }][] = [
    ['memory', {}],
    ['files', { inMemory: 0 }],
    ['cache', { imageCache: join(parent, 'bad-cache') }],
  ];

  beforeAll(async () => {
    await writeClasses('bad/train', ['ant', 'bee'], 6);
    await writeClasses('bad/val', ['ant', 'bee'], 3);
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, k) => (k * 7919) >> 3);
    const jpeg = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    put('bad/train/ant/002.png', jpeg.subarray(0, jpeg.length >> 1));
    put('bad/train/bee/001.png', '');
    put('bad/val/bee/000.png', 'text');
    // A folder with the name of an image is a folder.
    put('bad/train/bee/z.jpg/inside.png', await picture(39));
  });

  test.each(modes)('are named and refused, from %s', async (_, options) => {
    const message = await refusal2(join(parent, 'bad'), options);
    expect(message).toMatch(/^UserError: .*bad\/train\/(ant\/002.png|bee\/001.png)/);
    expect(message).toContain('--bad-images skip');
    expect(message).toMatch(/premature end of JPEG image|the file is empty/);
  });

  test.each(modes)('are left out and counted where that is asked for, from %s', async (_, options) => {
    const skipping = { ...options, badImages: 'skip' as const };
    const data = await openImageFolder(join(parent, 'bad'), skipping);
    expect(await reds(data)).toEqual([0, 1, 3, 4, 5, 20, 22, 23, 24, 25, 39]);
    expect(await reds(data, 'test')).toEqual([0, 1, 2, 21, 22]);
    expect(data.classCounts).toEqual([8, 8]);
    expect(data.badImages).toEqual(['train/ant/002.png', 'train/bee/001.png', 'test/bee/000.png']);
    expect(data.notes.join()).toContain('3 files cannot be decoded and are left out: train/ant/002.png');
    // Known, they are not looked for again, and the data are the same.
    const again = await openImageFolder(join(parent, 'bad'), { ...skipping, known: data });
    expect([again.sha256, again.badImages, again.mean]).toEqual([data.sha256, data.badImages, data.mean]);
  });

  test('that nobody has looked at yet end a batch with their name', async () => {
    const location = join(parent, 'bad');
    const good = await openImageFolder(location, { inMemory: 0, badImages: 'skip' });
    const known = { sha256: '', mean: good.mean, deviation: good.deviation };
    const told = await openImageFolder(location, { inMemory: 0, classesOf: 'ant,bee', known }).catch(
      (error: Error) => error,
    );
    expect((told as Error).message).toMatch(/cannot read the image .*(002|001).png: .*; --bad-images skip/);
  });

  const refusal2 = (location: string, options: Parameters<typeof openImageFolder>[1]) =>
    openImageFolder(location, options).then(
      () => 'opened',
      (error: Error) => `${error.name}: ${error.message}`,
    );
});

test('a set larger than what is kept in memory is read with memory for its batches alone', async () => {
  await writeClasses('many', ['ant', 'bee'], 40, { width: 64, height: 64 });
  const data = await openImageFolder(join(parent, 'many'), { inMemory: 100_000 });
  expect(data.train.images).toBeUndefined();
  const whole = data.train.count * 64 * 64 * 3;
  expect(whole).toBeGreaterThan(700_000);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const alive = () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const before = alive();
  let most = 0;
  for (let epoch = 0; epoch < 4; epoch++) {
    for (const selection of trainingBatches(data, { seed: 1, epoch, batchSize: 4 })) {
      const batch = await data.train.read(selection, 4);
      most = Math.max(most, alive() - before);
      expect(batch.targets).toBe(4);
    }
  }
  // The batch itself is 48 KB; four epochs read more than 3 MB.
  expect(most).toBeLessThan(whole / 2);
});
