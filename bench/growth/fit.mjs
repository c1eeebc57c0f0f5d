// Least squares with coefficients that cannot be negative (a cost does not shrink), for a few terms: every subset
// of the terms is solved by normal equations, and the best one whose coefficients are all ≥ 0 is taken. Points
// weigh by 1/t², so that relative errors count.

/** Solves A x = b by elimination; undefined where A is singular. */
function solve(a, b) {
  const rows = a.map((row, i) => [...row, b[i]]);
  for (let i = 0; i < rows.length; i++) {
    let pivot = i;
    for (let k = i + 1; k < rows.length; k++) if (Math.abs(rows[k][i]) > Math.abs(rows[pivot][i])) pivot = k;
    if (Math.abs(rows[pivot][i]) < 1e-14) return undefined;
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let k = 0; k < rows.length; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= rows.length; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  return rows.map((row, i) => row[rows.length] / row[i]);
}

/**
 * Terms are functions of x; points {x, ms}. The coefficients, the root of the mean squared relative error, and the
 * point that is off most.
 */
export function leastSquares(points, terms) {
  let best;
  for (let set = 1; set < 1 << terms.length; set++) {
    const chosen = terms.filter((_, at) => (set >> at) & 1);
    const scale = chosen.map((term) => Math.max(...points.map(({ x }) => Math.abs(term(x)))) || 1);
    const row = ({ x, ms }) => chosen.map((term, at) => term(x) / scale[at] / ms);
    const a = chosen.map((_, i) =>
      chosen.map((_, j) => points.reduce((sum, point) => sum + row(point)[i] * row(point)[j], 0)),
    );
    const b = chosen.map((_, i) => points.reduce((sum, point) => sum + row(point)[i], 0));
    const solution = solve(a, b);
    if (!solution?.every((value) => value >= 0)) continue;
    const parts = solution.map((value, at) => value / scale[at]);
    const predict = (x) => chosen.reduce((sum, term, at) => sum + parts[at] * term(x), 0);
    const errors = points.map(({ x, ms }) => ms / predict(x) - 1);
    const residual = Math.hypot(...points.map(({ x, ms }) => predict(x) / ms - 1)) / Math.sqrt(points.length);
    if (best && residual >= best.residual) continue;
    const worst = errors.reduce((at, error, k) => (Math.abs(error) > Math.abs(errors[at]) ? k : at), 0);
    const coefficients = terms.map((_, at) => ((set >> at) & 1 ? parts[chosen.indexOf(terms[at])] : 0));
    best = { coefficients, residual, worst: { x: points[worst].x, error: errors[worst] }, predict };
  }
  return best;
}
