// Hardening: the way of structures that learn to a θ of 0 or 1 everywhere, so that gates can be made of them and
// nothing is lost. In the last share of the steps a penalty on Σ powerShare · θ(1 − θ), counted like power and so by λ,
// rises from nothing to MOST_PUSH; half-way θ is set to 0 or 1 at the same power, and the weights adapt to that for the
// rest. Which of the last undecided θ become 1 is measured: a θ says how much of its product the network gave up by and
// by, not what it costs to lose the rest at once.
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

/** All θ of all structures, the largest first. */
const falling = (thetas: readonly (readonly number[])[]) =>
  thetas
    .flatMap((theta, structure) => theta.map((value, at) => ({ structure, at, value })))
    .toSorted((a, b) => b.value - a.value);

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
  let power = powerOf(hard);
  for (const { structure, at, value } of falling(clamped)) {
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

/** So many of the last removals are chosen by measurement, each among so many of the largest θ that are left. */
const MEASURED = 8;
const CHOICE = 12;

/**
 * θ of 0 and 1 as `hardTheta` gives them, with a limit or without, but the last MEASURED to become 1 are those that
 * cost least for what they save, by the network's loss with them. Ends at or below the limit, or with all θ at 1, and
 * what then finds room below the limit again returns where the loss falls by it; without one as near to the power of
 * the soft θ as the last of these can bring it.
 */
export async function measuredHardTheta(
  soft: readonly (readonly number[])[],
  powerOf: (thetas: readonly (readonly number[])[]) => number,
  limit: number | undefined,
  lossOf: (thetas: readonly (readonly number[])[]) => Promise<number>,
): Promise<number[][]> {
  const clamped = soft.map(clampTheta);
  const wanted = limit ?? powerOf(clamped);
  const order = falling(clamped);
  const byOrder = hardTheta(soft, powerOf, limit).flat().filter(Boolean).length;
  let hard = clamped.map((theta) => theta.map(() => 0));
  type Place = (typeof order)[number];
  const hardWith = ({ structure, at }: Place, value: 0 | 1) =>
    hard.map((theta, own) => (own === structure ? theta.with(at, value) : theta));
  for (const one of order.slice(0, Math.max(0, byOrder - MEASURED))) hard = hardWith(one, 1);
  const isLeft = ({ structure, at }: Place) => hard[structure]![at] === 0;

  let [power, loss] = [powerOf(hard), Number.NaN];
  while (power > wanted) {
    const left = order.filter(isLeft);
    if (left.length === 0) break;
    if (Number.isNaN(loss)) loss = await lossOf(hard);
    let best: { thetas: number[][]; loss: number; power: number; price: number } | undefined;
    for (const one of left.slice(0, CHOICE)) {
      const thetas = hardWith(one, 1);
      const less = powerOf(thetas);
      const lossThen = await lossOf(thetas);
      // What is saved below what is wanted is not counted; a removal that saves nothing is the last resort.
      const saved = power - Math.max(less, wanted);
      const price = saved > 0 && Number.isFinite(lossThen) ? (lossThen - loss) / saved : Number.POSITIVE_INFINITY;
      if (best === undefined || price < best.price) best = { thetas, loss: lossThen, power: less, price };
    }
    // The last one may save far more than is left to save: a column, for a θ that has hardly moved.
    if (limit === undefined && Math.abs(best!.power - wanted) > Math.abs(power - wanted)) break;
    ({ thetas: hard, loss, power } = best!);
  }
  // The last removals may have saved more than they had to: what finds room below the limit comes back.
  while (limit !== undefined && !Number.isNaN(loss)) {
    let best: { thetas: number[][]; loss: number } | undefined;
    const fitting = order
      .toReversed()
      .filter((one) => !isLeft(one))
      .map((one) => hardWith(one, 0))
      .filter((thetas) => powerOf(thetas) <= limit);
    for (const thetas of fitting.slice(0, CHOICE)) {
      const lossThen = await lossOf(thetas);
      if (lossThen < (best?.loss ?? loss)) best = { thetas, loss: lossThen };
    }
    if (!best) break;
    ({ thetas: hard, loss } = best);
  }
  return hard;
}
