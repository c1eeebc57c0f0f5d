// A straight-line program over vectors of 128 bits: 128 operand pairs at a time. Values are numbered as they are made;
// equal ones are made once, constants fold, and complements are free: a value is 2 · number + 1 where it is the
// complement of a numbered one, so that `not` costs an instruction only where arithmetic meets it.
// Invariant: operands come before what uses them. What no store needs is never emitted (assemble.ts).

import { invariant } from '../../tensor/errors.ts';
import type { BitAlgebra } from '../gates.ts';

/** A vector, or with its lowest bit set the complement of one. */
export type Value = number;

export const ZERO: Value = 0;
export const ONE: Value = 1;

/** What an operation does with its operands a, b, c and its parameter p. */
export type OperationKind =
  /** constants[p] */
  | 'constant'
  /** The block's input from byte p on. */
  | 'load'
  /** Bit p of the block's number, all lanes alike. */
  | 'blockBit'
  | 'not'
  | 'and'
  | 'or'
  | 'xor'
  /** a and not b. */
  | 'andnot'
  /** a where c is 1, else b. */
  | 'select'
  /** a, as four integers, shifted by p bits. */
  | 'shiftLeft'
  | 'shiftRight'
  | 'shiftRightSigned'
  /** The lower or upper halves of a and b, interleaved by units of p bytes. */
  | 'interleaveLow'
  | 'interleaveHigh';

export interface Operation {
  readonly kind: OperationKind;
  /** Numbers of operations, not values: complements are resolved. */
  readonly operands: readonly number[];
  readonly parameter: number;
}

export interface Store {
  readonly operation: number;
  /** Within the block's output. */
  readonly offset: number;
}

/** Codes of the kinds in the keys of known operations; an operand or parameter takes the bits above and below. */
const kindCode: Readonly<Record<OperationKind, number>> = {
  constant: 0,
  load: 1,
  blockBit: 2,
  not: 3,
  and: 4,
  or: 5,
  xor: 6,
  andnot: 7,
  select: 8,
  shiftLeft: 9,
  shiftRight: 10,
  shiftRightSigned: 11,
  interleaveLow: 12,
  interleaveHigh: 13,
};
const MOST_OPERATIONS = 2 ** 24;

export class Program implements BitAlgebra<Value> {
  readonly operations: Operation[] = [];
  readonly constants: Uint8Array[] = [];
  readonly stores: Store[] = [];
  readonly #known = new Map<number, number>();

  constructor() {
    this.constant(new Uint8Array(16));
  }

  /** The same 16 bytes in every block. */
  constant(bytes: Uint8Array): Value {
    const found = this.constants.findIndex((other) => other.every((byte, n) => byte === bytes[n]));
    if (found < 0) this.constants.push(bytes);
    return this.#operation('constant', [], found < 0 ? this.constants.length - 1 : found);
  }

  load(offset: number): Value {
    return this.#operation('load', [], offset);
  }

  blockBit(bit: number): Value {
    return this.#operation('blockBit', [], bit);
  }

  readonly not = (a: Value): Value => a ^ 1;

  readonly and = (a: Value, b: Value): Value => {
    if (a > b) return this.and(b, a);
    if (a === ZERO || a === (b ^ 1)) return ZERO;
    if (a === ONE || a === b) return b;
    if (a & b & 1) return this.#operation('or', [a >> 1, b >> 1]) ^ 1;
    if (a & 1) return this.#operation('andnot', [b >> 1, a >> 1]);
    return this.#operation(b & 1 ? 'andnot' : 'and', [a >> 1, b >> 1]);
  };

  readonly or = (a: Value, b: Value): Value => this.and(a ^ 1, b ^ 1) ^ 1;

  readonly xor = (a: Value, b: Value): Value => {
    if (a > b) return this.xor(b, a);
    if (a <= ONE) return a ^ b;
    if (a >> 1 === b >> 1) return (a ^ b) & 1;
    return this.#operation('xor', [a >> 1, b >> 1]) ^ ((a ^ b) & 1);
  };

  readonly select = (mask: Value, one: Value, zero: Value): Value => {
    if (mask & 1) return this.select(mask ^ 1, zero, one);
    if (mask === ZERO || one === zero) return zero;
    if (one === (zero ^ 1) || one <= ONE || zero <= ONE || one >> 1 === mask >> 1 || zero >> 1 === mask >> 1) {
      return this.or(this.and(mask, one), this.and(mask ^ 1, zero));
    }
    // Complementing both alternatives complements the result.
    const both = one & 1;
    return this.#operation('select', [one >> 1, this.#plain(zero ^ both), mask >> 1]) ^ both;
  };

  shift(direction: 'shiftLeft' | 'shiftRight' | 'shiftRightSigned', a: Value, bits: number): Value {
    return a === ZERO ? ZERO : this.#operation(direction, [this.#plain(a)], bits);
  }

  interleave(half: 'interleaveLow' | 'interleaveHigh', a: Value, b: Value, bytes: 1 | 2): Value {
    return a + b === ZERO ? ZERO : this.#operation(half, [this.#plain(a), this.#plain(b)], bytes);
  }

  store(value: Value, offset: number): void {
    this.stores.push({ operation: this.#plain(value), offset });
  }

  /** The operation that computes a value, complemented where it must be. */
  #plain(value: Value): number {
    return value & 1 ? this.#operation('not', [value >> 1]) >> 1 : value >> 1;
  }

  #operation(kind: OperationKind, operands: readonly number[], parameter = 0): Value {
    const number = this.operations.length;
    invariant(number < MOST_OPERATIONS, `a program of more than ${MOST_OPERATIONS} operations`);
    const [a = parameter, b = parameter, third] = operands;
    // Two numbers of 24 bits and a kind of 4 fit the 53 bits of a double; operations of three operands are made anew.
    const key = (a * MOST_OPERATIONS + b) * 16 + kindCode[kind];
    const existing = third === undefined ? this.#known.get(key) : undefined;
    if (existing !== undefined) return 2 * existing;
    this.operations.push({ kind, operands, parameter });
    if (third === undefined) this.#known.set(key, number);
    return 2 * number;
  }
}
