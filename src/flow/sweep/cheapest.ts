// The plan behind one question: the cheapest multiplier at which the network still works, or the most accurate one at a
// limit of power. Structures of several widths, a θ for each partial product, are trained to targets of power below
// their exact multipliers, and multipliers of two-bit weights whose partial products are merged by OR (docs/cifar10.md:
// the cheapest that work there); the exact multipliers of eight to two bits, trained in the same way, are their rivals.
// Where the operands' widths are given, as on a data path of eight bits, structures of these alone, and truncations.
// All are trained as any run is (settings/training.ts), not as published: at the published rate a network does not find
// back from a coarse multiplier.

import { UserError } from '../../tensor/errors.ts';
import { exactPowerOf } from '../multipliers/multipliers.ts';
import { type ConfigurationInput, mergeSettings, parseConfiguration } from '../settings/config.ts';
import { perOperand } from '../settings/values.ts';
import type { Axis, GridInput, ListedTrial } from './grid.ts';

/** Exact multipliers that every answer has to beat. */
export const usualRivals: readonly string[] = ['8x8', '6x6', '5x5', '4x5', '4x4', '3x4', '3x3', '2x5', '2x4', '2x3'];
const WIDTHS: readonly string[] = ['8x8', '5x5', '4x5', '3x4'];
/** Of the modelled power of the exact multiplier of the same widths; fewer bits are no way out where they are given. */
const SHARES: readonly number[] = [0.8, 0.6];
const SHARES_OF_GIVEN: readonly number[] = [0.8, 0.6, 0.45, 0.33, 0.22];
/** Columns that truncations of given widths leave out, of each sum of the bits. */
const TRUNCATED: readonly number[] = [1 / 4, 3 / 8, 1 / 2, 9 / 16];
/** Upper parts of the bits of weights and activations that are read. */
const READ: readonly (readonly [number, number])[] = [
  [5 / 8, 6 / 8],
  [1 / 2, 5 / 8],
  [1 / 2, 1 / 2],
];
/** Weights of two bits whose 0 is one code below the middle, so that of four rows those of −1, 0 and 1 are exact. */
const MERGED: readonly string[] = ['2x3', '2x4', '2x5', '2x6'];
/** Where layers have widths of their own: as cheap as these for all. */
const BY_LAYER: readonly string[] = ['4x4', '3x4', '3x3', '2x4'];
/** Those with structures, and their part of that. */
const STRUCTURES_BY_LAYER: readonly string[] = ['4x4', '3x4'];
const SHARE_BY_LAYER = 0.75;

/** What is reported is synthesised. */
const MODEL: ConfigurationInput = { explore: { powerModel: 'fitted' } };

export interface CheapestOptions {
  /** Whether layers have widths of their own in some trials. */
  readonly perLayer?: boolean | undefined;
  /** Settings of a run that it branches from. */
  readonly from?: ConfigurationInput | undefined;
}

/**
 * Widths × targets, for everything else that is varied (seeds, networks). Values of bits and of power that are given
 * take the place of the usual ones; a target above what a width costs anyway is left out. `explore.power` and
 * `explore.maxLoss` of the settings are the question and no target of each trial (questionOf). A power model that is
 * given, by the settings or by those of a run that it branches from, takes the place of the plan's; so does a recipe.
 */
export function cheapestGrid(
  { over = [], ...rest }: GridInput,
  { from = {}, perLayer }: CheapestOptions = {},
): GridInput {
  if ((rest.trials ?? []).length > 0) throw new UserError('the trials are listed already; leave --cheapest out');
  requireFree(rest.settings, over);
  const { bits: operands, ...others } = rest.settings ?? {};
  const said = mergeSettings(from, withoutQuestion(others));
  const isOwn = said.explore?.powerModel !== undefined || said.recipe !== undefined;
  const settings = isOwn || over.some(({ name }) => name === 'recipe') ? said : mergeSettings(MODEL, said);
  const axis = (name: string) => over.find((one) => one.name === name)?.values;
  const limit = rest.settings?.explore?.power;
  const fixed = operands && `${operands.weights ?? 8}x${operands.activations ?? 8}`;
  const widths = fixed === undefined ? (axis('bits') ?? WIDTHS) : [fixed];
  const shares = fixed === undefined ? SHARES : SHARES_OF_GIVEN;
  const trials = [
    ...widths.flatMap((bits) => targetsOf(bits, { targets: axis('power'), shares, limit, settings })),
    ...(fixed === undefined ? mergedOf(axis('bits') ?? MERGED, settings, over) : truncationsOf(fixed, settings, over)),
    ...(perLayer && fixed === undefined ? byLayer(settings) : []),
  ];
  if (trials.length === 0) throw new UserError('every target of power is above what the exact multipliers cost');
  return {
    rivals: fixed === undefined ? usualRivals : [fixed],
    ...rest,
    settings,
    over: over.filter(({ name }: Axis) => name !== 'bits' && name !== 'power'),
    trials,
  };
}

/** What a sweep is to answer. */
export interface Question {
  /** Share of accuracy up to which a network still works. */
  readonly loss?: number;
  /** Power that is not to be passed, in the kind that the front is over. */
  readonly power?: number;
}

/** The question that settings beside --cheapest ask. */
export function questionOf({ explore }: ConfigurationInput = {}): Question {
  const { power, maxLoss } = explore ?? {};
  return { ...(maxLoss === undefined ? {} : { loss: maxLoss / 100 }), ...(power === undefined ? {} : { power }) };
}

