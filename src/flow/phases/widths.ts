// The search for widths of each layer: what one operand of one layer at few bits does to the loss while all else stays
// float, for all layers, operands and widths; then those widths that do least together at the cost that is allowed.
// Measured on training images, with batch norm's statistics as these images have them, since that is what the network
// adapts to at once; test images have no part in it.
// Harms of the two operands, and of layers, are taken to add up, and a width never to do less than a wider one.

import { sampleOf } from '../../data/sample.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import type { OperandName } from '../../quant/quantized.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { fixed } from '../../tensor/numbers.ts';
import { evaluateOnce } from '../../train/evaluation.ts';
import type { Arithmetic } from '../../train/task.ts';
import { allocateKinds, type Choice, costOf } from '../multipliers/allocation.ts';
import { foldedBatchNorms, type Network, quantizedArithmetic } from '../multipliers/multipliers.ts';
import type { RunContext } from '../run/context.ts';
import type { WidthsRecord } from '../run/manifest.ts';
import { approximateLayers, type RunLayer, type Widths, widthsSaid, withLayerBits } from '../settings/layers.ts';
import { loadToQuantize, observedInputs, observeInput, observeWeight } from './calibrate.ts';
import { PART, SAMPLE } from './target.ts';

/** Widths of an operand, as `harms` of the record has them. */
const BITS = [2, 3, 4, 5, 6, 7, 8] as const;
/** Of the operand that is not looked at. */
const MOST_BITS = 8;
/**
 * Widths are measured from the least up, so many at least, until one changes the loss by no more than this, which is
 * within chance. From there each bit leaves a quarter, as it does of the square of an error that is halved.
 */
const LEAST_MEASURED = 2;
const NEARLY_NOTHING = 0.003;
const LEFT_BY_A_BIT = 1 / 4;

const widths: readonly Widths[] = BITS.flatMap((weights) => BITS.map((activations) => ({ weights, activations })));

type Harms = WidthsRecord['harms'][number];

/** What a search has to decide. */
function openLayers({ configuration, layers }: Network) {
  const settled = widthsSaid(configuration.quantize.layerBits, layers);
  const approximate = approximateLayers(configuration, layers);
  const open = approximate.filter(({ name }) => !settled.has(name));
  const ofSettled = approximate
    .filter((layer) => !open.includes(layer))
    .reduce((sum, { name, macs }) => sum + macs * costOfWidths(settled.get(name)!), 0);
  const [all, searched] = [work(approximate), work(open)];
  return { open, searched, meanWith: (cost: number) => (ofSettled + searched * cost) / all, all, ofSettled };
}

const work = (all: readonly RunLayer[]) => all.reduce((sum, { macs }) => sum + macs, 0);

/** Throws a UserError for a cost that no widths have. */
export function requireLayerCost(network: Network): void {
  const { layerCost } = network.configuration.quantize;
  if (layerCost === undefined) return;
  const least = openLayers(network).meanWith(costOfWidths(widths[0]!));
  if (layerCost >= least) return;
  throw new UserError(
    `settings: quantize.layerCost is ${layerCost}, but with 2×2 bits in all layers that are searched the mean gate cost is ${fixed(least, 4)}; choose at least that`,
  );
}

/** Widths for the layers that are approximated and have none of their own; undefined where none are searched. */
export async function searchWidths(context: RunContext, float: Uint8Array): Promise<WidthsRecord | undefined> {
  const { configuration, dataset, listener } = context;
  const { layerCost, layerKinds } = configuration.quantize;
  if (layerCost === undefined) return undefined;
  const { open, searched, meanWith, all, ofSettled } = openLayers(context);
  if (open.length === 0) return undefined;
  const images = Math.min(SAMPLE, Math.ceil(PART * dataset.train.count));
  listener({ kind: 'note', text: `widths of ${open.length} layers: each at few bits on ${images} training images` });
  const harms = await measureHarms(context, float, open, images);
  const choosers = open.map(({ macs }, at) => ({ share: macs / searched, choices: choicesOf(harms[at]!) }));
  const limit = (layerCost * all - ofSettled) / searched;
  const chosen = allocateKinds(choosers, limit, layerKinds ?? Number.POSITIVE_INFINITY);
  invariant(chosen, 'no widths are within a cost that 2×2 bits are within');
  const layerBits = open.map(({ name }, at) => {
    const { weights, activations } = widths[chosen[at]!]!;
    return `${name}=${weights}x${activations}`;
  });
  const cost = meanWith(costOf(choosers, chosen));
  const kinds = new Set(chosen).size;
  const text = `gate cost ${fixed(cost, 4)} with ${kinds} ${kinds === 1 ? 'pair' : 'different pairs'} of widths: --layer-bits ${layerBits.join(',')}`;
  listener({ kind: 'note', text });
  return { layerBits, cost, harms: [...harms], images };
}

