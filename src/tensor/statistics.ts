// Means of repeated measurements with their uncertainty: the 95 % interval of Student's t, which three seeds need where
// a normal one would be far too narrow.

/** Two-sided 95 % quantiles of Student's t for 1 … 30 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2). */
const quantiles = [
  ...[12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228],
  ...[2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086],
  ...[2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042],
];

/** The normal distribution's. */
const Z = 1.959964;

/** A mean, and half the width of its 95 % interval: 0 for a single value, of which none is known. */
export interface Mean {
  readonly mean: number;
  readonly spread: number;
  readonly n: number;
}

/** Mean and 95 % t-interval of at least one value. */
export function meanOf(values: readonly number[]): Mean {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n < 2) return { mean, spread: 0, n };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  return { mean, spread: studentQuantile(n - 1) * Math.sqrt(variance / n), n };
}

/** Beyond the table the expansion of Cornish and Fisher in 1/ν, right to 1e-4 there. */
export function studentQuantile(degrees: number): number {
  const known = quantiles[degrees - 1];
  if (known !== undefined) return known;
  const first = (Z ** 3 + Z) / 4;
  const second = (5 * Z ** 5 + 16 * Z ** 3 + 3 * Z) / 96;
  return Z + first / degrees + second / degrees ** 2;
}
