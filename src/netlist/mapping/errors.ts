// The squared error of a compressor tree under replacements, by arithmetic instead of simulation. An intact adder
// passes on the value of its inputs, so the product is the exact one plus, for every replaced place of column c, 2^c ·
// (new bit − the bit that its gate computes). A change therefore adds few one-bit terms to the error of every operand
// pair, and with e the error before,
//   Δ Σ e² = 2 Σ e δ + Σ δ²,  δ = Σ_k a_k b_k:
// masked sums of e and of common ones. Only replaced places that depend on the changed one need any gate evaluated.
// Valid while no product leaves the range of the product bus; accept() refuses a change that does.
// Invariant: `values` are the words of all signals and `error` = product − target of every pair, with the accepted
// replacements.

import { invariant } from '../../tensor/errors.ts';
import { isGate, ONE, type Signal, ZERO } from '../network.ts';
import { evaluateGate, Simulator, type Words } from '../simulate.ts';
import { OWN } from './cost.ts';
import type { ReplaceableNetwork } from './positions.ts';
import { PairShares } from './shares.ts';

export interface Change {
  readonly signal: Signal;
  /** The signal that takes its place; OWN takes a replacement back. */
  readonly replacement: Signal;
}

interface Term {
  readonly words: Words;
  readonly factor: number;
}

export class ErrorModel {
  readonly replacements: Int32Array;
  readonly #network: ReplaceableNetwork['network'];
  readonly #values: Words[];
  /** What the gates of replaced places compute. */
  readonly #computed = new Map<Signal, Words>();
  readonly #weightOf: Float64Array;
  readonly #error: Float64Array;
  /** share · error of every pair; the errors themselves where all shares are equal. */
  readonly #weighted: Float64Array;
  readonly #target: Float32Array;
  /** Share of each pair (they add up to 1), or null when all are equal. */
  readonly #shares: Float64Array | null;
  readonly #pairShares: PairShares | null;
  readonly #lanes: number;
  readonly #lowest: number;
  readonly #highest: number;
  #relevant: Uint8Array;
  #total = 0;
  readonly #spare: Words[] = [];
  readonly #errorSums = new Map<Words, number>();
  readonly #sharesOfWords = new Map<Words, number>();

  /** `target` per pair; `shares` per pair or null; a signed product is two's complement. */
  constructor(
    { network, positions }: ReplaceableNetwork,
    target: Float32Array,
    shares: Float64Array | null,
    signed: boolean,
  ) {
    const simulator = new Simulator(network);
    this.#network = network;
    this.#values = simulator.words;
    this.#target = target;
    this.#shares = shares;
    this.#pairShares = shares && new PairShares(shares, simulator.ports.activation.length);
    this.replacements = new Int32Array(network.nodes.length).fill(OWN);
    this.#relevant = new Uint8Array(network.nodes.length);
    const { data } = simulator.table(signed);
    this.#error = Float64Array.from(target, (wanted, pair) => data[pair]! - wanted);
    this.#lanes = target.length < 32 ? 2 ** target.length - 1 : -1;
    const range = 2 ** simulator.ports.product.length;
    this.#lowest = signed ? -range / 2 : 0;
    this.#highest = signed ? range / 2 - 1 : range - 1;
    this.#weightOf = new Float64Array(network.nodes.length);
    for (const { signal, column } of positions) {
      if (column < simulator.ports.product.length) this.#weightOf[signal] = 2 ** column;
    }
    this.#weighted = shares ? new Float64Array(this.#error.length) : this.#error;
    this.#weigh();
  }

  /** Mean squared error over the pairs, by their shares. */
  get meanSquare(): number {
    return this.#total;
  }

  /** By how much the mean squared error would change. */
  difference(changes: readonly Change[]): number {
    const { terms, constant, changed } = this.#effects(changes);
    const result = this.#differenceOf(terms, constant);
    for (const words of changed.values()) this.#release(words);
    return result;
  }

