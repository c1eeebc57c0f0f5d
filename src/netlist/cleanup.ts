// Clean-up: rebuilds a network with constants propagated, equal gates shared and everything removed that no output
// needs.
// Invariant: the result computes the same outputs, keeps every input (also unused ones) and the order of the ports, and
// each of its gates and annotated cells is needed by an output. Substitutions of a mapping ("this sum is constant 0")
// are applied on the way.
// Not a resynthesis: a gate is rewritten only by local identities of its own fanins.

import { invariant } from '../tensor/errors.ts';
import { type AdderCell, type GateKind, isGate, Network, ONE, type Signal, ZERO } from './network.ts';

/** A signal → the signal that takes its place: a constant or any signal created before it. */
export type Substitutions = ReadonlyMap<Signal, Signal>;

/** The cleaned-up network, under its own or another name. */
export function cleanUp(
  network: Network,
  substitutions: Substitutions = new Map(),
  name: string = network.name,
): Network {
  const hashed = new HashedBuilder(name);
  const simplified: Signal[] = [ZERO, ONE];
  const inputNames = new Map(network.inputs.map((port) => [port.signal, port.name]));
  network.nodes.forEach((node, signal) => {
    if (node.kind === 'constant') return;
    const own =
      node.kind === 'input'
        ? hashed.network.addInput(inputNames.get(signal)!)
        : substitutions.has(signal)
          ? ZERO
          : hashed.gate(
              node.kind,
              node.fanins.map((fanin) => simplified[fanin]!),
            );
    const substitute = substitutions.get(signal);
    invariant(substitute === undefined || substitute < signal, `signal ${signal} replaced by the later ${substitute}`);
    simplified.push(substitute === undefined ? own : simplified[substitute]!);
  });
  for (const port of network.outputs) hashed.network.addOutput(port.name, simplified[port.signal]!);
  return withoutUnusedGates(hashed.network, network, simplified, substitutions);
}

/** Copies the gates that outputs need and carries the annotations of `original` over to them. */
function withoutUnusedGates(
  hashed: Network,
  original: Network,
  simplified: readonly Signal[],
  substitutions: Substitutions,
): Network {
  const used = usedSignals(hashed);
  const result = new Network(hashed.name);
  const renumbered: Signal[] = [ZERO, ONE];
  const inputNames = new Map(hashed.inputs.map((port) => [port.signal, port.name]));
  hashed.nodes.forEach((node, signal) => {
    if (node.kind === 'constant') return;
    if (node.kind === 'input') renumbered[signal] = result.addInput(inputNames.get(signal)!);
    else if (used[signal])
      renumbered[signal] = result.addGate(node.kind, ...node.fanins.map((fanin) => renumbered[fanin]!));
  });
  for (const port of hashed.outputs) result.addOutput(port.name, renumbered[port.signal]!);

  /** The gate that a signal of the original has become, when it is still a gate of one of these kinds and needed. */
  const survivor = (signal: Signal | null, ...kinds: GateKind[]): Signal | null => {
    if (signal === null || substitutions.has(signal)) return null;
    const now = renumbered[simplified[signal]!];
    return now !== undefined && (kinds as string[]).includes(result.nodes[now]!.kind) ? now : null;
  };
  for (const product of original.partialProducts) {
    const signal = survivor(product.signal, 'and');
    if (signal !== null) result.partialProducts.push({ ...product, signal });
  }
  for (const cell of original.adders) {
    if (cell.inputs.length === 3 && cell.inputs.filter((input) => simplified[input] === ONE).length === 1) {
      const sum = survivor(cell.sum, 'not');
      const carry = survivor(cell.carry, 'or');
      const now = survivingIncrement(result, cell, sum, carry);
      if (now) result.adders.push(now);
      continue;
    }
    const sum = survivor(cell.sum, 'xor', 'xor3');
    const carry = survivor(cell.carry, 'and', 'maj');
    const now = survivingCell(result, cell, sum, carry);
    if (now) result.adders.push(now);
  }
  return result;
}

/** The adder as it now is: a full adder that lost an input to the constant 0 is a half adder. */
function survivingCell(
  network: Network,
  cell: AdderCell,
  sum: Signal | null,
  carry: Signal | null,
): AdderCell | undefined {
  const witness = sum ?? carry;
  if (witness === null) return undefined;
  const inputs = network.nodes[witness]!.fanins;
  const sameInputs = carry === null || inputs.join() === network.nodes[carry]!.fanins.join();
  return { ...cell, kind: inputs.length === 3 ? 'full' : 'half', inputs, sum, carry: sameInputs ? carry : null };
}

