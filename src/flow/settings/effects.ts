// Which settings can have an effect beside which others, all in one table: whatever a run is asked for that decides
// nothing is refused in one line, with what makes it idle and what to do. Where a setting comes from before (a run's
// own settings, a recipe, the published ones) it may be idle; what would contradict another one is refused wherever it
// comes from.
// Invariant (tested): every setting of the table (table.ts) has a row, and there is none without a setting.

import { UserError } from '../../tensor/errors.ts';
import type { Configuration } from './config.ts';
import { EXACT } from './layers.ts';
import { isOnnxFile } from './model-name.ts';
import type { Phase, TrainingPhase } from './phases.ts';
import { treatmentsOf } from './starts.ts';

/** Why a setting decides nothing, and what to do about it. */
export interface Idle {
  readonly because: string;
  readonly instead: string;
}

/** What a setting needs of the others: undefined where it has that. */
type Need = (configuration: Configuration) => Idle | undefined;

interface Row {
  /** All of them; without any it always has an effect. */
  readonly needs: readonly Need[];
  /**
   * Where it is refused though nobody said it just now, since it would contradict another setting: in every
   * configuration, or where a phase is to be done. Default: nowhere.
   */
  readonly held?: 'always' | Phase;
}

const LEAVE = 'leave it out';
const ONE = 'leave one of them out';
const said = (isSo: boolean, because: string, instead = LEAVE): Idle | undefined =>
  isSo ? undefined : { because, instead };

const explored: Need = ({ map: { multiplier } }) =>
  said(multiplier === undefined, `map.multiplier is ${multiplier}, and nothing is explored`, ONE);
const nearestCodes: Need = ({ explore: { weightCodes } }) =>
  said(weightCodes === 'nearest', `explore.weightCodes is ${weightCodes}, and biases stay`, ONE);
const mapped: Need = ({ map: { multiplier } }) =>
  said(multiplier === undefined, `map.multiplier is ${multiplier}, and nothing is mapped`, ONE);
const approximated: Need = ({ map: { multiplier } }) =>
  said(multiplier !== EXACT, `map.multiplier is ${EXACT}, which errs nowhere`, ONE);
const searchedBy =
  (...searches: readonly Configuration['map']['search'][]): Need =>
  ({ map: { search } }) =>
    said(searches.includes(search), `the ${search} search takes none`, `${LEAVE} or use the search ${searches.join()}`);
const fileGiven: Need = ({ map: { multiplier } }) =>
  said(
    multiplier !== undefined && multiplier !== EXACT,
    `no file of a multiplier is given: ${multiplier === undefined ? 'θ is mapped to an unsigned netlist' : 'exact products need none'}`,
    'name the file with map.multiplier, or leave it out (--unset where the run has it from before)',
  );
const trainedFloat: Need = ({ train: { checkpoint, newClassifier } }) =>
  said(
    checkpoint === undefined || newClassifier,
    `the network is taken from ${checkpoint} as it is`,
    `${LEAVE}, or say train.newClassifier to train on`,
  );
const trained =
  (phase: TrainingPhase): Need =>
  (configuration) =>
    said(configuration[phase].epochs > 0, `${phase}.epochs is 0, and nothing is trained there`, `say ${phase}.epochs`);
/** Batch norm's statistics at the start are those of images changed as in training. */
const trainedOrStarted: Need = (configuration) =>
  treatmentsOf(configuration.quantize.start).includes('statistics') ? undefined : trained('quantize')(configuration);
const searchedWidths: Need = ({ quantize: { layerCost } }) =>
  said(layerCost !== undefined, 'no widths are searched', 'say quantize.layerCost too, or leave it out');
const steps: Need = ({ quantize: { quantizer } }) =>
  said(
    quantizer === 'steps',
    `the quantiser ${quantizer} has none to learn or to choose`,
    'choose the quantiser steps',
  );
const percentiles: Need = ({ quantize: { observer, weightObserver } }) =>
  said(
    [observer, weightObserver].includes('percentile'),
    `the observers are ${observer} and ${weightObserver}`,
    'choose the observer percentile, or leave it out',
  );
const sampled: Need = ({ sample }) => said(sample !== undefined, 'no sample is drawn', 'say sample, or leave it out');
const checkpointGiven: Need = ({ train: { checkpoint } }) =>
  said(checkpoint !== undefined, 'no train.checkpoint is given', 'name the checkpoint, or leave it out');
const weightsGiven: Need = ({ model, train: { checkpoint } }) =>
  said(
    checkpoint !== undefined || isOnnxFile(model),
    'no train.checkpoint is given',
    'name the checkpoint, or leave it out',
  );
const windowed: Need = ({ recover: { gradient } }) =>
  said(
    gradient === 'difference',
    `recover.gradient is ${gradient}, which smooths nothing`,
    'choose the gradient difference or leave the smoothing out',
  );

/** How the file of a given multiplier is read. */
export const readingSettings = ['signed', 'operandOrder', 'tableOrder', 'top', 'liberty'] as const;

type Rows = Readonly<Record<string, Row>>;

const always = (...paths: readonly string[]): Rows => Object.fromEntries(paths.map((path) => [path, { needs: [] }]));

