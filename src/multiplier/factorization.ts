// A multiplier as a sum of products of 8-bit integers, for matrix units: AxM(w, x) = constant(w) + Σ_p V_p(x)·U_p(w)
// for every pair of codes.
// Two exact forms are tried and the cheaper is taken:
//   bit products — the multilinear expansion E(w, x) = E(w, 0) + Σ_S c_S(w)·Π_{j∈S} x_j (Möbius inversion over the bits
//   of x). It is unique, and
//     sparse for whatever a few gates make: a mapped multiplier has about as many terms as its error matrix has rank.
//     V_p costs no memory, being an AND of bits of the codes; w·x itself joins the terms of single bits (emulation by
//     planes is the special case of a truncation).
//   functions — a reduced basis of the lattice of the rows, for products such as f(w)·f(x) whose f is no short sum of
//   bit products.
// Invariant: whatever is returned has been compared with the table on every operand pair. It is no approximation and
// knows no device.

import { productsOfError } from './error.ts';
import { coordinates, reducedBasis, type Vector } from './lattice.ts';
import type { OperandWidths } from './widths.ts';

/** One term V(x)·U(w). */
export interface FactorPlane {
  /** What it reads of x: 0 is the code itself, f is `functions[f − 1]` of the code. */
  readonly source: number;
  /** The bits that it reads; without `at`, V is these bits in their places. */
  readonly mask: number;
  /** Where given, V is 2^at if all bits of the mask are set, else 0; of a function, it is 2^at times its value. */
  readonly at: number | undefined;
  /** U of each weight code: all in 0…255 or all in −128…127. */
  readonly weights: Int32Array;
}

export interface Factorization {
  /**
   * Functions of the activation code that are no bits of it: all values in 0…255 or all in −128…127, and 0 at code 0.
   */
  readonly functions: readonly Int32Array[];
  readonly planes: readonly FactorPlane[];
  /** AxM(w, 0) of each weight code. */
  readonly constant: Int32Array;
}

/** Why there is no factorisation of that size, to be shown in a message. */
export interface NoFactorization {
  readonly refused: string;
}

/** Largest rank for which functions are looked for. */
const MOST_FUNCTIONS = 8;
/** Reading one more function of x, in planes: its codes come from memory. */
const FUNCTION_COST = 2;

const fits = (values: Int32Array): boolean => {
  const low = values.reduce((least, value) => Math.min(least, value), 0);
  const high = values.reduce((most, value) => Math.max(most, value), 0);
  return low >= 0 ? high < 256 : low >= -128 && high < 128;
};

/** Whether some value is negative: its eight bits are then two's complement. */
export const isSigned = (values: Int32Array): boolean => values.some((value) => value < 0);

const costOf = ({ planes, functions }: Factorization): number => planes.length + FUNCTION_COST * functions.length;

/**
 * Factors the multiplier whose error table is E[w·2^activationBits + x] into at most `mostPlanes` planes and functions.
 */
export function factorize(
  error: Int32Array,
  widths: OperandWidths,
  mostPlanes: number,
): Factorization | NoFactorization {
  const table = new Table(error, widths);
  const { activationBits } = widths;
  const terms = bitProducts(table);
  const candidates: (Factorization | undefined)[] = [];
  // Only single bits can share planes.
  if (terms.size <= mostPlanes + activationBits)
    candidates.push(planesOfBits(table, terms, 'joined'), planesOfBits(table, terms, 'alone'));
  if (terms.size > activationBits)
    candidates.push(planesOfFunctions(table, 'product'), planesOfFunctions(table, 'error'));
  const affordable = candidates
    .filter((one) => one !== undefined)
    .filter((one) => one.planes.length + one.functions.length <= mostPlanes);
  const best = affordable.sort((a, b) => costOf(a) - costOf(b)).find((candidate) => table.equals(candidate));
  if (best) return best;
  const rank = candidates.some((one) => one && one.functions.length > 0) ? '' : ` and a rank above ${MOST_FUNCTIONS}`;
  return { refused: `its error has ${terms.size} products of bits${rank}; ${mostPlanes} planes are the most` };
}

