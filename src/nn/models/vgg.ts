// VGG networks with batch norm (Simonyan and Zisserman, 2015): five stages of 3×3 convolutions, a max pool behind each,
// three linear layers. Their features are one sequence in PyTorch, so a layer's name is its place in it, activations
// and pools counted. The published program's for CIFAR-10 average the last stage to one pixel, torchvision's to 7×7.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';
import { published } from './cards.ts';
import type { Model } from './model.ts';

/** Convolutions per stage, by the number of layers with weights. */
const depths = {
  11: [1, 1, 2, 2, 2],
  13: [2, 2, 2, 2, 2],
  16: [2, 2, 3, 3, 3],
  19: [2, 2, 4, 4, 4],
} as const;

const widths = [64, 128, 256, 512, 512] as const;
const HIDDEN = 4096;

function features(nn: Layers, image: Value, stages: readonly number[]): Value {
  let [x, at] = [image, 0];
  stages.forEach((depth, stage) => {
    for (let index = 0; index < depth; index++) {
      x = nn.conv(`features.${at}`, x, { out: widths[stage]!, kernel: 3, padding: 1, bias: true });
      x = nn.relu(nn.batchNorm(`features.${at + 1}`, x));
      at += 3;
    }
    x = nn.maxPool(x, 2, 2);
    at += 1;
  });
  return x;
}

function vgg(collection: 'cifar' | 'torchvision', layers: keyof typeof depths): Model {
  const size = collection === 'cifar' ? 1 : 7;
  return published(collection, {
    name: `vgg${layers}_bn`,
    description: `VGG-${layers} with batch norm`,
    paper: 'Simonyan and Zisserman, 2015',
    classifier: 'classifier.6',
    minimumSize: 2 ** widths.length * size,
    build: (nn, image, classes) => {
      let x = nn.flatten(nn.adaptiveAveragePool(features(nn, image, depths[layers]), size));
      for (const name of ['classifier.0', 'classifier.3']) x = nn.dropout(nn.relu(nn.linear(name, x, HIDDEN)), 0.5);
      return nn.linear('classifier.6', x, classes);
    },
  });
}

export const vggNetworks: readonly Model[] = (['cifar', 'torchvision'] as const).flatMap((collection) =>
  ([11, 13, 16, 19] as const).map((layers) => vgg(collection, layers)),
);
