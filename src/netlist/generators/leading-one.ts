// Approximate unsigned multipliers that look for the leading one of each operand: DRUM, Mitchell's logarithmic
// multiplication and RoBA.
// The circuits work with one-hot signals: `leading[k]` says that bit k is the highest 1, and a shift by k is a sum of
// gated copies.
// Sources: S. Hashemi, R. I. Bahar and S. Reda, ICCAD 2015 (DRUM); J. N. Mitchell, IRE Trans. Electronic Computers
// 1962;
// R. Zendegani et al., IEEE Trans. VLSI Systems 2017 (RoBA).

import { type Network, type Signal, ZERO } from '../network.ts';
import { addProduct, multiplierFrame } from './frame.ts';
import type { Generated } from './generator.ts';
import { BitHeap } from './heap.ts';

/**
 * Takes `bits` bits of each operand from its leading one on, the lowest of them set to 1, and multiplies these exactly.
 */
export function drum(weightBits: number, activationBits: number, bits: number): Generated {
  const { network, w, x, productBits } = multiplierFrame('drum', weightBits, activationBits);
  const gates = new Gates(network);
  const [a, b] = [window(gates, w, bits), window(gates, x, bits)];
  const heap = new BitHeap(network, a.bits.length + b.bits.length);
  a.bits.forEach((ai, i) => {
    b.bits.forEach((bj, j) => {
      heap.add(i + j, gates.and(ai, bj));
    });
  });
  const product = gates.shift(gates.shift(heap.sum('dadda'), a.shifts), b.shifts);
  const formula = (wv: number, xv: number) => {
    const [p, q] = [windowOf(wv, bits), windowOf(xv, bits)];
    return p * q;
  };
  return { network: addProduct(network, extended(product, productBits)), formula };
}

function windowOf(value: number, bits: number): number {
  if (value < 2 ** bits) return value;
  const shift = Math.floor(Math.log2(value)) - bits + 1;
  return ((value >> shift) | 1) << shift;
}

/** The window of an operand as a number of `bits` bits, and the one-hot amount by which it stands too low. */
function window(gates: Gates, operand: readonly Signal[], bits: number): { bits: Signal[]; shifts: Signal[] } {
  if (operand.length <= bits) return { bits: [...operand], shifts: [] };
  const leading = gates.leadingOne(operand);
  const far = leading.slice(bits);
  const small = gates.not(gates.any(operand.slice(bits)));
  const shifts = [small, ...far];
  const windowed = Array.from({ length: bits }, (_, n) =>
    n === 0
      ? gates.or(gates.and(small, operand[0]!), gates.not(small))
      : gates.any(shifts.map((select, shift) => gates.and(select, operand[n + shift]!))),
  );
  return { bits: windowed, shifts };
}

/**
 * log₂ is taken as linear between powers of two: 2^a (1 + f) · 2^b (1 + g) ≈ 2^(a+b) (1 + f + g), or 2^(a+b+1) (f + g)
 * when f + g ≥ 1.
 */
export function mitchell(weightBits: number, activationBits: number): Generated {
  const { network, w, x, productBits } = multiplierFrame('mitchell', weightBits, activationBits);
  const gates = new Gates(network);
  const [a, b] = [gates.leadingOne(w), gates.leadingOne(x)];
  const rest = (operand: readonly Signal[], leading: readonly Signal[]) =>
    operand.map((bit, n) => gates.and(bit, gates.not(leading[n]!)));
  const heap = new BitHeap(network, productBits);
  for (const shifted of [gates.shift(rest(w, a), b), gates.shift(rest(x, b), a)]) {
    shifted.forEach((bit, column) => {
      heap.add(column, bit);
    });
  }
  const fractions = heap.sum('dadda');
  const one = gates.shift(a, b);
  const carried = gates.any(one.map((bit, column) => gates.and(bit, fractions[column]!)));
  const kept = gates.not(carried);
  const product = Array.from({ length: productBits }, (_, column) =>
    gates.or(
      gates.and(kept, gates.or(fractions[column] ?? ZERO, one[column] ?? ZERO)),
      gates.and(carried, fractions[column - 1] ?? ZERO),
    ),
  );
  const formula = (wv: number, xv: number) => {
    if (wv === 0 || xv === 0) return 0;
    const [p, q] = [2 ** Math.floor(Math.log2(wv)), 2 ** Math.floor(Math.log2(xv))];
    const both = (wv - p) * q + (xv - q) * p;
    return both < p * q ? p * q + both : 2 * both;
  };
  return { network: addProduct(network, product), formula };
}

