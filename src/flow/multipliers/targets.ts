// Targets of exploration in the place of λ: the power that structures of a run can reach, what is aimed at, and what
// came of it. The loss counts power relative to exact multipliers of the run's widths; people and files have it
// relative to the exact 8×8 one.

import { batchesPerEpoch } from '../../data/batches.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { fixed, significant } from '../../tensor/numbers.ts';
import type { Aim } from '../../train/control.ts';
import { hardeningOf } from '../../train/hardening.ts';
import { isAdam } from '../../train/optimizer.ts';
import { rateShare } from '../../train/schedule.ts';
import { powerAt } from '../../train/step.ts';
import type { TargetOutcome } from '../run/manifest.ts';
import type { Configuration } from '../settings/config.ts';
import { hasOwnWidths, type RunLayer } from '../settings/layers.ts';
import { exactPowerOf, initialTheta, networkExactPower, powerTerm, structureOfRun } from './multipliers.ts';

/** Power is not above its target when it is by no more than rounding. */
const ROUNDING = 1e-9;
/** Points by which an estimated loss may be above its target: what a few images decide. */
const LOSS_TOLERANCE = 0.1;
/** By how much power may change when θ is set to 0 and 1 without a word: about a partial product. */
const SOFT_TOLERANCE = 0.03;

export const hasTarget = ({ explore }: Pick<Configuration, 'explore'>): boolean => explore.lambda === undefined;

/** The modelled power of the approximated layers with every θ at 1 and with every θ at 0, exact 8×8 = 1. */
export function powerRange(configuration: Configuration, layers: readonly RunLayer[]) {
  const highest = networkExactPower(configuration, layers);
  const term = powerTerm(configuration, layers);
  const allGone = term.structures.map(({ structure }) => structure.names.map(() => 1));
  return { lowest: highest * powerAt(term, allGone), highest };
}

/** The same of structures that all have the run's widths: it is that of any one of them, whatever the layers. */
function powerRangeOfWidths(configuration: Configuration) {
  const highest = exactPowerOf(configuration);
  const structure = structureOfRun(configuration);
  const structures = [{ theta: 'theta', structure, share: 1 }];
  const term = { model: configuration.explore.powerModel, structures };
  return { lowest: highest * powerAt(term, [structure.names.map(() => 1)]), highest };
}

/**
 * Throws a UserError for a power that no values of θ have. Without layers, before anything is read: where their widths
 * are searched that is not known yet, and nothing is said.
 */
export function requireReachable(configuration: Configuration, layers?: readonly RunLayer[]): void {
  const { bits, explore } = configuration;
  const { power, columns, grain } = explore;
  if (power === undefined || (!layers && hasOwnWidths(configuration))) return;
  const { lowest, highest } = layers ? powerRange(configuration, layers) : powerRangeOfWidths(configuration);
  // The setting itself takes no 0, and nothing above the exact 8×8 multiplier, which by a fitted model has more than 1.
  const [low, high] = [Math.ceil(lowest * 1e4 - ROUNDING) / 1e4, Math.min(1, Math.floor(highest * 1e4) / 1e4)];
  const choice = `choose a power ${low > 0 ? `from ${low}` : 'above 0 and up'} to ${high}`;
  const widths = `${bits.weights}×${bits.activations}`;
  const [exact, less] = hasOwnWidths(configuration)
    ? ["exact multipliers of the layers' widths have", "multipliers of the layers' widths have"]
    : [`the exact ${widths} multiplier has`, `a ${widths} multiplier has`];
  if (power > highest + ROUNDING) {
    throw new UserError(`settings: explore.power is ${power}, but ${exact} ${fixed(highest, 4)} already; ${choice}`);
  }
  if (power >= lowest - ROUNDING) return;
  const most = bits.weights + bits.activations - 1;
  const more = columns < most ? `; more columns (explore.columns, ${columns} of ${most}) or fewer bits go further` : '';
  const what = grain === 'product' ? 'partial products' : 'columns';
  throw new UserError(
    `settings: explore.power is ${power}, but without the ${what} that may go ${less} ${fixed(lowest, 4)}; ${choice}${more}`,
  );
}

/** How far beyond what is needed at least θ should be able to move: some of the way is taken back and forth. */
const WAYS = 3;

/**
 * Throws a UserError for a power that is further than Adam moves θ in the phase: by about its rate in a step, however
 * large λ is. Only a λ that keeps growing moves it by more, and the loss then has no say. Other rules move a θ by its
 * gradient, and λ makes that as large as it has to be. `images` to train on.
 */
