// Raw binary tables: the products alone, little-endian, entry w · 2^activationBits + x, no header. Written: int32, by
// the operand PATTERNS; 2^(Bw+Bx) · 4 bytes. Read: int32 or uint16 (the form of tf-approximate), told apart by the size
// of the file; with the widths given also 1 and 8 bytes each.
// Invariant: where the size fits two readings and the numbers do not decide, the error asks for the widths.

import type { ProductTable } from '../../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../../multiplier/widths.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Products, TableOptions } from './interpret.ts';
import { fitsInt32 } from './scan.ts';

/** The products as raw little-endian int32, row by row of the first operand, without a header. */
export function writeRaw(table: ProductTable): Uint8Array {
  const bytes = new Uint8Array(4 * table.data.length);
  const view = new DataView(bytes.buffer);
  table.data.forEach((product, pair) => {
    view.setInt32(4 * pair, product, true);
  });
  return bytes;
}

/** Throws a UserError that names the file. */
export function rawProducts(bytes: Uint8Array, file: string, bits: TableOptions['bits']): Products {
  const expected =
    'the products alone, little-endian int32 or uint16, 2^(2·bits) of them; for operands of different widths say --bits WxX';
  if (bits) {
    const size = bytes.length / 2 ** (bits[0] + bits[1]);
    const read = [1, 2, 4, 8].includes(size) ? elements(bytes, size, file) : null;
    if (read && isPlausible(read, bits[0] + bits[1])) return read;
    throw new UserError(
      `${file}: ${bytes.length} bytes are no table of ${bits.join('×')} bits: expected 1, 2, 4 or 8 bytes for each of ` +
        `${2 ** (bits[0] + bits[1])} products`,
    );
  }
  const exponent = Math.log2(bytes.length);
  const size = exponent % 2 === 0 ? 4 : 2;
  const products = exponent - Math.log2(size);
  if (!Number.isInteger(exponent) || products < 2 * MIN_OPERAND_BITS || products > MAX_EXHAUSTIVE_BITS) {
    throw new UserError(`${file}: ${bytes.length} bytes: expected ${expected}`);
  }
  const read = elements(bytes, size, file);
  if (!isPlausible(read, products)) {
    throw new UserError(
      `${file}: ${bytes.length} bytes would be ${products / 2}×${products / 2} bits of ${size} bytes each, but are not by their ` +
        `numbers: expected ${expected}`,
    );
  }
  return read;
}

function elements(bytes: Uint8Array, size: number, file: string): Products {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Int32Array(bytes.length / size);
  for (let n = 0; n < values.length; n++) {
    const at = n * size;
    if (size === 1) values[n] = view.getUint8(at);
    else if (size === 2) values[n] = view.getUint16(at, true);
    else if (size === 4) values[n] = view.getInt32(at, true);
    else {
      const value = Number(view.getBigInt64(at, true));
      if (!fitsInt32(value)) throw new UserError(`${file}: the product ${value}: expected at most 32 bits`);
      values[n] = value;
    }
  }
  return { values, shape: [values.length], ...(size < 4 ? { unsignedBits: 8 * size } : {}) };
}

/**
 * Not two 16-bit products in one 32-bit number, nor the halves of 32-bit numbers (the upper ones all 0 or −1) as 16-bit
 * products.
 */
function isPlausible({ values, unsignedBits }: Products, productBits: number): boolean {
  if (unsignedBits === undefined) {
    return values.every((product) => product >= -(2 ** productBits) && product < 2 ** productBits);
  }
  const empty = values.every((product) => product === 0);
  return empty || values.some((product, n) => n % 2 === 1 && product !== 0 && product !== 0xffff);
}
