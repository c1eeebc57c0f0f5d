// What the first lines of a delimited file say about its columns: the delimiter, whether there is a header, which
// column holds the label and what size the images have. Decided before a pixel is read, so that nothing is allocated
// for an image size that the file contradicts.

import { UserError } from '../tensor/errors.ts';
import { nearestName } from '../tensor/names.ts';
import type { ImageSize } from './image.ts';

/** What a user may say about a file; `label` is a name in the header, a number from 1, `first` or `last`. */
export interface FileOptions {
  readonly image?: ImageSize;
  readonly label?: string;
  /** The index of the label's column where nobody names it; default: the last, as a guess. */
  readonly otherwise?: number;
}

export interface Columns {
  readonly delimiter: string;
  readonly hasHeader: boolean;
  /** Number of columns, the label among them. */
  readonly count: number;
  /** Index of the label's column, from 0. */
  readonly label: number;
  /** "the column species", "column 3" or "the last column". */
  readonly labelName: string;
  /** Nobody named the label's column: neither the user nor the header. */
  readonly isGuess: boolean;
  readonly size: ImageSize;
}

const delimiters = [',', ';', '\t'];
/** Header names of a label's column, the more telling first. */
const labelNames = ['label', 'class', 'target', 'y'];

/** A cell without blanks and quotes around it. */
export const bare = (cell: string): string => cell.trim().replace(/^"(.*)"$/, '$1');
const isNumber = (cell: string): boolean => cell !== '' && !Number.isNaN(Number(cell));

/** Reads the columns off the first line that is not blank; `at` is its place for messages, "digits.csv:1". */
export function readColumns(line: string, file: string, at: string, options: FileOptions): Columns {
  const { image, label } = options;
  const delimiter = delimiters.toSorted((a, b) => line.split(b).length - line.split(a).length)[0]!;
  const cells = line.split(delimiter).map(bare);
  const hasHeader = isHeader(cells, label);
  const found = labelColumn(cells, hasHeader ? cells : [], options, at);
  const values = cells.length - 1;
  const size = image ?? inferredSize(values, file);
  const expected = size.height * size.width * size.channels;
  if (values !== expected) throw wrongColumns(at, cells.length, size);
  return { delimiter, hasHeader, count: cells.length, size, ...found };
}

export function wrongColumns(at: string, columns: number, size: ImageSize): UserError {
  const length = size.height * size.width * size.channels;
  const shape = `${size.height}x${size.width}x${size.channels}`;
  return new UserError(
    `${at}: ${columns} columns; ${length + 1} (${length} values of a ${shape} image and the label) were expected`,
  );
}

/** Names alone, or numbered pixels beside a name that only a label has. */
function isHeader(cells: readonly string[], label: string | undefined): boolean {
  if (cells.every((cell) => !isNumber(cell))) return true;
  const telling = [...labelNames.slice(0, 3), ...(label === undefined ? [] : [label.toLowerCase()])];
  return cells.some((cell) => !isNumber(cell) && telling.includes(cell.toLowerCase()));
}

function labelColumn(
  cells: readonly string[],
  header: readonly string[],
  { label: asked, otherwise }: FileOptions,
  at: string,
) {
  const named = (index: number) =>
    header[index]
      ? `the column ${header[index]}`
      : index === cells.length - 1
        ? 'the last column'
        : `column ${index + 1}`;
  if (asked === undefined) {
    const lower = header.map((name) => name.toLowerCase());
    const known = labelNames.map((name) => lower.indexOf(name)).find((index) => index >= 0);
    const label = known ?? otherwise ?? cells.length - 1;
    return { label, labelName: named(label), isGuess: known === undefined && otherwise === undefined };
  }
  const label = askedColumn(cells.length, header, asked, at);
  return { label, labelName: named(label), isGuess: false };
}

function askedColumn(count: number, header: readonly string[], asked: string, at: string): number {
  if (/^\d+$/.test(asked)) {
    const number = Number(asked);
    if (number >= 1 && number <= count) return number - 1;
    throw new UserError(
      `${at}: the label is said to be in column ${asked}, but there are ${count}; give 1 to ${count}`,
    );
  }
  const exact = header.indexOf(asked);
  const alike = exact >= 0 ? exact : header.findIndex((name) => name.toLowerCase() === asked.toLowerCase());
  if (alike >= 0) return alike;
  if (asked === 'first') return 0;
  if (asked === 'last') return count - 1;
  if (header.length === 0) {
    throw new UserError(
      `${at}: no header names a column '${asked}'; give the label's column as a number, first or last`,
    );
  }
  const nearest = nearestName(asked, header);
  const names = header.length > 6 ? [...header.slice(0, 3), '…', ...header.slice(-2)] : header;
  const question = nearest === undefined ? '' : `; did you mean '${nearest}'?`;
  throw new UserError(`${at}: no column is called '${asked}'${question} (columns: ${names.join(', ')})`);
}

/** A square of one channel. */
function inferredSize(values: number, file: string): ImageSize {
  const side = Math.round(Math.sqrt(values));
  if (values > 0 && side * side === values) return { height: side, width: side, channels: 1 };
  if (values === 0) throw new UserError(`${file} holds nothing beside the label; a value for each pixel was expected`);
  throw new UserError(
    `the data set csv:${file} needs the image size (HxWxC, for example --image 8x8x1): its ${values} values beside the label are no square`,
  );
}