  /** Applies the changes; false, and nothing is changed, when a product would leave its range. */
  accept(changes: readonly Change[]): boolean {
    const { terms, constant, changed } = this.#effects(changes);
    const next = this.#error.slice();
    for (let pair = 0; pair < next.length; pair++) next[pair]! += constant;
    for (const { words, factor } of terms) {
      this.#forOnes(words, (pair) => {
        next[pair]! += factor;
      });
    }
    for (let pair = 0; pair < next.length; pair++) {
      const product = Math.round(next[pair]! + this.#target[pair]!);
      if (product < this.#lowest || product > this.#highest) {
        for (const words of changed.values()) this.#release(words);
        return false;
      }
    }
    this.#error.set(next);
    this.#weigh();
    this.#settle(changes);
    for (const words of changed.values()) this.#release(words);
    this.#errorSums.clear();
    this.#sharesOfWords.clear();
    return true;
  }

  /** Evaluates the network anew from the first change on. */
  #settle(changes: readonly Change[]): void {
    for (const { signal, replacement } of changes) this.replacements[signal] = replacement;
    const dirty = new Set<Signal>();
    for (let s = Math.min(...changes.map((one) => one.signal)); s < this.#network.nodes.length; s++) {
      const { kind, fanins } = this.#network.nodes[s]!;
      const changed = changes.some((one) => one.signal === s);
      const replacement = this.replacements[s]!;
      const stale = isGate(kind) && fanins.some((fanin) => dirty.has(fanin));
      if (!changed && !stale && !(replacement >= 0 && dirty.has(replacement))) continue;
      invariant(isGate(kind), 'an input was replaced');
      const own = new Int32Array(this.#values[s]!.length);
      evaluateGate(kind, own, fanins, (fanin) => this.#values[fanin]!);
      this.#computed.delete(s);
      if (replacement >= 0) this.#computed.set(s, own);
      this.#values[s] = replacement >= 0 ? this.#values[replacement]! : own;
      dirty.add(s);
    }
    this.#relevant = new Uint8Array(this.#network.nodes.length);
    for (let s = this.#network.nodes.length - 1; s > ONE; s--) {
      const replacement = this.replacements[s]!;
      if (replacement >= 0) this.#relevant[replacement] = 1;
      if (replacement >= 0 || this.#relevant[s])
        for (const fanin of this.#network.nodes[s]!.fanins) this.#relevant[fanin] = 1;
    }
  }

  /** δ as one-bit terms and a constant, and the buffers that hold new values (to be released). */
  #effects(changes: readonly Change[]): { terms: Term[]; constant: number; changed: Map<Signal, Words> } {
    const changed = new Map<Signal, Words>();
    const buffers = new Map<Signal, Words>();
    const factors = new Map<Words, number>();
    const add = (words: Words, factor: number) => factors.set(words, (factors.get(words) ?? 0) + factor);
    const now = (signal: Signal) => changed.get(signal) ?? this.#values[signal]!;
    let first = Number.POSITIVE_INFINITY;
    let last = 0;
    for (const { signal } of changes) {
      first = Math.min(first, signal);
      last = Math.max(last, signal);
    }
    for (let s = first; s < this.#network.nodes.length; s++) {
      const change = s <= last ? changes.find((one) => one.signal === s) : undefined;
      const before = this.replacements[s]!;
      if (!change && (s > last || first === last) && before < 0 && !this.#relevant[s]) continue;
      const { kind, fanins } = this.#network.nodes[s]!;
      const ownBefore = before >= 0 ? this.#computed.get(s)! : this.#values[s]!;
      let own = ownBefore;
      if (isGate(kind) && fanins.some((fanin) => changed.has(fanin))) {
        own = this.#spare.pop() ?? new Int32Array(ownBefore.length);
        evaluateGate(kind, own, fanins, now);
        if (sameWords(own, ownBefore)) {
          this.#release(own);
          own = ownBefore;
        } else buffers.set(s, own);
      }
      const after = change ? change.replacement : before;
      const value = after >= 0 ? now(after) : own;
      if ((before >= 0 || after >= 0) && (value !== this.#values[s] || own !== ownBefore)) {
        const weight = this.#weightOf[s]!;
        add(value, weight);
        add(own, -weight);
        add(this.#values[s]!, -weight);
        add(ownBefore, weight);
      }
      if (value !== this.#values[s]) changed.set(s, value);
    }
    const constant = factors.get(this.#values[ONE]!) ?? 0;
    factors.delete(this.#values[ONE]!);
    factors.delete(this.#values[ZERO]!);
    const terms = [...factors].filter(([, factor]) => factor !== 0).map(([words, factor]) => ({ words, factor }));
    return { terms, constant, changed: buffers };
  }

  #differenceOf(terms: readonly Term[], constant: number): number {
    let difference = constant * (2 * this.#errorSum(this.#values[ONE]!) + constant);
    terms.forEach(({ words, factor }, k) => {
      const share = this.#shareOf(words);
      difference += 2 * factor * this.#errorSum(words) + factor * (2 * constant + factor) * share;
      for (let other = k + 1; other < terms.length; other++) {
        const { words: others, factor: otherFactor } = terms[other]!;
        difference += 2 * factor * otherFactor * this.#shareOfBoth(words, others);
      }
    });
    return difference;
  }

  /** Σ share · e over the pairs where the bit is 1. */
  #errorSum(words: Words): number {
    let sum = this.#errorSums.get(words);
    if (sum !== undefined) return sum;
    sum = 0;
    const weighted = this.#weighted;
    for (let n = 0; n < words.length; n++) {
      for (let bits = words[n]! & this.#lanes; bits !== 0; bits &= bits - 1) {
        sum += weighted[n * 32 + 31 - Math.clz32(bits & -bits)]!;
      }
    }
    if (!this.#shares) sum /= weighted.length;
    this.#errorSums.set(words, sum);
    return sum;
  }

  /** Share of the pairs where the bit is 1. */
  #shareOf(words: Words): number {
    let share = this.#sharesOfWords.get(words);
    if (share === undefined) {
      share = this.#shareOfBoth(words, words);
      this.#sharesOfWords.set(words, share);
    }
    return share;
  }

  #shareOfBoth(a: Words, b: Words): number {
    if (this.#pairShares) return this.#pairShares.ofBoth(a, b);
    let sum = 0;
    for (let n = 0; n < a.length; n++) sum += ones(a[n]! & b[n]! & this.#lanes);
    return sum / this.#error.length;
  }

  /** Brings what is summed up from the errors up to date with them. */
  #weigh(): void {
    const [error, weighted, shares] = [this.#error, this.#weighted, this.#shares];
    let sum = 0;
    for (let pair = 0; pair < error.length; pair++) {
      if (shares) weighted[pair] = shares[pair]! * error[pair]!;
      sum += weighted[pair]! * error[pair]!;
    }
    this.#total = shares ? sum : sum / error.length;
  }

  #forOnes(words: Words, visit: (pair: number) => void): void {
    for (let n = 0; n < words.length; n++) {
      for (let bits = words[n]! & this.#lanes; bits !== 0; bits &= bits - 1)
        visit(n * 32 + 31 - Math.clz32(bits & -bits));
    }
  }

  #release(words: Words): void {
    this.#errorSums.delete(words);
    this.#sharesOfWords.delete(words);
    this.#spare.push(words);
  }
}

function ones(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function sameWords(a: Words, b: Words): boolean {
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return false;
  return true;
}
