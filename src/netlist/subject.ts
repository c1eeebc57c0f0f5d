// Something that multiplies, as a command line names it: a netlist or a generator, which have a network, or a table of products. Every
// command of the workbench takes its multipliers through here.

import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { UserError } from '../tensor/errors.ts';
import { type Circuit, loadCircuit, readCircuit, readLimited } from './circuit.ts';
import { readNpy } from './formats/npy.ts';
import { readTextTable } from './formats/text.ts';
import { generateFromSpec, isGeneratorSpec } from './generators/registry.ts';
import type { Network } from './network.ts';
import type { ProductTable } from './table.ts';

export type Subject =
  | {
      readonly kind: 'network';
      readonly name: string;
      readonly network: Network;
      /** Known of generators; netlist files do not say. */
      readonly signed?: boolean;
      /** What the published simulator prints about the file. */
      readonly warnings: readonly string[];
    }
  | { readonly kind: 'table'; readonly name: string; readonly table: ProductTable };

const MAX_TABLE_BYTES = 2 ** 29;

/** What a command line names: a generator spec (`dadda:8x8`), or a file: .npy, .txt, BLIF or Verilog, any of them also as .gz. */
export function loadSubject(name: string, options: { lenient?: boolean } = {}): Subject {
  if (isGeneratorSpec(name)) {
    const { network, signed } = generateFromSpec(name);
    return { kind: 'network', name, network, signed, warnings: [] };
  }
  const plain = name.replace(/\.gz$/i, '');
  const packed = plain !== name;
  const file = basename(plain);
  if (!packed && !/\.(npy|txt)$/i.test(plain)) {
    return subjectOf(name, loadCircuit(name, options));
  }
  const bytes = packed ? unpack(readLimited(name, MAX_TABLE_BYTES), name) : readLimited(name, MAX_TABLE_BYTES);
  if (/\.npy$/i.test(plain)) return { kind: 'table', name, table: readNpy(bytes, file) };
  if (/\.txt$/i.test(plain)) return { kind: 'table', name, table: readTextTable(bytes.toString('utf8'), file) };
  return subjectOf(name, readCircuit(bytes.toString('utf8'), file, options));
}

function subjectOf(name: string, { network, warnings }: Circuit): Subject {
  return { kind: 'network', name, network, warnings };
}

function unpack(bytes: Uint8Array, name: string): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_TABLE_BYTES });
  } catch {
    throw new UserError(`${name}: cannot be unpacked: expected gzip of at most ${MAX_TABLE_BYTES} bytes`);
  }
}
