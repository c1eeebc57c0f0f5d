// Tables as rows of numbers: a matrix (CSV, white space, NumPy's savetxt, JSON lists), with or without a column of
// operands, or one row `a b product` for each pair of operands. Numbers are separated by blanks, commas or semicolons;
// brackets and lines that begin with # are passed over, and so is a first line of titles.
// Invariant: every pair of operands has exactly one product; rows that name their operands may come in any order.

import { operandValues } from '../../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../../multiplier/widths.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Products, TableOrder } from './interpret.ts';
import { blanksAnd, fitsInt32, IntegerList, NumberScanner } from './scan.ts';

const SEPARATORS = blanksAnd(',;[]()');
const [NEWLINE, HASH] = [10, 35];
const MOST = 2 ** MAX_EXHAUSTIVE_BITS;
const MOST_OPERAND_BITS = MAX_EXHAUSTIVE_BITS - MIN_OPERAND_BITS;
const EXPECTED = 'rows of products, or rows of three integers: first operand, second operand, product';

export interface Rows {
  /** All numbers, row by row. */
  readonly values: Int32Array;
  readonly columns: number;
  readonly rows: number;
}

/** Whether a text is rows of numbers, after one line of titles at most. */
export function isRowsText(bytes: Uint8Array): boolean {
  const scanner = new NumberScanner(bytes, '');
  skipTitles(scanner);
  return !scanner.ended && readRow(scanner, () => {});
}

/** The products of a text of rows. Throws a UserError with file and line. */
export function rowsProducts(bytes: Uint8Array, file: string): Products {
  const scanner = new NumberScanner(bytes, file);
  skipTitles(scanner);
  const titles = Buffer.from(bytes.subarray(0, scanner.position)).toString('utf8');
  const read = readRows(scanner, EXPECTED);
  const { values, columns, rows } = read;
  if (columns === 3) return tripleProducts(activationFirst(titles) ? exchanged(read) : read, file);
  if (columns === 1 || rows === 1) return { values, shape: [values.length] };
  if (Number.isInteger(Math.log2(columns - 1)) && columns > 4) return labelledProducts(read, file);
  return { values, shape: [rows, columns] };
}

/**
 * Whether the titles of rows `a b product` say that the activation comes first: `x,w,p` or `activation,weight,product`.
 */
function activationFirst(titles: string): boolean {
  const line = titles.split('\n').findLast((text) => text.trim() !== '') ?? '';
  const [first = '', second = ''] = line.toLowerCase().match(/[a-z]+/g) ?? [];
  return /^(x|act|activations?)$/.test(first) && /^(w|weights?)$/.test(second);
}

/** Rows with their first two numbers exchanged. */
function exchanged({ values, ...rest }: Rows): Rows {
  const turned = values.slice();
  for (let at = 0; at < turned.length; at += 3) turned.set([values[at + 1]!, values[at]!], at);
  return { ...rest, values: turned };
}

/** Reads rows of one length from where the scanner stands to the end. Throws a UserError with file and line. */
export function readRows(scanner: NumberScanner, expected: string): Rows {
  const list = new IntegerList();
  let [columns, rows, skipped] = [0, 0, 0];
  for (skipToRow(scanner); !scanner.ended; skipToRow(scanner)) {
    const start = list.length;
    // A column of operands beside four columns of products at least.
    const most = columns === 3 ? 3 * MOST : 1.25 * MOST;
    const whole = readRow(scanner, (value) => {
      if (!fitsInt32(value)) scanner.fail(`the number ${value}`, 'integers of 32 bits');
      if (list.length >= most) scanner.fail(`more than ${MOST} products`, `at most 2^${MAX_EXHAUSTIVE_BITS}`);
      list.push(value);
    });
    if (!whole) scanner.failLine('cannot read the row', expected);
    const length = list.length - start;
    if (rows === 1 && length === columns + 1 && columns > 3) {
      // The operands over the columns, with nothing over the column of operands.
      skipped = columns;
      rows = 0;
    } else if (rows > 0 && length !== columns) {
      scanner.failLine(`${length} numbers after rows of ${columns}, in the row`, expected);
    }
    columns = length;
    rows++;
    scanner.newline();
  }
  return { values: list.values().subarray(skipped), columns, rows };
}

/**
 * Products by operands from rows `a b product`. With the line of the first row, rows must stand in the order of the
 * patterns, the second operand fastest. Throws a UserError.
 */
