// A product table from the bytes of a file, whichever of the table forms it has; the form follows from the file's name.

import type { ProductTable } from '../table.ts';
import { readNpy } from './npy.ts';
import { readTextTable } from './text.ts';

/** Whether a file's name (without `.gz`) says that it holds a table of products. */
export function isTableFile(name: string): boolean {
  return /\.(npy|txt)$/i.test(name);
}

export interface TableReadingOptions {
  /** Take operands and products as two's complement where the form does not say. */
  readonly signed?: boolean;
}

/** Reads a table; `file` names it in messages and gives its form. Throws a UserError. */
export function readTable(bytes: Uint8Array, file: string, options: TableReadingOptions = {}): ProductTable {
  if (/\.npy$/i.test(file)) return readNpy(bytes, file, options);
  return readTextTable(new TextDecoder().decode(bytes), file);
}
