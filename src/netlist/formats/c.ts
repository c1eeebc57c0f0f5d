// C: one constant array [2^Bw][2^Bx] of the narrowest <stdint.h> type that holds every product, indexed by the
// patterns; of a netlist also its gates as functions (../c/gates.ts).
// Read: the one array that a C file initialises, nested or flat, decimal or hexadecimal; everything around it is passed
// over.
// Invariant: numbers are read with their places; a file of several arrays is refused, none is chosen.

import type { ProductTable } from '../../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS } from '../../multiplier/widths.ts';
import { cGates } from '../c/gates.ts';
import { safeIdentifier } from '../names.ts';
import type { Network } from '../network.ts';
import type { Products } from './interpret.ts';
import { fitsInt32, IntegerList, NumberScanner } from './scan.ts';

/** What the C of a multiplier calls its table, and its functions where it has gates. */
export const cNames = (identifier: string) => ({
  table: `${identifier}_table`,
  product: `${identifier}_product`,
  planes: `${identifier}_64`,
});

/**
 * The header in parts, one for each w; any name becomes a C identifier. With the netlist that computes the table, its
 * gates follow as functions.
 */
export function* cHeaderParts(table: ProductTable, name: string, network?: Network): Generator<string> {
  const identifier = safeIdentifier(name);
  const guard = `${identifier.toUpperCase()}_MULTIPLIER_H`;
  const { weightBits, activationBits, signed, data } = table;
  const [rows, columns] = [2 ** weightBits, 2 ** activationBits];
  const { table: array, product, planes } = cNames(identifier);
  yield [
    `/* ${weightBits}x${activationBits}-bit ${signed ? 'signed' : 'unsigned'} multiplier. ${array}[w][x] is the product of the operands with the bit patterns`,
    `   w and x${signed ? ", which are two's complement" : ''}.${network ? '' : ' */'}`,
    ...(network
      ? [
          `   ${product}(w, x) is the same from its ${network.gateCount} gates, without a branch or a look-up.`,
          `   ${planes}(w, x, product) does so for 64 pairs at once: bit n of w[i] is bit i of the first operand of pair n, and so`,
          `   for x and for the product${signed ? ', whose last bit is its sign' : ''}. */`,
        ]
      : []),
    `#ifndef ${guard}`,
    `#define ${guard}`,
    '#include <stdint.h>',
    '',
    `static const ${elementType(data)} ${array}[${rows}][${columns}] = {`,
    '',
  ].join('\n');
  for (let w = 0; w < rows; w++) yield `  {${data.subarray(w * columns, (w + 1) * columns).join(', ')}},\n`;
  yield '};\n';
  if (network) yield `\n${cGates(network, identifier, signed)}`;
  yield '\n#endif\n';
}

/**
 * A C header, of C++ too: the array `NAME_table[2^weightBits][2^activationBits]` of the products, by bit patterns, and
 * with the netlist that computes them also `NAME_product(w, x)` and `NAME_64(w, x, product)`, its gates.
 */
export function writeCHeader(table: ProductTable, name: string, network?: Network): string {
  return [...cHeaderParts(table, name, network)].join('');
}

/** The narrowest type of <stdint.h> that holds all of these integers of 32 bits. */
export function elementType(products: Iterable<number>): string {
  let [least, largest] = [0, 0];
  for (const product of products) {
    if (product < least) least = product;
    if (product > largest) largest = product;
  }
  for (const bits of [8, 16]) {
    if (least >= 0 && largest < 2 ** bits) return `uint${bits}_t`;
    if (least >= -(2 ** (bits - 1)) && largest < 2 ** (bits - 1)) return `int${bits}_t`;
  }
  return least >= 0 ? 'uint32_t' : 'int32_t';
}

const [NEWLINE, QUOTE, HASH, APOSTROPHE, STAR, SLASH, COMMA, EQUALS, OPEN, CLOSE] = [
  10, 34, 35, 39, 42, 47, 44, 61, 123, 125,
];
const MOST = 2 ** MAX_EXHAUSTIVE_BITS;
const MAX_DEPTH = 8;

