// From the numbers of a file to a table of products: the operands' widths, whether they are signed, and in which order
// the rows stand.
// Invariant: nothing is guessed where two readings are sensible; then the error names the option that settles it. What
// was concluded beyond the numbers themselves is told in a note.

import { meanErrorDistance, signednessNote, wrapped } from '../../multiplier/signedness.ts';
import { type ProductTable, productTable } from '../../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../../multiplier/widths.ts';
import { invariant, UserError } from '../../tensor/errors.ts';

/**
 * `patterns`: entry n belongs to the operand with the bit pattern n, so that signed operands run 0, 1, …, 127, −128, …,
 * −1;
 * `values`: signed operands run −128, …, 127. Without a sign the two are the same.
 */
export const tableOrders = ['patterns', 'values'] as const;
export type TableOrder = (typeof tableOrders)[number];

/** What a file of products alone does not say. */
export interface TableOptions {
  /**
   * Two's complement. By default: what the rows' operands say, else signed where a product is negative and signed
   * operands fit no worse.
   */
  readonly signed?: boolean | undefined;
  /**
   * Widths of the first and the second operand. By default those of the rows and columns, or of a square of all
   * products.
   */
  readonly bits?: readonly [weightBits: number, activationBits: number] | undefined;
  /** Order of signed rows and columns that do not name their operands. By default an error where it may be by value. */
  readonly order?: TableOrder | undefined;
}

export interface ReadTable {
  readonly table: ProductTable;
  /** What was concluded about the file, or is odd about it: one sentence each. */
  readonly notes: readonly string[];
}

export interface Products {
  /** In C order: the last operand runs fastest. */
  readonly values: Int32Array;
  /** [2^(w+x)] or [2^w, 2^x]; dimensions of 1 do not count. */
  readonly shape: readonly number[];
  /** Bits of an element, where its type is unsigned: negative products then are two's complement of so many bits. */
  readonly unsignedBits?: number;
  /** The order of rows that name their operands, and whether these have a sign. */
  readonly labels?: { readonly order: TableOrder; readonly signed: boolean };
}

/** The largest operand beside another of two bits. */
const MOST_OPERAND_BITS = MAX_EXHAUSTIVE_BITS - MIN_OPERAND_BITS;

/** Throws a UserError that names the file and what settles the matter. */
export function interpretProducts(products: Products, file: string, options: TableOptions = {}): ReadTable {
  const { labels } = products;
  const [weightBits, activationBits] = widthsOf(products, file, options.bits);
  const notes: string[] = [];
  const negative = products.values.some((product) => product < 0);
  const signed =
    options.signed ??
    ((labels?.signed ?? false) || (negative && fitsSigned(products.values, weightBits, activationBits)));
  if (negative && !signed && options.signed === undefined) {
    notes.push(
      `${file}: negative products, but far from those of signed operands: read as unsigned; --signed says otherwise`,
    );
  }
  let data = products.values;
  if (signed && !negative) data = signedProducts(products, weightBits + activationBits, file, notes);
  const byPatterns = productTable(weightBits, activationBits, signed, data);
  const order = labels?.order ?? options.order;
  if (!signed || order === 'patterns') return finished(byPatterns, notes);
  const byValues = productTable(weightBits, activationBits, signed, exchangedHalves(byPatterns));
  if (order === 'values') return finished(byValues, notes);
  const [patterns, values] = [meanErrorDistance(byPatterns), meanErrorDistance(byValues)];
  if (patterns <= values) return finished(byPatterns, notes);
  throw new UserError(
    `${file}: signed products, for which rows in the order of the operands' values (from ${-(2 ** (weightBits - 1))}) give a mean ` +
      `error of ${short(values)}, and in the order of their bit patterns (0, 1, …, −1) ${short(patterns)}: expected ` +
      '--table-order values or --table-order patterns (tram simulate FILE --table-order … --lut NEW.npy writes one that needs no option)',
  );
}

/** Whether negative products are those of signed operands, and not those that an unsigned multiplier errs to. */
function fitsSigned(values: Int32Array, weightBits: number, activationBits: number): boolean {
  const byPatterns = productTable(weightBits, activationBits, true, values);
  const byValues = productTable(weightBits, activationBits, true, exchangedHalves(byPatterns));
  const unsigned = meanErrorDistance(productTable(weightBits, activationBits, false, values));
  return Math.min(meanErrorDistance(byPatterns), meanErrorDistance(byValues)) <= unsigned;
}

function finished(table: ProductTable, notes: string[]): ReadTable {
  const hint = signednessNote(table);
  return { table, notes: hint === null ? notes : [...notes, hint] };
}

function widthsOf({ values, shape }: Products, file: string, bits: TableOptions['bits']): readonly [number, number] {
  const count = shape.reduce((product, one) => product * one, 1);
  invariant(count === values.length, `${values.length} products of the shape ${shape}`);
  const sizes = shape.filter((size) => size !== 1);
  const widths = sizes.map(Math.log2);
  if (
    bits &&
    (sizes.length === 2 ? sizes.some((size, n) => size !== 2 ** bits[n]!) : count !== 2 ** (bits[0] + bits[1]))
  ) {
    throw new UserError(
      `${file}: ${sizes.length === 2 ? sizes.join(' × ') : count} products, but --bits says ${bits.join('x')}: expected ` +
        `${2 ** bits[0]} × ${2 ** bits[1]}`,
    );
  }
  if (sizes.length === 2 && widths.every((width) => validWidth(width)) && validSum(widths[0]! + widths[1]!)) {
    return [widths[0]!, widths[1]!];
  }
  const total = Math.log2(count);
  if (sizes.length === 1 && bits) return bits;
  if (sizes.length === 1 && validSum(total) && validWidth(total / 2)) return [total / 2, total / 2];
  if (sizes.length === 1 && validSum(total) && total >= 2 * MIN_OPERAND_BITS) {
    throw new UserError(
      `${file}: ${count} products, which is no square: expected --bits WxX, the widths of the operands, ${total} together`,
    );
  }
  throw new UserError(
    `${file}: the shape (${shape.slice(0, 8).join(', ')}): expected 2^w × 2^x products of all operand pairs, two powers of two from ` +
      `${2 ** MIN_OPERAND_BITS} to ${2 ** MOST_OPERAND_BITS}, at most 2^${MAX_EXHAUSTIVE_BITS} products, or these in one list`,
  );
}

function validWidth(bits: number): boolean {
  return Number.isInteger(bits) && bits >= MIN_OPERAND_BITS && bits <= MOST_OPERAND_BITS;
}

function validSum(bits: number): boolean {
  return Number.isInteger(bits) && bits <= MAX_EXHAUSTIVE_BITS;
}

/** Signed products that were written without a sign: two's complement of the product's bits, or of the element's. */
function signedProducts(
  { values, unsignedBits }: Products,
  productBits: number,
  file: string,
  notes: string[],
): Int32Array {
  const largest = values.reduce((most, product) => Math.max(most, product), 0);
  if (largest < 2 ** (productBits - 1)) return values;
  const bits = largest < 2 ** productBits ? productBits : unsignedBits;
  if (bits === undefined) return values;
  notes.push(`${file}: no product has a sign: they are read as two's complement of ${bits} bits`);
  return values.map((product) => wrapped(product, bits));
}

/** From the order of values to that of patterns: the halves of rows and columns exchange their places. */
function exchangedHalves({ weightBits, activationBits, data }: ProductTable): Int32Array {
  const flip = (2 ** (weightBits - 1) * 2 ** activationBits) | (2 ** (activationBits - 1));
  return data.map((_, pair) => data[pair ^ flip]!);
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}