export function requireTimeForTheta(configuration: Configuration, layers: readonly RunLayer[], images: number): void {
  const { power, maxLoss, epochs, batchSize, harden, thetaLearningRate, ...rule } = configuration.explore;
  if (power === undefined || epochs === 0 || !isAdam(rule)) return;
  const steps = batchesPerEpoch(images, Math.min(batchSize, images), false);
  const soft = hardeningOf(harden || Number.MIN_VALUE, epochs * steps)!.pushed;
  const place = (at: number) => ({ epoch: Math.floor(at / steps), step: at % steps, epochs, steps });
  const way = Array.from({ length: soft }, (_, at) => rateShare(rule, place(at))).reduce(
    (sum, share) => sum + share,
    0,
  );
  const term = powerTerm(configuration, layers);
  const highest = networkExactPower(configuration, layers);
  const moved = (by: number) =>
    highest *
    powerAt(
      term,
      term.structures.map(({ structure }) => initialTheta(configuration, structure).map((at) => Math.min(1, at + by))),
    );
  const least = moved(thetaLearningRate * way);
  if (least <= power + ROUNDING) return;
  // The power falls with the way that all θ have gone.
  let [low, high] = [thetaLearningRate * way, 1];
  while (high - low > 1e-3) {
    const middle = (low + high) / 2;
    if (moved(middle) > power) low = middle;
    else high = middle;
  }
  const within = Math.ceil(least * 1e4 - ROUNDING) / 1e4;
  const ways = [
    'more epochs',
    // Without a step before hardening no rate is high enough.
    ...(soft > 0 ? [`--theta-learning-rate ${significant((WAYS * high) / way, 2)}`] : []),
    ...(within < highest ? [`--power ${within}`] : []),
  ];
  const alone =
    maxLoss === undefined ? '' : `, or leave the power out: --max-loss ${maxLoss} alone takes what that allows`;
  throw new UserError(
    `settings: explore.thetaLearningRate is ${thetaLearningRate}: by ${rule.optimizer} θ moves by about that in a step, ` +
      `and ${soft} ${soft === 1 ? 'step' : 'steps'} before hardening bring the power down to about ${fixed(least, 4)}, ` +
      `but explore.power is ${power}; give ${ways.join(' or ')}${alone}`,
  );
}

/** What a run aims at from the power of its start; powers of the arguments and the result as the loss counts them. */
export function aimOf(configuration: Configuration, layers: readonly RunLayer[], from: number): Aim {
  const { power, maxLoss } = configuration.explore;
  const { lowest, highest } = powerRange(configuration, layers);
  return {
    power: Math.max(power ?? lowest, lowest) / highest,
    isLimit: power !== undefined,
    from,
    ...given({ maxLoss: maxLoss === undefined ? undefined : maxLoss / 100 }),
  };
}

export interface Judged {
  readonly powerMet: boolean;
  readonly lossMet: boolean;
  /** What was reached, in a sentence. */
  readonly text: string;
}

/** Whether targets were met, and what was reached; both figures where they cannot be met together. */
export function judge({ power, loss, lambda }: TargetOutcome): Judged {
  const powerMet = power.target === undefined || power.reached <= power.target + ROUNDING;
  const lossMet = loss === undefined || loss.estimated <= loss.target + LOSS_TOLERANCE;
  const ofPower = power.target === undefined ? '' : ` (target ${power.target})`;
  const reached = [
    `power ${fixed(power.reached, 4)}${ofPower}`,
    ...(loss
      ? [`a loss of ${fixed(loss.estimated, 2)} points on ${loss.images} training images (target ${loss.target})`]
      : []),
  ].join(' and ');
  const at = `λ ended at ${significant(lambda, 3)}`;
  if (powerMet && lossMet) return { powerMet, lossMet, text: `Targets met after exploration: ${reached}; ${at}.` };
  const why =
    power.target !== undefined && loss
      ? 'The targets of power and loss could not be met together'
      : 'The target could not be met';
  return { powerMet, lossMet, text: `${why}: exploration reached ${reached}; ${at}.` };
}

/** What setting θ to 0 and 1 did to the power beyond what a partial product is worth; undefined where it is little. */
export function describeHardening({ power: { target, soft, reached } }: TargetOutcome): string | undefined {
  if (Math.abs(soft - reached) <= SOFT_TOLERANCE) return undefined;
  const wanted = target === undefined ? '' : `, target ${target}`;
  return `setting θ to 0 and 1 changed the power from ${fixed(soft, 4)} to ${fixed(reached, 4)}${wanted}: more epochs of exploration, or a higher --theta-learning-rate, leave less to do`;
}
