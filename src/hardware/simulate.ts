// Bit-parallel simulation of a mapped netlist through the functions of its cells, all nets kept, as power needs them:
// one 32-bit word holds a net's value for 32 vectors. Zero delay; timed behaviour is glitches.ts. Comparing netlists is
// reference.ts.
// Invariant: values belong to the functions of the cells as they are now.

import { evaluateExpression, type Words } from './liberty/expression.ts';
import type { MappedNetlist, Net } from './mapped.ts';

/** Values of all nets for given values of the input nets, one word array each, all of the given length. */
export function simulateMapped(netlist: MappedNetlist, inputs: ReadonlyMap<Net, Words>, length: number): Words[] {
  const values: Words[] = new Array(netlist.netCount);
  values[0] = new Int32Array(length);
  values[1] = new Int32Array(length).fill(-1);
  for (const [net, words] of inputs) values[net] = words;
  for (const { cell, inputs: sources, outputs } of netlist.instances) {
    const pins = new Map(cell.inputs.map((pin, n) => [pin.name, values[sources[n]!]!]));
    cell.outputs.forEach((pin, n) => {
      values[outputs[n]!] = evaluateExpression(pin.function, length, (name) => pins.get(name)!);
    });
  }
  return values;
}
