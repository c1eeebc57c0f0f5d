// What a multiplier netlist computes: the table of all operand pairs, by compiled code (compiled/); the product of one
// pair; and, for searches at up to 8×8 bits, an incremental simulation that evaluates only what a change affects.
// Lane layout of the Simulator: pair number = w · 2^Bx + x; pair p is bit p mod 32 of word p div 32. Below 32 pairs the
// upper lanes repeat the lower.
// Invariant of the Simulator: `values` always belongs to the network with all accepted substitutions. A proposed
// substitution is evaluated in its changed cone only and becomes part of the state, or not, at no further cost.

import { operandValue, type ProductTable, productTable } from '../multiplier/table.ts';
import { checkTableBits } from '../multiplier/widths.ts';
import { invariant } from '../tensor/errors.ts';
import { AllProducts } from './compiled/network.ts';
import { expressions, gateFunctions, words as wordBits } from './gates.ts';
import type { GateKind, Network, Signal } from './network.ts';
import { isGate, ONE, ZERO } from './network.ts';
import { type MultiplierPorts, multiplierPorts } from './ports.ts';

/** One bit of every operand pair, in the lane layout above. */
export type Words = Int32Array<ArrayBuffer>;

/** A product bit whose value a proposed substitution changes. */
export interface ProductBitChange {
  readonly bit: number;
  readonly before: Words;
  readonly after: Words;
}

/**
 * The table of a multiplier netlist; `signed` reads the product as two's complement. Throws a UserError if it is no
 * multiplier.
 */
export function simulate(network: Network, options: { signed?: boolean } = {}): ProductTable {
  const signed = options.signed ?? false;
  const ports = multiplierPorts(network);
  const { weight, activation } = ports;
  checkTableBits(weight.length, activation.length);
  const pairs = 2 ** (weight.length + activation.length);
  const data = new Int32Array(pairs);
  new AllProducts(network, ports, signed).evaluate(data);
  return productTable(weight.length, activation.length, signed, data);
}

/**
 * The product of one pair of operand patterns, for multipliers of any width: one gate after the other, without
 * compiling anything.
 */
export function productOf(network: Network, w: number, x: number, signed: boolean): number {
  const { weight, activation, product } = multiplierPorts(network);
  const values = new Int32Array(network.nodes.length);
  values[ONE] = -1;
  for (const [bit, signal] of weight.entries()) values[signal] = -((w >> bit) & 1);
  for (const [bit, signal] of activation.entries()) values[signal] = -((x >> bit) & 1);
  network.nodes.forEach(({ kind, fanins }, signal) => {
    if (!isGate(kind)) return;
    const [a = 0, b = 0, c = 0] = fanins.map((fanin) => values[fanin]!);
    values[signal] = gateFunctions[kind](wordBits, a, b, c);
  });
  const pattern = product.reduce((sum, signal, bit) => sum + (values[signal]! & 1) * 2 ** bit, 0);
  return operandValue(pattern, product.length, signed);
}

/** Turns the words of up to 32 product bits into products, 32 pairs at a time: a 32×32 bit matrix transposed. */
function transposeWords(bits: readonly Words[], products: Int32Array, signed: boolean): void {
  const matrix = new Int32Array(32);
  const signShift = signed ? 32 - bits.length : 0;
  for (let n = 0; n * 32 < products.length; n++) {
    matrix.fill(0);
    for (let k = 0; k < bits.length; k++) matrix[k] = bits[k]![n]!;
    for (let width = 16, mask = 0xffff; width > 0; width >>= 1, mask ^= mask << width) {
      for (let k = 0; k < 32; k = (k + width + 1) & ~width) {
        const swapped = ((matrix[k]! >>> width) ^ matrix[k + width]!) & mask;
        matrix[k] = matrix[k]! ^ (swapped << width);
        matrix[k + width] = matrix[k + width]! ^ swapped;
      }
    }
    const lanes = Math.min(32, products.length - n * 32);
    for (let lane = 0; lane < lanes; lane++) products[n * 32 + lane] = (matrix[lane]! << signShift) >> signShift;
  }
}

export class Simulator {
  readonly network: Network;
  readonly ports: MultiplierPorts;
  readonly pairs: number;
  readonly #wordCount: number;
  readonly #values: Words[];
  readonly #spare: Words[] = [];
  readonly #substitutions = new Map<Signal, Signal>();
  #proposal: { signal: Signal; replacement: Signal; changed: Map<Signal, Words> } | null = null;