/** All products of a multiplier by codes. */
class Table {
  readonly error: Int32Array;
  readonly product: Int32Array;
  readonly weights: number;
  readonly activations: number;

  constructor(error: Int32Array, widths: OperandWidths) {
    this.error = error;
    this.product = productsOfError(error, widths);
    this.weights = 2 ** widths.weightBits;
    this.activations = 2 ** widths.activationBits;
  }

  get constant(): Int32Array {
    return Int32Array.from({ length: this.weights }, (_, w) => this.error[w * this.activations]!);
  }

  /** For each weight code the products or the errors with all activation codes, less the one with code 0. */
  *rows(of: 'product' | 'error'): Generator<Vector> {
    const { weights, activations } = this;
    for (let w = 0; w < weights; w++) {
      const row = Float64Array.from(this[of].subarray(w * activations, (w + 1) * activations));
      const first = row[0]!;
      for (let x = 0; x < activations; x++) row[x]! -= first;
      yield row;
    }
  }

  equals({ planes, functions, constant }: Factorization): boolean {
    const { product, weights, activations } = this;
    const sums = new Int32Array(activations);
    const values = planes.map((plane) => operandsOf(plane, functions, activations));
    for (let w = 0; w < weights; w++) {
      sums.fill(constant[w]!);
      planes.forEach((plane, at) => {
        const u = plane.weights[w]!;
        const v = values[at]!;
        if (u !== 0) for (let x = 0; x < activations; x++) sums[x]! += u * v[x]!;
      });
      for (let x = 0; x < activations; x++) if (sums[x] !== product[w * activations + x]!) return false;
    }
    return true;
  }
}

/** V of each activation code. */
function operandsOf(
  { source, mask, at }: Omit<FactorPlane, 'weights'>,
  functions: readonly Int32Array[],
  activations: number,
): Int32Array {
  return Int32Array.from({ length: activations }, (_, x) => {
    if (source > 0) return functions[source - 1]![x]! << (at ?? 0);
    if (at === undefined) return x & mask;
    return (x & mask) === mask ? 2 ** at : 0;
  });
}

/** c_S(w) by S (a mask of bits of x, without the empty one), as far as it is not zero for all w. */
function bitProducts({ error, weights, activations }: Table): Map<number, Int32Array> {
  const coefficients = error.slice();
  for (let bit = 1; bit < activations; bit *= 2) {
    for (let at = 0; at < coefficients.length; at++) if (at & bit) coefficients[at]! -= coefficients[at ^ bit]!;
  }
  const terms = new Map<number, Int32Array>();
  for (let mask = 1; mask < activations; mask++) {
    const column = Int32Array.from({ length: weights }, (_, w) => coefficients[w * activations + mask]!);
    if (column.some((value) => value !== 0)) terms.set(mask, column);
  }
  return terms;
}

interface Digit {
  /** Left shift of the other operand. */
  readonly shift: number;
  readonly values: Int32Array;
}

/**
 * values = Σ 2^shift·digit with as few digits of eight bits as possible: one where a power of two that all values share
 * makes them fit, else the bits below `room` and, at `room`, as many digits as the rest needs.
 */
function digitsOf(values: Int32Array, room: number): Digit[] {
  const bits = values.reduce((all, value) => all | value, 0);
  if (bits === 0) return [];
  const shift = Math.min(room, 31 - Math.clz32(bits & -bits));
  const whole = values.map((value) => value >> shift);
  if (fits(whole)) return [{ shift, values: whole }];
  if (shift < room) {
    const low = values.map((value) => value & (2 ** room - 1));
    const high = values.map((value) => value >> room);
    return [...digitsOf(low, room), ...digitsOf(high, 0).map((digit) => ({ ...digit, shift: room }))];
  }
  return piecesOf(whole).map((piece) => ({ shift, values: piece }));
}

