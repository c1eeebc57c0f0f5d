// The table of all products as a file, in the form that the name asks for: published text, .npy, raw, or C, which
// has the gates of a netlist beside it.

import type { ErrorMetrics } from '../multiplier/metrics.ts';
import type { ProductTable } from '../multiplier/table.ts';
import { cHeaderParts } from '../netlist/formats/c.ts';
import { writeNpy } from '../netlist/formats/npy.ts';
import { writeRaw } from '../netlist/formats/raw.ts';
import { type TextTableOptions, textTableParts } from '../netlist/formats/text.ts';
import type { Network } from '../netlist/network.ts';
import { invariant } from '../tensor/errors.ts';
import { tableEndings } from './choices.ts';

export { textTableParts };

export interface TableFileOptions extends TextTableOptions {
  /** Of the header of the text form. */
  readonly metrics?: ErrorMetrics;
  /** Of the C array. */
  readonly name: string;
  /** What computes the table; C then has its gates, too. */
  readonly network?: Network;
}

/** The bytes of a table's file; the path must end in one of `tableEndings`. */
export function tableFile(
  path: string,
  table: ProductTable,
  { metrics, name, network, ...text }: TableFileOptions,
): Uint8Array {
  const ending = tableEndings.find((end) => path.toLowerCase().endsWith(end));
  invariant(ending, `no form of a table for ${path}`);
  const joined = (parts: Iterable<string>) => Buffer.concat([...parts].map((part) => Buffer.from(part)));
  if (ending === '.txt') return joined(textTableParts(table, metrics, text));
  if (ending === '.npy') return writeNpy(table);
  return ending === '.bin' ? writeRaw(table) : joined(cHeaderParts(table, name, network));
}