function withoutQuestion({ explore, ...rest }: ConfigurationInput): ConfigurationInput {
  if (!explore) return rest;
  const { power: _, maxLoss: __, ...others } = explore;
  return Object.keys(others).length === 0 ? rest : { ...rest, explore: others };
}

/** What the plan decides itself is not said beside it: it would be passed over, or all its trials be one. */
function requireFree({ bits, quantize, explore, map }: ConfigurationInput = {}, over: readonly Axis[]): void {
  const refuse = (name: string, advice: string): never => {
    throw new UserError(`--cheapest has ${name} of its own; ${advice}`);
  };
  const isVaried = (option: string) => over.some(({ name }) => name === option);
  if (bits && isVaried('bits')) refuse('widths', 'say either --bits for operands that are given or --over bits=…');
  if (explore?.power !== undefined && isVaried('power'))
    refuse('targets below --power', 'say --over power=… without it');
  if (quantize?.layerCost !== undefined || isVaried('layer-widths'))
    refuse('widths of layers with --per-layer', 'say --over layer-widths=… without --cheapest');
  const isGrain = (explore?.grain ?? 'product') !== 'product' || isVaried('structure-grain');
  if (isGrain) refuse('structures, with a θ per product', 'say --over bits=… and --over power=… without it');
  if (map?.multiplier !== undefined || isVaried('multiplier'))
    refuse('multipliers', 'say --over multiplier=… without it');
}

interface Targets {
  readonly targets: readonly string[] | undefined;
  readonly shares: readonly number[];
  /** Power that is asked for. */
  readonly limit: number | undefined;
  readonly settings: ConfigurationInput;
}

/** Modelled power of the exact multiplier of these widths; what is no width is refused with the trial. */
function exactOf(bits: string, { explore }: ConfigurationInput): number {
  const [weights, activations] = perOperand(bits) ?? [8, 8];
  const model = { explore: { powerModel: explore?.powerModel } };
  return exactPowerOf(parseConfiguration({ bits: { weights, activations }, ...model }, 'settings'));
}

function targetsOf(bits: string, { targets, shares, limit, settings }: Targets): ListedTrial[] {
  const exact = exactOf(bits, settings);
  // Of a multiplier that costs more than is allowed no more than that may be left.
  const most = Math.min(exact, limit ?? exact);
  const usual = most < exact ? [1, ...SHARES] : shares;
  const powers =
    targets?.filter((power) => !(Number(power) >= exact)) ?? usual.map((share) => (share * most).toFixed(3));
  return powers.map((power) => ({
    name: `${bits}-products-${power}`,
    options: { bits, 'structure-grain': 'product', power },
  }));
}

/** Whether weights have one zero point in every trial, which only learned steps give them. */
function hasSteps(settings: ConfigurationInput, over: readonly Axis[]): boolean {
  if (over.some(({ name }) => name === 'quantizer' || name === 'recipe')) return false;
  return parseConfiguration(settings, 'settings').quantize.quantizer === 'steps';
}

/** The two partial products of each column merged by OR: in all columns, or in the three lowest. */
function mergedOf(widths: readonly string[], settings: ConfigurationInput, over: readonly Axis[]): ListedTrial[] {
  if (!hasSteps(settings, over)) return [];
  return widths.flatMap((bits) => {
    const [weights, activations] = perOperand(bits) ?? [8, 8];
    if (weights !== 2) return [];
    return [...new Set([3, activations + 1])].map((columns) => ({
      name: `${bits}-merged-${columns}`,
      options: { bits, 'weight-zero': 'below', multiplier: `lower-part-or:${bits}:columns=${columns}` },
    }));
  });
}

/**
 * Truncations where the operands are given: of the product, and of the operands, whose lowest bits are not read. What
 * they do wrong for all weights alike goes with the product of the zero point.
 */
function truncationsOf(bits: string, settings: ConfigurationInput, over: readonly Axis[]): ListedTrial[] {
  const [weights, activations] = perOperand(bits) ?? [8, 8];
  const own: ListedTrial['options'] = hasSteps(settings, over)
    ? { 'weight-zero': 'middle', 'zero-product': 'own' }
    : {};
  const options = { bits, 'map-weight-codes': 'best', ...own };
  const columns = TRUNCATED.map((share) => Math.round(share * (weights + activations)));
  const parts = READ.map(([w, a]) => [Math.ceil(w * weights), Math.ceil(a * activations)] as const);
  const made = new Map<string, string>([
    ...columns.map((count) => [`truncated-${count}`, `truncated:${bits}:columns=${count}`] as const),
    ...parts.map(([w, a]) => [`upper-${w}x${a}`, `upper:${bits}:weights=${w},activations=${a}`] as const),
  ]);
  return [...made].map(([name, multiplier]) => ({ name: `${bits}-${name}`, options: { ...options, multiplier } }));
}

/** Exact multipliers of each layer's own widths, and structures of them. */
function byLayer(settings: ConfigurationInput): ListedTrial[] {
  const structure = (cost: string) => {
    const power = (SHARE_BY_LAYER * exactOf(cost, settings)).toFixed(3);
    const options = { 'layer-widths': cost, 'layer-kinds': '3', 'structure-grain': 'product', power };
    return { name: `layers-${cost}-products-${power}`, options };
  };
  return [
    ...BY_LAYER.map((cost) => ({
      name: `layers-${cost}`,
      options: { 'layer-widths': cost, 'layer-kinds': '3', multiplier: 'exact' },
    })),
    ...STRUCTURES_BY_LAYER.map(structure),
  ];
}
