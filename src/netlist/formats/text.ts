// The published text form of a product table: a few `INFO:` lines with error metrics, the line `LUT for approximate
// multiplier:`, and one row `w x product` for each pair, w in the outer loop, in the order of the patterns. Numbers of
// a signed table are signed, so that its rows run 0..127, −128..−1. The published files have two headers: the full one,
// and an earlier, short one of four lines (signed) or six (unsigned). Metrics have six significant digits, as a C++
// stream prints them.
// The reader takes any lines before the title (the published files carry warnings there) and checks every row's place.
// What its operands are a text says with the line `INFO: Operands: activation weight` before the title; the program
// that published the form takes the first operand as the activation, and files of its own say nothing. The weight comes
// first in a ProductTable.

import { type ErrorMetrics, errorMetrics } from '../../multiplier/metrics.ts';
import { exchangeOperands, type OperandOrder, operandValues, type ProductTable } from '../../multiplier/table.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Elaborated } from '../elaborate.ts';
import { interpretProducts, type Products, type TableOptions } from './interpret.ts';
import { readRows, tripleProducts } from './rows.ts';
import { NumberScanner } from './scan.ts';

const TITLE = 'LUT for approximate multiplier:';
const OPERANDS = /^INFO: Operands: (weight activation|activation weight)$/;

export interface TextTableOptions {
  readonly header?: 'full' | 'short';
  /** Lines before the header, without their newline; see publishedWarnings. */
  readonly warnings?: readonly string[];
  /**
   * Writes a line that says what the operands of a row are, and the rows in this order; without it the weight is first
   * and no line says so.
   */
  readonly operands?: OperandOrder;
}

/** A table from a text, with the order of the operands in its rows. */
export interface TextTable extends ProductTable {
  readonly rows: RowOrder;
}

/**
 * Said: the text says what its operands are, and the table has been turned so that the weight is first. Not said: the
 * order is that of the program which published the form, and the table is as its rows are.
 */
export interface RowOrder {
  readonly order: OperandOrder;
  readonly said: boolean;
}

/** The order of the rows of a table that was read from the text form; undefined for any other. */
export function rowOrder(table: ProductTable): RowOrder | undefined {
  return 'rows' in table ? (table as TextTable).rows : undefined;
}

/** The whole text, with the given metrics (by default those of uniform operands) in its header; ends with a newline. */
export function writeTextTable(table: ProductTable, metrics?: ErrorMetrics, options: TextTableOptions = {}): string {
  return [...textTableParts(table, metrics, options)].join('');
}

/** The text in parts, one for each w: the table of 12×12 bits is too long for one string. */
export function* textTableParts(
  table: ProductTable,
  metrics: ErrorMetrics = errorMetrics(table),
  { header = 'full', warnings = [], operands }: TextTableOptions = {},
): Generator<string> {
  const lines = [
    ...warnings,
    ...(operands === undefined ? [] : [`INFO: Operands: ${operands.replace('-', ' ')}`]),
    ...(header === 'full' ? fullHeader : shortHeader)(metrics, table.signed),
    TITLE,
  ];
  yield `${lines.join('\n')}\n`;
  yield* rowsOf(operands === 'activation-weight' ? exchangeOperands(table) : table);
}

function* rowsOf(table: ProductTable): Generator<string> {
  const activations = operandValues(table.activationBits, table.signed);
  let pair = 0;
  for (const w of operandValues(table.weightBits, table.signed)) {
    let rows = '';
    for (const x of activations) rows += `${w} ${x} ${table.data[pair++]}\n`;
    yield rows;
  }
}

const info = (name: string, value: number) => `INFO: ${name}: ${sixDigits(value)}`;

function firstLines(metrics: ErrorMetrics): string[] {
  return [
    info('Error rate', metrics.errorRate),
    info('Mean error distance', metrics.meanErrorDistance),
    info('Normalized mean error distance', metrics.normalizedMeanErrorDistance),
    info('Mean square error', metrics.meanSquareError),
  ];
}

function shortHeader(metrics: ErrorMetrics, signed: boolean): string[] {
  if (signed) return firstLines(metrics);
  return [
    ...firstLines(metrics),
    info('Mean relative error distance', metrics.meanRelativeErrorDistance),
    info('Max error distance', metrics.maxErrorDistance),
  ];
}

