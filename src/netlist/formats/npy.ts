// NumPy's arrays as product tables. Written: format version 1.0, little-endian int32, C order, shape [2^Bw, 2^Bx], so
// that in Python `table[w, x]` is the product of the patterns w and x. Read: versions 1 to 3, integers of any width,
// sign and byte order, floats that hold integers, C or Fortran order, two dimensions or one; a .npz file of one such
// array.
// The file cannot say whether operands are signed, nor in which order signed ones stand: see interpret.ts.

import type { ProductTable } from '../../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../../multiplier/widths.ts';
import { UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { interpretProducts, type Products, type ReadTable, type TableOptions } from './interpret.ts';
import { fitsInt32 } from './scan.ts';
import { unzip } from './unpack.ts';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Header and data start are padded to a multiple of this. */
const ALIGNMENT = 64;
const PREFIX = MAGIC.length + 4;
const MAX_HEADER = 2 ** 16;
const MOST = 2 ** MAX_EXHAUSTIVE_BITS;

/** The .npy file of a table: `table[w, x]` by bit patterns, int32. */
export function writeNpy(table: ProductTable): Uint8Array {
  const shape = `(${2 ** table.weightBits}, ${2 ** table.activationBits})`;
  const dictionary = `{'descr': '<i4', 'fortran_order': False, 'shape': ${shape}, }`;
  const start = Math.ceil((PREFIX + dictionary.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = `${dictionary.padEnd(start - PREFIX - 1)}\n`;
  const bytes = new Uint8Array(start + 4 * table.data.length);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  bytes.set([1, 0], MAGIC.length);
  view.setUint16(MAGIC.length + 2, header.length, true);
  bytes.set(new TextEncoder().encode(header), PREFIX);
  table.data.forEach((product, pair) => {
    view.setInt32(start + 4 * pair, product, true);
  });
  return bytes;
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
  const members = Object.entries(unzip(bytes, file)).filter(([name]) => name.endsWith('.npy'));
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

export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, at) => bytes[at] === byte);
}

type Reader = (view: DataView, at: number, little: boolean) => number;

/** By kind and bytes of an element, as in NumPy's type names. */
const readers: Readonly<Record<string, Reader>> = {
  i1: (view, at) => view.getInt8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u1: (view, at) => view.getUint8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};

/** The numbers of a .npy file, whatever they mean. Throws a UserError that names the file. */
export function npyProducts(bytes: Uint8Array, file: string): Products {
  const fail = (found: string, expected: string): never => {
    throw new UserError(`${file}: ${found}: expected ${expected}`);
  };
  if (bytes.length < PREFIX || !isNpy(bytes)) fail('not a .npy file', 'the NumPy array format');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[MAGIC.length]!;
  if (version < 1 || version > 3) fail(`.npy format version ${version}`, 'version 1, 2 or 3');
  const wide = version > 1;
  const length =
    wide && bytes.length >= PREFIX + 2
      ? view.getUint32(MAGIC.length + 2, true)
      : view.getUint16(MAGIC.length + 2, true);
  const start = PREFIX + (wide ? 2 : 0) + length;
  if (length > MAX_HEADER) fail(`a header of ${length} bytes`, `at most ${MAX_HEADER}`);
  if (bytes.length < start) {
    fail(`${bytes.length} bytes, ends inside its header`, `at least ${start} bytes; the file is truncated`);
  }
  const header = new TextDecoder('latin1').decode(bytes.subarray(start - length, start));
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const [, byteOrder, kind] = /^([<>|=])([iuf][1248])$/.exec(type ?? '') ?? [];
  const read = readers[kind ?? ''];
  if (!read) {
    return fail(
      `elements of type ${JSON.stringify(type?.slice(0, 20) ?? 'unknown')}`,
      'integers (int8 to int64, uint8 to uint64), or float32 or float64 that hold integers',
    );
  }
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  if (order === undefined) fail('a header without fortran_order', 'the NumPy array format');
  const shapeText = /'shape':\s*\(([\d, ]{0,200})\)/.exec(header)?.[1];
  if (shapeText === undefined) fail('a header without a shape', 'the NumPy array format');
  const shape = shapeText!.split(',').flatMap((text) => (text.trim() === '' ? [] : [Number(text)]));
  const count = shape.reduce((product, one) => product * one, 1);
  const size = Number(kind![1]);
  if (!(count <= MOST)) fail(`the shape (${shapeText})`, `at most 2^${MAX_EXHAUSTIVE_BITS} products`);
  const wanted = start + size * count;
  if (bytes.length !== wanted) {
    fail(`${bytes.length} bytes`, `${wanted} bytes for its shape; the file is truncated or damaged`);
  }
  const values = new Int32Array(count);
  const [rows = 1, columns = 1] = shape;
  const fortran = order === 'True' && shape.length === 2;
  for (let n = 0; n < count; n++) {
    const value = read(view, start + size * n, byteOrder !== '>');
    if (!Number.isInteger(value) || !fitsInt32(value)) {
      fail(`the element ${value} at position ${n}`, 'products that are integers of 32 bits');
    }
    values[fortran ? (n % rows) * columns + Math.floor(n / rows) : n] = value;
  }
  return { values, shape, ...(kind!.startsWith('u') ? { unsignedBits: 8 * size } : {}) };
}