const costOfWidths = ({ weights, activations }: Widths): number => cheapestExact(weights, activations).gateCost;

function choicesOf({ weights, activations }: Harms): readonly Choice[] {
  const [ofWeights, ofActivations] = [falling(weights), falling(activations)];
  return widths.map((one) => ({
    cost: costOfWidths(one),
    harm: ofWeights[one.weights - BITS[0]]! + ofActivations[one.activations - BITS[0]]!,
  }));
}

/**
 * Never below what more bits do, nor below nothing; and at most half of what a bit less does, since a bit halves the
 * step, and errors of half the size do a quarter of the harm. What was measured beyond that is chance.
 */
function falling(harms: readonly number[]): readonly number[] {
  const found: number[] = [];
  for (const at of harms.keys()) {
    const measured = Math.max(0, ...harms.slice(at));
    found.push(at === 0 ? measured : Math.min(measured, found[at - 1]! / 2));
  }
  return found;
}

/** By how much the loss rises with one operand of one layer at so many bits. */
async function measureHarms(
  context: RunContext,
  float: Uint8Array,
  layers: readonly RunLayer[],
  images: number,
): Promise<readonly Harms[]> {
  const { configuration, backend, task, dataset, listener, signal } = context;
  const sample = sampleOf(dataset.train, images, configuration.seed);
  const session = await backend.openSession();
  try {
    const lossOf = async (arithmetic: Arithmetic): Promise<number> => {
      const { loss } = await evaluateOnce(session, task, arithmetic, sample, undefined, 'statistics');
      return loss;
    };
    loadToQuantize(context, float, session);
    const base = await lossOf({ kind: 'float', folded: foldedBatchNorms(context) });
    const inputs = await observedInputs(context, session);
    const harms: Harms[] = [];
    for (const { name } of layers) {
      signal?.throwIfAborted();
      const harmOf = async (operand: OperandName, bits: number): Promise<number> => {
        const own = { weight: MOST_BITS, input: MOST_BITS, [operand]: bits };
        observeInput(context, session, { layer: name, bits: own.input, seen: inputs.get(name)! });
        // So many codes that it does not matter which.
        const by = own.weight === MOST_BITS ? { by: 'min-max' as const } : {};
        await observeWeight(context, session, { layer: name, bits: own.weight, ...by });
        const text = `${name}=${own.weight}x${own.input}`;
        const arithmetic = quantizedArithmetic(
          { ...context, configuration: withLayerBits(configuration, [text]) },
          exactMultiplier,
        );
        const loss = await lossOf({ ...arithmetic, isFloat: (layer) => layer !== name });
        return loss - base;
      };
      const ofAll = async (operand: OperandName) => {
        const found: number[] = [];
        for (const bits of BITS) {
          const last = found.at(-1);
          const isKnown = found.length >= LEAST_MEASURED && last !== undefined && last <= NEARLY_NOTHING;
          found.push(isKnown ? Math.max(0, last) * LEFT_BY_A_BIT : await harmOf(operand, bits));
        }
        return found;
      };
      const one = { layer: name, weights: await ofAll('weight'), activations: await ofAll('input') };
      harms.push(one);
      const told = (values: readonly number[]) =>
        values
          .slice(0, 3)
          .map((value) => fixed(value, 3))
          .join(', ');
      const text = `${name}: with 2, 3, 4 bits the loss changes by ${told(one.weights)} (weights), ${told(one.activations)} (activations)`;
      listener({ kind: 'note', text });
    }
    return harms;
  } finally {
    await session.dispose();
  }
}
