// The search for widths of each layer: of what one operand of one layer at few bits does to the network's answers while
// all else stays float, for all layers, operands and widths (harms.ts), those widths that do least together at the cost
// that is allowed. Weights count a quarter, since training gives most of that back. Harms of the two operands, and of
// layers, are taken to add up, and a width never to do less than a wider one. Whether that holds is measured before
// anything is trained: the network as the run would quantise it, beside the best widths that are the same for all
// layers. What does the least harm is what is found.

import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { fixed } from '../../tensor/numbers.ts';
import { allocateKinds, type Chooser, costOf, harmOf } from '../multipliers/allocation.ts';
import { type Network, quantizedArithmetic } from '../multipliers/multipliers.ts';
import type { RunContext } from '../run/context.ts';
import type { WidthsRecord } from '../run/manifest.ts';
import {
  approximateLayers,
  layerWidths,
  type RunLayer,
  searchedLayers,
  type Widths,
  widthsSaid,
  withLayerBits,
} from '../settings/layers.ts';
import { loadToQuantize, observedInputs } from './calibrate.ts';
import { HarmMeter } from './harm.ts';
import { BITS, type LayerHarms, MOST_HARM, readHarms } from './harms.ts';
import { calibrateToBear } from './ranges.ts';

/**
 * What rounding weights does counts by so much beside what rounding activations does, since training gives most of it
 * back: weights find their places among the codes, activations stay rounded. Chosen by accuracies behind training
 * (docs/targets.md).
 */
const OF_WEIGHTS = 1 / 4;
/** What all together do is more than a sum says by so much: harms do not add up here. */
const FAR_ABOVE = 2;
/** Bits below which nothing goes where they do not. */
const FLOOR = 3;
/** Sums over layers of what is equal differ by so much of themselves. */
const ROUNDING = 1e-12;

const widths: readonly Widths[] = BITS.flatMap((weights) => BITS.map((activations) => ({ weights, activations })));

/** What a search has to decide. */
export function openLayers({ configuration, layers }: Network) {
  const settled = widthsSaid(configuration.quantize.layerBits, layers);
  const approximate = approximateLayers(configuration, layers);
  const open = searchedLayers(configuration, layers);
  const ofSettled = approximate
    .filter((layer) => !open.includes(layer))
    .reduce((sum, { name, macs }) => sum + macs * costOfWidths(settled.get(name)!), 0);
  const [all, searched] = [work(approximate), work(open)];
  return {
    open,
    searched,
    meanWith: (cost: number) => (ofSettled + searched * cost) / all,
    /** What those that are searched may cost on average for all to have this mean. */
    limitFor: (cost: number) => ((cost * all - ofSettled) / searched) * (1 + ROUNDING),
  };
}

const work = (all: readonly RunLayer[]) => all.reduce((sum, { macs }) => sum + macs, 0);

/** Throws a UserError for a cost that no widths have, or where there is no layer to search them for. */
export function requireLayerCost(network: Network): void {
  const { layerCost } = network.configuration.quantize;
  if (layerCost === undefined) return;
  const { open, meanWith } = openLayers(network);
  if (open.length === 0) {
    throw new UserError(
      'settings: quantize.layerCost is given, but quantize.layerBits gives widths to every layer that is approximated: there are none to search for; leave one of them out (--unset layer-widths where the run has it from before)',
    );
  }
  const least = meanWith(costOfWidths(widths[0]!));
  if (layerCost >= least) return;
  throw new UserError(
    `settings: quantize.layerCost is ${layerCost}, but with 2×2 bits in all layers that are searched the mean gate cost is ${fixed(least, 4)}; choose at least that`,
  );
}

