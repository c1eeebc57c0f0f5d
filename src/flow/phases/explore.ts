// Phase 1: weights and structure parameters θ are trained together on cross-entropy + λ·power (paper, Eq. 8). Writes θ
// as theta.json.

import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { invariant } from '../../tensor/errors.ts';
import { writeJsonInside } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { fixed, percent } from '../../tensor/numbers.ts';
import { type Evaluation, evaluator } from '../../train/evaluation.ts';
import type { Position } from '../../train/loop.ts';
import { linearisePower, readStructures } from '../../train/step.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { knownTables } from '../multipliers/mapped.ts';
import {
  kindsIn,
  type Network,
  networkExactPower,
  powerTerm,
  quantizedArithmetic,
  structureOfRun,
  structuresOf,
  writeInitialTheta,
} from '../multipliers/multipliers.ts';
import { describeActivity, proveActive } from '../multipliers/proof.ts';
import { describeHardening, hasTarget, judge, requireReachable, requireTimeForTheta } from '../multipliers/targets.ts';
import { thetaDocument } from '../multipliers/theta.ts';
import { metCodes, writeWeightCodes } from '../multipliers/weight-codes.ts';
import { nounOf } from '../results/theta-text.ts';
import { saveModel } from '../run/checkpoint.ts';
import { type RunContext, sessionFrom } from '../run/context.ts';
import { files } from '../run/folder.ts';
import type { TargetOutcome, TypesRecord } from '../run/manifest.ts';
import { clearConstants, exploringArithmetic, foldConstants, measureConstants } from '../start/following-biases.ts';
import { reestimateStatistics, SETTLING } from '../start/statistics.ts';
import { expectMapped } from './expected.ts';
import type { PhaseResult } from './result.ts';
import { startPhase } from './start.ts';
import { explorationTarget, measuredLoss, outcomeOf } from './target.ts';
import { finishTraining, fitOf, learntFrom, resumedTypes, resumePosition, trainPhase } from './training.ts';
import { groupingOf, groupLayers, regrouped } from './types.ts';

