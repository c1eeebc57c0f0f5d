// A table of real numbers as a sum of few products u(row)·v(column), by elimination with the largest remaining entry as
// pivot. The error of a truncated multiplier has such a sum (one term per activation bit at most), and so have its
// slopes, which are linear in it; then sums over the table are ordinary products of matrices. Invariant: the factors
// reproduce every entry to float32's rounding of the largest.

export interface Factors {
  readonly rank: number;
  /** f32 [rows][rank] and [columns][rank]: entry (i, j) = Σ_k left[i][k]·right[j][k]. */
  readonly left: Float32Array;
  readonly right: Float32Array;
}

/**
 * What is left of the largest entry when a factorisation is complete: rounding of float32 entries and of the
 * elimination.
 */
const REMAINDER = 2 ** -20;

/**
 * The factors of a table [rows][columns], or undefined where it takes more than `most` terms. A table of zeros has one
 * term, of zeros.
 */
export function factorsOf(table: ArrayLike<number>, rows: number, columns: number, most: number): Factors | undefined {
  const rest = Float64Array.from(table);
  const terms: { u: Float64Array; v: Float64Array }[] = [];
  const first = Math.abs(rest[largestOf(rest)]!);
  for (;;) {
    const at = largestOf(rest);
    const pivot = rest[at]!;
    if (Math.abs(pivot) <= first * REMAINDER) break;
    if (terms.length === most) return undefined;
    const [row, column] = [Math.floor(at / columns), at % columns];
    // Both factors get the same magnitude.
    const size = Math.sqrt(Math.abs(pivot));
    const u = Float64Array.from({ length: rows }, (_, i) => rest[i * columns + column]! / size);
    const v = Float64Array.from({ length: columns }, (_, j) => (rest[row * columns + j]! * size) / pivot);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) rest[i * columns + j]! -= u[i]! * v[j]!;
    terms.push({ u, v });
  }
  const rank = Math.max(1, terms.length);
  const left = new Float32Array(rows * rank);
  const right = new Float32Array(columns * rank);
  terms.forEach(({ u, v }, k) => {
    u.forEach((value, i) => {
      left[i * rank + k] = value;
    });
    v.forEach((value, j) => {
      right[j * rank + k] = value;
    });
  });
  return { rank, left, right };
}

function largestOf(values: Float64Array): number {
  let largest = 0;
  for (let at = 1; at < values.length; at++) if (Math.abs(values[at]!) > Math.abs(values[largest]!)) largest = at;
  return largest;
}