/** How a phase trains, where it does. */
function trainingRows(phase: TrainingPhase, ...others: readonly Need[]): Rows {
  // The others have an epoch at least.
  const needs = phase === 'train' || phase === 'quantize' ? [...others, trained(phase)] : others;
  const with_ = (need: Need): Row => ({ needs: [...needs, need] });
  const scheduled = (...schedules: readonly string[]): Row =>
    with_((configuration) => {
      const { schedule } = configuration[phase];
      const wanted = `choose ${phase}.schedule ${schedules.join(' or ')}, or leave it out`;
      return said(schedules.includes(schedule), `${phase}.schedule is ${schedule}`, wanted);
    });
  const rows: Record<string, Row> & { [name in 'teacher' | 'teacherWeight' | 'temperature']?: Row } = {
    beta2: with_((configuration) => {
      const { optimizer } = configuration[phase];
      return said(optimizer.startsWith('adam'), `${phase}.optimizer is ${optimizer}`, 'choose adam or adamw');
    }),
    decayOf: with_((configuration) => said(configuration[phase].weightDecay > 0, `${phase}.weightDecay is 0`)),
    milestones: scheduled('step'),
    scheduleFactor: scheduled('step'),
    finalRate: scheduled('cosine', 'cosine-steps'),
  };
  for (const key of [
    ...['batchSize', 'learningRate', 'momentum', 'weightDecay', 'schedule', 'optimizer', 'rates', 'clipGradient'],
    ...['warmup', 'warmupSteps', 'labelSmoothing', 'lastBatch', 'average', 'augment'],
  ]) {
    rows[key] = { needs };
  }
  if (phase !== 'train') {
    const taught: Need = (configuration) =>
      said(configuration[phase].teacher !== 'none', `${phase}.teacher is none`, 'choose a teacher, or leave it out');
    rows.teacher = { needs };
    rows.teacherWeight = with_(taught);
    rows.temperature = with_(taught);
  }
  return Object.fromEntries(Object.entries(rows).map(([key, row]) => [`${phase}.${key}`, row]));
}

const alike = (row: Row, ...paths: readonly string[]): Rows => Object.fromEntries(paths.map((path) => [path, row]));

/** By paths of the configuration, which settings have. */
export const settingEffects: Rows = {
  // On one device batch norm has the whole batch anyway.
  ...always('recipe', 'seed', 'model', 'syncBatchNorm', 'channelwise', 'bits.weights', 'bits.activations'),
  ...always('approximate', 'exactLayers', 'rivals'),
  // What a source does not take, it refuses itself (data/registry.ts): which source a path is, its files say.
  ...always('data', 'image', 'maximum', 'label', 'testData', 'classes', 'split', 'testLabels', 'classesOf', 'sample'),
  ...always('sampleList', 'resize', 'badImages', 'imageCache', 'mean', 'deviation'),
  sampleSeed: { needs: [sampled] },
  'train.checkpoint': { needs: [] },
  'train.checkpointKey': { needs: [checkpointGiven], held: 'train' },
  'train.newClassifier': { needs: [weightsGiven], held: 'train' },
  'train.epochs': { needs: [trainedFloat] },
  ...trainingRows('train', trainedFloat),
  ...always('quantize.images', 'quantize.quantizer', 'quantize.range', 'quantize.layerBits', 'quantize.layerCost'),
  ...always('quantize.observer', 'quantize.weightObserver', 'quantize.foldBatchNorm', 'quantize.start'),
  'quantize.stepRate': { needs: [steps] },
  'quantize.weightZero': { needs: [steps], held: 'always' },
  'quantize.layerKinds': { needs: [searchedWidths], held: 'always' },
  'quantize.percentile': { needs: [percentiles] },
  'quantize.epochs': { needs: [] },
  ...trainingRows('quantize'),
  'quantize.augment': { needs: [trainedOrStarted] },
  // The power of exact multipliers is told in it, too.
  'explore.powerModel': { needs: [] },
  ...alike(
    { needs: [explored] },
    ...['lambda', 'power', 'maxLoss', 'columns', 'initiallyRemoved', 'structure', 'types', 'grain', 'weightCodes'].map(
      (key) => `explore.${key}`,
    ),
    ...['harden', 'start', 'thetaLearningRate', 'thetaWeightDecay', 'epochs'].map((key) => `explore.${key}`),
  ),
  'explore.constants': { needs: [explored, nearestCodes] },
  ...trainingRows('explore', explored),
  'map.search': { needs: [mapped] },
  'map.operands': { needs: [mapped, searchedBy('descent')] },
  ...alike({ needs: [mapped, searchedBy('descent')], held: 'always' }, 'map.costBudget', 'map.costWeight'),
  'map.errorBound': { needs: [mapped, searchedBy('exact')], held: 'always' },
  'map.multiplier': { needs: [] },
  ...alike({ needs: [fileGiven], held: 'map' }, ...readingSettings.map((key) => `map.${key}`)),
  'map.weightCodes': { needs: [approximated] },
  'map.zeroProduct': { needs: [fileGiven], held: 'map' },
  ...always('recover.epochs', 'recover.start'),
  'recover.gradient': { needs: [approximated] },
  ...alike({ needs: [windowed, approximated] }, 'recover.smoothing.weights', 'recover.smoothing.activations'),
  ...trainingRows('recover'),
};

/** Why the setting at a path decides nothing; undefined where it can. */
export function idleAt(path: string, configuration: Configuration): Idle | undefined {
  return settingEffects[path]?.needs.map((need) => need(configuration)).find((idle) => idle !== undefined);
}

/** Values that say nothing, of those settings that are refused wherever they come from. */
const silent = new Set<unknown>([undefined, false, 'code', 'exact']);

/** Refuses what would contradict another setting, wherever it comes from. `source` names where that is. */
export function refuseContradictions(configuration: Configuration, source: string, where: 'always' | Phase): void {
  for (const [path, { held }] of Object.entries(settingEffects)) {
    if (held !== where) continue;
    const value = valueAt(configuration, path);
    const idle = silent.has(value) ? undefined : idleAt(path, configuration);
    if (idle) throw new UserError(`${source}: ${path} is ${value}, but ${idle.because}; ${idle.instead}`);
  }
}

/** The value at a path such as `explore.power`. */
export const valueAt = (configuration: object, path: string): unknown =>
  path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], configuration);
