// The places of a compressor tree where a search may act, and the network that offers them. Every bit of a tree stands
// at one place: it is fed to one adder or to one output, with the weight 2^column. `offerReplacements` copies a
// generated multiplier and adds, unused:
//   - to each half adder a third input that is the constant 0 (a slot): as 1 it makes the cell a + b + 1, which costs
//     no more;
//   - for each adder the OR of its inputs, which may take the place of the sum (lower-part OR).
// Invariants: the copy computes the same function; adders keep their ids; a replacement is a signal older than what it
// replaces; every place has one reader, so an intact cell passes on the value 2^c that a place gains or loses
// (errors.ts builds on that).

import { invariant } from '../../tensor/errors.ts';
import { Network, ONE, type Signal, ZERO } from '../network.ts';

/** What may take a place: a signal with the label that moves show. */
export interface Replacement {
  readonly signal: Signal;
  readonly label: string;
}

export interface Position {
  readonly signal: Signal;
  readonly column: number;
  readonly output: 'sum' | 'carry' | 'product' | 'constant';
  /** Id of the adder that drives the place (sum, carry) or reads it (constant); null for a partial product. */
  readonly adder: number | null;
  readonly replacements: readonly Replacement[];
}

export interface ReplaceableNetwork {
  readonly network: Network;
  /** By signal. */
  readonly positions: readonly Position[];
  /** Adder id → its sum and carry; to act on both at once. */
  readonly cells: readonly { readonly sum: Signal; readonly carry: Signal; readonly or: Signal }[];
}

const constants: readonly Replacement[] = [
  { signal: ZERO, label: '0' },
  { signal: ONE, label: '1' },
];

/** The network must be a generated multiplier: partial products, adders that are intact, no clean-up before. */
export function offerReplacements(original: Network): ReplaceableNetwork {
  const network = new Network(original.name);
  const copies: Signal[] = [ZERO, ONE];
  const inputNames = new Map(original.inputs.map((port) => [port.signal, port.name]));
  const adders = new Map(original.adders.map((adder) => [adder.sum!, adder]));
  const carries = new Set(original.adders.map((adder) => adder.carry!));
  const products = new Map(original.partialProducts.map((product) => [product.signal, product]));
  const labels = new Map<Signal, string>();
  const positions = new Map<Signal, Position>();
  const cells: { sum: Signal; carry: Signal; or: Signal }[] = [];

  const leaf = (signal: Signal, column: number): void => {
    if (positions.has(signal) || signal <= ONE) return;
    const { kind, fanins } = network.nodes[signal]!;
    const operands = kind === 'and' ? fanins.map((fanin) => ({ signal: fanin, label: labels.get(fanin)! })) : [];
    const replacements = [...constants, ...operands];
    positions.set(signal, { signal, column, output: 'product', adder: null, replacements });
  };
  const slot = (value: Signal, column: number, adder: number): Signal => {
    const signal = network.addGate('and', value, value);
    positions.set(signal, { signal, column, output: 'constant', adder, replacements: constants });
    return signal;
  };

  original.nodes.forEach((node, signal) => {
    if (node.kind === 'constant' || carries.has(signal)) return;
    if (node.kind === 'input') {
      copies[signal] = network.addInput(inputNames.get(signal)!);
      labels.set(copies[signal]!, inputNames.get(signal)!);
      return;
    }
    const fanins = node.fanins.map((fanin) => copies[fanin]!);
    const adder = adders.get(signal);
    const product = products.get(signal);
    if (product) {
      copies[signal] = network.addPartialProduct(product.i, product.j, fanins[0]!, fanins[1]!);
    } else if (!adder) {
      copies[signal] = network.addGate(node.kind, ...fanins);
    } else {
      const { column, stage, id } = adder;
      for (const fanin of fanins) leaf(fanin, column);
      const bits = fanins.map((fanin) => (fanin <= ONE ? slot(fanin, column, id) : fanin));
      const or = bits.reduce((a, b) => network.addGate('or', a, b));
      if (bits.length === 2) bits.push(slot(ZERO, column, id));
      const { sum, carry } = network.addAdder({ stage, column }, bits as [Signal, Signal, Signal]);
      const inputs = bits.map((bit, n) => ({ signal: bit, label: 'abc'[n]! }));
      const replacements = [...constants, ...inputs.slice(0, fanins.length), { signal: or, label: 'or' }];
      positions.set(sum, { signal: sum, column, output: 'sum', adder: id, replacements });
      positions.set(carry, { signal: carry, column: column + 1, output: 'carry', adder: id, replacements });
      invariant(cells.length === id, 'adders out of their order');
      cells.push({ sum, carry, or });
      copies[signal] = sum;
      copies[adder.carry!] = carry;
    }
  });
  original.outputs.forEach((port, column) => {
    network.addOutput(port.name, copies[port.signal]!);
    leaf(copies[port.signal]!, column);
  });
  return { network, positions: [...positions.values()].sort((a, b) => a.signal - b.signal), cells };
}
