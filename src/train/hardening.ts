// Hardening: the way of structures that learn to a θ of 0 or 1 everywhere, so that gates can be made of them and
// nothing is lost. In the last share of the steps a penalty on Σ powerShare · θ(1 − θ), counted like power and so by λ,
// rises from nothing to MOST_PUSH; half-way θ is set to 0 or 1 at the same power, and the weights adapt to that for the
// rest.
// Invariant: what a step does follows from its number alone, so that a resumed run goes on to the same bits; behind the
// last step every θ is exactly 0 or 1.

import { clampTheta } from '../multiplier/structure.ts';

/** The program input that has the weight of the penalty, a scalar. */
export const PUSH = 'thetaPush';
/**
 * What undecided power weighs at most, relative to power. A θ whose gains on loss and power balance is pushed away from
 * 1/2 by MOST_PUSH · λ · powerShare · |1 − 2θ|.
 */
const MOST_PUSH = 8;

/** Numbers of the steps of a phase (0, 1, …) at which hardening changes. */
export interface Hardening {
  /** The penalty rises from here on. */
  readonly pushed: number;
  /** From here on θ is 0 or 1 and learns no more. */
  readonly fixed: number;
}

/** The course over `steps` steps; undefined for a share of 0. The last step at the latest has hard θ. */
export function hardeningOf(share: number | undefined, steps: number): Hardening | undefined {
  if (!share) return undefined;
  const pushed = Math.min(steps - 1, Math.round((1 - share) * steps));
  return { pushed, fixed: Math.min(steps - 1, Math.round((1 - share / 2) * steps)) };
}

/** The weight of the penalty at a step. */
export function pushAt({ pushed, fixed }: Hardening, step: number): number {
  if (step < pushed || step >= fixed) return 0;
  return (MOST_PUSH * (step + 1 - pushed)) / (fixed - pushed);
}

/**
 * θ of 0 and 1 for all structures together at the power nearest to theirs: the largest θ become 1 until as much is
 * saved. With a `limit` it is as many as it takes until the power is no higher than that.
 */
export function hardTheta(
  soft: readonly (readonly number[])[],
  powerOf: (thetas: readonly (readonly number[])[]) => number,
  limit?: number,
): number[][] {
  const clamped = soft.map(clampTheta);
  const wanted = powerOf(clamped);
  const hard = clamped.map((theta) => theta.map(() => 0));
  const all = clamped.flatMap((theta, structure) => theta.map((value, at) => ({ structure, at, value })));
  let power = powerOf(hard);
  for (const { structure, at, value } of all.toSorted((a, b) => b.value - a.value)) {
    if (limit === undefined ? value === 0 : power <= limit) break;
    hard[structure]![at] = 1;
    const less = powerOf(hard);
    if (limit === undefined && Math.abs(less - wanted) > Math.abs(power - wanted)) {
      hard[structure]![at] = 0;
      break;
    }
    power = less;
  }
  return hard;
}
