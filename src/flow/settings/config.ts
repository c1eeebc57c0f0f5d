// The configuration of a run, where each setting's range and default are declared: one schema gives the type, the
// validator and the defaults.
// Unknown keys are errors. What a setting means is in settings.ts, how people name it in table.ts. Every option of the
// published scripts has a name here; `published` holds their settings for comparison.

import { z } from 'zod';
import { MOST_CLASSES } from '../../data/labels.ts';
import { parseTransforms } from '../../data/transforms.ts';
import { modelledExactPower, powerModelNames } from '../../multiplier/power-model.ts';
import { defaultSmoothing, type Smoothing } from '../../multiplier/slopes.ts';
import { type Grain, grainNames } from '../../multiplier/structure.ts';
import { operandOrders } from '../../multiplier/table.ts';
import { weightCodeChoices } from '../../multiplier/weight-codes.ts';
import { zeroProductNames } from '../../multiplier/zero-row.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { tableOrders } from '../../netlist/formats/interpret.ts';
import { searchNames } from '../../netlist/mapping/task.ts';
import { observerNames } from '../../quant/observers.ts';
import { quantizerNames, rangeNames } from '../../quant/quantized.ts';
import { weightZeroNames } from '../../quant/starts.ts';
import { UserError } from '../../tensor/errors.ts';
import { nearestName } from '../../tensor/names.ts';
import { MOST_SEED } from '../../tensor/random.ts';
import { type OptimizerName, optimizerNames, parseRate } from '../../train/optimizer.ts';
import { scheduleNames } from '../../train/schedule.ts';
import { idleAt, refuseContradictions, settingEffects } from './effects.ts';
import { EXACT, exactWidths, isExact, parseLayerBits } from './layers.ts';
import { isOnnxFile } from './model-name.ts';
import { recipeNames, recipes } from './recipes.ts';
import type { ConfigurationInput } from './settings.ts';
import { constantsChoices, exactStarts, starts } from './starts.ts';
import { type Course, goodTraining, usualCourse } from './training.ts';

export type { ConfigurationInput } from './settings.ts';

const rate = z.number().positive();
const decay = z.number().nonnegative();
const epochs = z.int().min(1);
const schedule = z.enum(scheduleNames);
const batchSize = z.int().min(1);
const momentum = z.number().min(0).lt(1);

/** Widths of some layers: `first=8`, `*.fc2=8x6`; see layers.ts. */
const layerBits = z
  .string()
  .refine(
    (text) => parseLayerBits(text) !== undefined,
    'expected LAYERS=BITS of 2 to 8, for example first=8 or *.fc2=8x6',
  );

/** Half size of a smoothing window in codes; 127 leaves the mean slope everywhere, whatever the width. */
const halfWindow = z.int().min(0).max(127);

const share = z.number().min(0).lt(1);

/** What a phase that trains has beside epochs, batch, rate, momentum, decay and schedule. */
const learning = {
  optimizer: z.enum(optimizerNames).default('sgd'),
  beta2: momentum.default(0.999),
  decayOf: z.enum(['all', 'weights']).default('all'),
  rates: z
    .array(z.string().refine((text) => parseRate(text) !== undefined, 'expected PATTERN=FACTOR, for example *.bias=2'))
    .default([]),
  clipGradient: z.number().positive().optional(),
  milestones: z.array(z.number().nonnegative()).default([]),
  scheduleFactor: z.number().positive().max(1).default(0.1),
  warmup: z.number().nonnegative().default(0),
  warmupSteps: z.int().min(0).default(0),
  finalRate: z.number().min(0).max(1).default(0),
  labelSmoothing: share.default(0),
  average: share.default(0),
  lastBatch: z.enum(['filled', 'short']).default(goodTraining.train.lastBatch),
  augment: z
    .string()
    .superRefine((text, context) => {
      const read = parseTransforms(text);
      if ('wrong' in read) context.addIssue({ code: 'custom', message: read.wrong });
    })
    .optional(),
};

/** Whether exact multipliers of fewer bits are measured beside the run's own, and how they come to their accuracy. */
export const rivalChoices = ['none', 'post-training', 'recovered'] as const;

