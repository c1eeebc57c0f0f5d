// The form `rtl` of an export: plain Verilog-2001 of the network's layers, one file per module, and a list of files per
// layer that simulators and synthesis tools read (`-f`).
// Invariant: the same network and options give the same files, byte for byte.

import type { FrozenNetwork } from '../../integer/frozen.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import { UserError } from '../../tensor/errors.ts';
import { layerFiles } from './layer.ts';
import { arrayVerilog, elementVerilog, multiplierVerilog, productFormat } from './multiplier.ts';
import { delay, memory, skew, skid } from './plumbing.ts';
import { constants, requantise, results } from './results.ts';
import { sequencer } from './sequencer.ts';
import { accumulators, rowSum } from './sums.ts';
import { layerTops, networkModules, type RtlOptions, type sharedModules } from './tops.ts';

const shared: Readonly<Record<(typeof sharedModules)[number], string>> = {
  tram_accumulators: accumulators,
  tram_constants: constants,
  tram_delay: delay,
  tram_memory: memory,
  tram_requantise: requantise,
  tram_results: results,
  tram_row_sum: rowSum,
  tram_sequencer: sequencer,
  tram_skew: skew,
  tram_skid: skid,
};

const MOST_ROWS = 64;
const MOST_BLOCK = 65_536;

/** The Verilog of all layers that have a top (`layerTops`), with the gates of the frozen network's multipliers. */
export function verilogFiles(
  frozen: Pick<FrozenNetwork, 'multipliers'>,
  network: IntegerNetwork,
  options: RtlOptions = {},
): Map<string, string> {
  checkOptions(options);
  const modules = networkModules(network);
  const tops = layerTops(network, options);
  const files = new Map<string, string>();
  const formats = network.multipliers.map(({ name, table }, n) => {
    const netlist = frozen.multipliers.find((one) => one.name === name)?.netlist;
    const format = productFormat(table, netlist);
    const own = modules.multipliers[n]!;
    files.set(`${own.multiplier}.v`, multiplierVerilog(own, table, netlist));
    files.set(`${own.element}.v`, elementVerilog(own, table, format));
    files.set(`${own.array}.v`, arrayVerilog(own, table, format));
    return format;
  });
  for (const top of tops) {
    const product = network.operations[top.product]!;
    const format = formats['multiplier' in product ? (product.multiplier as number) : -1]!;
    for (const [name, text] of layerFiles(network, modules, top, format)) files.set(name, text);
    files.set(`${top.module}.f`, top.files.map((name) => `${name}\n`).join(''));
  }
  for (const [name, text] of Object.entries(shared)) files.set(`${name}.v`, text);
  return files;
}

function checkOptions({ array, block }: RtlOptions): void {
  for (const [what, value] of Object.entries({ rows: array?.rows ?? 1, columns: array?.columns ?? 1 })) {
    if (Number.isInteger(value) && value >= 1 && value <= MOST_ROWS) continue;
    throw new UserError(`an array of ${value} ${what}: expected an integer from 1 to ${MOST_ROWS}`);
  }
  if (block !== undefined && !(Number.isInteger(block) && block >= 1 && block <= MOST_BLOCK)) {
    throw new UserError(`a block of ${block} positions: expected an integer from 1 to ${MOST_BLOCK}`);
  }
}
