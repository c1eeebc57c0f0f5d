// The unit-gate cost (structure.ts) of a network under replacements, without building the cleaned-up network:
// constants, equal and complementary fanins are propagated, unused gates do not count. It shares no equal gates, so it
// is never below the cost after clean-up.

import { usedSignals } from '../cleanup.ts';
import { type GateKind, type Network, ONE, type Signal, ZERO } from '../network.ts';

/** A signal and its phase: 2 · signal + (1 if inverted). The constants are the literals 0 and 1. */
type Literal = number;

/** Own function: no replacement. */
export const OWN: Signal = -1;

const CODES: Readonly<Record<GateKind | 'constant' | 'input', number>> = {
  constant: 0,
  input: 0,
  not: 1,
  and: 2,
  or: 3,
  xor: 4,
  xor3: 5,
  maj: 6,
};
const COSTS = [0, 0, 1, 1, 2, 4, 4];

export class CostModel {
  readonly #codes: Uint8Array;
  readonly #fanins: Int32Array;
  readonly #sumOfCarry: Int32Array;
  readonly #outputs: readonly Signal[];
  readonly #order: Int32Array;
  readonly #literal: Int32Array;
  readonly #remaining: Uint8Array;
  readonly #gateLiterals: Int32Array;
  readonly #used: Uint8Array;

  /** `spares`: whether gates that no output needs may be put to use by replacements; else they are left out. */
  constructor(network: Network, spares: boolean) {
    const count = network.nodes.length;
    this.#codes = Uint8Array.from(network.nodes, (node) => CODES[node.kind]);
    this.#fanins = new Int32Array(3 * count);
    network.nodes.forEach((node, signal) => {
      node.fanins.forEach((fanin, n) => {
        this.#fanins[3 * signal + n] = fanin;
      });
    });
    this.#sumOfCarry = new Int32Array(count).fill(-1);
    for (const { sum, carry } of network.adders) if (sum !== null && carry !== null) this.#sumOfCarry[carry] = sum;
    this.#outputs = network.outputs.map((port) => port.signal);
    const used = usedSignals(network);
    this.#order = Int32Array.from(network.nodes.keys()).filter((s) => s > ONE && (spares || used[s] === 1));
    this.#literal = new Int32Array(count);
    this.#remaining = new Uint8Array(count);
    this.#gateLiterals = new Int32Array(3 * count);
    this.#used = new Uint8Array(count);
  }

  /** `replacements[s]` is the signal that takes the place of s, or OWN. */
  cost(replacements: Int32Array): number {
    const [codes, fanins, literal, remaining, order] = [
      this.#codes,
      this.#fanins,
      this.#literal,
      this.#remaining,
      this.#order,
    ];
    literal[ZERO] = 0;
    literal[ONE] = 1;
    for (let n = 0; n < order.length; n++) {
      const s = order[n]!;
      remaining[s] = 0;
      if (replacements[s]! >= 0) literal[s] = literal[replacements[s]!]!;
      else if (codes[s] === 0) literal[s] = 2 * s;
      else {
        const at = 3 * s;
        literal[s] = this.#simplify(
          s,
          codes[s]!,
          literal[fanins[at]!]!,
          literal[fanins[at + 1]!]!,
          literal[fanins[at + 2]!]!,
        );
      }
    }
    return this.#usedCost();
  }

  /** The literal of gate s with these fanins; a gate that remains is noted in `remaining`. */
  #simplify(s: Signal, code: number, a: Literal, b: Literal, c: Literal): Literal {
    switch (code) {
      case 1:
        return a ^ 1;
      case 2:
        if (a === 0 || b === 0 || a === (b ^ 1)) return 0;
        if (a === 1 || a === b) return b;
        return b === 1 ? a : this.#keep(s, 2, a, b, 0);
      case 3:
        if (a === 1 || b === 1 || a === (b ^ 1)) return 1;
        if (a === 0 || a === b) return b;
        return b === 0 ? a : this.#keep(s, 3, a, b, 0);
      case 4:
        if (a === b) return 0;
        if (a === (b ^ 1)) return 1;
        if (a <= 1) return a ^ b;
        return b <= 1 ? a ^ b : this.#keep(s, 4, a, b, 0);
      case 5:
        if (a <= 1) return this.#simplify(s, 4, b, c, 0) ^ a;
        if (b <= 1) return this.#simplify(s, 4, a, c, 0) ^ b;
        if (c <= 1) return this.#simplify(s, 4, a, b, 0) ^ c;
        if (a >> 1 === b >> 1) return c ^ (a ^ b);
        if (b >> 1 === c >> 1) return a ^ (b ^ c);
        if (a >> 1 === c >> 1) return b ^ (a ^ c);
        return this.#keep(s, 5, a, b, c);
      default:
        if (a <= 1) return this.#simplify(s, a === 0 ? 2 : 3, b, c, 0);
        if (b <= 1) return this.#simplify(s, b === 0 ? 2 : 3, a, c, 0);
        if (c <= 1) return this.#simplify(s, c === 0 ? 2 : 3, a, b, 0);
        if (a >> 1 === b >> 1) return a === b ? a : c;
        if (b >> 1 === c >> 1) return b === c ? b : a;
        if (a >> 1 === c >> 1) return a === c ? a : b;
        return this.#keep(s, 6, a, b, c);
    }
  }

  #keep(s: Signal, code: number, a: Literal, b: Literal, c: Literal): Literal {
    this.#remaining[s] = code;
    this.#gateLiterals[3 * s] = a;
    this.#gateLiterals[3 * s + 1] = b;
    this.#gateLiterals[3 * s + 2] = c;
    return 2 * s;
  }

  /** Marks what the outputs need, from the last gate to the first, and adds it up. */
  #usedCost(): number {
    const [used, remaining, gateLiterals, sumOfCarry, order] = [
      this.#used,
      this.#remaining,
      this.#gateLiterals,
      this.#sumOfCarry,
      this.#order,
    ];
    used.fill(0);
    for (const output of this.#outputs) used[this.#literal[output]! >> 1] = 1;
    let cost = 0;
    for (let n = order.length - 1; n >= 0; n--) {
      const s = order[n]!;
      if (used[s] === 0 || remaining[s] === 0) continue;
      const code = remaining[s]!;
      cost += COSTS[code]!;
      for (let k = 0; k < (code >= 5 ? 3 : 2); k++) used[gateLiterals[3 * s + k]! >> 1] = 1;
    }
    for (let n = 0; n < order.length; n++) {
      const s = order[n]!;
      const sum = sumOfCarry[s]!;
      if (sum >= 0 && used[s] && remaining[s] === 6 && used[sum] && remaining[sum] === 5) cost--;
    }
    return cost;
  }
}