const { quantize: quantizing, explore: exploring, recover: recovering } = goodTraining;

/** What phases 0, 1 and 3 have beside; rate and schedule are by default those of the optimiser. */
const retraining = {
  ...learning,
  epochs: epochs.default(10),
  batchSize: batchSize.default(64),
  optimizer: z.enum(optimizerNames).default(exploring.optimizer),
  learningRate: rate.optional(),
  momentum: momentum.default(0.9),
  weightDecay: decay.default(5e-4),
  schedule: schedule.optional(),
  teacher: z.enum(['usual', 'none', 'float', 'quantized']).default(exploring.teacher),
  teacherWeight: z.number().gt(0).max(1).default(0.9),
  temperature: z.number().min(0.1).max(100).default(exploring.temperature),
};

/** What each key means is said in settings.ts. */
const givenConfiguration = z.strictObject({
  recipe: z.enum(recipeNames).optional(),
  data: z.string().min(1).default('digits'),
  image: z
    .string()
    .regex(/^\d+[x×]\d+[x×]\d+$/, 'expected HEIGHTxWIDTHxCHANNELS, for example 28x28x1')
    .optional(),
  maximum: z.int().min(1).max(255).optional(),
  label: z.string().min(1).optional(),
  testData: z.string().min(1).optional(),
  classes: z.int().min(2).max(MOST_CLASSES).optional(),
  split: z.string().min(1).optional(),
  testLabels: z.string().min(1).optional(),
  classesOf: z.string().min(1).optional(),
  sample: z.int().min(2).optional(),
  sampleSeed: z.int().min(0).max(MOST_SEED).optional(),
  sampleList: z.string().min(1).optional(),
  resize: z.int().min(1).max(4096).optional(),
  badImages: z.enum(['refuse', 'skip']).optional(),
  imageCache: z.string().min(1).optional(),
  mean: z.array(z.number()).min(1).optional(),
  deviation: z.array(z.number().positive()).min(1).optional(),
  model: z.string().min(1).default('resnet8'),
  seed: z.int().min(0).max(MOST_SEED).default(1),
  bits: z
    .strictObject({
      weights: z.int().min(2).max(8).default(8),
      activations: z.int().min(2).max(8).default(8),
    })
    .prefault({}),
  channelwise: z.boolean().default(true),
  syncBatchNorm: z.boolean().default(false),
  approximate: z.array(z.string().min(1)).min(1).default(['usual']),
  exactLayers: z.array(z.string().min(1)).default([]),
  rivals: z.enum(rivalChoices).default('none'),
  train: z
    .strictObject({
      checkpoint: z.string().optional(),
      checkpointKey: z.string().optional(),
      newClassifier: z.boolean().default(false),
      epochs: z.int().min(0).optional(),
      batchSize: batchSize.default(64),
      learningRate: rate.default(0.05),
      momentum: momentum.default(0.9),
      weightDecay: decay.default(5e-4),
      schedule: schedule.default('cosine'),
      ...learning,
    })
    .prefault({}),
  quantize: z
    .strictObject({
      images: z.int().min(1).default(1024),
      quantizer: z.enum(quantizerNames).default(quantizing.quantizer),
      stepRate: rate.default(1),
      weightZero: z.enum(weightZeroNames).default('code'),
      range: z.enum(rangeNames).default('with-zero'),
      layerBits: z.array(layerBits).default([]),
      layerCost: z.number().positive().max(1).optional(),
      // Pairs of widths from 2 to 8.
      layerKinds: z.int().min(1).max(49).optional(),
      observer: z.enum(observerNames).default('mse'),
      weightObserver: z.enum(observerNames).default('mse'),
      percentile: z.number().gt(50).max(100).default(99.99),
      foldBatchNorm: z.boolean().default(false),
      start: z.enum(exactStarts).default(quantizing.start),
      ...retraining,
      epochs: z.int().min(0).default(0),
      // The quantised network teaches behind the phase that makes it.
      teacher: z.enum(['usual', 'none', 'float']).default(quantizing.teacher),
    })
    .prefault({}),
  explore: z
    .strictObject({
      lambda: z.number().nonnegative().optional(),
      power: z.number().positive().max(1).optional(),
      maxLoss: z.number().nonnegative().max(100).optional(),
      columns: z.int().min(1).optional(),
      initiallyRemoved: z.int().min(0).optional(),
      structure: z.enum(['shared', 'per-layer']).optional(),
      types: z.int().min(0).optional(),
      grain: z.enum(grainNames).default(exploring.grain),
      weightCodes: z.enum(weightCodeChoices).default('nearest'),
      harden: share.optional(),
      powerModel: z.enum(powerModelNames).default('analytic'),
      start: z.enum(starts).default(exploring.start),
      constants: z.enum(constantsChoices).default(exploring.constants),
      ...retraining,
      thetaLearningRate: rate.default(0.02),
      thetaWeightDecay: decay.default(0),
    })
    .prefault({}),
  map: z
    .strictObject({
      search: z.enum(searchNames).optional(),
      operands: z.enum(['uniform', 'measured']).default('uniform'),
      costBudget: z.number().positive().max(1).optional(),
      costWeight: z.number().nonnegative().optional(),
      errorBound: z.number().nonnegative().optional(),
      multiplier: z.string().min(1).optional(),
      signed: z.boolean().default(false),
      operandOrder: z.enum(operandOrders).optional(),
      tableOrder: z.enum(tableOrders).optional(),
      top: z.string().min(1).optional(),
      liberty: z.array(z.string().min(1)).optional(),
      weightCodes: z.enum(weightCodeChoices).default('nearest'),
      zeroProduct: z.enum(zeroProductNames).default('exact'),
    })
    .prefault({}),
  recover: z
    .strictObject({
      start: z.enum(starts).default(recovering.start),
      ...retraining,
      gradient: z.enum(['straight-through', 'difference', 'rows']).default(recovering.gradient),
      smoothing: z.strictObject({ weights: halfWindow.optional(), activations: halfWindow.optional() }).optional(),
    })
    .prefault({}),
});

