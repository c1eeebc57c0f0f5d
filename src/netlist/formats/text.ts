// The published text form of a product table: a few `INFO:` lines with error metrics, the line `LUT for approximate multiplier:`, and
// one row `w x product` for each pair, w in the outer loop, in the order of the patterns. Numbers of a signed table are signed, so
// that its rows run 0..127, −128..−1. The published files have two headers: the full one, and an earlier, short one of four lines
// (signed) or six (unsigned). Metrics have six significant digits, as a C++ stream prints them.
// The reader takes any lines before the title (the published files carry warnings there) and checks every row's place.

import { UserError } from '../../tensor/errors.ts';
import type { Elaborated } from '../elaborate.ts';
import { type ErrorMetrics, errorMetrics } from '../metrics.ts';
import { operandValues, type ProductTable } from '../table.ts';
import { interpretProducts, type Products, type TableOptions } from './interpret.ts';
import { readRows, tripleProducts } from './rows.ts';
import { NumberScanner } from './scan.ts';

const TITLE = 'LUT for approximate multiplier:';

export interface TextTableOptions {
  readonly header?: 'full' | 'short';
  /** Lines before the header, without their newline; see publishedWarnings. */
  readonly warnings?: readonly string[];
}

/** The whole text, with the given metrics (by default those of uniform operands) in its header; ends with a newline. */
export function writeTextTable(table: ProductTable, metrics?: ErrorMetrics, options: TextTableOptions = {}): string {
  return [...textTableParts(table, metrics, options)].join('');
}

/** The text in parts, one for each w: the table of 12×12 bits is too long for one string. */
export function* textTableParts(
  table: ProductTable,
  metrics: ErrorMetrics = errorMetrics(table),
  { header = 'full', warnings = [] }: TextTableOptions = {},
): Generator<string> {
  const lines = [...warnings, ...(header === 'full' ? fullHeader : shortHeader)(metrics, table.signed), TITLE];
  yield `${lines.join('\n')}\n`;
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

/** Reads the text form; widths and signedness follow from the rows. `file` names the source in error messages. */
export function readTextTable(text: string | Uint8Array, file = 'table', options: TableOptions = {}): ProductTable {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  return interpretProducts(textProducts(bytes, file), file, options).table;
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
  const at = Buffer.from(scanner.bytes.buffer, scanner.bytes.byteOffset, scanner.bytes.length).indexOf(TITLE);
  if (at < 0) return null;
  while (scanner.position <= at) scanner.skipLine();
  return scanner.line;
}
