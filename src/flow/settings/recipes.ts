// Named recipes: settings that belong together, with what they are for. A recipe is laid below whatever else is said,
// so each of its values can be replaced by an option; a run's manifest keeps its name and every value that holds.
// `--published` is the recipe paper-cifar10 without its name.

import type { ConfigurationInput } from './settings.ts';
import { publishedTraining } from './training.ts';

/** In the order of the help. */
export const recipeNames = ['paper-cifar10', 'paper-w4a4', 'paper-imagenet-vit', 'cifar-strong', 'cifar-deit'] as const;
export type RecipeName = (typeof recipeNames)[number];

const cifar10: ConfigurationInput = {
  rivals: 'none',
  train: { ...publishedTraining.train, batchSize: 256 },
  quantize: { ...publishedTraining.quantize, batchSize: 256, range: 'as-observed' },
  explore: { ...publishedTraining.explore, batchSize: 256, thetaLearningRate: 5e-4, thetaWeightDecay: 5e-4 },
  map: { ...publishedTraining.map, search: 'greedy', operands: 'uniform' },
  recover: { ...publishedTraining.recover, batchSize: 256 },
};

/** Adam at 5e-5 for everything, θ among it, batches of 64. */
const imagenet = {
  optimizer: 'adam',
  learningRate: 5e-5,
  weightDecay: 0,
  schedule: 'constant',
  batchSize: 64,
} as const;

export interface Recipe {
  readonly summary: string;
  readonly settings: ConfigurationInput;
}

/** The recipes by name: what each sets, and a line for the help. */
export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  'paper-cifar10': {
    summary: 'the settings of the published scripts for CIFAR-10: batches of 256, θ as the weights, greedy mapping',
    settings: cifar10,
  },
  'paper-w4a4': {
    summary:
      'the same at 4-bit weights and activations, 60 epochs of quantisation-aware training, as DenseNet161 in figure 5',
    settings: {
      ...cifar10,
      bits: { weights: 4, activations: 4 },
      quantize: { ...cifar10.quantize, epochs: 60, learningRate: 1e-3, schedule: 'cosine' },
    },
  },
  'paper-imagenet-vit': {
    summary:
      'DeiT-S and Swin-S in table 2 of the paper: 100 000 images, 5 + 10 epochs, Adam at 5e-5, batches of 64, P = 6',
    settings: {
      sample: 100_000,
      rivals: 'none',
      train: publishedTraining.train,
      quantize: { ...publishedTraining.quantize, batchSize: 64, range: 'as-observed' },
      explore: { ...publishedTraining.explore, ...imagenet, epochs: 5, columns: 6, thetaLearningRate: 5e-5 },
      map: cifar10.map,
      recover: { ...publishedTraining.recover, ...imagenet, epochs: 10 },
    },
  },
  'cifar-strong': {
    summary:
      'residual networks on 32×32 images from scratch in 180 epochs: Nesterov, cutout, mixup, smoothed labels, average',
    settings: {
      train: {
        ...{ epochs: 180, batchSize: 256, optimizer: 'nesterov', learningRate: 0.2, weightDecay: 5e-4 },
        ...{ decayOf: 'weights', schedule: 'cosine-steps', warmup: 5, labelSmoothing: 0.1, average: 0.998 },
        augment: 'crop:4,flip,cutout:8,mixup:0.2',
      },
      quantize: { batchSize: 256 },
      explore: { batchSize: 256 },
      recover: { batchSize: 256 },
    },
  },
  'cifar-deit': {
    summary: 'small vision transformers on 32×32 images from scratch in 200 epochs: AdamW, mixup and CutMix, average',
    settings: {
      model: 'deit_tiny_patch4_32',
      train: {
        ...{ epochs: 200, batchSize: 256, optimizer: 'adamw', learningRate: 1e-3, weightDecay: 0.05 },
        ...{ decayOf: 'weights', schedule: 'cosine-steps', warmup: 10, finalRate: 0.01, clipGradient: 1 },
        ...{ labelSmoothing: 0.1, average: 0.9995, augment: 'crop:4,flip,erase:0.25,mixup:0.8,cutmix:1' },
      },
      quantize: { batchSize: 256 },
      // Adam moves θ by its rate in each step, and an epoch has 200 of them.
      explore: { ...imagenet, batchSize: 256, learningRate: 1e-4, thetaLearningRate: 2e-3 },
      recover: { ...imagenet, batchSize: 256, learningRate: 1e-4, schedule: 'cosine' },
    },
  },
};
