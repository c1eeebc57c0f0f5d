// The complete function of a multiplier: the product of every pair of operand patterns. The first operand is the weight
// w (the first bus of a netlist, the first number of a published table row), the second the activation x.
// Invariant: data has 2^(weightBits + activationBits) entries, and entry w · 2^activationBits + x belongs to the
// PATTERNS w and x. In a signed table patterns are two's complement (pattern 255 of 8 bits is −1) and the stored
// products are signed integers.

import { invariant } from '../tensor/errors.ts';
import { checkTableBits } from './widths.ts';

/** Every product of a multiplier. */
export interface ProductTable {
  /** Width of the first operand, the weight: 2 … 22 bits. */
  readonly weightBits: number;
  /** Width of the second operand, the activation; both together at most 24 bits. */
  readonly activationBits: number;
  /** Operands are two's complement patterns (255 of 8 bits is −1), and products signed integers. */
  readonly signed: boolean;
  /** 2^(weightBits + activationBits) products; entry w · 2^activationBits + x belongs to the bit patterns w and x. */
  readonly data: Int32Array;
}

/** Wraps products without copying them; entry w · 2^activationBits + x belongs to the bit patterns w and x. */
export function productTable(
  weightBits: number,
  activationBits: number,
  signed: boolean,
  data: Int32Array,
): ProductTable {
  const pairs = 2 ** (weightBits + activationBits);
  invariant(data.length === pairs, `${data.length} products for ${pairs} operand pairs`);
  return { weightBits, activationBits, signed, data };
}

/** The integer that a pattern of `bits` bits stands for. */
export function operandValue(pattern: number, bits: number, signed: boolean): number {
  return signed && pattern >= 2 ** (bits - 1) ? pattern - 2 ** bits : pattern;
}

/** The values of all patterns of an operand, in the order of the patterns. */
export function operandValues(bits: number, signed: boolean): Int32Array {
  return Int32Array.from({ length: 2 ** bits }, (_, pattern) => operandValue(pattern, bits, signed));
}

/** The exact products of operands of these widths, by bit patterns. */
export function exactTable(weightBits: number, activationBits: number, signed = false): ProductTable {
  checkTableBits(weightBits, activationBits);
  const weights = operandValues(weightBits, signed);
  const activations = operandValues(activationBits, signed);
  const data = new Int32Array(weights.length * activations.length);
  let pair = 0;
  for (let w = 0; w < weights.length; w++) {
    for (let x = 0; x < activations.length; x++) data[pair++] = weights[w]! * activations[x]!;
  }
  return productTable(weightBits, activationBits, signed, data);
}

/**
 * The first operand pair on which two tables differ, as patterns, or null when they are equal. The formats must be the
 * same.
 */
export function firstDifference(a: ProductTable, b: ProductTable): { w: number; x: number } | null {
  invariant(
    a.weightBits === b.weightBits && a.activationBits === b.activationBits && a.signed === b.signed,
    'tables of different formats compared',
  );
  let pair = 0;
  while (pair < a.data.length && a.data[pair] === b.data[pair]) pair++;
  if (pair === a.data.length) return null;
  return { w: pair >> a.activationBits, x: pair & (2 ** a.activationBits - 1) };
}

/**
 * Which operand of a multiplier that was made elsewhere is the first: the first bus of a netlist, the row of a table.
 */
export const operandOrders = ['weight-activation', 'activation-weight'] as const;
export type OperandOrder = (typeof operandOrders)[number];

/** The table with its operands exchanged: entry (a, b) of the result is entry (b, a) of the given one. */
export function exchangeOperands({ weightBits, activationBits, signed, data }: ProductTable): ProductTable {
  const [rows, columns] = [2 ** weightBits, 2 ** activationBits];
  const exchanged = new Int32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) exchanged[column * rows + row] = data[row * columns + column]!;
  }
  return productTable(activationBits, weightBits, signed, exchanged);
}

/** Whether exchanging the operands changes nothing. */
export function isSymmetric(table: ProductTable): boolean {
  return table.weightBits === table.activationBits && firstDifference(table, exchangeOperands(table)) === null;
}
