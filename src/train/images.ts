// The task of telling images apart: raw 8-bit images are normalised, a model gives logits, the loss is the
// cross-entropy against the class numbers, the metric the share of images whose largest logit is their class. A device
// with memory of its own keeps a split that is in memory when it fits, and gathers each batch itself from a few numbers
// per image. Boxes are erased and images mixed by the program on every device, from numbers too; the loss is then that
// of both labels by their shares. Invariant: what is drawn for a batch is the same on every device, mixtures first.

import { type AugmentOptions, changesPixels } from '../data/augment.ts';
import { type ImageSplit, labelsOf, picksOf } from '../data/image-split.ts';
import { drawErased, drawMixture, erases, mixes } from '../data/mixing.ts';
import type { Batch, Selection, Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import type { Graph, Value } from '../engine/graph/graph.ts';
import type { Layers } from '../nn/layers.ts';
import type { Model } from '../nn/models/model.ts';
import { invariant } from '../tensor/errors.ts';
import { tensor } from '../tensor/tensor.ts';
import { mapRecord } from './figures.ts';
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

export interface ImageTask extends Task<'accuracy'> {
  /** The same task, trained against labels of which each class has a share of `smoothing` in all: 0 … below 1. */
  readonly smoothed: (smoothing: number) => ImageTask;
  /** The part of the network from raw images, u8 [N, H, W, C], to logits [N, classes]. */
  readonly logits: (layers: Layers, images: Value) => Value;
}

export function imageTask(model: Model, format: ImageFormat, smoothing = 0): ImageTask {
  const { height, width, channels } = format;
  const shape = (count: number) => [count, height, width, channels];
  const labels = (graph: Graph, batchSize: number) => graph.input('labels', [batchSize], 'i32');
  const inputs = (graph: Graph, batchSize: number) => ({
    images: graph.input('images', shape(batchSize), 'u8'),
    labels: labels(graph, batchSize),
  });
  return {
    metrics: { accuracy: { better: 'higher', over: 'sum' } },
    inputs,
    network: (layers, inputs) => classify(layers, inputs, model, format, layers.training ? smoothing : 0),
    smoothed: (wanted) => imageTask(model, format, wanted),
    logits: (layers, images) => logitsOf(layers, images, model, format),
    distributions: (batch, classes) => distributionsOf(batch, classes, smoothing),
    feed: (session, split, augment) => {
      const kept = augment && changesPixels(augment) ? undefined : resident(session, split);
      if (!augment || !(erases(augment) || mixes(augment))) return kept;
      const read: Feed['read'] = (...asked) => split.read(...asked);
      return mixing(kept ?? { inputs, read }, format, split as ImageSplit, augment);
    },
  };

  function resident({ backend }: Pick<Session, 'backend'>, split: Split): Feed | undefined {
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
  }
}

/** So many images of a batch must be on one device, with these changes: those that are mixed need their partners. */
export const rowsTogether = (augment: AugmentOptions): number => (mixes(augment) ? 2 : 1);

/** A feed whose images are then erased and mixed, as training with these options wants. */
function mixing(feed: Feed, size: ImageFormat, { labels }: ImageSplit, augment: AugmentOptions): Feed {
  return {
    inputs: (graph, rows) => ({
      ...feed.inputs(graph, rows),
      ...(erases(augment) ? { erased: graph.input('erased', [rows, 5], 'i32') } : {}),
      ...(mixes(augment)
        ? {
            mixed: graph.input('mixed', [rows, 5], 'i32'),
            share: graph.input('share', []),
            otherLabels: graph.input('otherLabels', [rows], 'i32'),
            ownLabel: graph.input('ownLabel', []),
          }
        : {}),
    }),
    read: async (selection, rows, signal) => {
      const drawn = mixture(selection, rows);
      const { inputs, targets } = await feed.read(selection, rows, signal);
      return { inputs: { ...inputs, ...drawn }, targets };
    },
    ...(mixes(augment) ? { together: rowsTogether(augment), arrange: besidePartners } : {}),
  };

  function mixture(selection: Selection, rows: number): Batch['inputs'] {
    const { numbers, augmentation } = selection;
    invariant(augmentation && numbers.length === rows, 'a batch to be mixed has a stream of its own and no padding');
    const { random } = augmentation;
    const erased = erases(augment) ? { erased: drawErased(size, augment, rows, random) } : {};
    if (!mixes(augment)) return erased;
    const { boxes, share, ownLabel } = drawMixture(size, augment, rows, random);
    const otherLabels = Int32Array.from(numbers, (_, row) => labels[numbers[boxes[5 * row]!]!]!);
    return {
      ...erased,
      ...{ mixed: boxes, share: Float32Array.of(share), otherLabels, ownLabel: Float32Array.of(ownLabel) },
    };
  }
}

/**
 * A batch whose rows are mixed, in an order in which the partners of each of so many equal parts are in that part: half
 * a part further, as they are half a batch further in the batch. Rows and parts are even.
 */
function besidePartners(inputs: Batch['inputs'], rows: number, parts: number): Batch['inputs'] {
  const each = rows / parts;
  const half = each / 2;
  const from = Array.from({ length: rows }, (_, row) => {
    const [part, at] = [Math.floor(row / each), row % each];
    return part * half + (at < half ? at : rows / 2 + at - half);
  });
  const arranged = mapRecord(inputs, (values, name) => {
    const length = values.length / rows;
    // What holds for the batch as a whole stays.
    if (name === 'share' || name === 'ownLabel') return values;
    invariant(Number.isInteger(length), `${name}: ${values.length} values for ${rows} rows`);
    const moved = values.slice();
    for (const [row, own] of from.entries()) moved.set(values.subarray(own * length, (own + 1) * length), row * length);
    return moved;
  });
  const mixed = arranged.mixed!;
  for (let row = 0; row < rows; row++) mixed[5 * row] = ((row % each) + half) % each;
  return arranged;
}

/** The labels of a batch as written, of which all classes together have a share; mixed images have two. */
function distributionsOf(batch: Batch['inputs'], classes: number, smoothing: number): Float64Array {
  const { labels, otherLabels, ownLabel } = batch;
  const ofAll = new Float64Array(labels!.length * classes).fill(smoothing / classes);
  const own = otherLabels ? ownLabel![0]! : 1;
  for (const [some, share] of [[labels, own] as const, [otherLabels ?? [], 1 - own] as const]) {
    some?.forEach((label, row) => {
      ofAll[row * classes + label] += (1 - smoothing) * share;
    });
  }
  return ofAll;
}

/** Images that are erased and mixed are so after normalisation, where 0 is the mean. */
function logitsOf(
  layers: Layers,
  images: Value,
  model: Model,
  { scale, mean, deviation, classes }: ImageFormat,
  { erased, mixed, share }: Inputs = {},
): Value {
  const { graph } = layers;
  const toFloat = {
    scale: deviation.map((one) => 1 / (scale * one)),
    offset: deviation.map((one, c) => -mean[c]! / one),
  };
  const image = graph.labelled('images', () => {
    const whole = graph.apply1('imageToFloat', [images], toFloat);
    const left = erased ? graph.apply1('mixImages', [whole, erased, graph.scalar(1)], {}) : whole;
    return mixed ? graph.apply1('mixImages', [left, mixed, share!], {}) : left;
  });
  return model.build(layers, image, classes);
}

function classify(
  layers: Layers,
  inputs: Inputs,
  model: Model,
  format: ImageFormat,
  smoothing: number,
): Outcome<'accuracy'> {
  const { images, labels, otherLabels, ownLabel } = inputs;
  const { graph } = layers;
  const logits = logitsOf(layers, images!, model, format, inputs);
  const against = (of: Value) => graph.apply('softmaxCrossEntropy', [logits, of], smoothing === 0 ? {} : { smoothing });
  return graph.labelled('loss', () => {
    const [own, , correct] = against(labels!);
    const outcome = { metrics: { accuracy: correct! }, logits: { values: logits } };
    if (!otherLabels) return { ...outcome, loss: own! };
    const [other] = against(otherLabels);
    const difference = graph.apply1('add', [own!, other!], { alpha: 1, beta: -1 });
    const part = graph.apply1('scaleBy', [difference, ownLabel!], {});
    return { ...outcome, loss: graph.apply1('add', [other!, part], { alpha: 1, beta: 1 }) };
  });
}
