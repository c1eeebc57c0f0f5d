// What a multiplier does wrong: E(w, x) = AxM(w, x) − w·x for every pair of codes, and the way back to the products. The one home of the
// difference: tables are made into errors here, and errors into products, whoever needs them.
// Invariant: entry w·2^activationBits + x belongs to the codes w and x.

/** How a device forms products with an error table: by an exact factorisation into planes, or by look-ups. */
export type TableEmulation = 'lowrank' | 'table';

/**
 * The error of a product node of a graph (axmConv2d), which takes what the error reads as inputs of its own. One value instead of a name
 * with flags beside it: what only means something for one kind is only there for that kind.
 * `none`: exact products, no further input. `removal`: E = −Σ_ij m[i,j] 2^(i+j) w[i] x[j], input m: f32 [weightBits, activationBits];
 * `integer` promises that every m[i,j] is 0 or 1, so sums are exact integers. `table`: E is an i32 table [2^weightBits, 2^activationBits];
 * `emulation` asks for one way to look it up where a device has several: results are the same to the last bit, by default it is the fastest.
 */
export type ProductError =
  | { readonly kind: 'none' }
  | { readonly kind: 'removal'; readonly integer: boolean }
  | { readonly kind: 'table'; readonly emulation?: TableEmulation };

/** Whether all sums of products are integers: everything but a removal of shares. */
export function isInteger(error: ProductError): boolean {
  return error.kind !== 'removal' || error.integer;
}
