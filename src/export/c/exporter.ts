// The form `c`: a header for each multiplier, a small network as one C99 file without allocation, and a program that
// checks it against golden images of the interpreter.
// Invariant: a netlist gets into a header only after it computed the table of its multiplier, entry for entry.

import type { IntegerNetwork } from '../../integer/network.ts';
import { firstDifference, type ProductTable } from '../../multiplier/table.ts';
import { writeCHeader } from '../../netlist/formats/c.ts';
import type { Network } from '../../netlist/network.ts';
import { simulate } from '../../netlist/simulate.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { formatBytes } from '../../tensor/numbers.ts';
import type { ExportFiles, ExportInput } from '../exporter.ts';
import { Identifiers } from '../identifiers.ts';
import { checkForC } from './check.ts';
import { networkAsC, typesOfTensors } from './network.ts';
import { goldenBytes, makefile, selfTest } from './self-test.ts';

export interface COptions {
  /** Golden images: the first of the test images; default 4. */
  readonly images?: number;
  /** The most text that is written; default 64 MiB, which compilers still take. */
  readonly mostBytes?: number;
}

const MOST_BYTES = 2 ** 26;
/** Characters of a weight and of a product in a list, at most about. */
const [PER_WEIGHT, PER_PRODUCT] = [6, 8];

/** Throws a UserError for a network with layers in float32, or too large a one. */
export function exportC(
  { frozen, network, images }: ExportInput,
  { images: wanted = 4, mostBytes = MOST_BYTES }: COptions = {},
): ExportFiles {
  checkForC(network);
  checkSize(network, mostBytes);
  const netlists = new Map(frozen.multipliers.flatMap(({ name, netlist }) => (netlist ? [[name, netlist]] : [])));
  const headers = network.multipliers.map(({ name, table }) => {
    const netlist = netlists.get(name);
    if (netlist) checkNetlist(netlist, name, table);
    return [`${name}.h`, writeCHeader(table, name, netlist)] as const;
  });
  const taken = [...network.multipliers.map(({ name }) => name), 'main', 'golden', 'makefile', 'sanitized'];
  const name = new Identifiers(taken).add(network.name, 'network');
  const { header, source } = networkAsC(network, name, netlists);
  const types = typesOfTensors(network);
  const pixels = images.pixels.length / images.count;
  const golden = Array.from({ length: Math.min(wanted, images.count) }, (_, n) =>
    images.pixels.subarray(n * pixels, (n + 1) * pixels),
  );
  return new Map<string, string | Uint8Array>([
    ...headers,
    [`${name}.h`, header],
    [`${name}.c`, source],
    ['main.c', selfTest(network, types, name, golden.length)],
    ['golden.bin', goldenBytes(network, types, golden)],
    ['Makefile', makefile(name, [...headers.map(([path]) => path)])],
  ]);
}

function checkSize({ name, operations, multipliers }: IntegerNetwork, most: number): void {
  const weights = operations.reduce((sum, one) => sum + (one.kind === 'product' ? one.weights.length : 0), 0);
  const products = multipliers.reduce((sum, { table }) => sum + table.data.length, 0);
  const bytes = PER_WEIGHT * weights + PER_PRODUCT * products;
  if (bytes <= most) return;
  throw new UserError(
    `${name} as C: about ${formatBytes(bytes)} of source for ${weights} weights and ${multipliers.length} tables: expected at most ` +
      `${formatBytes(most)}; export it as integer, which keeps arrays in files`,
  );
}

function checkNetlist(netlist: Network, name: string, table: ProductTable): void {
  const difference = firstDifference(simulate(netlist, { signed: table.signed }), table);
  invariant(
    difference === null,
    `the gates of ${name} give another product than its table for ${difference?.w}, ${difference?.x}`,
  );
}