/** The last share of phase 1 in which θ is 0 or 1, where that is the end that is meant. */
const HARDENED = 0.2;

/** Of the exact multiplier's modelled power, where nobody says what is to be saved or at which price. */
const USUAL_SHARE = 0.6;

const USUAL_LAMBDA = 0.3;

/** P where nobody says it. */
function usualColumns({ weights, activations }: { weights: number; activations: number }, grain: Grain): number {
  return grain === 'product' ? weights + activations - 1 : Math.max(weights, activations);
}

type Explore = NonNullable<ConfigurationInput['explore']>;

/** Whether exploration ends with a θ of 0 or 1 everywhere; with a target it does, be it in the last step alone. */
const endsHard = (explore: Pick<Explore, 'power' | 'maxLoss'> & { harden: number }): boolean =>
  explore.harden > 0 || targetOf(explore) !== undefined;

/**
 * What exploration aims at: what is said; else with a θ per product a part of the power that exact multipliers of the
 * widths have, which any of them can save, and with a θ per column, or where few may go, the published λ. Of widths
 * that are still to be searched nobody knows what they have: there it has to be said (refuseStructures).
 */
function usualAim({ bits, quantize, explore }: z.output<typeof givenConfiguration>): Pick<Explore, 'lambda' | 'power'> {
  const { lambda, grain, columns, initiallyRemoved, powerModel } = explore;
  if (lambda !== undefined) return { lambda };
  if (targetOf(explore) !== undefined) return {};
  const isPart = columns !== undefined && columns < bits.weights + bits.activations - 1;
  if (grain === 'column' || isPart || (initiallyRemoved ?? 0) > 0) return { lambda: USUAL_LAMBDA };
  if (quantize.layerCost !== undefined) return {};
  const exact = modelledExactPower(powerModel, { weightBits: bits.weights, activationBits: bits.activations });
  return { power: Number((USUAL_SHARE * exact).toFixed(4)) };
}

