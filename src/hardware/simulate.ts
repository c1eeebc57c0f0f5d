// Bit-parallel simulation of a mapped netlist through the functions of its cells: one 32-bit word holds a net's value for 32 vectors.
// Invariant: values[net] of the result belongs to the functions of the cells as they are now. Zero delay; timed behaviour is glitches.ts.

import { invariant } from '../tensor/errors.ts';
import { evaluateExpression, type Words } from './liberty/expression.ts';
import { type MappedNetlist, type Net, outputNets } from './mapped.ts';

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

/** The pattern whose vector number t has the value of bit `bit` of t + 32 · firstWord. */
export function countingPattern(bit: number, length: number, firstWord = 0): Words {
  if (bit >= 5) return Int32Array.from({ length }, (_, n) => -(((n + firstWord) >>> (bit - 5)) & 1));
  let word = 0;
  for (let lane = 0; lane < 32; lane++) word |= ((lane >> bit) & 1) << lane;
  return new Int32Array(length).fill(word);
}

/** Words of all output bits, port by port. */
export function outputWords(netlist: MappedNetlist, values: readonly Words[]): Words[] {
  return outputNets(netlist).map((net) => {
    invariant(values[net], `an output of "${netlist.name}" without a value`);
    return values[net];
  });
}
