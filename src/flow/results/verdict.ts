// The last word on a run: what was saved for what loss, and what to try next. Loss is measured against the same network
// with an exact multiplier of the same widths, or, where layers have widths of their own, against the float network;
// gates against the cheapest exact multiplier of the run's widths.

import { cheapestExact } from '../../netlist/exact-cost.ts';
import type { FrontPoint } from '../../report/front.ts';
import { fixed, percent } from '../../tensor/numbers.ts';
import { judge } from '../multipliers/targets.ts';
import { type Stage, type StageResult, stageTitles } from '../run/stages.ts';
import type { Configuration } from '../settings/config.ts';
import { EXACT, hasOwnWidths } from '../settings/layers.ts';
import { kindNames, type RunFront, rivalName } from './rivals.ts';
import type { MultiplierSummary, RunSummary } from './summary.ts';
import { nounOf } from './theta-text.ts';

/** What has this θ or more is gone. */
const GONE = 0.995;
/** Points of accuracy (0.01 is one) up to which a loss invites saving more, and from which it asks for less. */
const SMALL_LOSS = 0.005;
const LARGE_LOSS = 0.02;

export interface Outcome {
  readonly configuration: Configuration;
  readonly stages: readonly StageResult[];
  readonly multipliers: readonly Pick<MultiplierSummary, 'theta'>[];
  /** Layers that keep an exact multiplier. */
  readonly exactLayers: readonly string[];
  /** Among exact multipliers of fewer bits, where the run measured them. */
  readonly front?: RunFront | undefined;
  readonly targets?: RunSummary['targets'] | undefined;
}

export function verdictOf(outcome: Outcome): string {
  return [...targetText(outcome), savedText(outcome)].join(' ');
}

/** What came of targets, and of a loss on the test images too, which had no part in it. */
function targetText({ targets }: Outcome): string[] {
  if (!targets) return [];
  const { loss, testLoss } = targets;
  const onTest =
    loss && testLoss !== undefined
      ? [`On the test images, which had no part in it, ${testLoss.toFixed(2)} points are lost at the last stage.`]
      : [];
  return [judge(targets).text, ...onTest];
}

function savedText({ configuration, stages, multipliers, exactLayers, front, targets }: Outcome): string {
  const at = (stage: Stage) => stages.find((result) => result.stage === stage);
  const result = at('recovered') ?? at('mapped');
  const isMixed = hasOwnWidths(configuration);
  const exact = at(isMixed ? 'float' : 'quantized');
  const reference = isMixed ? 'of the float network' : 'with the exact multiplier';
  if (!result || !exact) return unfinished(stages);
  const loss = exact.accuracy - result.accuracy;
  const state = result.stage === 'recovered' ? '' : ' before recovery';
  const { weights, activations } = configuration.bits;
  const [own, others] = [percent(result.accuracy), percent(exact.accuracy)];
  const instead =
    own === others
      ? `${own}${state}, as ${isMixed ? 'the float network has' : 'with the exact multiplier'}`
      : `${own}${state} instead of ${others} ${reference}`;
  const began = result.stage === 'recovered' ? (at('recovery-started') ?? at('mapped')) : undefined;
  const harm = harmText(configuration, began, result);
  if (result.gateCost === undefined) {
    const unknown = 'what that saves is not known, since the multiplier is a table without a netlist';
    return `${[instead, unknown, ...(harm ? [harm] : [])].join('; ')}.`;
  }
  const relative = result.gateCost / cheapestExact(weights, activations).gateCost;
  const where = exactLayers.length > 0 ? ' in the layers that do not keep one' : '';
  const saved = `${gatesText(relative)} the cheapest exact ${weights}×${activations} multiplier${where}`;
  const isHeld = targets !== undefined && !judge(targets).powerMet;
  const next = harm ?? nextStep(configuration, multipliers, result.stage, loss, isHeld);
  const rivals = front ? [amongRivals(front)] : fewerBits(configuration, result.gateCost);
  return [`${saved} ${lossText(loss)} (${instead}); ${next}.`, ...rivals].join(' ');
}

function unfinished(stages: readonly StageResult[]): string {
  const last = stages.at(-1);
  if (!last) return 'Nothing is measured yet; tram run goes on.';
  return `So far ${percent(last.accuracy)} (${stageTitles[last.stage]}); tram run goes on.`;
}

function gatesText(relative: number): string {
  const difference = Math.abs(100 * (1 - relative)).toFixed(0);
  if (difference === '0') return 'As many gates as';
  return `${difference} % ${relative < 1 ? 'fewer' : 'more'} gates than`;
}

function lossText(loss: number): string {
  const points = Math.abs(100 * loss).toFixed(2);
  if (points === '0.00') return 'without a loss of accuracy';
  return loss > 0 ? `for ${points} points of accuracy` : `and ${points} points more accuracy`;
}