/** Epochs of float training where nobody says them: a network that brings its weights is taken as it is. */
function usualEpochs({ model, train: { checkpoint, newClassifier } }: z.output<typeof givenConfiguration>): number {
  return isOnnxFile(model) && checkpoint === undefined && !newClassifier ? 0 : 30;
}

/**
 * With every default filled in. Those of P, of the columns removed at the start and of the target depend on the widths,
 * those of rates and schedules on the optimiser, that of the float epochs on where the weights come from, and so does
 * the smoothing of the difference-based gradient, which only that gradient has.
 */
export const configurationSchema = givenConfiguration.transform((given) => {
  const { bits, quantize, map } = given;
  const explore = { ...given.explore, ...usualAim(given) };
  const target = targetOf(explore);
  // A θ per partial product reaches every one of them, begins with the exact multiplier and ends at 0 or 1.
  const single = explore.grain === 'product';
  const harden = explore.harden ?? (single || target !== undefined ? HARDENED : 0);
  const structure = explore.structure ?? (explore.types === undefined ? 'shared' : 'per-layer');
  const columns = explore.columns ?? usualColumns(bits, explore.grain);
  const initiallyRemoved = explore.initiallyRemoved ?? (single ? 0 : Math.floor(columns / 2));
  const { smoothing, ...recover } = given.recover;
  const usual = defaultSmoothing(bits.weights, bits.activations);
  const windows: Smoothing = {
    weights: smoothing?.weights ?? usual.weights,
    activations: smoothing?.activations ?? usual.activations,
  };
  const hasCost = map.costBudget !== undefined || map.costWeight !== undefined;
  const search = map.search ?? (endsHard({ ...explore, harden }) && !hasCost ? 'exact' : 'descent');
  const windowed = recover.gradient === 'difference' ? { smoothing: windows } : {};
  return {
    ...given,
    train: { ...given.train, epochs: given.train.epochs ?? usualEpochs(given) },
    quantize: { ...quantize, ...courseOf('quantize', quantize) },
    explore: {
      ...{ ...explore, harden, structure, columns, initiallyRemoved },
      ...courseOf('explore', explore),
    },
    map: { ...map, search },
    recover: { ...recover, ...windowed, ...courseOf('recover', recover) },
  };
});

/** Rate and schedule that a phase says, or those of its optimiser. */
function courseOf(
  phase: 'quantize' | 'explore' | 'recover',
  said: { [K in keyof Course]?: Course[K] | undefined } & { readonly optimizer: OptimizerName },
): Course {
  const usual = usualCourse(phase, said.optimizer);
  return { learningRate: said.learningRate ?? usual.learningRate, schedule: said.schedule ?? usual.schedule };
}

export type Configuration = z.output<typeof configurationSchema>;

/** The settings of the published scripts where they differ from our defaults. */
export const published: ConfigurationInput = recipes['paper-cifar10'].settings;

/** The setting that takes the place of λ, where there is one. */
function targetOf(explore: ConfigurationInput['explore'] = {}): 'power' | 'maxLoss' | undefined {
  return (['power', 'maxLoss'] as const).find((name) => explore[name] !== undefined);
}

/** Settings with those of the recipe that they name below them; a target takes the place of a recipe's λ. */
export function withRecipe(input: ConfigurationInput): ConfigurationInput {
  const recipe = recipeNames.find((name) => name === input.recipe);
  if (recipe === undefined) return input;
  const lambda = targetOf(input.explore) === undefined ? {} : { explore: { lambda: undefined } };
  return mergeSettings(mergeSettings(recipes[recipe].settings, lambda), input);
}

/**
 * `exact:4x5` is the exact multiplier in a run of these widths: settings that say so in two words. A UserError where it
 * names no widths, or others than the run's.
 */
export function withExactWidths(input: ConfigurationInput, source: string): ConfigurationInput {
  const multiplier: unknown = input.map?.multiplier;
  if (typeof multiplier !== 'string' || !isExact(multiplier)) return input;
  const widths = exactWidths(multiplier, `${source}: map.multiplier`);
  if (!widths) return input;
  const { weights = widths.weights, activations = widths.activations } = input.bits ?? {};
  if (weights !== widths.weights || activations !== widths.activations) {
    throw new UserError(
      `${source}: map.multiplier is ${multiplier}, but the operands have ${weights}×${activations} bits; leave one of them out`,
    );
  }
  return mergeSettings(input, { bits: widths, map: { multiplier: EXACT } });
}

