// The plan behind one question: the cheapest multiplier at which the network still works. Structures of several widths,
// a θ for each partial product, are trained to targets of power below their exact multipliers; the exact multipliers of
// eight to two bits, trained in the same way, are their rivals. All are trained as any run is
// (settings/training.ts), since at the published rate a network does not find back from a coarse multiplier.

import { UserError } from '../../tensor/errors.ts';
import { exactPowerOf } from '../multipliers/multipliers.ts';
import { type ConfigurationInput, mergeSettings, parseConfiguration } from '../settings/config.ts';
import { perOperand } from '../settings/values.ts';
import type { Axis, GridInput, ListedTrial } from './grid.ts';

/** Exact multipliers that every answer has to beat. */
export const usualRivals: readonly string[] = ['8x8', '6x6', '5x5', '4x5', '4x4', '3x4', '3x3', '2x4'];
const WIDTHS: readonly string[] = ['8x8', '5x5', '4x5', '3x4'];
/** Of the modelled power of the exact multiplier of the same widths. */
const SHARES: readonly number[] = [0.8, 0.6];

/** What is reported is synthesised. */
const MODEL: ConfigurationInput = { explore: { powerModel: 'fitted' } };

/**
 * Widths × targets, for everything else that is varied (seeds, networks). Values of bits and of power that are given
 * take the place of the usual ones; a target above what a width costs anyway is left out. A power model that is given,
 * by the settings or by those of a run that it branches from (`from`), takes the place of the plan's.
 */
export function cheapestGrid({ over = [], ...rest }: GridInput, from: ConfigurationInput = {}): GridInput {
  if ((rest.trials ?? []).length > 0) throw new UserError('the trials are listed already; leave --cheapest out');
  requireFree(rest.settings, over);
  const said = mergeSettings(from, rest.settings ?? {});
  const model = said.recipe === undefined && said.explore?.powerModel === undefined ? MODEL : {};
  const settings = mergeSettings(model, said);
  const axis = (name: string) => over.find((one) => one.name === name)?.values;
  const trials = (axis('bits') ?? WIDTHS).flatMap((bits) => targetsOf(bits, axis('power'), settings));
  if (trials.length === 0) throw new UserError('every target of power is above what the exact multipliers cost');
  return {
    rivals: usualRivals,
    ...rest,
    settings,
    over: over.filter(({ name }: Axis) => name !== 'bits' && name !== 'power'),
    trials,
  };
}

/** What the plan decides itself is not said beside it: it would be passed over, or all its trials be one. */
function requireFree({ bits, explore, map }: ConfigurationInput = {}, over: readonly Axis[]): void {
  const refuse = (name: string, advice: string): never => {
    throw new UserError(`--cheapest has ${name} of its own; ${advice}`);
  };
  if (bits?.weights !== undefined || bits?.activations !== undefined)
    refuse('widths', 'say --over bits=4x5,3x4 for others');
  if (explore?.power !== undefined) refuse('targets of power', 'say --over power=0.2,0.1 for others');
  const isGrain = (explore?.grain ?? 'product') !== 'product' || over.some(({ name }) => name === 'structure-grain');
  if (isGrain) refuse('structures, with a θ per product', 'say --over bits=… and --over power=… without it');
  if (map?.multiplier !== undefined || over.some(({ name }) => name === 'multiplier'))
    refuse('multipliers', 'say --over multiplier=… without it');
}

function targetsOf(
  bits: string,
  targets: readonly string[] | undefined,
  { explore }: ConfigurationInput = {},
): ListedTrial[] {
  // What is no width is refused with the trial, as everywhere.
  const [weights, activations] = perOperand(bits) ?? [8, 8];
  const model = { explore: { powerModel: explore?.powerModel } };
  const exact = exactPowerOf(parseConfiguration({ bits: { weights, activations }, ...model }, 'settings'));
  const powers =
    targets?.filter((power) => !(Number(power) >= exact)) ?? SHARES.map((share) => (share * exact).toFixed(3));
  return powers.map((power) => ({
    name: `${bits}-products-${power}`,
    options: { bits, 'structure-grain': 'product', power },
  }));
}
