// Verilog of any kind as a network: our own reader first, which is fast and knows the adders of its own files; what it
// declines goes through the bundled Yosys, which is a sandbox and stays warm for the next file.
// Invariant: a message names the user's file and line, and what is wrong in any case is told by whichever reader saw it
// first.

import { BundledYosys } from '../hardware/yosys/bundled.ts';
import { elaborateThroughYosys, YosysRefusal } from '../hardware/yosys/elaborate.ts';
import { SourceText, Unsupported } from '../netlist/diagnostics.ts';
import { readVerilog, type VerilogCircuit, type VerilogOptions } from '../netlist/verilog/read.ts';
import { UserError } from '../tensor/errors.ts';

/** The largest text that Yosys is given, in characters: 8 MiB. Our own reader takes larger ones. */
const MAX_FOR_YOSYS = 2 ** 23;

let yosys: BundledYosys | undefined;

/** Reads a circuit. Throws a located UserError. */
export async function readAnyVerilog(text: string, options: VerilogOptions = {}): Promise<VerilogCircuit> {
  try {
    return readVerilog(text, options);
  } catch (error) {
    if (!(error instanceof Unsupported)) throw error;
    if (text.length > MAX_FOR_YOSYS) {
      throw new UserError(
        `${error.message} (too long for Yosys, which reads more: at most ${MAX_FOR_YOSYS} characters)`,
      );
    }
    return elaborated(text, options, error);
  }
}

async function elaborated(text: string, options: VerilogOptions, declined: Unsupported): Promise<VerilogCircuit> {
  yosys ??= new BundledYosys();
  try {
    return await elaborateThroughYosys(yosys, new SourceText(text, options.file ?? 'verilog'), options);
  } catch (error) {
    // A mistake of syntax that both saw: ours says what was expected.
    const same = error instanceof YosysRefusal && error.syntax && error.line === declined.place.line;
    throw same ? declined : error;
  }
}
