// exp, log and erf as devices compute them: expressions of operators that are rounded once, so that all devices have
// the same bits. Polynomials by weighted least squares, made minimax by Lawson's iteration; that of log is FreeBSD's
// (msun, e_logf.c). Greatest errors against double precision, over all float32 that were tried (functions.test.ts): exp
// 8.1e-8 relative; log 1e-7 relative; erf 1.4e-7 absolute and 1.6e-7 relative.

import {
  absolute,
  constant,
  type Expression,
  minimum,
  nearest,
  powerOfTwo,
  rewrite,
  squareRoot,
  whereGreater,
} from './expression.ts';

/** Σ coefficients[k]·xᵏ. */
function polynomial(x: Expression, coefficients: readonly number[]): Expression {
  const [highest, ...rest] = [...coefficients].reverse();
  return rest.reduce((sum, coefficient) => sum.times(x).plus(coefficient), constant(highest!));
}

/** ln 2 as a number of few digits, whose products with integers up to 128 are exact, and what it lacks. */
const LN2 = { high: 0.693359375, low: -2.1219444e-4 } as const;
/** (exp(r) − 1 − r)/r² for |r| ≤ ln 2 / 2. */
const EXP = [0.499999935, 0.166665207, 0.0416683875, 0.00836871116, 0.00138146102];
/** Below, the result is 0 (it would be less than 2.8e-38); above, infinity. */
const EXP_RANGE = { low: -86.5, high: 88.72284 } as const;

/** exp(n·ln 2 + r) = 2ⁿ·exp(r); 2ⁿ in two factors, for 2¹²⁸ is no number but its product with exp(r) < 1 may be. */
function exponential(x: Expression): Expression {
  const n = nearest(x.times(Math.LOG2E));
  const r = x.minus(n.times(LN2.high)).minus(n.times(LN2.low));
  const ofRest = polynomial(r, EXP).times(r.times(r)).plus(r).plus(1);
  const y = ofRest.times(powerOfTwo(n.minus(1))).times(2);
  return whereGreater(EXP_RANGE.low, x, 0, whereGreater(x, EXP_RANGE.high, Number.POSITIVE_INFINITY, y));
}

/** (log((1 + s)/(1 − s)) − 2·s)/s by s², for |s| up to that of √2. */
const LOG = [0, 0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841];
const LARGEST = 3.4028234663852886e38;

/** ln(m·2ⁿ) = n·ln 2 + ln(1 + f), f = m − 1 with m from √½ to √2; m and n are found by products that are exact. */
function logarithm(x: Expression): Expression {
  let m = x;
  let n = constant(0);
  // Up to 1 or more, also the smallest of all, 2⁻¹⁴⁹; then down to less than 2, and around 1.
  for (const k of [64, 64, 32]) scale(whereGreater(1, m, 2 ** k, 1), whereGreater(1, m, -k, 0));
  for (const k of [64, 32, 16, 8, 4, 2, 1]) scale(whereGreater(2 ** k, m, 1, 2 ** -k), whereGreater(2 ** k, m, 0, k));
  scale(whereGreater(m, Math.SQRT2, 0.5, 1), whereGreater(m, Math.SQRT2, 1, 0));
  const f = m.minus(1);
  const s = f.over(f.plus(2));
  const half = f.times(f).times(0.5);
  const rest = s.times(half.plus(polynomial(s.times(s), LOG)));
  const y = rest.plus(n.times(LN2.low)).minus(half).plus(f).plus(n.times(LN2.high));
  // −∞ of 0, and not a number of what is less, or of none.
  const outside = squareRoot(x).minus(Number.POSITIVE_INFINITY);
  return whereGreater(x, LARGEST, Number.POSITIVE_INFINITY, whereGreater(x, 0, y, outside));

  function scale(factor: Expression, exponent: Expression): void {
    m = m.times(factor);
    n = n.plus(exponent);
  }
}

/** erf(x)/x − 1 by x², for |x| ≤ 1. */
const NEAR = [0.128379122, -0.376123262, 0.112801801, -0.0267113112, 0.00491755131, -0.000563142177];
/** (1 − erf(x))^¼ by x − CENTRE, for x from 1 to LAST, from where on 1 is the nearest float32. */
const FAR = [
  0.154281109, -0.201901801, 0.0957637642, -0.0106431132, -0.00737188758, 0.0027607135, 0.000247542291, -0.000157092522,
];
const CENTRE = 2.4375;
const LAST = 4.1;

function errorFunction(x: Expression): Expression {
  const size = absolute(x);
  const near = x.plus(x.times(polynomial(x.times(x), NEAR)));
  const root = polynomial(minimum(size, LAST).minus(CENTRE), FAR);
  const square = root.times(root);
  const far = constant(1).minus(square.times(square));
  return whereGreater(1, size, near, whereGreater(0, x, far.negated(), far));
}

/** What no device computes as an operator of its own. */
export const expandedKinds = ['exp', 'log', 'erf', 'held'] as const;

/** Expressions without these: what a device computes. */
export function expanded(expressions: readonly Expression[]): readonly Expression[] {
  return rewrite(expressions, (part) => {
    const [x] = part.operands;
    if (part.kind === 'exp') return exponential(x!);
    if (part.kind === 'log') return logarithm(x!);
    if (part.kind === 'erf') return errorFunction(x!);
    return part.kind === 'held' ? x! : part;
  });
}
