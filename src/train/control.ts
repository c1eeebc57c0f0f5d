// λ found while training: a target of power, or of accuracy that may be lost, in the place of a weight that nobody
// knows. Dual ascent: λ rises while more power is used than is to be, and falls while less is. Two loops, one in the
// other. The outer one moves the wanted power from where it is down to the target, as fast as the first part of the
// phase asks and only while the loss of accuracy allows it. The inner one makes λ of two parts: what it takes to bring
// the power down at that pace if nothing spoke against it, and a price that balances what speaks against it, by a PI
// controller on its logarithm. Gains are divided by what λ does to the power at the moment (θ that are neither 0 nor 1,
// by their learning rate), so that networks, grains and lengths of training behave alike.
// Invariant: what comes next is a function of the state and of what is measured between two steps, so that a resumed
// run goes on to the same bits.
// Source: dual ascent as Boyd and Vandenberghe, Convex Optimization, 5.5; in log λ, which keeps λ positive, as
// exponentiated gradients do.

import { clampTheta } from '../multiplier/structure.ts';

/** What is aimed at. Powers are relative to exact multipliers of the same widths, as the loss counts them. */
export interface Aim {
  /** The power that is aimed at; where only a loss is given, the lowest that there is. */
  readonly power: number;
  /** Whether the power must not be above that in the end; otherwise it is where the descent could lead at most. */
  readonly isLimit: boolean;
  /** Accuracy that may be lost, as a share (0.01 is a point). */
  readonly maxLoss?: number;
  /** Power at the start of the phase. */
  readonly from: number;
}

export interface ControlState {
  /** The weight of the power loss: the price, and what the descent takes beside it. */
  readonly lambda: number;
  readonly price: number;
  /** The power that is wanted now. */
  readonly wanted: number;
  /** The power when λ was set last, and by how much it was above what was wanted until then. */
  readonly power: number;
  readonly above: number;
  /** Accuracy lost when it was measured last, a share. */
  readonly loss?: number;
}

/** What is measured between two steps. */
export interface Measured {
  readonly power: number;
  /** By how much the power falls until λ is set again for each 1 of λ, where nothing speaks against it. */
  readonly gain: number;
  /** By how much it falls until then at most, whatever λ is. */
  readonly most: number;
  readonly loss?: number | undefined;
}

/** λ is set so many times in a phase, or after every step of a short one. */
const SETTINGS = 200;
/**
 * The loss is measured so often that it takes as many images as this share of those trained on, and so many times at
 * least; not more often than λ is set.
 */
const MEASURED_SHARE = 0.5;
const LEAST_MEASUREMENTS = 20;
/** Share of the steps before hardening in which the wanted power comes down to the target. */
const DESCENT = 0.6;
/** The descent slows down towards the target, to this share of its mean pace. */
const SLOWEST = 0.1;
/** Gains of the PI controller over what the price does to the power: a damping of 0.8 at ten settings for a change. */
const PROPORTIONAL = 0.5;
const INTEGRAL = 0.1;
/**
 * price · gain is taken as no less and no more than this: θ that are dear hold against the price. At the target most θ
 * are at an end of their range, where they stay until the price is well past what brought them there; λ that hurries
 * there swings around that. A setting changes the price's logarithm by at most MOST_CHANGE.
 */
const EFFECT = { least: 0.01, most: 0.15, leastHeld: 0.025 } as const;
const MOST_CHANGE = 0.5;
const PRICE = { least: 1e-4, most: 1e4, first: 0.1 } as const;
/** What the descent takes is counted up to this. */
const MOST_OF_DESCENT = 10;
/**
 * λ rises no further where the power falls by this share of what θ can do at most: what is left of their freedom is
 * for what the loss says.
 */
const STRAINED = 0.5;
/** The wanted power goes up twice as fast as down, and is never further from the power than this. */
const FASTEST_RETREAT = 2;
const LONGEST_LEAD = 0.1;
/** A loss that may be none at all is approached as one of two tenths of a point. */
const LEAST_LOSS = 0.002;

/** When λ is set and the loss is measured: numbers of steps. */
export interface Pace {
  /** Steps between two settings of λ. */
  readonly every: number;
  /** Settings of λ between two measurements of the loss. */
  readonly lossEvery: number;
  /** Settings of λ until the wanted power would be the target. */
  readonly descent: number;
  /** Settings of λ until the power answers to one, by the momentum of θ. */
  readonly lag: number;
}

