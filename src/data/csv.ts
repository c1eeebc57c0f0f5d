// Images as delimited text, one image per line: height × width × channels values (row-major, channels last) and the
// label, which the header names or else stands last; .csv or gzip. Every error is located: file:line and the value. The
// embedded `digits` data have this form too.
// Not a general CSV reader: quotes only around names and labels, no missing values.

import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requireWhole, UserError } from '../tensor/errors.ts';
import { noAugmentation } from './augment.ts';
import { bare, type Columns, type FileOptions, readColumns, wrongColumns } from './columns.ts';
import { type Dataset, type DatasetOptions, finishDataset, holdBack } from './dataset.ts';
import type { ImageArrays } from './image-split.ts';
import { MOST_CLASSES, numberClasses, type SeenLabel } from './labels.ts';
import { readMaybeGzip } from './raw.ts';

const newline = 0x0a;
const carriageReturn = 0x0d;

/** How cells become raw values: whole numbers 0 … maximum as they are, or numbers 0 … 1 as the nearest 255th. */
type Values =
  | { readonly kind: 'whole'; readonly maximum: number; readonly orFractions: boolean }
  | { readonly kind: 'fractions' };

/** A first line must be read as a whole, in bytes. */
const LONGEST_FIRST_LINE = 2 ** 24;

interface CsvImages {
  readonly columns: Columns;
  readonly count: number;
  readonly images: Uint8Array;
  /** For each image the index of its label in `labels`. */
  readonly codes: Int32Array;
  readonly labels: readonly SeenLabel[];
}

/** A cell's number; NaN when it is not one. Plain decimals take the short way. */
function cellValue(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  let scale = 0;
  for (let k = start; k < end; k++) {
    const digit = bytes[k]! - 48;
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit;
      scale *= 10;
    } else if (digit === -2 && scale === 0 && k > start && k < end - 1) scale = 1;
    else return Number(cellText(bytes, start, end) || Number.NaN);
  }
  if (start === end) return Number.NaN;
  if (scale === 0) return value;
  // Both are exact, so that the quotient is the nearest number to what is written.
  return end - start <= 16 ? value / scale : Number(cellText(bytes, start, end));
}

const decoder = new TextDecoder();

function cellText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end)).trim();
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let k = start; k < end; k++) if (bytes[k] !== 0x20 && bytes[k] !== 0x09) return false;
  return true;
}

/** The lines that are not blank, as [start, end, number from 1]. */
function* linesOf(bytes: Uint8Array): Generator<readonly [number, number, number]> {
  for (let start = 0, line = 1; start < bytes.length; line++) {
    const found = bytes.indexOf(newline, start);
    const next = found < 0 ? bytes.length : found;
    const end = next > start && bytes[next - 1] === carriageReturn ? next - 1 : next;
    if (!isBlank(bytes, start, end)) yield [start, end, line];
    start = next + 1;
  }
}

/** Parses the images of a file; undefined when a value is a fraction of 1 where whole numbers were expected. */
function parseCsv(bytes: Uint8Array, name: string, options: FileOptions, values: Values): CsvImages | undefined {
  const first = linesOf(bytes).next().value as readonly [number, number, number] | undefined;
  const empty = () => new UserError(`${name} holds no images; one line per image was expected`);
  if (!first) throw empty();
  if (first[1] - first[0] > LONGEST_FIRST_LINE) {
    throw new UserError(
      `${name}:${first[2]}: a line of ${first[1] - first[0]} bytes; one image per line, of at most ${LONGEST_FIRST_LINE} bytes, was expected`,
    );
  }
  const columns = readColumns(cellText(bytes, first[0], first[1]), name, `${name}:${first[2]}`, options);
  const { size, label } = columns;
  const delimiter = columns.delimiter.charCodeAt(0);
  const length = columns.count - 1;
  // A cell has at least one character, and one more behind it: no line is shorter.
  const capacity = Math.floor((bytes.length + 1) / (2 * columns.count));
  const images = new Uint8Array(capacity * length);
  const codes = new Int32Array(capacity);
  const seen = new Map<string, number>();
  const labels: SeenLabel[] = [];
  let count = 0;

  const labelCode = (text: string, at: string): number => {
    const known = seen.get(text);
    if (known !== undefined) return known;
    if (labels.length === MOST_CLASSES) {
      throw new UserError(
        `${at}: ${columns.labelName} holds more than ${MOST_CLASSES} different labels; if another column holds the label, name it with --label`,
      );
    }
    seen.set(text, labels.length);
    labels.push({ text, at: `${at}: the label '${text}' in column ${label + 1}` });
    return labels.length - 1;
  };

  for (const [start, end, line] of linesOf(bytes)) {
    if (start === first[0] && columns.hasHeader) continue;
    const at = `${name}:${line}`;
    let column = 0;
    let pixel = count * length;
    for (let cell = start; cell <= end; column++) {
      const found = bytes.indexOf(delimiter, cell);
      const cellEnd = found < 0 || found > end ? end : found;
      if (column === label) codes[count] = labelCode(bare(cellText(bytes, cell, cellEnd)), at);
      else {
        const value = cellValue(bytes, cell, cellEnd);
        const raw = values.kind === 'whole' ? value : Math.round(255 * value);
        const valid =
          values.kind === 'whole'
            ? Number.isInteger(value) && value >= 0 && value <= values.maximum
            : value >= 0 && value <= 1;
        if (!valid) {
          const width = columnsOf(bytes, start, end, delimiter);
          if (width !== columns.count) throw wrongColumns(at, width, size);
          if (values.kind === 'whole' && values.orFractions && value > 0 && value < 1) return undefined;
          throw badValue(at, cellText(bytes, cell, cellEnd), column, columns, values);
        }
        images[pixel++] = raw;
      }
      cell = cellEnd + 1;
    }
    if (column !== columns.count) throw wrongColumns(at, column, size);
    count++;
  }
  if (count === 0) throw empty();
  return { columns, count, images: images.slice(0, count * length), codes: codes.slice(0, count), labels };
}

