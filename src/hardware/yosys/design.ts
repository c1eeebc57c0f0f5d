// A circuit on its way into Yosys: its text, and the script lines that read it into one flat module of logic. Verilog
// goes to Yosys preprocessed and with its foreign code refused; BLIF is read by our own reader (located diagnostics,
// undriven nets named) and handed on as Verilog.
// Invariant: scripts hold file names of this program and plain module names only; other texts from users travel in
// files. The top is the module that our own rule chooses.

import { readBlif } from '../../netlist/blif/read.ts';
import { SourceText } from '../../netlist/diagnostics.ts';
import type { Network } from '../../netlist/network.ts';
import { preprocess } from '../../netlist/verilog/preprocess.ts';
import { writeVerilog } from '../../netlist/verilog/write.ts';
import { UserError } from '../../tensor/errors.ts';
import { plain, topOfVerilog } from './elaborate.ts';
import { refuseForeignCode } from './safety.ts';
import type { Files, Yosys } from './tool.ts';

/**
 * One circuit: Verilog text (any that Yosys reads; `top` names its module, by default the only one that no other
 * instantiates), BLIF text (`file` names it in messages; `lenient` takes undriven nets as 0 instead of refusing them),
 * or a network.
 */
export type Circuit =
  | { readonly verilog: string; readonly file?: string; readonly top?: string }
  | { readonly blif: string; readonly file?: string; readonly lenient?: boolean }
  | { readonly network: Network };

export interface ReadScript {
  readonly files: Files;
  readonly lines: readonly string[];
}

/** Reads, flattens and simplifies a circuit; `name` distinguishes the files of several circuits in one script. */
export async function readScript(yosys: Yosys, circuit: Circuit, name: string): Promise<ReadScript> {
  const { text, top } = await verilogOf(yosys, circuit);
  return {
    files: { [`${name}.v`]: text },
    lines: [
      `read_verilog -sv ${name}.v`,
      `hierarchy -check ${top === undefined ? '-auto-top' : `-top ${plain(top)}`}`,
      'proc',
      'flatten',
      'delete t:$scopeinfo',
      'check -assert',
      'opt -full',
    ],
  };
}

async function verilogOf(yosys: Yosys, circuit: Circuit): Promise<{ text: string; top?: string | undefined }> {
  if ('network' in circuit) return { text: writeVerilog(circuit.network), top: undefined };
  if ('blif' in circuit) {
    const { blif, file = 'circuit.blif', lenient = false } = circuit;
    return { text: writeVerilog(readBlif(blif, { file, lenient }).network) };
  }
  if (circuit.verilog.trim() === '') throw new UserError('an empty circuit: expected Verilog text');
  const source = new SourceText(circuit.verilog, circuit.file ?? 'circuit.v');
  const { text } = preprocess(source);
  refuseForeignCode(source, text, yosys.sandboxed);
  return { text, top: circuit.top ?? (await topOfVerilog(yosys, source, text)) };
}
