// A task is a model on a data set; its graphs are built here. One definition of the network gives the training step, the evaluation and the
// calibration pass: they differ in how the layers multiply (`Arithmetic`) and in the mode of batch norm and quantisers.

import { Graph, type Value } from '../engine/graph/graph.ts';
import type { Multiplier } from '../multiplier/multiplier.ts';
import { Layers, type Multiply, type MultiplyingLayer, multiplyFloat } from '../nn/layers.ts';
import type { Model } from '../nn/models/registry.ts';
import { multiplyQuantized, type QuantMode, type RangeName } from '../quant/quantized.ts';
import { type Feed, imagesInput } from './feed.ts';

/** What the network must know of its data: x = (raw / scale − mean[c]) / deviation[c]. */
export interface ImageFormat {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly classes: number;
  readonly scale: number;
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

export interface Task {
  readonly model: Model;
  readonly images: ImageFormat;
}

/** Both operands of every multiplying layer are codes; each layer has its multiplier. */
export interface QuantizedArithmetic {
  readonly kind: 'quantized';
  readonly weightBits: number;
  readonly activationBits: number;
  readonly channelwise: boolean;
  /** Default: with-zero. */
  readonly range?: RangeName;
  readonly multiplierOf: (layer: string) => Multiplier;
}

export type Arithmetic = { readonly kind: 'float' } | QuantizedArithmetic;

/** `statistics`: batch norm as in training, quantisers as in evaluation: what the running statistics would have to be. */
export type Mode = 'train' | 'evaluate' | 'calibrate' | 'statistics';

/** A network built into a graph, from the raw images to the logits and the loss against the labels. */
export interface BuiltNetwork {
  readonly graph: Graph;
  readonly layers: Layers;
  readonly logits: Value;
  /** Mean cross-entropy over the labelled rows, []. */
  readonly crossEntropy: Value;
  /** Number of correct rows, []. */
  readonly correct: Value;
}

/** Builds the network for batches of one size: input `labels` (i32 [N]), and the images of a feed; without one, input `images` (u8 [N,H,W,C]). */
export function buildNetwork(
  task: Task,
  arithmetic: Arithmetic,
  mode: Mode,
  batchSize: number,
  feed?: Pick<Feed, 'images'>,
): BuiltNetwork {
  const { model, images } = task;
  const graph = new Graph();
  const raw = feed ? feed.images(graph, batchSize) : imagesInput(graph, images, batchSize);
  const labels = graph.input('labels', [batchSize], 'i32');
  const image = graph.apply1('imageToFloat', [raw], {
    scale: images.deviation.map((deviation) => 1 / (images.scale * deviation)),
    offset: images.deviation.map((deviation, c) => -images.mean[c]! / deviation),
  });
  // The published calibration runs with batch norm in training mode; its running averages move with it.
  const layers = new Layers(graph, {
    training: mode !== 'evaluate',
    multiply: multiplication(arithmetic, mode === 'statistics' ? 'evaluate' : mode),
  });
  const logits = model.build(layers, image, images.classes);
  const [crossEntropy, , correct] = graph.apply('softmaxCrossEntropy', [logits, labels], {});
  return { graph, layers, logits, crossEntropy: crossEntropy!, correct: correct! };
}

/** The layers of a task that multiply, with their MACs per image. */
export function multiplyingLayers(task: Task): readonly MultiplyingLayer[] {
  return buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers.multiplying;
}

function multiplication(arithmetic: Arithmetic, mode: QuantMode): Multiply {
  if (arithmetic.kind === 'float') return multiplyFloat;
  const { weightBits, activationBits, channelwise, range = 'with-zero' } = arithmetic;
  const multiplierOf = ({ name }: MultiplyingLayer) => arithmetic.multiplierOf(name);
  return multiplyQuantized({ weightBits, activationBits, channelwise, range, mode, multiplierOf });
}