  constructor(network: Network) {
    this.network = network;
    this.ports = multiplierPorts(network);
    const { weight, activation } = this.ports;
    this.pairs = 2 ** (weight.length + activation.length);
    this.#wordCount = Math.ceil(this.pairs / 32);
    const all = new Int32Array(this.#wordCount * network.nodes.length);
    this.#values = network.nodes.map((_, signal) =>
      all.subarray(signal * this.#wordCount, (signal + 1) * this.#wordCount),
    );
    this.#values[ONE]!.fill(-1);
    [...activation, ...weight].forEach((signal, bit) => {
      fillPattern(this.#values[signal]!, bit);
    });
    network.nodes.forEach((node, signal) => {
      if (isGate(node.kind))
        evaluateGate(node.kind, this.#values[signal]!, node.fanins, (fanin) => this.#values[fanin]!);
    });
  }

  /**
   * What the network's outputs become when `replacement` (a constant or an earlier signal) takes the place of `signal`.
   */
  propose(signal: Signal, replacement: Signal = ZERO): ProductBitChange[] {
    invariant(replacement < signal, `signal ${signal} replaced by the later ${replacement}`);
    this.discard();
    const changed = new Map<Signal, Words>();
    this.#proposal = { signal, replacement, changed };
    const now = (fanin: Signal) => changed.get(fanin) ?? this.#values[fanin]!;
    for (let s = signal; s < this.network.nodes.length; s++) {
      const node = this.network.nodes[s]!;
      const substitute = s === signal ? replacement : this.#substitutions.get(s);
      const sources = substitute === undefined ? node.fanins : [substitute];
      if (s !== signal && !sources.some((source) => changed.has(source))) continue;
      const words = this.#spare.pop() ?? new Int32Array(this.#wordCount);
      if (substitute !== undefined) words.set(now(substitute));
      else if (isGate(node.kind)) evaluateGate(node.kind, words, node.fanins, now);
      if (sameWords(words, this.#values[s]!)) this.#spare.push(words);
      else changed.set(s, words);
    }
    const changes: ProductBitChange[] = [];
    this.ports.product.forEach((output, bit) => {
      const after = changed.get(output);
      if (after) changes.push({ bit, before: this.#values[output]!, after });
    });
    return changes;
  }

  /** Makes the proposed substitution part of the state. */
  accept(): void {
    invariant(this.#proposal, 'no substitution proposed');
    const { signal, replacement, changed } = this.#proposal;
    this.#substitutions.set(signal, replacement);
    for (const [s, words] of changed) {
      this.#spare.push(this.#values[s]!);
      this.#values[s] = words;
    }
    this.#proposal = null;
  }

  /** Forgets the proposed substitution, if any. */
  discard(): void {
    if (this.#proposal) this.#spare.push(...this.#proposal.changed.values());
    this.#proposal = null;
  }

  /** The words of every signal in the current state; not to be written to. */
  get words(): Words[] {
    return [...this.#values];
  }

  /** Substitutions accepted so far, for clean-up. */
  get accepted(): ReadonlyMap<Signal, Signal> {
    return this.#substitutions;
  }

  /** The products in the current state. */
  table(signed = false): ProductTable {
    const { weight, activation, product } = this.ports;
    const data = new Int32Array(this.pairs);
    transposeWords(
      product.map((signal) => this.#values[signal]!),
      data,
      signed,
    );
    return productTable(weight.length, activation.length, signed, data);
  }
}

/** Bit number `bit` of the pair number, for all pairs. */
function fillPattern(words: Words, bit: number): void {
  if (bit < 5) {
    let pattern = 0;
    for (let lane = 0; lane < 32; lane++) pattern |= ((lane >> bit) & 1) << lane;
    words.fill(pattern);
  } else {
    for (let n = 0; n < words.length; n++) words[n] = -((n >> (bit - 5)) & 1);
  }
}

type GateLoop = (out: Words, a: Words, b: Words, c: Words) => void;

/**
 * One loop over words for each gate, made from its definition: a function of its own, so that the engine compiles it
 * for itself.
 */
const gateLoops = Object.fromEntries(
  Object.entries(gateFunctions).map(([kind, gate]) => {
    const expression = gate(expressions, 'a[n]', 'b[n]', 'c[n]');
    const body = `const count = out.length; for (let n = 0; n < count; n++) out[n] = ${expression};`;
    return [kind, new Function('out', 'a', 'b', 'c', body)];
  }),
) as unknown as Readonly<Record<GateKind, GateLoop>>;

/** Writes a gate's words; `value` gives those of a fanin. */
export function evaluateGate(
  kind: GateKind,
  out: Words,
  fanins: readonly Signal[],
  value: (signal: Signal) => Words,
): void {
  const a = value(fanins[0]!);
  const b = fanins.length > 1 ? value(fanins[1]!) : a;
  gateLoops[kind](out, a, b, fanins.length > 2 ? value(fanins[2]!) : a);
}

function sameWords(a: Words, b: Words): boolean {
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return false;
  return true;
}
