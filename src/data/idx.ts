// MNIST and its relatives in the IDX format (Y. LeCun's MNIST page): big-endian magic number, extents, then bytes; plain or
// gzip, with '-' or '.' before "idx". Both splits are read: train-… and t10k-…. Grey images only.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { type Dataset, finishDataset, type ImageSize, type Split } from './dataset.ts';
import { readMaybeGzip } from './raw.ts';

const imagesMagic = 0x0803;
const labelsMagic = 0x0801;

function findFile(folder: string, stem: string, kind: string): string | undefined {
  const names = ['-', '.'].flatMap((separator) => ['', '.gz'].map((suffix) => `${stem}${separator}${kind}${suffix}`));
  return names.map((name) => join(folder, name)).find((path) => existsSync(path));
}

/** Whether a folder looks like an IDX data set. */
export function isIdxFolder(folder: string): boolean {
  return findFile(folder, 'train-images', 'idx3-ubyte') !== undefined;
}

/** The extents and the bytes of one IDX file with the expected magic number. */
function readIdx(folder: string, stem: string, magic: number): { path: string; extents: number[]; data: Uint8Array } {
  const rank = magic & 255;
  const kind = `idx${rank}-ubyte`;
  const path = findFile(folder, stem, kind);
  if (path === undefined)
    throw new UserError(`no ${stem}-${kind} (or .gz) in ${folder}; an IDX data set has four files`);
  const bytes = readMaybeGzip(path);
  const headerLength = 4 + 4 * rank;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < headerLength || view.getUint32(0) !== magic) {
    throw new UserError(
      `${path} is not an IDX file of ${rank}-dimensional bytes: the magic number ${magic} was expected`,
    );
  }
  const extents = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = extents.reduce((product, extent) => product * extent, 1);
  const data = bytes.subarray(headerLength);
  if (data.length !== expected) {
    throw new UserError(
      `${path} holds ${data.length} bytes behind its header; ${extents.join('×')} = ${expected} were expected`,
    );
  }
  return { path, extents, data };
}

function readSplit(folder: string, prefix: string): { split: Split; size: ImageSize } {
  const images = readIdx(folder, `${prefix}-images`, imagesMagic);
  const labels = readIdx(folder, `${prefix}-labels`, labelsMagic);
  const [count, height, width] = images.extents as [number, number, number];
  if (labels.extents[0] !== count) {
    throw new UserError(`${labels.path} holds ${labels.extents[0]} labels for ${count} images`);
  }
  if (count === 0) throw new UserError(`${images.path} holds no images`);
  return { split: { count, images: images.data, labels: labels.data }, size: { height, width, channels: 1 } };
}

/** Opens the four IDX files of a folder. */
export function openIdx(folder: string): Dataset {
  const { split: train, size } = readSplit(folder, 'train');
  const { split: test, size: testSize } = readSplit(folder, 't10k');
  if (size.height !== testSize.height || size.width !== testSize.width) {
    throw new UserError(
      `the training images in ${folder} are ${size.height}x${size.width}, the test images ${testSize.height}x${testSize.width}`,
    );
  }
  const classes =
    Math.max(...[train, test].map(({ labels }) => labels.reduce((most, label) => Math.max(most, label), 0))) + 1;
  return finishDataset({ ...size, name: 'idx', classes, train, test, scale: 255, augment: { pad: 2, flip: false } });
}