function fullHeader(metrics: ErrorMetrics, signed: boolean): string[] {
  return [
    `INFO: ${signed ? 'Signed' : 'Unsigned'} approximate multiplier`,
    ...firstLines(metrics),
    info('Max error distance', metrics.maxErrorDistance),
    info('Mean relative error distance', metrics.meanRelativeErrorDistance),
    info('Error (app_out - acc_out) mean', metrics.meanError),
    info('Error (app_out - acc_out) variance', metrics.errorVariance),
  ];
}

const NAMED_NETS = 4;

/** What the published simulator says before its table about several root models and about undriven nets taken as 0. */
export function publishedWarnings(circuit: Pick<Elaborated, 'network' | 'undriven' | 'roots'>): string[] {
  const { network, undriven, roots } = circuit;
  const warnings: string[] = [];
  if (roots.length > 1) {
    warnings.push(
      `Warning: The design has ${roots.length} root-level modules. The first one (${network.name}) will be used.`,
    );
  }
  if (undriven.length > 0) {
    warnings.push(
      `Warning: Constant-0 drivers added to ${undriven.length} non-driven nets in network "${network.name}":`,
      `${undriven.slice(0, NAMED_NETS).join(', ')}${undriven.length > NAMED_NETS ? ' ...' : ''}`,
    );
  }
  return warnings;
}

/** C's %g: six significant digits, no trailing zeros, an exponent below 1e-4 and from 1e6. */
export function sixDigits(value: number): string {
  if (value === 0) return '0';
  const exponent = Number(value.toExponential(5).split('e')[1]);
  if (exponent >= -4 && exponent < 6) return String(Number(value.toFixed(5 - exponent)));
  const [mantissa, power] = value.toExponential(5).split('e') as [string, string];
  return `${Number(mantissa)}e${power[0]}${power.slice(1).padStart(2, '0')}`;
}

/** Whether a text has the title line of the published form. */
export function isPublishedText(bytes: Uint8Array): boolean {
  return titleEnd(new NumberScanner(bytes, '')) !== null;
}

/**
 * Reads the text form; widths and signedness follow from the rows. `file` names the source in error messages. The rows'
 * first operand is the first of the table, unless the text says that it is the activation.
 */
export function readTextTable(text: string | Uint8Array, file = 'table', options: TableOptions = {}): TextTable {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  return inSaidOrder(interpretProducts(textProducts(bytes, file), file, options).table, bytes);
}

/**
 * The table of a text with the order of its rows; where the text says that the activation comes first, turned so that
 * the weight does.
 */
export function inSaidOrder(table: ProductTable, bytes: Uint8Array): TextTable {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, Math.max(0, titleAt(bytes))).toString('utf8');
  const said = header
    .split('\n')
    .map((line) => OPERANDS.exec(line.trimEnd())?.[1])
    .findLast((found) => found !== undefined);
  const order = (said ?? 'activation weight').replace(' ', '-') as OperandOrder;
  const turned = said !== undefined && order === 'activation-weight' ? exchangeOperands(table) : table;
  return { ...turned, rows: { order, said: said !== undefined } };
}

/** The rows behind the title. Throws a UserError with file and line. */
export function textProducts(bytes: Uint8Array, file: string): Products {
  const scanner = new NumberScanner(bytes, file);
  const first = titleEnd(scanner);
  if (first === null) {
    throw new UserError(`${file}: no line "${TITLE}": expected the published text form of a multiplier's table`);
  }
  const expected = '"w x product", three integers';
  const rows = readRows(scanner, expected);
  if (rows.rows > 0 && rows.columns !== 3) {
    throw new UserError(`${file}:${first}: rows of ${rows.columns} numbers: expected ${expected}`);
  }
  return tripleProducts(rows, file, first);
}

/** Puts the scanner behind the title line and gives the number of the next line; null where there is no title. */
function titleEnd(scanner: NumberScanner): number | null {
  const at = titleAt(scanner.bytes);
  if (at < 0) return null;
  while (scanner.position <= at) scanner.skipLine();
  return scanner.line;
}

function titleAt(bytes: Uint8Array): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(TITLE);
}
