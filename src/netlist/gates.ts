// What the gates of a network compute: the only place that says it. Each gate is an expression of a few operations on
// bits, and the bits may be anything: words of 32 operand pairs, texts of expressions (simulate.ts), values of a
// program that is being compiled (compiled/).
// Not here: arity (network.ts), local identities (cleanup.ts), how files spell gates (blif/, verilog/).

import type { GateKind } from './network.ts';

/** Operations on bits, or on many bits side by side. */
export interface BitAlgebra<T> {
  readonly not: (a: T) => T;
  readonly and: (a: T, b: T) => T;
  readonly or: (a: T, b: T) => T;
  readonly xor: (a: T, b: T) => T;
  /** `one` where the mask is 1, `zero` elsewhere. */
  readonly select: (mask: T, one: T, zero: T) => T;
}

type GateFunction = <T>(of: BitAlgebra<T>, a: T, b: T, c: T) => T;

/** A gate of fewer than three fanins looks at the first ones only. */
export const gateFunctions = {
  not: (of, a) => of.not(a),
  and: (of, a, b) => of.and(a, b),
  or: (of, a, b) => of.or(a, b),
  xor: (of, a, b) => of.xor(a, b),
  xor3: (of, a, b, c) => of.xor(of.xor(a, b), c),
  // Where a and b differ c decides, elsewhere they do; a ⊕ b is that of the sum beside it.
  maj: (of, a, b, c) => of.select(of.xor(a, b), c, a),
} as const satisfies Readonly<Record<GateKind, GateFunction>>;

/** 32 bits in one number. */
export const words: BitAlgebra<number> = {
  not: (a) => ~a,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  select: (mask, one, zero) => zero ^ (mask & (one ^ zero)),
};

/** Expressions over integers, in a notation that JavaScript and C share. */
export const expressions: BitAlgebra<string> = {
  not: (a) => `~${a}`,
  and: (a, b) => `(${a} & ${b})`,
  or: (a, b) => `(${a} | ${b})`,
  xor: (a, b) => `(${a} ^ ${b})`,
  select: (mask, one, zero) => `(${zero} ^ (${mask} & (${one} ^ ${zero})))`,
};
