// Short integer vectors that span given ones: an LLL-reduced basis of the lattice that the rows of an integer matrix
// generate, found row by row (Lenstra, Lenstra, Lovász 1982; dependent vectors reduce to zero and leave). Vectors hold
// integers exactly, as doubles; only the orthogonalisation is rounded, so a wrong result shows when the rows are
// written in the basis, and callers must check that.
// Meant for few dimensions (a dozen): everything is recomputed after each step.

export type Vector = Float64Array;

/** Lovász' constant: how much shorter a vector must be to move down. */
const DELTA = 0.75;
/** A square of a length below this share of the vector's own is rounding. */
const ROUNDING = 1e-9;

const dot = (a: Vector, b: Vector): number => a.reduce((sum, value, at) => sum + value * b[at]!, 0);

/** a ← a − factor·b. */
function subtract(a: Vector, factor: number, b: Vector): void {
  for (let at = 0; at < a.length; at++) a[at]! -= factor * b[at]!;
}

const isZero = (a: Vector): boolean => a.every((value) => value === 0);

interface Direction {
  readonly vector: Vector;
  /** Its square length, 0 where the basis vector depends on those before it. */
  readonly square: number;
}

/** The part of each basis vector that is orthogonal to those before it. */
function directionsOf(basis: readonly Vector[]): Direction[] {
  const directions: Direction[] = [];
  for (const original of basis) {
    const vector = original.slice();
    for (const before of directions) subtract(vector, along(vector, before), before.vector);
    const square = dot(vector, vector);
    directions.push({ vector, square: square > ROUNDING * dot(original, original) ? square : 0 });
  }
  return directions;
}

const along = (a: Vector, { vector, square }: Direction): number => (square > 0 ? dot(a, vector) / square : 0);

/**
 * Takes whole multiples of the basis vectors off `a` until it is shortest, and returns them; in the lattice nothing is
 * left of `a`.
 */
function takeOff(a: Vector, basis: readonly Vector[], directions: readonly Direction[]): number[] {
  const taken = basis.map(() => 0);
  for (let j = basis.length - 1; j >= 0; j--) {
    const times = Math.round(along(a, directions[j]!));
    if (times !== 0) subtract(a, times, basis[j]!);
    taken[j] = times;
  }
  return taken;
}

/** LLL in place; at most one vector depends on the others. */
function reduce(basis: Vector[]): void {
  for (let k = 1; k < basis.length; ) {
    const vector = basis[k]!;
    const directions = directionsOf(basis.slice(0, k));
    takeOff(vector, basis.slice(0, k), directions);
    if (isZero(vector)) {
      basis.splice(k, 1);
      continue;
    }
    const below = directions[k - 1]!;
    const share = along(vector, below);
    const { square } = directionsOf(basis.slice(0, k + 1))[k]!;
    if (square >= (DELTA - share * share) * below.square) {
      k++;
    } else {
      basis.splice(k - 1, 2, vector, basis[k - 1]!);
      k = Math.max(1, k - 1);
    }
  }
}

/** A reduced basis of the lattice of the rows, or undefined where it has more than `most` dimensions. */
export function reducedBasis(rows: Iterable<Vector>, most: number): Vector[] | undefined {
  const basis: Vector[] = [];
  let directions: Direction[] = [];
  for (const row of rows) {
    const rest = row.slice();
    takeOff(rest, basis, directions);
    if (isZero(rest)) continue;
    basis.push(rest);
    reduce(basis);
    if (basis.length > most) return undefined;
    directions = directionsOf(basis);
  }
  return basis;
}

/** The row as a sum of whole multiples of the basis vectors, or undefined where it is none. */
export function coordinates(rows: Iterable<Vector>, basis: readonly Vector[]): number[][] | undefined {
  const directions = directionsOf(basis);
  const found: number[][] = [];
  for (const row of rows) {
    const rest = row.slice();
    found.push(takeOff(rest, basis, directions));
    if (!isZero(rest)) return undefined;
  }
  return found;
}