/** Of `steps` before θ is fixed or pushed to 0 and 1, of so many images; `sample` images are measured each time. */
export function paceOf(
  steps: number,
  { batchSize, sample, momentum }: { batchSize: number; sample: number; momentum: number },
): Pace {
  const every = Math.max(1, Math.floor(steps / SETTINGS));
  const settings = Math.max(1, Math.floor(steps / every));
  const measurements = Math.max(LEAST_MEASUREMENTS, Math.floor((MEASURED_SHARE * steps * batchSize) / sample));
  return {
    every,
    lossEvery: Math.max(1, Math.floor(settings / measurements)),
    descent: Math.max(1, Math.round(DESCENT * settings)),
    lag: momentum / (1 - momentum) / every,
  };
}

const within = (value: number, least: number, most: number) => Math.min(most, Math.max(least, value));

/** λ begins where power alone would come down as fast as is wanted. */
export function startControl(aim: Aim, pace: Pace, measured: Omit<Measured, 'power'>): ControlState {
  const { loss } = measured;
  const wanted = Math.max(aim.from, aim.power);
  const price = PRICE.first;
  const next = nextWanted(wanted, aim, pace, { ...measured, power: aim.from });
  return {
    lambda: price + ofDescent(wanted - next, measured),
    ...{ price, wanted, power: aim.from, above: 0 },
    ...(loss === undefined ? {} : { loss }),
  };
}

/** λ and the wanted power for the steps until the next setting. */
export function nextControl(state: ControlState, aim: Aim, pace: Pace, measured: Measured): ControlState {
  const { power, most } = measured;
  const loss = measured.loss ?? state.loss;
  const above = power - state.wanted;
  // What answers late is asked the more gently.
  const patience = 1 + pace.lag / 2;
  const least = state.wanted > aim.power ? EFFECT.least : EFFECT.leastHeld;
  const effect = within(state.price * measured.gain, least, EFFECT.most) * patience;
  const change = ((INTEGRAL / patience) * above + PROPORTIONAL * (above - state.above)) / effect;
  const mostRise = state.power - power < STRAINED * most ? MOST_CHANGE : 0;
  const price = within(state.price * Math.exp(within(change, -MOST_CHANGE, mostRise)), PRICE.least, PRICE.most);
  const wanted = nextWanted(state.wanted, aim, pace, { ...measured, loss });
  return {
    lambda: price + ofDescent(state.wanted - wanted, measured),
    ...{ price, wanted, power, above },
    ...(loss === undefined ? {} : { loss }),
  };
}

/** The λ by which power alone comes down so far until the next setting. */
const ofDescent = (step: number, { gain, most }: Omit<Measured, 'power'>) =>
  within(Math.min(step, STRAINED * most) / Math.max(gain, Number.MIN_VALUE), 0, MOST_OF_DESCENT);

/** Down along a parabola that ends at the target, or up where more is lost than may be. */
function nextWanted(wanted: number, aim: Aim, { descent }: Pace, { power, loss }: Measured): number {
  const { maxLoss } = aim;
  const way = Math.max(0, aim.from - aim.power);
  const left = Math.max(0, wanted - aim.power);
  const step = Math.max(2 * Math.sqrt(way * left), SLOWEST * way) / descent;
  if (maxLoss === undefined) return Math.max(aim.power, wanted - step);
  // Not measured yet: nothing says that it may come down.
  const room = loss === undefined ? 0 : (maxLoss - loss) / Math.max(maxLoss, LEAST_LOSS);
  const next = wanted - step * within(room, -FASTEST_RETREAT, 1);
  return within(within(next, power - LONGEST_LEAD, power + LONGEST_LEAD), aim.power, 1);
}

type Soft = { readonly theta: ArrayLike<number>; readonly savings: readonly number[] };

/**
 * What a change of λ does: θ that are within their range, each by its share of the power and as much again by its rate.
 * `rate`: what a θ moves by for each 1 of its gradient until λ is set again.
 */
export const gainOf = (structures: readonly Soft[], rate: number): number =>
  rate * overFree(structures, (saved) => saved ** 2);

/** By how much the power falls where θ within their range all move by `way`. */
export const fallOf = (structures: readonly Soft[], way: number): number => way * overFree(structures, Math.abs);

/** Σ over θ within their range, of what they save. */
function overFree(structures: readonly Soft[], of: (saved: number) => number): number {
  const sums = structures.map(({ theta, savings }) =>
    savings.reduce((sum, saved, at) => {
      const value = theta[at]!;
      return value >= 0 && value < 1 ? sum + of(saved) : sum;
    }, 0),
  );
  return sums.reduce((sum, one) => sum + one, 0);
}

/** θ at the edge of its range where it has left it: only from there does it answer to λ at once. */
export function returned(theta: ArrayLike<number>): { readonly values: number[]; readonly moved: boolean } {
  const values = clampTheta(theta);
  return { values, moved: values.some((value, at) => value !== theta[at]) };
}
