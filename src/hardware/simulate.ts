// Bit-parallel simulation of a mapped netlist through the functions of its cells: one 32-bit word holds a net's value for 32 vectors.
// Two ways: any cells, all nets kept (power needs them); AND and NOT gates only, outputs kept, without allocation (proofs over millions
// of patterns). Zero delay; timed behaviour is glitches.ts.
// Invariant: values belong to the functions of the cells as they are now.

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

/**
 * Outputs of a network of one- and two-input gates that are NOT and AND, for blocks of vectors. Inverters cost nothing: a literal is
 * 2 · net + 1 where the net is read inverted.
 */
export class GateSimulator {
  private readonly block: number;
  private readonly state: Words;
  /** Literal, literal and net of each AND. */
  private readonly gates: Int32Array;
  private readonly outputLiterals: readonly number[];
  private readonly results: readonly Words[];

  /** `block` is the most words that one call may give. */
  constructor(netlist: MappedNetlist, block: number) {
    this.block = block;
    this.state = new Int32Array(netlist.netCount * block);
    this.state.fill(-1, block, 2 * block);
    const literals = Int32Array.from({ length: netlist.netCount }, (_, net) => 2 * net);
    const gates: number[] = [];
    for (const { cell, inputs, outputs } of netlist.instances) {
      invariant(outputs.length === 1 && cell.inputs.length <= 2, `the cell ${cell.name} in a network of gates`);
      const [a, b] = inputs.map((net) => literals[net]!);
      if (b === undefined) literals[outputs[0]!] = a! ^ 1;
      else gates.push(a!, b, outputs[0]!);
    }
    this.gates = Int32Array.from(gates);
    this.outputLiterals = outputNets(netlist).map((net) => literals[net]!);
    this.results = this.outputLiterals.map(() => new Int32Array(block));
  }

  /** Words of all output bits, port by port, valid until the next call. */
  outputs(inputs: ReadonlyMap<Net, Words>, length: number): Words[] {
    const { state, gates, block } = this;
    for (const [net, words] of inputs) state.set(words, net * block);
    for (let k = 0; k < gates.length; k += 3) {
      const [first, second] = [gates[k]!, gates[k + 1]!];
      const [a, b, out] = [(first >> 1) * block, (second >> 1) * block, gates[k + 2]! * block];
      const [invertA, invertB] = [-(first & 1), -(second & 1)];
      for (let n = 0; n < length; n++) state[out + n] = (state[a + n]! ^ invertA) & (state[b + n]! ^ invertB);
    }
    return this.outputLiterals.map((literal, k) => {
      const words = this.results[k]!.subarray(0, length);
      const from = (literal >> 1) * block;
      for (let n = 0; n < length; n++) words[n] = state[from + n]! ^ -(literal & 1);
      return words;
    });
  }
}