/** Widths for the layers that are approximated and have none of their own; undefined where none are searched. */
export async function searchWidths(context: RunContext, float: Uint8Array): Promise<WidthsRecord | undefined> {
  const { configuration, listener } = context;
  const { layerCost, layerKinds } = configuration.quantize;
  if (layerCost === undefined) return undefined;
  const { open, searched, meanWith, limitFor } = openLayers(context);
  const session = await context.backend.openSession();
  try {
    loadToQuantize(context, float, session);
    const { layers: harms } = readHarms(context);
    const meter = await HarmMeter.open(context, session, await observedInputs(context, session), harms);
    const limit = limitFor(layerCost);
    const kinds = layerKinds ?? Number.POSITIVE_INFINITY;
    const choosers = choosersOf(harms, open, searched, 0);
    const free = allocateKinds(choosers, limit, kinds);
    invariant(free, 'no widths are within a cost that 2×2 bits are within');
    const listOf = (chosen: readonly number[]) => open.map(({ name }, at) => `${name}=${nameOf(chosen[at]!)}`);
    const measure = async (chosen: readonly number[], least = 0) => {
      context.signal?.throwIfAborted();
      const run = { ...context, configuration: withLayerBits(configuration, listOf(chosen)) };
      const arithmetic = quantizedArithmetic(run, exactMultiplier);
      loadToQuantize(context, float, session);
      const ranges = await calibrateToBear(run, session, arithmetic, { meter });
      const changed = ranges?.after ?? (await meter.ofAll(arithmetic));
      const ofInputs = await meter.ofInputs(layerWidths(run.configuration, context.layers), ranges?.percentiles);
      const measured = OF_WEIGHTS * changed + (1 - OF_WEIGHTS) * ofInputs;
      return {
        ...{ chosen, least, expected: harmOf(choosers, chosen) },
        ...{ measured: Math.min(measured, MOST_HARM), changed: Math.min(changed, MOST_HARM) },
      };
    };
    const searchedFor = await measure(free);
    const rivals: (typeof searchedFor)[] = [];
    for (const pair of uniformPairs(choosers, limit, layerCost)) {
      const isFound = free.every((at) => at === pair);
      rivals.push(isFound ? searchedFor : await measure(open.map(() => pair)));
    }
    const uniform = nearestOf(rivals);
    const found = [searchedFor, uniform];
    const isFar = searchedFor.measured > FAR_ABOVE * searchedFor.expected || searchedFor.measured > uniform.measured;
    const floored = isFar ? allocateKinds(choosersOf(harms, open, searched, FLOOR), limit, kinds) : undefined;
    if (floored && hasFloor(floored)) found.push(await measure(floored, FLOOR));
    const best = nearestOf(found);
    const layerBits = listOf(best.chosen);
    const cost = meanWith(costOf(choosers, best.chosen));
    const together = {
      ...{ expected: best.expected, measured: best.measured, changed: best.changed, first: searchedFor.measured },
      uniform: { widths: nameOf(uniform.chosen[0]!), measured: uniform.measured, changed: uniform.changed },
    };
    const different = new Set(best.chosen).size;
    const pairs = `${different} ${different === 1 ? 'pair' : 'different pairs'} of widths`;
    listener({ kind: 'note', text: describeTogether(together, best === uniform, best.least) });
    listener({ kind: 'note', text: `gate cost ${fixed(cost, 4)} with ${pairs}: --layer-bits ${layerBits.join(',')}` });
    return { layerBits, cost, images: meter.images, together };
  } finally {
    await session.dispose();
  }
}

const nameOf = (at: number) => `${widths[at]!.weights}x${widths[at]!.activations}`;

const nearestOf = <T extends { readonly measured: number }>(found: readonly T[]): T =>
  found.reduce((least, next) => (next.measured < least.measured ? next : least));

/**
 * Of the pairs that all layers may have those to be measured: the one that does least by the sum, and whichever costs
 * what was asked for, as one does by which the cost was said.
 */
function uniformPairs(choosers: readonly Chooser[], limit: number, cost: number): readonly number[] {
  const within = [...widths.keys()].filter((at) => costOfWidths(widths[at]!) <= limit);
  const harmAt = (at: number) => harmOf(choosers, new Array<number>(choosers.length).fill(at));
  const least = within.reduce((best, at) => (harmAt(at) < harmAt(best) ? at : best), 0);
  return [...new Set([least, ...within.filter((at) => costOfWidths(widths[at]!) === cost)])];
}

const hasFloor = (chosen: readonly number[]) =>
  chosen.every((at) => Math.min(widths[at]!.weights, widths[at]!.activations) >= FLOOR);

type Together = Required<NonNullable<WidthsRecord['together']>>;

/** What all layers together do, before training, beside what was expected and the same widths for all. */
function describeTogether(
  { expected, measured, changed, first, uniform }: Together,
  isUniform: boolean,
  least: number,
): string {
  const share = (value: number) => (value < MOST_HARM ? `${fixed(100 * value, 1)} %` : 'no number');
  const ofUniform = `${uniform.widths} for all layers ${share(uniform.measured)}`;
  const found = `all layers together change the answers by ${share(changed)} before training, and by ${share(measured)} where weights count a quarter (their sum ${share(expected)}; ${ofUniform})`;
  const instead = `the widths with the least sum change them by ${share(first)}`;
  if (isUniform && measured !== first) return `${found}: ${instead}, so that all layers have ${uniform.widths}`;
  return least > 0 ? `${found}: ${instead}, so that none has less than ${least} bits` : found;
}

const costOfWidths = ({ weights, activations }: Widths): number => cheapestExact(weights, activations).gateCost;

/** The choices of each layer, none of which with less than so many bits. */
function choosersOf(
  harms: readonly LayerHarms[],
  layers: readonly RunLayer[],
  macs: number,
  least: number,
): readonly Chooser[] {
  return layers.map((layer) => {
    const { weights, activations } = harms.find((one) => one.layer === layer.name)!;
    const [ofWeights, ofActivations] = [falling(weights), falling(activations)];
    const choices = widths.map((one) => {
      const harm = OF_WEIGHTS * ofWeights[one.weights - BITS[0]]! + ofActivations[one.activations - BITS[0]]!;
      const isAllowed = Math.min(one.weights, one.activations) >= least;
      return { cost: costOfWidths(one), harm: isAllowed ? harm : Number.POSITIVE_INFINITY };
    });
    return { share: layer.macs / macs, choices };
  });
}

/**
 * Never below what more bits do. It need not fall from bit to bit: where few large values make the step, so many bits
 * hold nothing but those, and do all the same harm.
 */
const falling = (harms: readonly number[]): readonly number[] => harms.map((_, at) => Math.max(...harms.slice(at)));
