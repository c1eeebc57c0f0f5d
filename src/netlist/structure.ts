// A plain description of a multiplier netlist for pictures (dot diagrams) and reports: which partial products and
// adders are left, the gates of every kind, and a technology-free cost. Best asked of a cleaned-up network, where
// everything left is needed.
// The cost is the unit-gate model: inverters are free, AND and OR cost 1, XOR 2, hence a half adder 3 and a full adder
// 7.

import { cleanUp, countGates } from './cleanup.ts';
import { arrayMultiplier } from './generators/array.ts';
import { type GateKind, type Network, ONE, type Signal } from './network.ts';
import { multiplierPorts } from './ports.ts';

export interface AdderDescription {
  readonly id: number;
  readonly kind: 'half' | 'full';
  readonly stage: number;
  readonly column: number;
  /** Whether the sum (column) and the carry (column + 1) are still used. */
  readonly sum: boolean;
  readonly carry: boolean;
  /** The cell adds a constant 1, too: a + b + 1. */
  readonly plusOne: boolean;
}

/** A constant 1 of weight 2^column in the product: injected into a half adder, or an output bit that is always 1. */
export interface ConstantOne {
  readonly column: number;
  readonly at: 'adder' | 'output';
}

export interface StructureDescription {
  readonly name: string;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly partialProducts: readonly { readonly i: number; readonly j: number }[];
  readonly adders: readonly AdderDescription[];
  readonly constants: readonly ConstantOne[];
  readonly gates: Readonly<Record<GateKind, number>>;
  readonly unitGateCost: number;
  /** unitGateCost divided by that of the cleaned-up exact array multiplier of the same widths. */
  readonly normalizedCost: number;
  /**
   * unitGateCost divided by that of the cheapest exact 8×8 multiplier, whatever the widths: comparable between
   * multipliers.
   */
  readonly gateCost: number;
}

/** Unit gates of the cheapest exact 8×8 multiplier among the generators: radix-4 Booth, after clean-up. */
export const REFERENCE_GATES = 400;

/**
 * Gates, adders and unit-gate cost of a network; costs are relative to the exact array multiplier of the same widths.
 */
export function describeStructure(network: Network): StructureDescription {
  const { weight, activation, product } = multiplierPorts(network);
  const cost = unitGateCost(network);
  const exact = cleanUp(arrayMultiplier(weight.length, activation.length));
  return {
    name: network.name,
    weightBits: weight.length,
    activationBits: activation.length,
    partialProducts: network.partialProducts.map(({ i, j }) => ({ i, j })),
    adders: network.adders.map(({ id, kind, stage, column, sum, carry, plusOne }) => ({
      id,
      kind,
      stage,
      column,
      sum: sum !== null,
      carry: carry !== null,
      plusOne: plusOne ?? false,
    })),
    constants: [
      ...network.adders.filter(({ plusOne }) => plusOne).map(({ column }) => ({ column, at: 'adder' as const })),
      ...product.flatMap((signal, column) => (signal === ONE ? [{ column, at: 'output' as const }] : [])),
    ],
    gates: countGates(network),
    unitGateCost: cost,
    normalizedCost: cost / unitGateCost(exact),
    gateCost: cost / REFERENCE_GATES,
  };
}

/**
 * Unit-gate cost of all gates. A carry is cheaper beside the sum of the same full adder, whose a ^ b it shares, whether
 * they are two gates or spelt out in gates of two inputs: a netlist costs the same in every format.
 */
export function unitGateCost(network: Network): number {
  const sums = new Set<string>();
  for (const node of network.nodes) if (node.kind === 'xor3') sums.add(node.fanins.join());
  const gates = countGates(network);
  const sharing = network.nodes.filter((node) => node.kind === 'maj' && sums.has(node.fanins.join())).length;
  return gates.and + gates.or + 2 * gates.xor + 4 * gates.xor3 + 4 * gates.maj - sharing - spareOrs(network);
}

/**
 * How many a | b an a ^ b could stand in for: those that carries alone read, spelt (a & b) | (c & (a | b)), where the
 * same network has a ^ b.
 */
function spareOrs(network: Network): number {
  const { nodes } = network;
  const pair = (a: Signal, b: Signal) => `${Math.min(a, b)},${Math.max(a, b)}`;
  const xors = new Set(nodes.flatMap(({ kind, fanins: [a, b] }) => (kind === 'xor' ? [pair(a!, b!)] : [])));
  if (xors.size === 0) return 0;
  const readers = new Uint32Array(nodes.length);
  for (const { fanins } of nodes) for (const fanin of fanins) readers[fanin]!++;
  for (const { signal } of network.outputs) readers[signal]!++;
  const spare = new Set<Signal>();
  for (const { kind, fanins } of nodes) {
    if (kind !== 'or') continue;
    for (const [both, rest] of [fanins, fanins.toReversed()]) {
      if (nodes[both!]!.kind !== 'and' || nodes[rest!]!.kind !== 'and') continue;
      const [a, b] = nodes[both!]!.fanins as [Signal, Signal];
      if (!xors.has(pair(a, b)) || readers[rest!] !== 1) continue;
      const either = nodes[rest!]!.fanins.find((fanin) => {
        const { kind: of, fanins: ends } = nodes[fanin]!;
        return of === 'or' && readers[fanin] === 1 && pair(ends[0]!, ends[1]!) === pair(a, b);
      });
      if (either !== undefined) spare.add(either);
    }
  }
  return spare.size;
}
