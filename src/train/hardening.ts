// Hardening: the way of structures that learn to a θ of 0 or 1 everywhere, so that gates can be made of them and
// nothing is lost. In the last share of the steps a penalty on Σ powerShare · θ(1 − θ), counted like power and so by λ,
// rises from nothing to MOST_PUSH; half-way θ is set to 0 or 1 at the same power, and the weights adapt to that for the
// rest.
// Invariant: what a step does follows from its number alone, so that a resumed run goes on to the same bits; behind the
// last step every θ is exactly 0 or 1.

import type { Session } from '../engine/backend.ts';
import { clampTheta } from '../multiplier/structure.ts';
import { f32 } from '../tensor/tensor.ts';

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

/** Values of θ of one structure, and what each saves of the network's power when what reads it is removed. */
export interface SoftStructure {
  readonly theta: readonly number[];
  readonly savings: readonly number[];
}

/**
 * θ of 0 and 1 for all structures together at the power nearest to theirs: the largest θ become 1 until as much is
 * saved. With a `limit` as many more as it takes until the power, 1 without any saving, is no higher than that.
 */
export function hardTheta(structures: readonly SoftStructure[], limit = Number.POSITIVE_INFINITY): number[][] {
  const all = structures.flatMap(({ theta, savings }, structure) =>
    clampTheta(theta).map((value, at) => ({ structure, at, value, saved: savings[at]! })),
  );
  const wanted = all.reduce((sum, { value, saved }) => sum + value * saved, 0);
  const hard = structures.map(({ theta }) => theta.map(() => 0));
  let saved = 0;
  for (const one of all.toSorted((a, b) => b.value - a.value)) {
    const isNearer = Math.abs(saved + one.saved - wanted) <= Math.abs(saved - wanted);
    if (one.value === 0 || !isNearer) if (1 - saved <= limit) break;
    hard[one.structure]![one.at] = 1;
    saved += one.saved;
  }
  return hard;
}

/** Writes hard θ in the place of the session's; the names are those of the variables. */
export async function hardenStructures(
  session: Session,
  structures: readonly { readonly theta: string; readonly savings: readonly number[] }[],
): Promise<void> {
  const soft = await Promise.all(
    structures.map(async ({ theta, savings }) => ({ theta: clampTheta((await session.read(theta)).data), savings })),
  );
  hardTheta(soft).forEach((values, at) => {
    session.write(structures[at]!.theta, f32([values.length], values));
  });
}
