// The product of a network as a polynomial in the bits of its operands, by rewriting backward: Σ 2^k y_k, in which
// every gate, from the last to the first, is replaced by its polynomial in its fanins, modulo 2^(product bits) and with
// a² = a for bits. Of an adder whose sum and carry are both there 2·carry + sum = a + b + c remains, so trees of adders
// shrink to their partial products however they are arranged, where SAT fails at 10 bits. A polynomial of this form is
// unique: two multipliers are equal iff theirs are.
// Invariant: null (given up) when too many monomials meet; nothing is ever approximated.
// Sources: M. Ciesielski et al., IEEE TCAD 2020; A. Mahzoon, D. Große and R. Drechsler, ICCAD 2018 (monomials that
// vanish).

import { invariant } from '../tensor/errors.ts';
import type { BitFunctions } from './compiled/network.ts';
import { type Network, type Node, ONE, type Signal } from './network.ts';

/** A product of different bits in ascending order, with its coefficient. */
interface Monomial {
  readonly bits: readonly number[];
  readonly coefficient: bigint;
}

/** Monomials by their bits as text. */
type Polynomial = Map<string, Monomial>;

const MOST_MONOMIALS = 20_000;
const MOST_STEPS = 1_000_000;

/**
 * Equal (null), input bits on which the functions differ, or undefined where this method gives up. Inputs and outputs
 * go by position.
 */
export function compareByAlgebra(a: BitFunctions, b: BitFunctions): readonly number[] | null | undefined {
  const first = polynomialOf(a);
  const second = first && polynomialOf(b);
  if (!first || !second) return undefined;
  let least: Monomial | undefined;
  for (const [key, monomial] of [...first, ...second]) {
    if (first.get(key)?.coefficient === second.get(key)?.coefficient) continue;
    if (!least || monomial.bits.length < least.bits.length) least = monomial;
  }
  // With the bits of a least monomial at 1 and all others at 0 no other difference is left.
  return least ? a.inputs.map((_, number) => (least.bits.includes(number) ? 1 : 0)) : null;
}

/**
 * Σ 2^k of the outputs modulo 2^outputs in the inputs, numbered by position; null when there are too many monomials.
 */
function polynomialOf({ network, inputs, outputs }: BitFunctions): Polynomial | null {
  const rewriting = new Rewriting(network, outputs.length);
  outputs.forEach((signal, k) => {
    rewriting.add([signal], 1n << BigInt(k));
  });
  for (let signal = network.nodes.length - 1; signal >= 0; signal--) {
    if (network.nodes[signal]!.kind !== 'input' && !rewriting.replace(signal)) return null;
  }
  const numbers = new Map(inputs.map((signal, number) => [signal, number]));
  const result: Polynomial = new Map();
  for (const { bits, coefficient } of rewriting.monomials.values()) {
    const renumbered = bits.map((bit) => numbers.get(bit)!).sort((p, q) => p - q);
    result.set(renumbered.join(), { bits: renumbered, coefficient });
  }
  return result;
}

class Rewriting {
  readonly monomials: Polynomial = new Map();
  readonly #network: Network;
  readonly #modulus: number;
  /** Keys of the monomials that a signal is in. */
  readonly #readers = new Map<Signal, Set<string>>();
  /** AND gate → the XOR gate of the same fanins: never both 1. */
  readonly #exclusive = new Map<Signal, Signal>();
  #steps = 0;

  constructor(network: Network, productBits: number) {
    this.#network = network;
    this.#modulus = productBits;
    const parities = new Map<string, Signal>();
    const fanins = ({ fanins: [a, b] }: Node) => `${Math.min(a!, b!)} ${Math.max(a!, b!)}`;
    network.nodes.forEach((node, signal) => {
      if (node.kind === 'xor') parities.set(fanins(node), signal);
    });
    network.nodes.forEach((node, signal) => {
      const parity = node.kind === 'and' ? parities.get(fanins(node)) : undefined;
      if (parity !== undefined) this.#exclusive.set(signal, parity);
    });
  }

  add(bits: readonly Signal[], coefficient: bigint): void {
    if (bits.some((bit) => bits.includes(this.#exclusive.get(bit) ?? -1))) return;
    const key = bits.join();
    const sum = BigInt.asUintN(this.#modulus, (this.monomials.get(key)?.coefficient ?? 0n) + coefficient);
    if (sum === 0n) {
      this.#remove(key);
      return;
    }
    if (!this.monomials.has(key)) {
      for (const bit of bits) {
        const known = this.#readers.get(bit);
        if (known) known.add(key);
        else this.#readers.set(bit, new Set([key]));
      }
    }
    this.monomials.set(key, { bits, coefficient: sum });
  }

  #remove(key: string): void {
    const monomial = this.monomials.get(key);
    if (!monomial) return;
    this.monomials.delete(key);
    for (const bit of monomial.bits) this.#readers.get(bit)!.delete(key);
  }

  /** Puts a gate's polynomial in its place; false when there are too many monomials. */
  replace(signal: Signal): boolean {
    const keys = this.#readers.get(signal);
    if (!keys || keys.size === 0) return true;
    const polynomial = gatePolynomial(this.#network.nodes[signal]!, signal);
    for (const key of [...keys]) {
      const { bits, coefficient } = this.monomials.get(key)!;
      this.#remove(key);
      const rest = bits.filter((bit) => bit !== signal);
      for (const { bits: own, coefficient: factor } of polynomial) this.add(union(rest, own), coefficient * factor);
      this.#steps += polynomial.length;
      if (this.monomials.size > MOST_MONOMIALS || this.#steps > MOST_STEPS) return false;
    }
    this.#readers.delete(signal);
    return true;
  }
}

/** A coefficient and positions in the fanins. */
const term = (coefficient: number, ...bits: number[]): Monomial => ({ bits, coefficient: BigInt(coefficient) });

const gates = {
  not: [term(1), term(-1, 0)],
  and: [term(1, 0, 1)],
  or: [term(1, 0), term(1, 1), term(-1, 0, 1)],
  xor: [term(1, 0), term(1, 1), term(-2, 0, 1)],
  xor3: [term(1, 0), term(1, 1), term(1, 2), term(-2, 0, 1), term(-2, 0, 2), term(-2, 1, 2), term(4, 0, 1, 2)],
  maj: [term(1, 0, 1), term(1, 0, 2), term(1, 1, 2), term(-2, 0, 1, 2)],
} as const;

function gatePolynomial({ kind, fanins }: Node, signal: Signal): readonly Monomial[] {
  invariant(kind !== 'input', 'an input has no polynomial');
  if (kind === 'constant') return signal === ONE ? [term(1)] : [];
  return gates[kind].map(({ bits, coefficient }) => ({
    bits: bits.reduce<readonly Signal[]>((all, position) => union(all, [fanins[position]!]), []),
    coefficient,
  }));
}

/** Ascending, each bit once. */
function union(a: readonly Signal[], b: readonly Signal[]): readonly Signal[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  return [...new Set([...a, ...b])].sort((p, q) => p - q);
}
