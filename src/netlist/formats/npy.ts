// NumPy's arrays as product tables. Written: format version 1.0, little-endian int32, C order, shape [2^Bw, 2^Bx], so
// that in Python `table[w, x]` is the product of the patterns w and x. Read: versions 1 to 3, integers of any width,
// sign and byte order, floats that hold integers, C or Fortran order, two dimensions or one; a .npz file of one such
// array.
// The file cannot say whether operands are signed, nor in which order signed ones stand: see interpret.ts.

import type { ProductTable } from '../../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../../multiplier/widths.ts';
import { UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { encodeNpy, npyElements, readNpyArray } from '../../tensor/npy.ts';
import { unzip } from '../../tensor/zip.ts';
import { interpretProducts, type Products, type ReadTable, type TableOptions } from './interpret.ts';
import { fitsInt32 } from './scan.ts';

const MOST = 2 ** MAX_EXHAUSTIVE_BITS;
/** The most bytes that a table has, unpacked: 512 MiB; the published text of 12×12 bits has about 300. */
export const MAX_TABLE_BYTES = 2 ** 29;

/** The .npy file of a table: `table[w, x]` by bit patterns, int32. */
export function writeNpy(table: ProductTable): Uint8Array {
  return encodeNpy({ shape: [2 ** table.weightBits, 2 ** table.activationBits], data: table.data });
}

/**
 * The table that writeNpy wrote, or one of NumPy's. Rows are in the order of the bit patterns unless `order` says
 * otherwise; without `signed`, a table with a negative product is taken as signed. Throws a UserError that names the
 * file.
 */
export function readNpy(bytes: Uint8Array, file = 'table', options: TableOptions = {}): ProductTable {
  return interpretProducts(npyProducts(bytes, file), file, { order: 'patterns', ...options }).table;
}

/** The one array of a .npz file that can be a table. Throws a UserError. */
export function readNpz(bytes: Uint8Array, file: string, options: TableOptions): ReadTable {
  const members = Object.entries(unzip(bytes, file, MAX_TABLE_BYTES)).filter(([name]) => name.endsWith('.npy'));
  // Beside the table often stand its widths, or a name.
  const tables = members.length > 1 ? members.filter(([, content]) => mayBeTable(content)) : members;
  const [member] = tables;
  if (!member || tables.length > 1) {
    const names = members.map(([name]) => clipped(name.slice(0, -4), 40)).join(', ');
    throw new UserError(
      `${file}: ${members.length} arrays${names === '' ? '' : ` (${clipped(names, 200)})`}: expected a .npz file of one array, the table`,
    );
  }
  const read = interpretProducts(npyProducts(member[1], file), file, options);
  if (members.length === 1) return read;
  const chosen = clipped(member[0].slice(0, -4), 40);
  return {
    ...read,
    notes: [
      `${file}: the table is "${chosen}", the only one of ${members.length} arrays that can be one`,
      ...read.notes,
    ],
  };
}

/** Whether an array has enough elements for a table: a power of two of them, 16 at least. */
function mayBeTable(bytes: Uint8Array): boolean {
  const header = new TextDecoder('latin1').decode(bytes.subarray(0, 512));
  const shape = /'shape':\s*\(([\d, ]*)\)/.exec(header)?.[1] ?? '';
  const count = shape.split(',').reduce((product, text) => (text.trim() === '' ? product : product * Number(text)), 1);
  return count >= 2 ** (2 * MIN_OPERAND_BITS) && Number.isInteger(Math.log2(count));
}

/** The numbers of a .npy file, whatever they mean. Throws a UserError that names the file. */
export function npyProducts(bytes: Uint8Array, file: string): Products {
  const array = readNpyArray(bytes, file, {
    most: MOST,
    what: 'products',
    elements: 'integers (int8 to int64, uint8 to uint64), or float32 or float64 that hold integers',
  });
  const { shape, count, type } = array;
  const read = npyElements(array);
  const values = new Int32Array(count);
  const [rows = 1, columns = 1] = shape;
  const fortran = array.isFortran && shape.length === 2;
  for (let n = 0; n < count; n++) {
    const value = read(n);
    if (!Number.isInteger(value) || !fitsInt32(value)) {
      throw new UserError(
        `${file}: the element ${value} at position ${n}: expected products that are integers of 32 bits`,
      );
    }
    values[fortran ? (n % rows) * columns + Math.floor(n / rows) : n] = value;
  }
  return { values, shape, ...(type.startsWith('u') ? { unsignedBits: 8 * Number(type[1]) } : {}) };
}
