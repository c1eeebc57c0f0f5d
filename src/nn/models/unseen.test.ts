// Details of definitions that no reference file tells, because its passes have dropout off, or because the epsilon of
// one normalisation is less than their bounds: from the sources of torchvision, timm and the published program.

import { expect, test } from 'vitest';
import { Graph, type Value } from '../../engine/graph/graph.ts';
import { Layers, multiplyFloat } from '../layers.ts';
import { findModel } from './registry.ts';

/** Keeps the epsilon of every layer norm, which is no attribute of a node. */
class LayerNorms extends Layers {
  readonly epsilons: number[] = [];

  override layerNorm(name: string, x: Value, epsilon = 1e-5): Value {
    this.epsilons.push(epsilon);
    return super.layerNorm(name, x, epsilon);
  }
}

/** A network as it is trained, on two images of its size. */
function train<T extends Layers>(name: string, library: new (...args: ConstructorParameters<typeof Layers>) => T): T {
  const model = findModel(name);
  const { imageSize, classes } = model.card!;
  const graph = new Graph();
  const layers = new library(graph, { training: true, random: true, multiply: multiplyFloat });
  model.build(layers, graph.input('image', [2, imageSize, imageSize, 3]), classes);
  return layers;
}

const nodesOf = (name: string) => train(name, Layers).graph.nodes;

test.each([
  // Behind the first two linear layers.
  ['vgg16_bn', [0.5, 0.5], 4096],
  ['torchvision/vgg16_bn', [0.5, 0.5], 4096],
  // Before the classifier.
  ['googlenet', [0.2], 1024],
  ['inception_v3', [0.5], 2048],
  ['torchvision/inception_v3', [0.5], 2048],
  ['mobilenet_v2', [0.2], 1280],
  ['torchvision/mobilenet_v2', [0.2], 1280],
  // The published program's ImageNet models have it with a rate of 0.
  ['imagenet/mobilenetv2', [], 0],
  ['imagenet/mnasnet', [], 0],
  ['resnet18', [], 0],
  ['densenet121', [], 0],
  ['imagenet/regnety_400m', [], 0],
  ['deit_tiny_patch4_32', [], 0],
])('dropout of %s', (name, rates, features) => {
  const found = nodesOf(name).filter(({ op }) => op === 'dropout');
  expect(found.map(({ attributes }) => (attributes as { rate: number }).rate)).toEqual(rates);
  for (const { inputs } of found) expect(inputs[0]?.shape).toEqual([2, features]);
});

test.each([
  ['deit_tiny_patch4_32', 1e-6, 25],
  ['swin_tiny_patch4_window7_224', 1e-5, 29],
])('epsilon of the layer norms of %s', (name, epsilon, count) => {
  const { epsilons } = train(name, LayerNorms);
  expect(epsilons).toEqual(new Array<number>(count).fill(epsilon));
});

test.each([
  ['resnet18', 1e-5],
  ['densenet121', 1e-5],
  ['mobilenet_v2', 1e-5],
  ['googlenet', 1e-3],
  ['inception_v3', 1e-3],
  ['torchvision/inception_v3', 1e-3],
])('epsilon of the batch norms of %s', (name, epsilon) => {
  const found = nodesOf(name).filter(({ op }) => op === 'batchNorm');
  expect(found.length).toBeGreaterThan(0);
  expect(new Set(found.map(({ attributes }) => (attributes as { epsilon: number }).epsilon))).toEqual(
    new Set([epsilon]),
  );
});
