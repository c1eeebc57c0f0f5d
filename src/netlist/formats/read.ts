// A table of products from a file of any form, recognised by its content; the extension helps where the content does
// not tell.
//   .npy, .npz     NumPy: integers of any width and byte order, floats that hold integers
//   .txt           the published form, with its title line and rows `w x product`
//   .csv, .txt …   a matrix, or rows `a b product`, with or without a line of titles
//   .h, .c         the one array that C text initialises
//   .bin, .raw     raw little-endian int32 or uint16
// and any of them as .gz. Invariant: one reading or an error that says what settles it; time and memory are linear in
// the file, and unpacking stops at MAX_TABLE_BYTES.

import { UserError } from '../../tensor/errors.ts';
import { inflateLimited, isGzip } from '../../tensor/gzip.ts';
import { isNpy } from '../../tensor/npy.ts';
import { isZip } from '../../tensor/zip.ts';
import { cProducts, initializerStart } from './c.ts';
import { interpretProducts, type Products, type ReadTable, type TableOptions } from './interpret.ts';
import { MAX_TABLE_BYTES, npyProducts, readNpz } from './npy.ts';
import { rawProducts } from './raw.ts';
import { isRowsText, rowsProducts } from './rows.ts';
import { inSaidOrder, isPublishedText, textProducts } from './text.ts';

export { type ReadTable, type TableOptions, type TableOrder, tableOrders } from './interpret.ts';
export { MAX_TABLE_BYTES } from './npy.ts';

export type TableForm = 'npy' | 'npz' | 'published' | 'rows' | 'c' | 'raw';

/** For help and messages. */
export const TABLE_FORMS =
  '.npy or .npz of integers, the published text form, CSV or text (a matrix, or rows a,b,product), a C array (.h, .c), or raw int32 or uint16 (.bin)';

/** The form of a table, or null where the bytes (not packed) are none; netlists are none. */
export function tableForm(bytes: Uint8Array, name: string): TableForm | null {
  if (isNpy(bytes)) return 'npy';
  if (isZip(bytes)) return 'npz';
  const extension = /\.([a-z]+)$/i.exec(name.replace(/\.gz$/i, ''))?.[1]?.toLowerCase() ?? '';
  if (extension === 'bin' || extension === 'raw') return 'raw';
  if (extension === 'npy' || extension === 'npz') return extension;
  if (/^(s?v|vh|svh|blif)$/.test(extension)) return null;
  if (bytes.subarray(0, 1024).includes(0)) return 'raw';
  if (isPublishedText(bytes)) return 'published';
  if (/^[ch]$|^[ch](pp|xx|h)$|^cc$|^inc$/.test(extension)) return 'c';
  if (isRowsText(bytes)) return 'rows';
  if (extension === 'csv' || extension === 'tsv') return 'rows';
  if (initializerStart(bytes) >= 0) return 'c';
  return null;
}

/**
 * Reads a table. `name` names it in messages, and its extension helps to recognise it. Throws a UserError in one line:
 * of a damaged file, of one that is no table, and of one that can be read in two ways (then it names the option that
 * settles it).
 */
export function readTable(bytes: Uint8Array, name: string, options: TableOptions = {}): ReadTable {
  if (isGzip(bytes))
    return readTable(inflateLimited(bytes, MAX_TABLE_BYTES, name), name.replace(/\.gz$/i, ''), options);
  if (bytes.length > MAX_TABLE_BYTES) {
    throw new UserError(`${name}: ${bytes.length} bytes: expected at most ${MAX_TABLE_BYTES} of a table`);
  }
  const form = tableForm(bytes, name);
  if (form === null) throw new UserError(`${name}: no table of products: expected ${TABLE_FORMS}`);
  if (form === 'npz') return readNpz(bytes, name, options);
  const read = interpretProducts(productReaders[form](bytes, name, options), name, options);
  return form === 'published' ? { ...read, table: inSaidOrder(read.table, bytes) } : read;
}

type ProductReader = (bytes: Uint8Array, name: string, options: TableOptions) => Products;

const productReaders: Readonly<Record<Exclude<TableForm, 'npz'>, ProductReader>> = {
  npy: npyProducts,
  published: textProducts,
  rows: rowsProducts,
  c: cProducts,
  raw: (bytes, name, { bits }) => rawProducts(bytes, name, bits),
};
