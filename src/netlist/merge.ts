// Nets that are equal for all operand pairs though their gates differ: where partial products are missing, and at the
// ends of a tree, an adder's carry may be one of its inputs or never come. The later of two equal nets is replaced by
// the earlier one, as a tool for synthesis does too.
// Invariant: the product is the same for every pair of operands; no gate is added.

import { cleanUp } from './cleanup.ts';
import { isGate, type Network, type Signal } from './network.ts';
import { Simulator } from './simulate.ts';

/** The network with every net once, cleaned up; a multiplier of up to 8×8 bits. */
export function mergeEqualNets(network: Network): Network {
  const earliest = new Map<string, Signal>();
  const equal = new Map<Signal, Signal>();
  new Simulator(network).words.forEach((words, signal) => {
    const values = Buffer.from(words.buffer, words.byteOffset, words.byteLength).toString('latin1');
    const known = earliest.get(values);
    if (known === undefined) earliest.set(values, signal);
    else if (isGate(network.nodes[signal]!.kind)) equal.set(signal, known);
  });
  return cleanUp(network, equal);
}
