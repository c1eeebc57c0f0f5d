// A task is a model on a data set; its graphs are built here. One definition of the network gives the training step, the evaluation and the
// calibration pass: they differ in how the layers multiply (`Arithmetic`) and in the mode of batch norm and quantisers.

import { Graph, type Value } from '../engine/graph/graph.ts';
import type { TableEmulation } from '../multiplier/error.ts';
import { Layers, type Multiply, type MultiplyingLayer, multiplyFloat } from '../nn/layers.ts';
import type { Model } from '../nn/models/registry.ts';
import {
  type ErrorSlopes,
  type LayerError,
  multiplyQuantized,
  type QuantMode,
  type RangeName,
} from '../quant/quantized.ts';
import { tensor } from '../tensor/tensor.ts';
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

/** What one layer multiplies with, free of any graph. */
export type LayerMultiplier =
  | { readonly kind: 'exact' }
  /** A trained structure: the variable that holds θ, and which θ each partial product (i, j) reads (row-major, −1: none). */
  | { readonly kind: 'structure'; readonly theta: string; readonly columns: number; readonly index: readonly number[] }
  /** Partial products removed for good: 0 or 1 for each (i, j). */
  | { readonly kind: 'removal'; readonly removed: Float32Array; readonly slopes?: Slopes }
  /** Any multiplier: error of each pair of codes, index w·2^activationBits + x. */
  | {
      readonly kind: 'table';
      readonly error: Int32Array;
      readonly emulation?: TableEmulation;
      readonly slopes?: Slopes;
    };

/** Slopes of the error at each pair of codes, along either operand: training then differentiates the error too (see multiplier/slopes.ts). */
export interface Slopes {
  readonly weight: Float32Array;
  readonly activation: Float32Array;
}

/** Both operands of every multiplying layer are codes; each layer has its multiplier. */
export interface QuantizedArithmetic {
  readonly kind: 'quantized';
  readonly weightBits: number;
  readonly activationBits: number;
  readonly channelwise: boolean;
  /** Default: with-zero. */
  readonly range?: RangeName;
  readonly multiplierOf: (layer: string) => LayerMultiplier;
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
  const raw = graph.labelled('images', () =>
    feed ? feed.images(graph, batchSize) : imagesInput(graph, images, batchSize),
  );
  const labels = graph.input('labels', [batchSize], 'i32');
  const toFloat = {
    scale: images.deviation.map((deviation) => 1 / (images.scale * deviation)),
    offset: images.deviation.map((deviation, c) => -images.mean[c]! / deviation),
  };
  const image = graph.labelled('images', () => graph.apply1('imageToFloat', [raw], toFloat));
  // The published calibration runs with batch norm in training mode; its running averages move with it.
  const layers = new Layers(graph, {
    training: mode !== 'evaluate',
    multiply: multiplication(graph, arithmetic, mode === 'statistics' ? 'evaluate' : mode),
  });
  const logits = model.build(layers, image, images.classes);
  const [crossEntropy, , correct] = graph.labelled('loss', () =>
    graph.apply('softmaxCrossEntropy', [logits, labels], {}),
  );
  return { graph, layers, logits, crossEntropy: crossEntropy!, correct: correct! };
}

/** The layers of a task that multiply, with their MACs per image. */
export function multiplyingLayers(task: Task): readonly MultiplyingLayer[] {
  return buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers.multiplying;
}

function multiplication(graph: Graph, arithmetic: Arithmetic, mode: QuantMode): Multiply {
  if (arithmetic.kind === 'float') return multiplyFloat;
  const { weightBits, activationBits, channelwise, range = 'with-zero', multiplierOf } = arithmetic;
  const pairs = [2 ** weightBits, 2 ** activationBits];
  // Only a backward pass reads slopes.
  const slopesOf = ({ slopes }: { readonly slopes?: Slopes }): { slopes?: ErrorSlopes } => {
    if (!slopes || mode !== 'train') return {};
    const [weight, activation] = [slopes.weight, slopes.activation].map((data) =>
      graph.constant(tensor('f32', pairs, data)),
    );
    return { slopes: [weight!, activation!] };
  };
  const errorOf = ({ name }: MultiplyingLayer): LayerError => {
    const multiplier = multiplierOf(name);
    switch (multiplier.kind) {
      case 'exact':
        return { kind: 'exact' };
      case 'structure': {
        const theta = clampedTheta(graph, multiplier.theta, multiplier.columns);
        const m = graph.apply1('structureMatrix', [theta], { weightBits, activationBits, index: multiplier.index });
        return { kind: 'planes', m, integer: false };
      }
      case 'removal': {
        const m = graph.constant(tensor('f32', [weightBits, activationBits], multiplier.removed));
        return { kind: 'planes', m, integer: true, ...slopesOf(multiplier) };
      }
      case 'table': {
        const { error, emulation } = multiplier;
        const table = graph.constant(tensor('i32', pairs, error));
        return { kind: 'table', table, ...(emulation ? { emulation } : {}), ...slopesOf(multiplier) };
      }
    }
  };
  return multiplyQuantized({ weightBits, activationBits, channelwise, range, mode, errorOf });
}

/** θ limited to [0, 1], straight-through: its gradient does not vanish at the ends (training-semantics, phase 1). */
export function clampedTheta(graph: Graph, name: string, columns: number): Value {
  return graph.apply1('clampStraightThrough', [graph.variable(name, [columns])], { low: 0, high: 1 });
}
