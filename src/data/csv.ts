// Images as comma-separated text, one image per line: height × width × channels raw values (row-major, channels last), then
// the label; .csv or gzip. A first line without any number is a header. Every error is located: file:line and the value.
// The embedded `digits` data have this form too. Not a general CSV reader: no quotes, no missing values.

import { fileURLToPath } from 'node:url';
import { UserError } from '../tensor/errors.ts';
import { noAugmentation } from './augment.ts';
import {
  type Dataset,
  type DatasetOptions,
  finishDataset,
  type ImageSize,
  type Split,
  stratifiedSplit,
} from './dataset.ts';
import { readMaybeGzip } from './raw.ts';

const comma = 0x2c;
const newline = 0x0a;
const carriageReturn = 0x0d;

/** The split of data that come without one must not change with a run's seed, or test images would leak into training. */
const splitSeed = 0;

export interface CsvImages extends Split {
  /** The largest label plus one. */
  readonly classes: number;
}

/** A cell's number; NaN when it is not one. Plain digits take the short way. */
function cellValue(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let k = start; k < end; k++) {
    const digit = bytes[k]! - 48;
    if (digit < 0 || digit > 9) return Number(cellText(bytes, start, end) || Number.NaN);
    value = value * 10 + digit;
  }
  return start === end ? Number.NaN : value;
}

function cellText(bytes: Uint8Array, start: number, end: number): string {
  return new TextDecoder().decode(bytes.subarray(start, end)).trim();
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let k = start; k < end; k++) if (bytes[k] !== 0x20 && bytes[k] !== 0x09) return false;
  return true;
}

function lineColumns(bytes: Uint8Array, start: number, end: number): number {
  let columns = 1;
  for (let k = start; k < end; k++) if (bytes[k] === comma) columns++;
  return columns;
}

function isHeader(bytes: Uint8Array, start: number, end: number): boolean {
  return cellText(bytes, start, end)
    .split(',')
    .every((cell) => Number.isNaN(Number(cell.trim() || Number.NaN)));
}

/** Parses CSV bytes; `name` is the file's name for messages. Raw values are integers 0 … maximum, labels 0 … labelLimit. */
export function parseCsv(
  bytes: Uint8Array,
  name: string,
  size: ImageSize,
  maximum: number,
  labelLimit: number,
): CsvImages {
  const length = size.height * size.width * size.channels;
  const lines = 1 + bytes.reduce((count, byte) => count + (byte === newline ? 1 : 0), 0);
  const images = new Uint8Array(lines * length);
  const labels = new Uint8Array(lines);
  let count = 0;
  let classes = 0;

  const parseLine = (start: number, end: number, at: string) => {
    let column = 0;
    for (let cell = start; cell <= end; column++) {
      const found = bytes.indexOf(comma, cell);
      const cellEnd = found < 0 || found > end ? end : found;
      const value = cellValue(bytes, cell, cellEnd);
      const limit = column === length ? labelLimit : maximum;
      const valid = Number.isInteger(value) && value >= 0 && value <= limit;
      if (column < length && valid) images[count * length + column] = value;
      else if (column === length && valid) labels[count] = value;
      else if (column <= length && lineColumns(bytes, start, end) === length + 1) {
        const kind = column === length ? 'label' : 'value';
        const text = cellText(bytes, cell, cellEnd);
        throw new UserError(
          `${at}: the ${kind} '${text}' in column ${column + 1} is not an integer from 0 to ${limit}`,
        );
      }
      cell = cellEnd + 1;
    }
    if (column !== length + 1) {
      const shape = `${size.height}x${size.width}x${size.channels}`;
      const expected = `${length + 1} (${length} values of a ${shape} image and the label)`;
      throw new UserError(`${at}: ${column} columns; ${expected} were expected`);
    }
    classes = Math.max(classes, labels[count]! + 1);
    count++;
  };

  let line = 0;
  for (let start = 0; start < bytes.length; ) {
    line++;
    const found = bytes.indexOf(newline, start);
    let end = found < 0 ? bytes.length : found;
    const next = end + 1;
    if (end > start && bytes[end - 1] === carriageReturn) end--;
    const skipped = isBlank(bytes, start, end) || (line === 1 && isHeader(bytes, start, end));
    if (!skipped) parseLine(start, end, `${name}:${line}`);
    start = next;
  }
  if (count === 0) throw new UserError(`${name} holds no images; one line per image was expected`);
  return { count, images: images.slice(0, count * length), labels: labels.slice(0, count), classes };
}

/** Opens a CSV file, with `options.testFile` as the test split or else a fifth of each class. */
export function openCsv(file: string, options: DatasetOptions): Dataset {
  const { image, maximum = 255, classes: declared, testFile } = options;
  if (image === undefined) {
    throw new UserError(`the data set csv:${file} needs the image size (HxWxC, for example --image 8x8x1)`);
  }
  if (!Number.isInteger(maximum) || maximum < 1 || maximum > 255) {
    throw new UserError(`the largest raw value is ${maximum}; a whole number from 1 to 255 was expected`);
  }
  const read = (path: string) => parseCsv(readMaybeGzip(path), path, image, maximum, (declared ?? 256) - 1);
  const all = read(file);
  const test = testFile === undefined ? undefined : read(testFile);
  const splits = test ? { train: all, test } : stratifiedSplit(all, image, Math.ceil(all.count / 5), splitSeed);
  const classes = declared ?? Math.max(all.classes, test?.classes ?? 0);
  return finishDataset({ ...image, ...splits, name: 'csv', classes, scale: maximum, augment: noAugmentation });
}

/**
 * The data set that the program ships: 1797 handwritten digits of 8×8 pixels with values 0 … 16 (UCI, Alpaydin and Kaynak,
 * 1998), 1437 for training and 360 for testing, the same share of each class.
 */
export function openDigits(): Dataset {
  const path = fileURLToPath(new URL('../../data/digits.csv.gz', import.meta.url));
  const size = { height: 8, width: 8, channels: 1 };
  const all = parseCsv(readMaybeGzip(path), path, size, 16, 9);
  const splits = stratifiedSplit(all, size, 360, splitSeed);
  return finishDataset({
    ...size,
    ...splits,
    name: 'digits',
    classes: 10,
    scale: 16,
    augment: { pad: 1, flip: false },
  });
}