export async function explore(context: RunContext): Promise<PhaseResult> {
  const { configuration, dataset, task } = context;
  const { explore: settings } = configuration;
  // Of widths that were searched nothing could be said before.
  if (configuration.quantize.layerCost !== undefined) {
    requireReachable(configuration, context.layers);
    requireTimeForTheta(configuration, context.layers, dataset.train.count);
  }
  const grouping = groupingOf(context);
  let now = structured(context, await sessionFrom(context, 'quantize', files.quantized));
  try {
    const measured = await measuredLoss(context, now.session);
    // The starting point is measured anew on a resumed run too: it is cheap and needs no state of its own.
    writeInitialTheta(now.session, context);
    await linearisePower(now.session, now.power);
    const exactly = quantizedArithmetic(context, exactMultiplier);
    const met = await metCodes(context, now.session, { from: exactly, to: now.arithmetic });
    const follow = met && (() => writeWeightCodes(now.session, now.arithmetic, met));
    await follow?.();
    await clearConstants(now.session, now.arithmetic);
    let evaluate = await evaluator(now.session, task, now.arithmetic, dataset.test);
    const proved = await proveActive(now.session, task, now.arithmetic, dataset.test);
    context.listener({ kind: 'note', text: describeActivity('approximation', proved) });
    const before = await evaluate();
    const exact = networkExactPower(configuration, context.layers);
    const structures = async () => {
      const read = await readStructures(now.session, now.power);
      return { ...read, power: read.power * exact };
    };
    const powerBefore = (await structures()).power;
    const target = explorationTarget(context, measured, powerBefore / exact);
    const change = { from: exactly, to: now.arithmetic };
    await measureConstants(context, now.session, change);
    noteFollowing(context, now.arithmetic);
    const started = await startPhase(context, {
      ...{ phase: 'explore', stage: 'exploration-started', before: before.metrics.accuracy, evaluate },
      ...{ session: now.session, change },
    });
    noteLostStart(context, (started ?? before.metrics).accuracy);

    const train = (start: Position<'accuracy'> | undefined, until?: number, types?: TypesRecord) => {
      const structure = {
        power: now.power,
        learningRate: settings.thetaLearningRate,
        weightDecay: settings.thetaWeightDecay,
        // A target is one of hard θ, be it in the last step alone.
        harden: settings.harden || (target ? Number.MIN_VALUE : 0),
        target,
        follow: async (isFixed: boolean) => {
          await follow?.();
          if (isFixed) await expectFixed({ ...context, ...given({ types }) }, now);
        },
      };
      const fit = { ...fitOf(settings), arithmetic: now.arithmetic, structure, until };
      return trainPhase(context, { phase: 'explore', session: now.session, fit, types }, start);
    };
    let types = grouping && resumedTypes(context);
    const isResumed = types !== undefined;
    let end = isResumed ? undefined : await train(resumePosition(context, 'explore', now.session), grouping?.epoch);
    if (settings.types !== undefined) types ??= await groupLayers(context, now, grouping?.types);
    if (grouping && types?.kinds) {
      const apart = now.session;
      const session = isResumed ? await context.backend.openSession() : await regrouped(context, apart, types.kinds);
      now = structured({ ...context, types }, session);
      await apart.dispose();
      evaluate = await evaluator(session, task, now.arithmetic, dataset.test);
      end = await train(isResumed ? resumePosition(context, 'explore', session) : end, undefined, types);
    }
    await foldConstants(now.session, now.arithmetic);
    if (types) noteTypes(context, types);
    if (target) await settleStatistics(context, now, evaluate);
    const { loss, metrics } = await evaluate();
    const learned = await structures();
    if (settings.harden > 0) {
      invariant(Object.values(learned.theta).flat().every(isWhole), 'θ is not hard behind the hardening');
    }
    writeJsonInside(context.folder, files.theta, thetaDocument(configuration, now.structures, learned));
    noteSaturation(context, learned.theta);
    const outcome = { power: learned.power, control: end?.control };
    const targets = target && (await outcomeOf(context, now.session, now.arithmetic, { target, ...outcome }));
    if (targets) noteTargets(context, targets);
    await saveModel(context, files.explored, now.session);
    return {
      files: [files.theta, files.explored],
      ...given({ targets, types }),
      stages: [
        { stage: 'approximated', accuracy: before.metrics.accuracy, loss: before.loss, power: powerBefore },
        ...(started ? [{ ...started, power: powerBefore }] : []),
        { stage: 'explored', accuracy: metrics.accuracy, loss, power: learned.power },
      ],
      finish: () => finishTraining(context),
    };
  } finally {
    await now.session.dispose();
  }
}

/** A session with the structures that its network reads. */
function structured(network: Network & Pick<RunContext, 'task'>, session: Session) {
  const kinds = kindsIn(network);
  const { configuration, layers } = network;
  return {
    session,
    arithmetic: exploringArithmetic(network),
    power: powerTerm(configuration, layers, kinds),
    structures: structuresOf(configuration, layers, kinds),
  };
}

/** Lets the device expect the multipliers of θ that learns no more, where they are what will be mapped. */
async function expectFixed(
  context: RunContext & Pick<Network, 'types'>,
  { session, power, structures }: ReturnType<typeof structured>,
): Promise<void> {
  if (!context.backend.expect) return;
  const { theta } = await readStructures(session, power);
  const found = structures.map(({ name, structure, layers }) => {
    return { structure, theta: theta[name]!, layers: layers.map((layer) => layer.name) };
  });
  const tables = knownTables(context.configuration, found);
  if (tables) expectMapped(context, tables, context.toCome);
}

/**
 * Takes batch norm's statistics anew from the network as it is. Those of training are moving averages of what the last
 * steps met; with an approximate multiplier a step that moves a quantiser, a weight's code or θ a little moves the mean
 * of a whole channel, the first layer's most, and they come after it.
 */