/** Rounds each operand to a power of two, W and X, and takes W·x + X·w − W·X; shifts instead of products. */
export function roba(weightBits: number, activationBits: number): Generated {
  const { network, w, x, productBits } = multiplierFrame('roba', weightBits, activationBits);
  const gates = new Gates(network);
  const [a, b] = [rounded(gates, w), rounded(gates, x)];
  const heap = new BitHeap(network, productBits);
  for (const shifted of [gates.shift(x, a), gates.shift(w, b)]) {
    shifted.forEach((bit, column) => {
      heap.add(column, bit);
    });
  }
  const both = extended(gates.shift(a, b), productBits);
  for (const [column, bit] of both.entries()) heap.add(column, gates.not(bit));
  heap.addConstant(1);
  const formula = (wv: number, xv: number) => {
    const [p, q] = [roundedOf(wv), roundedOf(xv)];
    return p * xv + q * wv - p * q;
  };
  return { network: addProduct(network, heap.sum('dadda')), formula };
}

/** The nearest power of two; half way is up, except that 3 becomes 2 as published. */
function roundedOf(value: number): number {
  if (value < 2) return value;
  const power = 2 ** Math.floor(Math.log2(value));
  return power > 2 && value >= 1.5 * power ? 2 * power : power;
}

/** One-hot, one bit more than the operand. */
function rounded(gates: Gates, operand: readonly Signal[]): Signal[] {
  const leading = gates.leadingOne(operand);
  const up = leading.map((bit, k) => (k >= 2 ? gates.and(bit, operand[k - 1]!) : ZERO));
  return Array.from({ length: operand.length + 1 }, (_, k) => {
    const stays = k >= leading.length ? ZERO : gates.and(leading[k]!, gates.not(up[k]!));
    return gates.or(stays, k > 0 ? up[k - 1]! : ZERO);
  });
}

function extended(bits: readonly Signal[], count: number): Signal[] {
  return Array.from({ length: count }, (_, k) => bits[k] ?? ZERO);
}

/** Gates over signals that may be the constant 0. */
class Gates {
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  not(a: Signal): Signal {
    return this.#network.addGate('not', a);
  }

  and(a: Signal, b: Signal): Signal {
    return a === ZERO || b === ZERO ? ZERO : this.#network.addGate('and', a, b);
  }

  or(a: Signal, b: Signal): Signal {
    if (a === ZERO || b === ZERO) return a + b;
    return this.#network.addGate('or', a, b);
  }

  any(bits: readonly Signal[]): Signal {
    return bits.reduce((a, b) => this.or(a, b), ZERO);
  }

  /** One-hot: bit k is 1 when operand bit k is 1 and none above it. */
  leadingOne(operand: readonly Signal[]): Signal[] {
    const result: Signal[] = [];
    let above: Signal = ZERO;
    for (const [n, bit] of [...operand].reverse().entries()) {
      result.unshift(n === 0 ? bit : this.and(bit, this.not(above)));
      above = this.or(above, bit);
    }
    return result;
  }

  /** `bits` · 2^k where `amount[k]` is 1; 0 where none is. An empty amount is no shift. */
  shift(bits: readonly Signal[], amount: readonly Signal[]): Signal[] {
    if (amount.length === 0) return [...bits];
    return Array.from({ length: bits.length + amount.length - 1 }, (_, column) =>
      this.any(amount.map((select, k) => this.and(select, bits[column - k] ?? ZERO))),
    );
  }
}
