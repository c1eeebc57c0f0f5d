// The structure parameters θ (paper, Eq. 1): θ_c in [0, 1] is the share of column c that the approximate multiplier drops; 1 removes
// the column, 0 keeps it. The vector covers the P lowest columns; those above are exact. Column c of a Bw×Bx multiplier holds the
// partial products w[i] & x[j] with i + j = c; there are Bw + Bx − 1 columns.

import { UserError } from '../tensor/errors.ts';
import { checkOperandBits } from './widths.ts';

/** Throws a UserError unless θ is a vector of at most one finite value per column. */
export function checkThetaShape(theta: ArrayLike<number>, weightBits: number, activationBits: number): void {
  checkOperandBits(weightBits, activationBits);
  const columns = weightBits + activationBits - 1;
  if (theta.length > columns) {
    throw new UserError(
      `θ has ${theta.length} values: a ${weightBits}×${activationBits} multiplier has ${columns} columns, expected at most that many`,
    );
  }
  const bad = Array.from(theta).findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new UserError(`θ[${bad}] is ${theta[bad]}: expected a finite number`);
}

/** As checkThetaShape, and every value must lie in [0, 1]. */
export function checkTheta(theta: ArrayLike<number>, weightBits: number, activationBits: number): void {
  checkThetaShape(theta, weightBits, activationBits);
  const bad = Array.from(theta).findIndex((value) => value < 0 || value > 1);
  if (bad >= 0)
    throw new UserError(`θ[${bad}] is ${theta[bad]}: expected a value in [0, 1]; clamp θ before mapping it`);
}
