// The task of telling images apart: raw 8-bit images are normalised, a model gives logits, the loss is the
// cross-entropy against the class numbers, the metric the share of images whose largest logit is their class. A device
// with memory of its own keeps a split that is in memory when it fits, and gathers each batch itself from a few numbers
// per image.

import { type ImageSplit, labelsOf, picksOf } from '../data/image-split.ts';
import type { Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import type { Graph } from '../engine/graph/graph.ts';
import type { Layers } from '../nn/layers.ts';
import type { Model } from '../nn/models/model.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Feed, Inputs, Outcome, Task } from './task.ts';

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

/** The part of a device's memory that a split may take: two of them leave half of it to the training step. */
const RESIDENT_SHARE = 1 / 4;

export type ImageTask = Task<'accuracy'>;

export function imageTask(model: Model, format: ImageFormat): ImageTask {
  const { height, width, channels } = format;
  const shape = (count: number) => [count, height, width, channels];
  const labels = (graph: Graph, batchSize: number) => graph.input('labels', [batchSize], 'i32');
  return {
    metrics: { accuracy: { better: 'higher', over: 'sum' } },
    inputs: (graph, batchSize) => ({
      images: graph.input('images', shape(batchSize), 'u8'),
      labels: labels(graph, batchSize),
    }),
    network: (layers, inputs) => classify(layers, inputs, model, format),
    feed: ({ backend }: Session, split: Split): Feed | undefined => {
      const { images, labels: classOf, count } = split as ImageSplit;
      const { ownMemory, memoryBytes } = backend.device;
      if (!images || !ownMemory || images.length > RESIDENT_SHARE * memoryBytes) return undefined;
      const kept = tensor('u8', shape(count), images);
      return {
        inputs: (graph, batchSize) => ({
          images: graph.labelled('images', () =>
            graph.apply1('gatherImages', [graph.constant(kept), graph.input('picks', [batchSize, 4], 'i32')], {}),
          ),
          labels: labels(graph, batchSize),
        }),
        read: async (selection, rows) => ({
          inputs: { picks: picksOf(selection, rows), labels: labelsOf(classOf, selection, rows) },
          targets: selection.numbers.length,
        }),
      };
    },
  };
}

function classify(
  layers: Layers,
  { images, labels }: Inputs,
  model: Model,
  { scale, mean, deviation, classes }: ImageFormat,
): Outcome<'accuracy'> {
  const { graph } = layers;
  const toFloat = {
    scale: deviation.map((one) => 1 / (scale * one)),
    offset: deviation.map((one, c) => -mean[c]! / one),
  };
  const image = graph.labelled('images', () => graph.apply1('imageToFloat', [images!], toFloat));
  const logits = model.build(layers, image, classes);
  const [loss, , correct] = graph.labelled('loss', () => graph.apply('softmaxCrossEntropy', [logits, labels!], {}));
  return { loss: loss!, metrics: { accuracy: correct! } };
}