function columnsOf(bytes: Uint8Array, start: number, end: number, delimiter: number): number {
  return bytes.subarray(start, end).reduce((columns, byte) => columns + (byte === delimiter ? 1 : 0), 1);
}

function badValue(at: string, text: string, column: number, { isGuess }: Columns, values: Values): UserError {
  const expected =
    values.kind === 'whole'
      ? `an integer from 0 to ${values.maximum}`
      : 'a number from 0 to 1, as others of the file are';
  const hint = column === 0 && isGuess ? '; if it is the label, say --label first' : '';
  return new UserError(`${at}: the value '${text}' in column ${column + 1} is not ${expected}${hint}`);
}

/** Whether numbers look like class numbers: two or more, without gaps, from 0 or 1, each of them often. */
function looksLikeLabels(values: ReadonlySet<number>, count: number): boolean {
  const [least, most] = rangeOf(values);
  return values.size >= 2 && least <= 1 && most - least + 1 === values.size && 2 * values.size <= count;
}

function rangeOf(values: ReadonlySet<number>): readonly [least: number, most: number] {
  const all = [...values];
  return [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
}

/** A label's column that nobody named must look like one. */
function checkGuess(name: string, { columns, images, codes, labels, count }: CsvImages): void {
  if (!columns.isGuess) return;
  const length = columns.count - 1;
  const first = new Set(Array.from(codes, (_, image) => images[image * length]!));
  const last = new Set(labels.map(({ text }) => Number(text)));
  const firstLooks = looksLikeLabels(first, count);
  const range = rangeOf(first).join(' … ');
  if (labels.length === 1) {
    throw new UserError(
      `${name} has one class: ${columns.labelName}, taken for the label, is ${labels[0]!.text} in all ${count} lines; ` +
        (firstLooks
          ? `the first column holds ${range}: say --label first`
          : 'name the column of the label with --label'),
    );
  }
  if (firstLooks && !last.has(Number.NaN) && !looksLikeLabels(last, count)) {
    throw new UserError(
      `${name}: is the label in ${columns.labelName}, which holds ${last.size} different numbers with gaps, or in the first, which holds ${range}? say --label first or --label last`,
    );
  }
}

/** Opens a CSV file, with `options.testFile` as the test split or else a fifth of each class. */
export function openCsv(file: string, options: DatasetOptions): Dataset {
  const { maximum = 255, classes: declared } = options;
  requireWhole('the largest raw value', maximum, 1, 255);
  const testFile = options.testFile?.replace(/^csv:/, '');
  const orFractions = options.maximum === undefined || maximum === 1;
  const whole = readFiles(file, testFile, options, { kind: 'whole', maximum, orFractions });
  const [all, test] = whole ?? readFiles(file, testFile, options, { kind: 'fractions' })!;
  const image = all.columns.size;
  const classes = numberClasses([...all.labels, ...(test?.labels ?? [])], declared);
  checkGuess(file, all);
  const split = (part: CsvImages): ImageArrays => ({
    count: part.count,
    images: part.images,
    labels: part.codes.map((code) => classes.of.get(part.labels[code]!.text)!),
  });
  const splits = test
    ? { train: split(all), test: split(test), split: `the images of ${basename(testFile!)}` }
    : holdBack(split(all), image, Math.ceil(all.count / 5));
  return finishDataset({
    ...image,
    ...splits,
    name: 'csv',
    location: `csv:${file}`,
    classes: classes.count,
    ...(classes.names ? { classNames: classes.names } : {}),
    scale: whole ? maximum : 255,
    augment: noAugmentation,
    labels: `${all.columns.labelName}${classes.rule}`,
    notes: [...classes.notes, ...(whole ? [] : ['the values are fractions of 1 and were rounded to 255ths'])],
  });
}

/**
 * Both files, or one of them, by the same rules; undefined when either holds fractions where whole numbers were
 * expected.
 */
function readFiles(file: string, testFile: string | undefined, options: DatasetOptions, values: Values) {
  const all = parseCsv(readMaybeGzip(file), file, options, values);
  if (!all) return undefined;
  if (testFile === undefined) return [all] as const;
  const { size, label, isGuess } = all.columns;
  // A header of its own names its label; without one it is laid out as the training file.
  const alike = { ...options, image: size, ...(isGuess ? {} : { otherwise: label }) };
  const test = parseCsv(readMaybeGzip(testFile), testFile, alike, values);
  return test && ([all, test] as const);
}

/**
 * The data set that the program ships: 1797 handwritten digits of 8×8 pixels with values 0 … 16 (UCI, Alpaydin and
 * Kaynak, 1998), 1437 for training and 360 for testing, the same share of each class.
 */
export function openDigits(): Dataset {
  const path = fileURLToPath(new URL('../../data/digits.csv.gz', import.meta.url));
  const size = { height: 8, width: 8, channels: 1 };
  const all = parseCsv(
    readMaybeGzip(path),
    path,
    { image: size, label: 'last' },
    { kind: 'whole', maximum: 16, orFractions: false },
  )!;
  const classes = numberClasses(all.labels, 10);
  const labels = all.codes.map((code) => classes.of.get(all.labels[code]!.text)!);
  return finishDataset({
    ...size,
    ...holdBack({ count: all.count, images: all.images, labels }, size, 360),
    name: 'digits',
    location: 'digits',
    classes: 10,
    scale: 16,
    augment: { pad: 1, flip: false },
    labels: all.columns.labelName,
  });
}