/** Checks a configuration and fills in the defaults; `source` names where it came from. */
export function parseConfiguration(input: unknown, source: string): Configuration {
  const whole = isSection(input) ? withRecipe(withExactWidths(input as ConfigurationInput, source)) : input;
  const parsed = configurationSchema.safeParse(whole);
  if (!parsed.success) throw new UserError(`${source}: ${describeIssues(parsed.error, configurationSchema)}`);
  const configuration = parsed.data;
  refuseLambda(whole as ConfigurationInput, source);
  refuseUntrained(configuration, source);
  const { weights, activations } = configuration.bits;
  const columns = weights + activations - 1;
  const { explore } = configuration;
  if (explore.columns > columns) {
    throw new UserError(
      `${source}: explore.columns is ${explore.columns}, but a ${weights}×${activations}-bit multiplier has ${columns} columns; choose P from 1 to ${columns}`,
    );
  }
  if (explore.initiallyRemoved > explore.columns) {
    throw new UserError(
      `${source}: explore.initiallyRemoved is ${explore.initiallyRemoved}, more than the ${explore.columns} columns that may be approximated`,
    );
  }
  refuseWidths(configuration, source);
  refuseContradictions(configuration, source, 'always');
  const { search, multiplier } = configuration.map;
  if (search === 'exact' && !endsHard(explore) && multiplier === undefined) {
    throw new UserError(
      `${source}: map.search is exact, which needs θ of 0 and 1, but explore.harden is 0; choose a share such as 0.4`,
    );
  }
  return configuration;
}

/**
 * With what there is without them in the place of settings that decide nothing: the same whatever these say. Those that
 * are refused wherever they would contradict another one stay.
 */
export function asIfUnsaid(configuration: Configuration): Configuration {
  const rows = Object.entries(settingEffects);
  const idle = rows.filter(([path, { held }]) => held === undefined && idleAt(path, configuration) !== undefined);
  return configurationSchema.parse(
    idle.reduce<ConfigurationInput>((settings, [path]) => withSetting(settings, path, undefined), configuration),
  );
}

/** A network of random weights is none to go on with. */
function refuseUntrained({ model, train: { checkpoint, newClassifier, epochs } }: Configuration, source: string): void {
  if (epochs > 0 || (!newClassifier && (checkpoint !== undefined || isOnnxFile(model)))) return;
  const untrained = newClassifier ? 'the new classifier has' : `${model} has`;
  throw new UserError(`${source}: train.epochs is 0, but ${untrained} no weights yet; at least 1 was expected`);
}

/** What a search for the widths of layers does not go with. */
function refuseWidths({ quantize, map }: Configuration, source: string): void {
  const { layerCost } = quantize;
  if (layerCost === undefined) return;
  const least = cheapestExact(2, 2).gateCost;
  if (layerCost < least) {
    throw new UserError(
      `${source}: quantize.layerCost is ${layerCost}, but the cheapest pair of widths, 2×2, costs ${least}; choose at least that`,
    );
  }
  if (map.multiplier !== undefined && map.multiplier !== EXACT) {
    throw new UserError(
      `${source}: map.multiplier is ${map.multiplier}, which has widths of its own, but quantize.layerCost gives layers different ones; choose ${EXACT}, or leave one of them out`,
    );
  }
}

/**
 * What structures of layers with different widths cannot be; asked where they are to be explored, since the work that
 * several runs share says nothing of that.
 */
