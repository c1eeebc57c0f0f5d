// A circuit on its way into Yosys: its text, and the script lines that read it into one flat module of logic. Verilog goes to Yosys as it
// is; BLIF is read by our own reader (located diagnostics, the first model is the top, undriven nets named) and handed on as Verilog.
// Invariant: scripts hold file names of this program only; texts from users travel in files. (A module name in the text reaches no
// script: the top is found by Yosys.)

import { readBlif } from '../../netlist/blif/read.ts';
import type { Network } from '../../netlist/network.ts';
import { writeVerilog } from '../../netlist/verilog/write.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Files } from './tool.ts';

/**
 * One circuit: Verilog text (any that Yosys reads), BLIF text (`file` names it in messages; `lenient` takes undriven nets as 0 instead
 * of refusing them), or a network.
 */
export type Circuit =
  | { readonly verilog: string }
  | { readonly blif: string; readonly file?: string; readonly lenient?: boolean }
  | { readonly network: Network };

export interface ReadScript {
  readonly files: Files;
  readonly lines: readonly string[];
}

/** Reads, flattens and simplifies a circuit; `name` distinguishes the files of several circuits in one script. */
export function readScript(circuit: Circuit, name: string): ReadScript {
  return {
    files: { [`${name}.v`]: verilogOf(circuit) },
    lines: [
      `read_verilog -sv ${name}.v`,
      'hierarchy -check -auto-top',
      'proc',
      'flatten',
      'delete t:$scopeinfo',
      'check -assert',
      'opt -full',
    ],
  };
}

function verilogOf(circuit: Circuit): string {
  if ('network' in circuit) return writeVerilog(circuit.network);
  if ('blif' in circuit) {
    const { blif, file = 'circuit.blif', lenient = false } = circuit;
    return writeVerilog(readBlif(blif, { file, lenient }).network);
  }
  if (circuit.verilog.trim() === '') throw new UserError('an empty circuit: expected Verilog text');
  return circuit.verilog;
}
