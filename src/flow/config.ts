// The configuration of a run: one schema gives the type, the validator and the defaults. Unknown keys are errors. Every option of the
// published scripts has a name here; `published` holds their settings for comparison.

import { z } from 'zod';
import { defaultSmoothing, type Smoothing } from '../axm/slopes.ts';
import { searchNames } from '../netlist/mapping/task.ts';
import { operandOrders } from '../netlist/table.ts';
import { rangeNames } from '../quant/quantized.ts';
import { UserError } from '../tensor/errors.ts';

const rate = z.number().positive();
const decay = z.number().nonnegative();
const epochs = z.int().min(1);
const schedule = z.enum(['constant', 'cosine']);
const batchSize = z.int().min(1);
const momentum = z.number().min(0).lt(1);

/** Half size of a smoothing window in codes; 127 leaves the mean slope everywhere, whatever the width. */
const halfWindow = z.int().min(0).max(127);

const training = {
  epochs,
  batchSize,
  learningRate: rate,
  momentum,
  weightDecay: decay,
  schedule,
};

const givenConfiguration = z.strictObject({
  /** Data set: digits, cifar10:DIR, csv:FILE, idx:DIR or a path. */
  data: z.string().min(1).default('digits'),
  /** Size of an image as HxWxC, for csv data whose images are no squares of one channel. */
  image: z
    .string()
    .regex(/^\d+[x×]\d+[x×]\d+$/, 'expected HEIGHTxWIDTHxCHANNELS, for example 28x28x1')
    .optional(),
  /** Raw value that means 1.0, for csv data. */
  maximum: z.int().min(1).max(255).optional(),
  /** Column of the label, for csv data: its name in the header, its number from 1, `first` or `last`. */
  label: z.string().min(1).optional(),
  /** A second file with the test images, for csv data; without it a fifth of each class is held back. */
  testData: z.string().min(1).optional(),
  /** Number of classes, for csv and idx data that do not show all of them. */
  classes: z.int().min(2).max(256).optional(),
  model: z.string().min(1).default('resnet8'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(1),
  bits: z
    .strictObject({
      weights: z.int().min(2).max(8).default(8),
      activations: z.int().min(2).max(8).default(8),
    })
    .prefault({}),
  /** One weight scale per output channel (true) or per layer. */
  channelwise: z.boolean().default(true),
  /** Layers that keep the exact multiplier; they are reported apart. */
  exactLayers: z.array(z.string()).default([]),
  train: z
    .strictObject({
      /** A float model to start from (safetensors, PyTorch names) instead of training one. */
      checkpoint: z.string().optional(),
      epochs: epochs.default(30),
      batchSize: batchSize.default(64),
      learningRate: rate.default(0.05),
      momentum: momentum.default(0.9),
      weightDecay: decay.default(5e-4),
      schedule: schedule.default('cosine'),
    })
    .prefault({}),
  quantize: z
    .strictObject({
      /** Training images in the one calibration batch. */
      images: z.int().min(1).default(1024),
      /** The range that an observer takes: the extremes and 0, so that every zero point is a code, or the extremes alone. */
      range: z.enum(rangeNames).default('with-zero'),
      /** Epochs of quantisation-aware training behind it; 0: post-training quantisation only. */
      epochs: z.int().min(0).default(0),
      batchSize: batchSize.default(64),
      learningRate: rate.default(1e-3),
      momentum: momentum.default(0.9),
      weightDecay: decay.default(5e-4),
      schedule: schedule.default('cosine'),
    })
    .prefault({}),
  explore: z
    .strictObject({
      /** Weight of the power loss. */
      lambda: z.number().nonnegative().default(0.3),
      /** P: how many of the lowest columns may be approximated; default: as many as the wider operand has bits. */
      columns: z.int().min(1).optional(),
      /** Columns removed at the start; default: half of P. */
      initiallyRemoved: z.int().min(0).optional(),
      structure: z.enum(['shared', 'per-layer']).default('shared'),
      epochs: epochs.default(10),
      batchSize: batchSize.default(64),
      learningRate: rate.default(5e-4),
      momentum: momentum.default(0.9),
      weightDecay: decay.default(5e-4),
      schedule: schedule.default('constant'),
      thetaLearningRate: rate.default(0.02),
      thetaWeightDecay: decay.default(0),
    })
    .prefault({}),
  map: z
    .strictObject({
      search: z.enum(searchNames).default('descent'),
      /** The operands that the descent takes the error over: those of the layers that share the multiplier, or all pairs alike. */
      operands: z.enum(['uniform', 'measured']).default('uniform'),
      /** Largest cost relative to the exact multiplier; default: what the greedy search reaches. */
      costBudget: z.number().positive().max(1).optional(),
      /** W of the objective MSE + W · cost, cost relative to the exact multiplier. */
      costWeight: z.number().nonnegative().optional(),
      /** A multiplier made elsewhere to use instead: BLIF, Verilog, .npy or published text (.gz too), or a generator such as dadda:8x8. */
      multiplier: z.string().min(1).optional(),
      /** The multiplier's operands and products are two's complement. */
      signed: z.boolean().default(false),
      /** Which operand of the multiplier given is the first; default: what its file says, or the custom of its form (docs/mapping.md). */
      operandOrder: z.enum(operandOrders).optional(),
    })
    .prefault({}),
  recover: z
    .strictObject({
      ...training,
      epochs: epochs.default(10),
      batchSize: batchSize.default(64),
      learningRate: rate.default(5e-4),
      momentum: momentum.default(0.9),
      weightDecay: decay.default(5e-4),
      schedule: schedule.default('cosine'),
      /** What weights and activations learn from a product: the slope of the exact one, or of the multiplier's smoothed table. */
      gradient: z.enum(['straight-through', 'difference']).default('straight-through'),
      /** Half sizes of the windows that smooth the table along each operand, for the difference-based gradient. */
      smoothing: z.strictObject({ weights: halfWindow.optional(), activations: halfWindow.optional() }).optional(),
    })
    .prefault({}),
});

/**
 * With every default filled in; those of P and of the columns removed at the start depend on the widths (8 and 4, 4 and 2 bits), and so does
 * the smoothing of the difference-based gradient, which only that gradient has.
 */
export const configurationSchema = givenConfiguration.transform((given) => {
  const { bits, explore } = given;
  const columns = explore.columns ?? Math.max(bits.weights, bits.activations);
  const initiallyRemoved = explore.initiallyRemoved ?? Math.floor(columns / 2);
  const { smoothing, ...recover } = given.recover;
  const usual = defaultSmoothing(bits.weights, bits.activations);
  const windows: Smoothing = {
    weights: smoothing?.weights ?? usual.weights,
    activations: smoothing?.activations ?? usual.activations,
  };
  return {
    ...given,
    explore: { ...explore, columns, initiallyRemoved },
    recover: { ...recover, ...(recover.gradient === 'difference' ? { smoothing: windows } : {}) },
  };
});

export type Configuration = z.output<typeof configurationSchema>;
export type ConfigurationInput = z.input<typeof configurationSchema>;

/** The settings of the published scripts where they differ from our defaults. */
export const published = {
  exactLayers: ['fc'],
  train: { batchSize: 256 },
  quantize: { batchSize: 256, range: 'as-observed' },
  explore: { batchSize: 256, thetaLearningRate: 5e-4, thetaWeightDecay: 5e-4 },
  map: { search: 'greedy', operands: 'uniform' },
  recover: { batchSize: 256 },
} as const satisfies ConfigurationInput;

/** Checks a configuration and fills in the defaults; `source` names where it came from. */
export function parseConfiguration(input: unknown, source: string): Configuration {
  const parsed = configurationSchema.safeParse(input);
  if (!parsed.success) throw new UserError(`${source}: ${describeIssues(parsed.error)}`);
  const configuration = parsed.data;
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
  const limit = (['costBudget', 'costWeight'] as const).find((name) => configuration.map[name] !== undefined);
  if (limit && (configuration.map.search === 'greedy' || configuration.map.multiplier !== undefined)) {
    const why = configuration.map.multiplier === undefined ? 'the greedy search takes' : 'a given multiplier takes';
    throw new UserError(
      `${source}: map.${limit} is ${configuration.map[limit]}, but ${why} no cost; leave it out or use descent`,
    );
  }
  return configuration;
}

/** Settings laid over settings, section by section; `over` wins, and what it holds as undefined returns to the default. */
export function mergeSettings(base: ConfigurationInput, over: ConfigurationInput): ConfigurationInput {
  return withoutUndefined(overlay(base, over));
}

/** The same, but what is undefined stays so: settings that are still to be laid over others. */
export function overlay(base: ConfigurationInput, over: ConfigurationInput): ConfigurationInput {
  return overlayObjects(base, over);
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

/** "explore.epochs: expected a number of at least 1, found 0; …" for the first few issues. */
export function describeIssues(error: z.ZodError): string {
  const issues = error.issues.slice(0, 3).map((issue) => {
    const path = issue.path.join('.') || 'the document';
    return `${path}: ${issue.message}`;
  });
  const more = error.issues.length > 3 ? `; and ${error.issues.length - 3} more` : '';
  return issues.join('; ') + more;
}