/** values = Σ pieces of eight bits, all but the last between −128 and 127. */
function piecesOf(values: Int32Array): Int32Array[] {
  if (fits(values)) return [values];
  const piece = values.map((value) => Math.max(-128, Math.min(127, value)));
  return [piece, ...piecesOf(values.map((value, at) => value - piece[at]!))];
}

/**
 * Bit products as planes; where the coefficient of a single bit alone has fewer digits than joined with w·2^j, `alone`
 * leaves w·x apart.
 */
function planesOfBits(table: Table, terms: ReadonlyMap<number, Int32Array>, single: 'joined' | 'alone'): Factorization {
  const planes: FactorPlane[] = [];
  /** Bits that meet the same weights in their own places share a plane. */
  const inPlace = new Map<string, { mask: number; weights: Int32Array }>();
  const put = (mask: number, digits: readonly Digit[]) => {
    for (const { shift, values } of digits) {
      if (mask !== 2 ** shift) planes.push({ source: 0, mask, at: shift, weights: values });
      else {
        const key = values.join();
        const shared = inPlace.get(key);
        if (shared) shared.mask |= mask;
        else inPlace.set(key, { mask, weights: values });
      }
    }
  };
  for (let bit = 1; bit < table.activations; bit *= 2) {
    const exact = Int32Array.from({ length: table.weights }, (_, w) => bit * w);
    const coefficient = terms.get(bit);
    const joined = digitsOf(coefficient ? exact.map((value, w) => value + coefficient[w]!) : exact, TOP_BIT);
    const alone = coefficient ? digitsOf(coefficient, TOP_BIT) : joined;
    if (single === 'alone' && alone.length < joined.length) put(bit, [...digitsOf(exact, TOP_BIT), ...alone]);
    else put(bit, joined);
  }
  for (const [mask, coefficient] of terms) if (mask & (mask - 1)) put(mask, digitsOf(coefficient, TOP_BIT));
  planes.push(...[...inPlace.values()].map((shared) => ({ ...shared, source: 0, at: undefined })));
  return { functions: [], planes, constant: table.constant };
}

const TOP_BIT = 7;

/**
 * Planes of a basis of the rows of the products, or of the errors beside a plane of w·x; undefined where the rank is
 * too high.
 */
function planesOfFunctions(table: Table, of: 'product' | 'error'): Factorization | undefined {
  const { weights, activations } = table;
  const basis = reducedBasis(table.rows(of), MOST_FUNCTIONS);
  const rows = basis && coordinates(table.rows(of), basis);
  if (!basis || !rows) return undefined;
  const everything = { source: 0, mask: activations - 1, at: undefined };
  const functions: Int32Array[] = [];
  const planes: FactorPlane[] = [];
  if (of === 'error') planes.push({ ...everything, weights: Int32Array.from({ length: weights }, (_, w) => w) });
  basis.forEach((vector, dimension) => {
    // Primitive, and with more positive than negative values.
    const sum = vector.reduce((total, value) => total + value, 0);
    const content = vector.reduce(greatestCommonDivisor, 0) * (sum < 0 ? -1 : 1);
    const factors = Int32Array.from(rows, (row) => content * row[dimension]!);
    for (const values of piecesOf(Int32Array.from(vector, (value) => value / content))) {
      const isCode = values.every((value, x) => value === x);
      if (!isCode) functions.push(values);
      const room = isCode || isSigned(values) ? 0 : Math.floor(Math.log2(255 / Math.max(...values)));
      for (const { shift, values: weights } of digitsOf(factors, room)) {
        planes.push(
          isCode ? { ...everything, weights } : { source: functions.length, mask: activations - 1, at: shift, weights },
        );
      }
    }
  });
  return { functions, planes, constant: table.constant };
}

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? Math.abs(a) : greatestCommonDivisor(b, a % b);