async function settleStatistics(
  context: RunContext,
  { session, arithmetic }: ReturnType<typeof structured>,
  evaluate: () => Promise<Evaluation<'accuracy'>>,
): Promise<void> {
  const { configuration, dataset, listener } = context;
  const { task, dataset: changed } = learntFrom(context, 'explore');
  const before = (await evaluate()).metrics.accuracy;
  const images = Math.min(SETTLING, dataset.train.count);
  const { augment } = changed;
  const norms = await reestimateStatistics(session, task, arithmetic, dataset, {
    ...{ images, seed: configuration.seed },
    ...given({ augment }),
  });
  if (norms === 0) return;
  const course = [before, (await evaluate()).metrics.accuracy].map((share) => percent(share)).join(' → ');
  const text = `statistics of ${norms} batch norms taken anew from ${images} training images: test ${course}`;
  listener({ kind: 'note', text });
}

function noteFollowing({ listener }: RunContext, { following }: QuantizedArithmetic): void {
  if (!following?.size) return;
  const text = `the biases of ${following.size} layers follow θ: what it takes of their outputs on average is added back`;
  listener({ kind: 'note', text });
}

/** What each number of multipliers costs, and which layers share one. */
function noteTypes({ listener }: RunContext, { kinds = [], table, images }: TypesRecord): void {
  const note = (text: string) => listener({ kind: 'note', text });
  for (const { name, layers } of kinds) note(`${name}: ${layers.join(', ')}`);
  for (const { types, power, accuracy, loss } of table) {
    note(
      `${types} ${types === 1 ? 'multiplier' : 'multipliers'} for all layers: power ${fixed(power, 4)}, accuracy ${percent(accuracy)}, loss ${fixed(loss, 4)} (${images} training images, before any adaption)`,
    );
  }
}

const isWhole = (value: number): boolean => value === 0 || value === 1;

/**
 * A start that leaves nothing of the accuracy has no gradient to tell what matters from what does not: λ takes it
 * all. Says so before the time is spent. Lost is what is nearer to guessing than to a tenth of the way to
 * the quantised network.
 */
function noteLostStart({ configuration, dataset, manifest, listener }: RunContext, accuracy: number): void {
  const { initiallyRemoved } = configuration.explore;
  const quantised = manifest.phases.quantize?.stages.find(({ stage }) => stage === 'quantized')?.accuracy;
  const guessing = 1 / dataset.classes;
  if (quantised === undefined || initiallyRemoved === 0) return;
  if (accuracy - guessing >= 0.1 * (quantised - guessing)) return;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const text =
    `with ${initiallyRemoved} of the columns removed at the start the network only guesses (${percent(accuracy)} instead of ` +
    `${percent(quantised)}), and exploration may not find back: --initially-removed ${initiallyRemoved > 1 ? `${initiallyRemoved >> 1} or ` : ''}0 begins nearer to the exact multiplier`;
  listener({ kind: 'note', text });
}

/** What was reached, and what it took to make θ hard. */
function noteTargets({ listener }: RunContext, targets: TargetOutcome): void {
  const hardening = describeHardening(targets);
  for (const text of [judge(targets).text, ...(hardening ? [hardening] : [])]) listener({ kind: 'note', text });
}

/** Where λ has taken everything that it may take, a larger one changes nothing: says what would. */
function noteSaturation(
  { configuration, listener }: RunContext,
  theta: Readonly<Record<string, readonly number[]>>,
): void {
  const { columns, grain } = configuration.explore;
  if (!Object.values(theta).every((values) => values.every((value) => value >= 0.999))) return;
  const { weights, activations } = configuration.bits;
  const most = weights + activations - 1;
  const { count } = structureOfRun(configuration);
  const gentler = hasTarget(configuration) ? 'a higher --power' : 'a smaller λ';
  const advice =
    columns < most
      ? `--columns ${Math.min(columns + 2, most)} lets it save more (up to ${most}), ${gentler} keeps more of the accuracy`
      : `nothing is left of the multiplier; choose ${gentler}`;
  listener({
    kind: 'note',
    text: `all ${count} ${nounOf(grain)}s that may be approximated are gone (θ = 1): ${advice}`,
  });
}
