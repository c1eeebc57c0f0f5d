// What a multiplier does wrong: E(w, x) = AxM(w, x) − w·x for every pair of operands, and the way back to the products.
// The one home of the difference: tables are made into errors here, and errors into products, whoever needs them.
// Invariant: entry w·2^activationBits + x belongs to the CODES w and x, which run from 0 on; only `errorsOf` goes by
// patterns.

import { codeOfPattern } from './operands.ts';
import { exactTable, type ProductTable } from './table.ts';
import type { OperandWidths } from './widths.ts';

/** How the products of a fixed multiplier are formed, as people choose it; results are the same to the last bit. */
export const emulations = ['auto', 'planes', 'lowrank', 'table'] as const;
export type EmulationName = (typeof emulations)[number];

/** How a device forms products with an error table: by an exact factorisation into planes, or by look-ups. */
export type TableEmulation = Extract<EmulationName, 'lowrank' | 'table'>;

/**
 * The error of a product node of a graph (axmConv2d), which takes what the error reads as inputs of its own. One value
 * instead of a name with flags beside it: what only means something for one kind is only there for that kind.
 * `none`: exact products, no further input. `removal`: E = −Σ_ij m[i,j] 2^(i+j) w[i] x[j], input m: f32 [weightBits,
 * activationBits];
 * `integer` promises that every m[i,j] is 0 or 1, so sums are exact integers. `table`: E is an i32 table [2^weightBits,
 * 2^activationBits];
 * `emulation` asks for one way to look it up where a device has several: results are the same to the last bit, by
 * default it is the fastest.
 */
export type ProductError =
  | { readonly kind: 'none' }
  | { readonly kind: 'removal'; readonly integer: boolean }
  | { readonly kind: 'table'; readonly emulation?: TableEmulation };

/** Whether all sums of products are integers: everything but a removal of shares. */
export function isInteger(error: ProductError): boolean {
  return error.kind !== 'removal' || error.integer;
}

/** AxM(w, x) = w·x + E(w, x) for every pair of codes. */
export function productsOfError<T extends Int32Array | Float64Array>(error: T, { activationBits }: OperandWidths): T {
  const activations = 2 ** activationBits;
  const products = error.slice() as T;
  for (let at = 0; at < products.length; at++) products[at]! += Math.floor(at / activations) * (at % activations);
  return products;
}

/** E of every pair of operands in the order of the table: by patterns. */
export function errorsOf({ weightBits, activationBits, signed, data }: ProductTable): Int32Array {
  const exact = exactTable(weightBits, activationBits, signed).data;
  return data.map((product, pair) => product - exact[pair]!);
}

/**
 * E of every pair of unsigned codes. Signed operands are the codes minus half their range: with zero points moved alike
 * the exact product stays the same, so a signed multiplier is its error at the shifted operands.
 */
export function errorByCodes(table: ProductTable): Int32Array {
  const errors = errorsOf(table);
  const { weightBits, activationBits, signed } = table;
  if (!signed) return errors;
  return errors.map((_, pair) => {
    const w = codeOfPattern(pair >> activationBits, weightBits);
    const x = codeOfPattern(pair & (2 ** activationBits - 1), activationBits);
    return errors[(w << activationBits) | x]!;
  });
}
