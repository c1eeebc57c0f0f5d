// A circuit on its way into Yosys: its text, and the script lines that read it into one flat module of logic.
// Invariant: scripts hold file names of this program only; texts from users travel in files. (A module name in the text reaches no
// script: the top is found by Yosys.)

import { UserError } from '../../tensor/errors.ts';
import type { Files } from './tool.ts';

/** Verilog (any that Yosys reads) or BLIF text of one circuit. */
export type CircuitText = { readonly verilog: string } | { readonly blif: string };

export interface ReadScript {
  readonly files: Files;
  readonly lines: readonly string[];
}

/** Reads, flattens and simplifies a circuit; `name` distinguishes the files of several circuits in one script. */
export function readScript(circuit: CircuitText, name: string): ReadScript {
  const isVerilog = 'verilog' in circuit;
  const text = isVerilog ? circuit.verilog : circuit.blif;
  if (typeof text !== 'string' || text.trim() === '') {
    throw new UserError(`an empty circuit: expected ${isVerilog ? 'Verilog' : 'BLIF'} text`);
  }
  const file = `${name}.${isVerilog ? 'v' : 'blif'}`;
  return {
    files: { [file]: text },
    lines: [
      isVerilog ? `read_verilog -sv ${file}` : `read_blif -wideports ${file}`,
      'hierarchy -check -auto-top',
      'proc',
      'flatten',
      'delete t:$scopeinfo',
      'opt -full',
      'check -assert',
    ],
  };
}