/** A full adder with one input that became 1: ¬(a ⊕ b) and a ∨ b. */
function survivingIncrement(
  network: Network,
  cell: AdderCell,
  sum: Signal | null,
  carry: Signal | null,
): AdderCell | undefined {
  const parity = sum === null ? undefined : network.nodes[network.nodes[sum]!.fanins[0]!]!;
  const own = parity?.kind === 'xor' ? sum : null;
  const inputs = own === null ? (carry === null ? undefined : network.nodes[carry]!.fanins) : parity!.fanins;
  if (!inputs) return undefined;
  const sameInputs = carry === null || inputs.join() === network.nodes[carry]!.fanins.join();
  return { ...cell, kind: 'half', plusOne: true, inputs, sum: own, carry: sameInputs ? carry : null };
}

/** used[s] = 1 for the signals that some output needs, directly or not. */
export function usedSignals(network: Network): Uint8Array {
  const used = new Uint8Array(network.nodes.length);
  for (const port of network.outputs) used[port.signal] = 1;
  for (let signal = network.nodes.length - 1; signal >= 0; signal--) {
    if (used[signal]) for (const fanin of network.nodes[signal]!.fanins) used[fanin] = 1;
  }
  return used;
}

/** Builds gates with local simplification; a gate that exists already is returned instead of a copy. */
class HashedBuilder {
  readonly network: Network;
  readonly #existing = new Map<string, Signal>();

  constructor(name: string) {
    this.network = new Network(name);
  }

  gate(kind: GateKind, fanins: readonly Signal[]): Signal {
    const [a, b, c] = [...fanins].sort((p, q) => p - q) as [Signal, Signal, Signal];
    switch (kind) {
      case 'not':
        return this.#not(a);
      case 'and':
        if (a === ZERO || this.#complementary(a, b)) return ZERO;
        if (a === ONE || a === b) return b;
        return this.#shared('and', a, b);
      case 'or':
        if (a === ONE || b === ONE || this.#complementary(a, b)) return ONE;
        if (a === ZERO || a === b) return b;
        return this.#shared('or', a, b);
      case 'xor':
        if (a === b) return ZERO;
        if (this.#complementary(a, b)) return ONE;
        if (a === ZERO) return b;
        if (a === ONE) return this.#not(b);
        return this.#shared('xor', a, b);
      case 'xor3': {
        if (a === ZERO) return this.gate('xor', [b, c]);
        if (a === ONE) return this.#not(this.gate('xor', [b, c]));
        const paired = this.#pair(a, b, c);
        if (!paired) return this.#shared('xor3', a, b, c);
        return paired.equal ? paired.other : this.#not(paired.other);
      }
      case 'maj': {
        if (a === ZERO) return this.gate('and', [b, c]);
        if (a === ONE) return this.gate('or', [b, c]);
        const paired = this.#pair(a, b, c);
        if (!paired) return this.#shared('maj', a, b, c);
        return paired.equal ? paired.one : paired.other;
      }
    }
  }

  #not(a: Signal): Signal {
    if (a === ZERO) return ONE;
    if (a === ONE) return ZERO;
    const node = this.network.nodes[a]!;
    return node.kind === 'not' ? node.fanins[0]! : this.#shared('not', a);
  }

  #complementary(a: Signal, b: Signal): boolean {
    const [first, second] = [this.network.nodes[a]!, this.network.nodes[b]!];
    if (a + b === ZERO + ONE) return true;
    return (first.kind === 'not' && first.fanins[0] === b) || (second.kind === 'not' && second.fanins[0] === a);
  }

  /** Two equal or complementary signals among three, and the remaining one. */
  #pair(a: Signal, b: Signal, c: Signal): { equal: boolean; one: Signal; other: Signal } | undefined {
    for (const [one, two, other] of [
      [a, b, c],
      [b, c, a],
      [a, c, b],
    ] as const) {
      if (one === two) return { equal: true, one, other };
      if (this.#complementary(one, two)) return { equal: false, one, other };
    }
    return undefined;
  }

  #shared(kind: GateKind, ...fanins: Signal[]): Signal {
    const key = `${kind} ${fanins.join(' ')}`;
    const known = this.#existing.get(key);
    if (known !== undefined) return known;
    const signal = this.network.addGate(kind, ...fanins);
    this.#existing.set(key, signal);
    return signal;
  }
}

/** Number of gates of every kind. */
export function countGates(network: Network): Record<GateKind, number> {
  const count: Record<GateKind, number> = { not: 0, and: 0, or: 0, xor: 0, xor3: 0, maj: 0 };
  for (const node of network.nodes) if (isGate(node.kind)) count[node.kind]++;
  return count;
}