export function refuseStructures({ quantize, explore, map }: Configuration, source: string): void {
  if (quantize.layerCost === undefined || map.multiplier !== undefined) return;
  if (explore.types) {
    throw new UserError(
      `${source}: explore.types is ${explore.types}, but layers of different widths share no structure; quantize.layerKinds says how many widths there are`,
    );
  }
  if (explore.lambda === undefined && targetOf(explore) === undefined) {
    throw new UserError(
      `${source}: quantize.layerCost has widths searched, and what multipliers of them have is not known yet; say what structures are to save: explore.power, explore.maxLoss or explore.lambda, or map.multiplier ${EXACT} for no structure at all`,
    );
  }
  if (explore.grain !== 'product') {
    throw new UserError(
      `${source}: quantize.layerCost gives layers different widths, whose columns have nothing in common; choose explore.grain product, or map.multiplier ${EXACT} for no structure at all`,
    );
  }
}

/** Said twice: how much power is worth, and what is to come of it; or that layers share, and that they do later. */
function refuseLambda({ explore = {} }: ConfigurationInput, source: string): void {
  const target = targetOf(explore);
  if (target !== undefined && explore.lambda !== undefined) {
    throw new UserError(
      `${source}: explore.lambda is ${explore.lambda}, but explore.${target} ${explore[target]} finds λ while training; leave one of them out (--unset lambda where the run has it from before)`,
    );
  }
  const { types = 0, epochs } = explore;
  if (types > 0 && epochs === 1) {
    throw new UserError(
      `${source}: explore.types is ${types}, but explore.epochs is 1: layers are put together behind an epoch and learn together from then on; at least 2 were expected`,
    );
  }
  if (explore.types === undefined || explore.structure !== 'shared') return;
  throw new UserError(
    `${source}: explore.types is ${explore.types}, but explore.structure is shared, which is one multiplier from the start; leave one of them out`,
  );
}

/**
 * Settings laid over settings, section by section; `over` wins, and what it holds as undefined returns to the default.
 */
export function mergeSettings(base: ConfigurationInput, over: ConfigurationInput): ConfigurationInput {
  return withoutUndefined(overlay(base, over));
}

/** The same, but what is undefined stays so: settings that are still to be laid over others. */
export function overlay(base: ConfigurationInput, over: ConfigurationInput): ConfigurationInput {
  return overlayObjects(base, over);
}

/** Sets a path such as `explore.lambda` in nested settings, to undefined for its default; returns new settings. */
export function withSetting(input: ConfigurationInput, path: string, value: unknown): ConfigurationInput {
  const nested = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
  return overlay(input, nested as ConfigurationInput);
}

function overlayObjects(base: object, over: object): object {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isSection(value) ? overlayObjects(isSection(below) ? below : {}, value) : value;
  }
  return merged;
}

function withoutUndefined(settings: object): object {
  const kept = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept.map(([key, value]) => [key, isSection(value) ? withoutUndefined(value) : value]));
}

function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * "explore.epochs: expected a number of at least 1, found 0; …" for the first few issues. With the schema a key that it
 * does not know is followed by those that it may have been.
 */
export function describeIssues(error: z.ZodError, schema?: z.ZodType): string {
  const issues = error.issues.slice(0, 3).map((issue) => {
    const path = issue.path.join('.') || 'the document';
    const meant =
      issue.code === 'unrecognized_keys' && schema ? questionOf(issue.keys, keysAt(schema, issue.path)) : '';
    return `${path}: ${issue.message}${meant}`;
  });
  const more = error.issues.length > 3 ? `; and ${error.issues.length - 3} more` : '';
  return issues.join('; ') + more;
}

/** The keys that a document may have at a path, none where the schema does not tell. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: z.core.JSONSchema._JSONSchema | undefined = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  for (const key of path) {
    if (typeof at !== 'object') return [];
    at = typeof key === 'number' ? [at.items].flat()[0] : at.properties?.[String(key)];
  }
  return typeof at === 'object' ? Object.keys(at.properties ?? {}) : [];
}

/** "; did you mean "power"?", or the keys that there are. */
function questionOf(unknown: readonly string[], keys: readonly string[]): string {
  if (keys.length === 0) return '';
  const near = unknown.flatMap((key) => nearestName(key, keys) ?? []);
  return near.length > 0
    ? `; did you mean ${near.map((key) => `"${key}"`).join(', ')}?`
    : ` (valid: ${keys.join(', ')})`;
}
