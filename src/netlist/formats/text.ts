// The published text form of a product table: a few `INFO:` lines with error metrics, the line `LUT for approximate multiplier:`, and
// one row `w x product` for each pair, w in the outer loop, in the order of the patterns. Numbers of a signed table are signed, so
// that its rows run 0..127, −128..−1. Metrics have six significant digits, as a C++ stream prints them.
// The reader takes any lines before the title (the published files carry warnings there) and checks every row's place.

import { UserError } from '../../tensor/errors.ts';
import { type ErrorMetrics, errorMetrics } from '../metrics.ts';
import { MAX_OPERAND_BITS, MIN_OPERAND_BITS } from '../ports.ts';
import { operandValues, type ProductTable, productTable } from '../table.ts';

const TITLE = 'LUT for approximate multiplier:';

/** The text with the header of the given metrics (by default those of uniform operands); ends with a newline. */
export function writeTextTable(table: ProductTable, metrics: ErrorMetrics = errorMetrics(table)): string {
  const header: [string, number][] = [
    ['Error rate', metrics.errorRate],
    ['Mean error distance', metrics.meanErrorDistance],
    ['Normalized mean error distance', metrics.normalizedMeanErrorDistance],
    ['Mean square error', metrics.meanSquareError],
    ['Max error distance', metrics.maxErrorDistance],
    ['Mean relative error distance', metrics.meanRelativeErrorDistance],
    ['Error (app_out - acc_out) mean', metrics.meanError],
    ['Error (app_out - acc_out) variance', metrics.errorVariance],
  ];
  const lines = [`INFO: ${table.signed ? 'Signed' : 'Unsigned'} approximate multiplier`];
  for (const [name, value] of header) lines.push(`INFO: ${name}: ${sixDigits(value)}`);
  lines.push(TITLE);
  const activations = operandValues(table.activationBits, table.signed);
  let pair = 0;
  for (const w of operandValues(table.weightBits, table.signed)) {
    for (const x of activations) lines.push(`${w} ${x} ${table.data[pair++]}`);
  }
  return `${lines.join('\n')}\n`;
}

/** C's %g: six significant digits, no trailing zeros, an exponent below 1e-4 and from 1e6. */
export function sixDigits(value: number): string {
  if (value === 0) return '0';
  const exponent = Number(value.toExponential(5).split('e')[1]);
  if (exponent >= -4 && exponent < 6) return String(Number(value.toFixed(5 - exponent)));
  const [mantissa, power] = value.toExponential(5).split('e') as [string, string];
  return `${Number(mantissa)}e${power[0]}${power.slice(1).padStart(2, '0')}`;
}

/** Reads the text form; widths and signedness follow from the rows. `file` names the source in error messages. */
export function readTextTable(text: string, file = 'table'): ProductTable {
  const lines = text.split('\n');
  const title = lines.findIndex((line) => line.trimEnd() === TITLE);
  if (title < 0) {
    throw new UserError(`${file}: no line "${TITLE}": expected the published text form of a multiplier's table`);
  }
  const first = title + 1;
  let end = lines.length;
  while (end > first && lines[end - 1]!.trim() === '') end--;
  const rows = lines.slice(first, end).map((line, n) => parseRow(line, `${file}:${first + n + 1}`));
  const signed = rows.some((row) => row.w < 0 || row.x < 0);
  const weights = rows.filter((row) => row.x === 0).length;
  const weightBits = Math.log2(weights);
  const activationBits = Math.log2(rows.length / weights);
  for (const [operand, bits] of [
    ['first', weightBits],
    ['second', activationBits],
  ] as const) {
    if (!Number.isInteger(bits) || bits < MIN_OPERAND_BITS || bits > MAX_OPERAND_BITS) {
      throw new UserError(
        `${file}: ${rows.length} rows give the ${operand} operand ${2 ** bits} values: expected a power of two from ` +
          `${2 ** MIN_OPERAND_BITS} to ${2 ** MAX_OPERAND_BITS}; the file is truncated or not a table of all operand pairs`,
      );
    }
  }
  const expectedWeights = operandValues(weightBits, signed);
  const expectedActivations = operandValues(activationBits, signed);
  const data = new Int32Array(rows.length);
  rows.forEach((row, pair) => {
    const w = expectedWeights[pair >> activationBits]!;
    const x = expectedActivations[pair & (expectedActivations.length - 1)]!;
    if (row.w !== w || row.x !== x) {
      throw new UserError(
        `${file}:${first + pair + 1}: row of the operands ${row.w} ${row.x}: expected the row of ${w} ${x}; rows go through all ` +
          'pairs, the second operand fastest',
      );
    }
    data[pair] = row.product;
  });
  return productTable(weightBits, activationBits, signed, data);
}

function parseRow(line: string, at: string): { w: number; x: number; product: number } {
  const fields = /^\s*(-?\d{1,4})\s+(-?\d{1,4})\s+(-?\d{1,9})\s*$/.exec(line);
  if (!fields) {
    throw new UserError(
      `${at}: cannot read the row ${JSON.stringify(line.slice(0, 80))}: expected "w x product", three integers`,
    );
  }
  return { w: Number(fields[1]), x: Number(fields[2]), product: Number(fields[3]) };
}
