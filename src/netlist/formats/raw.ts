// Two more forms of a product table for other programs: raw binary and a C header.
// Raw: the products alone, little-endian int32, entry w · 2^activationBits + x of the operand PATTERNS, no header; 2^(Bw+Bx) · 4 bytes.
// C: one constant array [2^Bw][2^Bx] of the narrowest <stdint.h> type that holds every product, indexed by the patterns.

import { safeIdentifier } from '../names.ts';
import type { ProductTable } from '../table.ts';

export function writeRaw(table: ProductTable): Uint8Array {
  const bytes = new Uint8Array(4 * table.data.length);
  const view = new DataView(bytes.buffer);
  table.data.forEach((product, pair) => {
    view.setInt32(4 * pair, product, true);
  });
  return bytes;
}

/** The header in parts, one for each w; any name becomes a C identifier. */
export function* cHeaderParts(table: ProductTable, name: string): Generator<string> {
  const identifier = safeIdentifier(name);
  const guard = `${identifier.toUpperCase()}_H`;
  const { weightBits, activationBits, signed, data } = table;
  const [rows, columns] = [2 ** weightBits, 2 ** activationBits];
  yield [
    `/* ${weightBits}x${activationBits}-bit ${signed ? 'signed' : 'unsigned'} multiplier: ${identifier}[w][x] is the product of the`,
    `   operands with the bit patterns w and x${signed ? ' (two’s complement)' : ''}. */`,
    `#ifndef ${guard}`,
    `#define ${guard}`,
    '#include <stdint.h>',
    `static const ${elementType(data)} ${identifier}[${rows}][${columns}] = {`,
    '',
  ].join('\n');
  for (let w = 0; w < rows; w++) yield `  {${data.subarray(w * columns, (w + 1) * columns).join(', ')}},\n`;
  yield `};\n#endif /* ${guard} */\n`;
}

export function writeCHeader(table: ProductTable, name: string): string {
  return [...cHeaderParts(table, name)].join('');
}

function elementType(products: Int32Array): string {
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
