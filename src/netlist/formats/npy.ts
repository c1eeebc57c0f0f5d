// NumPy's .npy form of a product table: format version 1.0, little-endian int32, C order, shape [2^Bw, 2^Bx], so that in Python
// `table[w, x]` is the product of the patterns w and x. Nothing else of .npy is read; the file cannot say whether operands are signed.

import { UserError } from '../../tensor/errors.ts';
import { checkTableBits, MAX_EXHAUSTIVE_BITS, MIN_OPERAND_BITS } from '../ports.ts';
import { type ProductTable, productTable } from '../table.ts';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Header and data start are padded to a multiple of this. */
const ALIGNMENT = 64;
/** The other operand has at least two bits. */
const MAX_OPERAND = MAX_EXHAUSTIVE_BITS - MIN_OPERAND_BITS;
const PREFIX = MAGIC.length + 4;

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

/** Reads what writeNpy writes. Without `signed`, a table with a negative product is taken as signed. */
export function readNpy(bytes: Uint8Array, file = 'table', options: { signed?: boolean } = {}): ProductTable {
  const fail = (found: string, expected: string): never => {
    throw new UserError(`${file}: ${found}: expected ${expected}`);
  };
  if (bytes.length < PREFIX || MAGIC.some((byte, at) => bytes[at] !== byte)) {
    fail('not a .npy file', 'the NumPy array format');
  }
  const version = `${bytes[MAGIC.length]}.${bytes[MAGIC.length + 1]}`;
  if (version !== '1.0') fail(`.npy format version ${version}`, 'version 1.0');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = PREFIX + view.getUint16(MAGIC.length + 2, true);
  if (bytes.length < start)
    fail(`${bytes.length} bytes, ends inside its header`, `at least ${start} bytes; the file is truncated`);
  const header = new TextDecoder('latin1').decode(bytes.subarray(PREFIX, start));
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  if (type !== '<i4')
    fail(`elements of type ${JSON.stringify(type?.slice(0, 20) ?? 'unknown')}`, "'<i4' (little-endian int32)");
  if (!/'fortran_order':\s*False/.test(header)) fail('not in C order', "'fortran_order': False");
  const shape = /'shape':\s*\((\d+), (\d+),?\)/.exec(header);
  const [weightBits, activationBits] = [Math.log2(Number(shape?.[1])), Math.log2(Number(shape?.[2]))];
  for (const bits of [weightBits, activationBits]) {
    if (!Number.isInteger(bits) || bits < MIN_OPERAND_BITS || bits > MAX_OPERAND) {
      fail(
        `shape ${/'shape':\s*(\([\d, ]*\))/.exec(header)?.[1] ?? 'unknown'}`,
        `two powers of two from ${2 ** MIN_OPERAND_BITS} to ${2 ** MAX_OPERAND}`,
      );
    }
  }
  checkTableBits(weightBits, activationBits);
  const data = new Int32Array(2 ** (weightBits + activationBits));
  const length = start + 4 * data.length;
  if (bytes.length !== length)
    fail(`${bytes.length} bytes`, `${length} bytes for its shape; the file is truncated or damaged`);
  for (let pair = 0; pair < data.length; pair++) data[pair] = view.getInt32(start + 4 * pair, true);
  return productTable(weightBits, activationBits, options.signed ?? data.some((product) => product < 0), data);
}