/** The offset of the first `= {`, or of a `{` that opens the text; −1 where the text is no C initialiser. */
export function initializerStart(bytes: Uint8Array): number {
  const scanner = new NumberScanner(bytes, '');
  return findInitializer(scanner) ? scanner.position : -1;
}

/** The numbers of the one array that a C text initialises. Throws a UserError with file and line. */
export function cProducts(bytes: Uint8Array, file: string): Products {
  const scanner = new NumberScanner(bytes, file);
  if (!findInitializer(scanner)) scanner.fail('no array', 'a C array with its numbers, like int lut[4][4] = { … };');
  const products = readInitializer(scanner);
  if (findInitializer(scanner)) scanner.fail('a second array', 'one array, the table');
  return products;
}

/**
 * Up to an opening brace that follows "=" or begins the text; false at the end. Comments, strings and directives are
 * passed over.
 */
function findInitializer(scanner: NumberScanner): boolean {
  let last = scanner.position === 0 ? EQUALS : 0;
  while (!scanner.ended) {
    scanner.skip();
    const { byte } = scanner;
    if (scanner.newline() || skipComment(scanner)) continue;
    if (byte === HASH) {
      scanner.skipLine();
      continue;
    }
    if (byte === OPEN && last === EQUALS) return true;
    if (byte === QUOTE || byte === APOSTROPHE) skipQuoted(scanner, byte);
    else scanner.position++;
    last = byte;
  }
  return false;
}

function readInitializer(scanner: NumberScanner): Products {
  const products = new IntegerList();
  let depth = 0;
  let columns = -1;
  let rowStart = 0;
  do {
    scanner.skip();
    const { byte } = scanner;
    if (scanner.ended) scanner.fail('the end of the file in an array', '}');
    if (scanner.newline() || skipComment(scanner)) continue;
    if (byte === OPEN) {
      if (++depth > MAX_DEPTH) scanner.fail('nested braces', 'at most two levels');
      rowStart = products.length;
      scanner.position++;
    } else if (byte === CLOSE) {
      const length = products.length - rowStart;
      if (depth > 1 && length > 0) {
        if (columns >= 0 && length !== columns) {
          scanner.fail(`a row of ${length} numbers after rows of ${columns}`, 'rows of one length');
        }
        columns = length;
        rowStart = products.length;
      }
      depth--;
      scanner.position++;
    } else if (byte === COMMA) scanner.position++;
    else {
      const value = scanner.integer(true);
      if (value === null) return scanner.failLine('cannot read', 'numbers, commas and braces');
      if (!fitsInt32(value)) scanner.fail(`the product ${value}`, 'an integer of 32 bits');
      if (products.length === MOST) scanner.fail(`more than ${MOST} products`, `at most 2^${MAX_EXHAUSTIVE_BITS}`);
      products.push(value);
    }
  } while (depth > 0);
  const values = products.values();
  const rows = columns > 0 ? values.length / columns : 0;
  return { values, shape: Number.isInteger(rows) && rows > 1 ? [rows, columns] : [values.length] };
}

function skipComment(scanner: NumberScanner): boolean {
  const { bytes, position } = scanner;
  if (scanner.byte !== SLASH) return false;
  if (bytes[position + 1] === SLASH) {
    scanner.skipLine();
    return true;
  }
  if (bytes[position + 1] !== STAR) return false;
  scanner.position += 2;
  while (!scanner.ended) {
    if (scanner.newline()) continue;
    if (scanner.byte === STAR && bytes[scanner.position + 1] === SLASH) break;
    scanner.position++;
  }
  scanner.position += 2;
  return true;
}

/** Over a string or a character; it ends with its line at the latest. */
function skipQuoted(scanner: NumberScanner, quote: number): void {
  const { bytes } = scanner;
  scanner.position++;
  while (!scanner.ended && scanner.byte !== quote && scanner.byte !== NEWLINE) {
    scanner.position += bytes[scanner.position] === 92 ? 2 : 1;
  }
  if (scanner.byte === quote) scanner.position++;
}