/** A recovery that ends well below where it began has learnt the wrong thing: more of it is no help. */
function harmText(
  { map, recover }: Configuration,
  began: StageResult | undefined,
  ended: StageResult,
): string | undefined {
  const lost = began ? began.accuracy - ended.accuracy : 0;
  if (!began || lost <= LARGE_LOSS) return undefined;
  const instead =
    recover.gradient === 'difference' || map.multiplier === EXACT
      ? `--recover-learning-rate ${Number((recover.learningRate / 5).toPrecision(2))}`
      : '--gradient difference';
  return `recovery itself lost ${(100 * lost).toFixed(2)} points, from ${percent(began.accuracy)}: try ${instead}`;
}

function nextStep(
  { bits, quantize, explore, map, recover }: Configuration,
  multipliers: Outcome['multipliers'],
  stage: Stage,
  loss: number,
  isHeld: boolean,
): string {
  if (stage === 'mapped') return 'tram run recovers accuracy next';
  const longer = `--recover-epochs ${2 * recover.epochs}`;
  const { layerCost } = quantize;
  if (layerCost !== undefined && map.multiplier !== undefined) {
    const other = (factor: number) => `--layer-widths ${Number(Math.min(1, layerCost * factor).toPrecision(2))}`;
    return loss > SMALL_LOSS ? `try ${longer}, or ${other(1.25)}` : `try ${other(0.8)} to save more`;
  }
  if (map.multiplier !== undefined) {
    return loss > SMALL_LOSS
      ? `try ${longer}, or another multiplier`
      : 'try one with fewer gates: tram try measures many';
  }
  if (loss > LARGE_LOSS) return `try ${longer}, or ${otherTarget(explore, 1, isHeld)} for a smaller loss`;
  const most = bits.weights + bits.activations - 1;
  const gone = multipliers.every(({ theta }) => theta.every((value) => value >= GONE));
  const all = `all ${multipliers[0]?.theta.length ?? 0} ${nounOf(explore.grain)}s`;
  if (gone && explore.columns < most) {
    return `${all} are gone: try --columns ${Math.min(most, explore.columns + 2)} to save more`;
  }
  if (gone) return `${all} are gone`;
  if (loss > SMALL_LOSS) return `try ${longer} for a smaller loss`;
  return `try ${otherTarget(explore, -1, isHeld)} to save more`;
}

/**
 * The option that spends more power on accuracy (`direction` 1), or less (−1). Of two targets it is the one that
 * counted: the loss where it held the power above its target.
 */
function otherTarget(
  { lambda = 0, power, maxLoss }: Configuration['explore'],
  direction: 1 | -1,
  isHeld: boolean,
): string {
  if (power !== undefined && !(isHeld && maxLoss !== undefined))
    return `--power ${Number(Math.min(1, power * 1.25 ** direction).toPrecision(2))}`;
  if (maxLoss !== undefined) return `--max-loss ${rounded((maxLoss || 0.1) * 2 ** -direction)}`;
  return `--lambda ${lambda === 0 ? 0.3 : rounded(direction > 0 ? lambda / 3 : lambda * 3)}`;
}

const rounded = (value: number) => Number(value.toPrecision(1));

/** Whether an exact multiplier of fewer bits would have done as well, with figures measured in this run. */
function amongRivals({ kind, own, rivals, dominatedBy }: RunFront): string {
  const power = (point: FrontPoint) => `${kindNames[kind]} ${fixed(point.power, 2)}`;
  if (!dominatedBy) {
    const count = rivals.length === 1 ? 'The exact multiplier' : `None of the ${rivals.length} rivals`;
    const none = rivals.length === 1 ? 'is not' : 'is';
    return `${count} measured here ${none} as cheap (${power(own)}) and as accurate.`;
  }
  const rival = rivalName(dominatedBy).replace(/^a/, 'A');
  return `${rival} has ${percent(dominatedBy.accuracy)} at ${power(dominatedBy)}: this multiplier (${percent(own.accuracy)} at ${fixed(own.power, 2)}) is dominated by it.`;
}

/** The widest exact multiplier of w×w bits that costs no more, where an operand could have been narrower instead. */
function fewerBits(configuration: Configuration, gateCost: number): string[] {
  const { weights, activations } = configuration.bits;
  if (configuration.map.multiplier === EXACT) return [];
  if (gateCost >= cheapestExact(weights, activations).gateCost) return [];
  const widest = weights === activations ? weights - 1 : Math.min(weights, activations);
  for (let width = widest; width >= 2; width--) {
    const exact = cheapestExact(width, width);
    if (exact.gateCost > gateCost) continue;
    return [
      `An exact ${width}×${width} multiplier costs no more (${exact.gateCost.toFixed(2)} of the exact 8×8): compare with --bits ${width}, or let tram sweep DIR --cheapest look for the cheapest that works.`,
    ];
  }
  return [];
}
