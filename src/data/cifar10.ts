// CIFAR-10 in its official binary layout (A. Krizhevsky, 2009; "binary version"): records of one label byte and three
// 32×32 planes (red, green, blue), in data_batch_1 … 5.bin for training and test_batch.bin. The planes become
// interleaved channels.
// Any whole number of records per file is accepted, so that excerpts work too; nothing is downloaded.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { readBytes } from '../tensor/files.ts';
import { type Dataset, finishDataset } from './dataset.ts';
import type { ImageArrays } from './image-split.ts';

const size = { height: 32, width: 32, channels: 3 };
const plane = size.height * size.width;
const imageLength = plane * size.channels;
const recordLength = 1 + imageLength;
const trainFiles = [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`);
const testFile = 'test_batch.bin';

/** The folder that holds the .bin files: `folder` itself or its cifar-10-batches-bin; undefined when neither does. */
export function cifar10Folder(folder: string): string | undefined {
  return [folder, join(folder, 'cifar-10-batches-bin')].find((path) => existsSync(join(path, testFile)));
}

function readRecords(paths: readonly string[]): ImageArrays {
  const files = paths.map((path) => {
    const bytes = readBytes(path);
    if (bytes.length === 0 || bytes.length % recordLength !== 0) {
      throw new UserError(
        `${path} has ${bytes.length} bytes; a multiple of ${recordLength} (label and 32x32x3 image) was expected; fetch it again`,
      );
    }
    return { path, bytes, records: bytes.length / recordLength };
  });
  const count = files.reduce((sum, { records }) => sum + records, 0);
  const images = new Uint8Array(count * imageLength);
  const labels = new Int32Array(count);
  let image = 0;
  for (const { path, bytes, records } of files) {
    for (let record = 0; record < records; record++, image++) {
      const from = record * recordLength;
      const label = bytes[from]!;
      if (label > 9) throw new UserError(`${path}: the label of record ${record + 1} is ${label}; 0 to 9 was expected`);
      labels[image] = label;
      for (let pixel = 0, to = image * imageLength; pixel < plane; pixel++, to += 3) {
        images[to] = bytes[from + 1 + pixel]!;
        images[to + 1] = bytes[from + 1 + plane + pixel]!;
        images[to + 2] = bytes[from + 1 + 2 * plane + pixel]!;
      }
    }
  }
  return { count, images, labels };
}

/** Opens CIFAR-10 from the folder of its .bin files or the folder above. */
export function openCifar10(location: string): Dataset {
  const folder = cifar10Folder(location);
  if (folder === undefined) {
    throw new UserError(
      `no CIFAR-10 in ${location}: expected data_batch_1.bin … data_batch_5.bin and ${testFile} (the binary version of ` +
        'https://www.cs.toronto.edu/~kriz/cifar.html) there or in its cifar-10-batches-bin',
    );
  }
  const train = readRecords(trainFiles.map((name) => join(folder, name)));
  const test = readRecords([join(folder, testFile)]);
  return finishDataset({
    ...size,
    name: 'cifar10',
    location: `cifar10:${folder}`,
    classes: 10,
    train,
    test,
    scale: 255,
    augment: { pad: 4, flip: true },
    split: `the images of ${testFile}`,
    labels: 'the first byte of each record',
  });
}