export function tripleProducts({ values, rows }: Rows, file: string, firstLine?: number): Products {
  let signed = false;
  let weights = 0;
  const anySecond = firstLine === undefined ? values[1] : 0;
  for (let n = 0; n < rows; n++) {
    if (values[3 * n]! < 0 || values[3 * n + 1]! < 0) signed = true;
    if (values[3 * n + 1] === anySecond) weights++;
  }
  const weightBits = Math.log2(weights);
  const activationBits = Math.log2(rows / weights);
  if (
    [weightBits, activationBits].some(
      (bits) => !Number.isInteger(bits) || bits < MIN_OPERAND_BITS || bits > MOST_OPERAND_BITS,
    )
  ) {
    throw new UserError(
      `${file}: ${rows} rows: expected one for each pair of operands, 2^w × 2^x of them with ${2 ** MIN_OPERAND_BITS} values of each at ` +
        'least; the file is truncated, has rows twice, or is no table of all operand pairs',
    );
  }
  const weightValues = operandValues(weightBits, signed);
  const activationValues = operandValues(activationBits, signed);
  const products = new Int32Array(rows);
  const seen = new Uint8Array(rows);
  for (let n = 0; n < rows; n++) {
    const [w, x] = [values[3 * n]!, values[3 * n + 1]!];
    if (firstLine !== undefined) {
      const [wantedW, wantedX] = [weightValues[n >> activationBits]!, activationValues[n & (2 ** activationBits - 1)]!];
      if (w !== wantedW || x !== wantedX) {
        throw new UserError(
          `${file}:${firstLine + n}: row of the operands ${w} ${x}: expected the row of ${wantedW} ${wantedX}; rows go through all ` +
            'pairs, the second operand fastest',
        );
      }
    }
    const [atW, atX] = [w & (2 ** weightBits - 1), x & (2 ** activationBits - 1)];
    const pair = (atW << activationBits) | atX;
    const valid = weightValues[atW] === w && activationValues[atX] === x;
    if (!valid || seen[pair] === 1) {
      const what = valid ? 'a second row' : 'a row';
      throw new UserError(
        `${file}: row ${n + 1} is ${what} of the operands ${w} ${x}: expected each pair of ${signed ? 'signed ' : ''}` +
          `${weightBits}×${activationBits} bits once`,
      );
    }
    seen[pair] = 1;
    products[pair] = values[3 * n + 2]!;
  }
  const shape = [2 ** weightBits, 2 ** activationBits];
  return { values: products, shape, labels: { order: 'patterns', signed } };
}

/** A matrix whose first column is the first operand of each row, in either order of signed operands. */
function labelledProducts({ values, columns, rows }: Rows, file: string): Products {
  const first = values[0]!;
  const order: TableOrder = first < 0 ? 'values' : 'patterns';
  const products = new Int32Array(rows * (columns - 1));
  let signed = first < 0;
  for (let row = 0; row < rows; row++) {
    const label = values[row * columns]!;
    const byPattern = label === row || (label === row - rows && row >= rows / 2);
    if (first < 0 ? label !== row - rows / 2 : !byPattern) {
      throw new UserError(
        `${file}: row ${row + 1} of ${columns} numbers begins with ${label}: expected rows of 2^x products, or 2^x + 1 numbers, ` +
          'the first of which is the operand, in order',
      );
    }
    signed ||= label < 0;
    products.set(values.subarray(row * columns + 1, (row + 1) * columns), row * (columns - 1));
  }
  return { values: products, shape: [rows, columns - 1], ...(signed ? { labels: { order, signed } } : {}) };
}

function skipTitles(scanner: NumberScanner): void {
  skipToRow(scanner);
  const { position } = scanner;
  if (readRow(scanner, () => {})) scanner.position = position;
  else scanner.skipLine();
}

/** Numbers up to the end of the line; false where something else stands before it. */
function readRow(scanner: NumberScanner, take: (value: number) => void): boolean {
  while (!scanner.ended && scanner.byte !== NEWLINE) {
    const value = scanner.integer();
    if (value === null) return false;
    take(value);
    scanner.skip(SEPARATORS);
  }
  return true;
}

function skipToRow(scanner: NumberScanner): void {
  for (;;) {
    scanner.skip(SEPARATORS);
    if (scanner.byte === HASH) scanner.skipLine();
    else if (!scanner.newline()) return;
  }
}
