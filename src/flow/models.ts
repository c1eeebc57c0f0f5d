// What is known of each model before anything is trained: its card, and what building it tells. A list for people, for
// the page docs/models.md, and a first look at a model of one's own.

import { parseImageSize } from '../data/registry.ts';
import { Graph } from '../engine/graph/graph.ts';
import { Layers, type MultiplyingLayer, multiplyFloat } from '../nn/layers.ts';
import type { Model } from '../nn/models/model.ts';
import { findModel, models } from '../nn/models/registry.ts';
import { UserError } from '../tensor/errors.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { loadModelFile } from './run/model-file.ts';
import { isModelFile } from './settings/model-name.ts';

export interface ModelFacts {
  readonly name: string;
  readonly description: string;
  /** Paper, and whose names and details it has; undefined without a card. */
  readonly source: string | undefined;
  /** Height, width and channels of the images that the figures are for. */
  readonly image: readonly [height: number, width: number, channels: number];
  readonly classes: number;
  /** Trained numbers. */
  readonly parameters: number;
  /** Multiplications of one image. */
  readonly macs: number;
  /** Those that multiply. */
  readonly layers: readonly Pick<MultiplyingLayer, 'name' | 'kind' | 'geometry' | 'weightShape' | 'macs'>[];
}

/** For which images and classes; default: those of the card, else 32×32×3 and 10. */
export interface ModelQuestion {
  /** `HEIGHTxWIDTHxCHANNELS`. */
  readonly image?: string;
  readonly classes?: number;
}

/** All models by name, with their figures. */
export function listModels(): readonly ModelFacts[] {
  return models.map((model) => factsOf(model, {}));
}

/** One model: of the program, or from a file of the user's own. */
export async function describeModel(name: string, question: ModelQuestion = {}): Promise<ModelFacts> {
  return factsOf(isModelFile(name) ? (await loadModelFile(name)).model : findModel(name), question);
}

function factsOf(model: Model, question: ModelQuestion): ModelFacts {
  const { name, description, minimumSize, card } = model;
  const size = card?.imageSize ?? 32;
  const usual = card?.image ?? { height: size, width: size, channels: 3 };
  const given = question.image === undefined ? undefined : parseImageSize(question.image);
  const { height, width, channels } = given ?? usual;
  const classes = question.classes ?? card?.classes ?? 10;
  if (Math.min(height, width) < minimumSize) {
    throw new UserError(
      `the model ${name} needs images of at least ${minimumSize}×${minimumSize} pixels, not ${height}×${width}`,
    );
  }
  const graph = new Graph();
  const nn = new Layers(graph, { training: false, multiply: multiplyFloat });
  model.build(nn, graph.input('image', [1, height, width, channels]), classes);
  const trained = nn.parameters.filter(({ trainable }) => trainable);
  return {
    ...{ name, description, source: card?.source, image: [height, width, channels], classes },
    parameters: trained.reduce((sum, { value }) => sum + sizeOf(value.shape), 0),
    macs: nn.multiplying.reduce((sum, layer) => sum + layer.macs, 0),
    layers: nn.multiplying,
  };
}
